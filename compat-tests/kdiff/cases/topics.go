package cases

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// topics covers creating, growing and deleting topics.
func topics(l *diff.List) {
	l.Each("TOPIC/create", "META-24 META-31", diff.Range(2, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "create", v, kit.CreateTopic(t.Name("t"), 2, "retention.ms=1234567"))
		kit.AwaitTopic(t, c, t.Name("t"))
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("t")))
	})
	l.Each("TOPIC/create_defaults", "META-24 META-07", diff.Versions(3, 4, 5, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.CreateTopic(t.Name("t"), -1)
		req.Topics[0].ReplicationFactor = -1
		diff.Do(c, "create", v, req)
	})
	l.Each("TOPIC/create_validate_only", "META-30", diff.Versions(2, 5, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.CreateTopic(t.Name("t"), 3, "cleanup.policy=compact")
		req.ValidateOnly = true
		diff.Do(c, "create", v, req)
		t.Sleep(200 * time.Millisecond)
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("t")))
	})
	l.Each("TOPIC/create_existing", "META-26", diff.Versions(2, 4, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "create", v, kit.CreateTopic(topic.Name, 1))
	})
	for name, topic := range map[string]string{
		"empty": "", "dot": ".", "too_long": strings.Repeat("x", 250), "longest": "", "slash": "a/b", "internal": "__consumer_offsets",
	} {
		l.Add("TOPIC/create_name/"+name, "META-08", func(t *diff.T) {
			if name == "longest" {
				topic := t.Name("x")
				topic += strings.Repeat("x", 249-len(topic))
				diff.Do(t.Dial(), "create", 7, kit.CreateTopic(topic, 1))
				return
			}
			diff.Do(t.Dial(), "create", 7, kit.CreateTopic(topic, 1))
		})
	}
	l.Add("TOPIC/create_colliding_name", "META-26", func(t *diff.T) {
		c := t.Dial()
		kit.NewTopic(t, c, "my.topic", 1)
		diff.Do(c, "create", 5, kit.CreateTopic(t.Name("my_topic"), 1))
	})
	for name, n := range map[string]int32{"zero": 0, "minus_two": -2} {
		l.Add("TOPIC/create_partitions_"+name, "META-24", func(t *diff.T) {
			diff.Do(t.Dial(), "create", 5, kit.CreateTopic(t.Name("t"), n))
		})
		l.Add("TOPIC/create_replication_"+name, "META-24", func(t *diff.T) {
			req := kit.CreateTopic(t.Name("t"), 1)
			req.Topics[0].ReplicationFactor = int16(n)
			diff.Do(t.Dial(), "create", 5, req)
		})
	}
	l.Add("TOPIC/create_replication_above_brokers", "META-25", func(t *diff.T) {
		req := kit.CreateTopic(t.Name("t"), 1)
		req.Topics[0].ReplicationFactor = 9
		diff.Do(t.Dial(), "create", 6, req)
	})
	l.Add("TOPIC/create_twice_in_one_request", "META-27", func(t *diff.T) {
		req := kit.CreateTopic(t.Name("t"), 1)
		req.Topics = append(req.Topics, req.Topics[0], kit.CreateTopic(t.Name("u"), 1).Topics[0])
		diff.Do(t.Dial(), "create", 7, req)
	})
	l.Add("TOPIC/create_good_and_bad", "META-29", func(t *diff.T) {
		c := t.Dial()
		req := kit.CreateTopic(t.Name("good"), 1)
		req.Topics = append(req.Topics, kit.CreateTopic("bad name", 1).Topics[0], kit.CreateTopic(t.Name("bad"), 1, "no.such.key=1").Topics[0])
		diff.Do(c, "create", 7, req)
		kit.AwaitTopic(t, c, t.Name("good"))
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("good"), t.Name("bad")))
	})
	for name, config := range map[string]string{
		"unknown_key": "no.such.key=1", "not_a_number": "retention.ms=soon", "out_of_range": "segment.bytes=10", "bad_choice": "cleanup.policy=vanish",
	} {
		l.Add("TOPIC/create_config/"+name, "META-29", func(t *diff.T) {
			c := t.Dial()
			diff.Do(c, "create", 6, kit.CreateTopic(t.Name("t"), 1, config))
			diff.Do(c, "metadata", 9, kit.Metadata(t.Name("t")))
		})
	}
	l.Add("TOPIC/create_config_null", "META-29", func(t *diff.T) {
		req := kit.CreateTopic(t.Name("t"), 1, "retention.ms=5")
		req.Topics[0].Configs[0].Value = nil
		diff.Do(t.Dial(), "create", 7, req)
	})
	manualAssignments(l)
	growing(l)
	deleting(l)
}

func manualAssignments(l *diff.List) {
	assigned := func(t *diff.T, partitions ...[]int32) *kmsg.CreateTopicsRequest {
		req := kit.CreateTopic(t.Name("t"), -1)
		req.Topics[0].ReplicationFactor = -1
		for i, replicas := range partitions {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(i), replicas
			req.Topics[0].ReplicaAssignment = append(req.Topics[0].ReplicaAssignment, a)
		}
		return req
	}
	l.Add("TOPIC/assignment/good", "META-28", func(t *diff.T) {
		c := t.Dial()
		id := kit.NodeID(t, c)
		diff.Do(c, "create", 7, assigned(t, []int32{id}, []int32{id}))
		kit.AwaitTopic(t, c, t.Name("t"))
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("t")))
	})
	l.Add("TOPIC/assignment/with_count", "META-28", func(t *diff.T) {
		c := t.Dial()
		req := assigned(t, []int32{kit.NodeID(t, c)})
		req.Topics[0].NumPartitions = 1
		diff.Do(c, "create", 5, req)
	})
	l.Add("TOPIC/assignment/unknown_broker", "META-28", func(t *diff.T) {
		diff.Do(t.Dial(), "create", 5, assigned(t, []int32{4711}))
	})
	l.Add("TOPIC/assignment/broker_twice", "META-28", func(t *diff.T) {
		c := t.Dial()
		id := kit.NodeID(t, c)
		diff.Do(c, "create", 5, assigned(t, []int32{id, id}))
	})
	l.Add("TOPIC/assignment/gap", "META-28", func(t *diff.T) {
		c := t.Dial()
		id := kit.NodeID(t, c)
		req := assigned(t, []int32{id}, []int32{id})
		req.Topics[0].ReplicaAssignment[1].Partition = 2
		diff.Do(c, "create", 5, req)
	})
	l.Add("TOPIC/assignment/no_replicas", "META-28", func(t *diff.T) {
		diff.Do(t.Dial(), "create", 5, assigned(t, []int32{}))
	})
}

func growTo(name string, count int32) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 10000
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = name, count
	req.Topics = append(req.Topics, topic)
	return req
}

func growing(l *diff.List) {
	l.Each("TOPIC/grow", "META-35", diff.Range(0, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "grow", v, growTo(topic.Name, 3))
		t.Until("grown", 5*time.Second, func() bool {
			return len(diff.Do(c, "metadata", 9, kit.Metadata(topic.Name)).Topics[0].Partitions) == 3
		})
		diff.Do(c, "metadata", 9, kit.Metadata(topic.Name))
	})
	for name, count := range map[string]int32{"same": 2, "fewer": 1, "zero": 0, "negative": -1} {
		l.Add("TOPIC/grow_to_"+name, "META-35", func(t *diff.T) {
			c := t.Dial()
			diff.Do(c, "grow", 3, growTo(kit.NewTopic(t, c, "t", 2).Name, count))
		})
	}
	l.Add("TOPIC/grow_missing_topic", "META-35", func(t *diff.T) {
		diff.Do(t.Dial(), "grow", 2, growTo(t.Name("missing"), 4))
	})
	l.Add("TOPIC/grow_validate_only", "META-35 META-30", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := growTo(topic.Name, 5)
		req.ValidateOnly = true
		diff.Do(c, "grow", 1, req)
		diff.Do(c, "metadata", 9, kit.Metadata(topic.Name))
	})
	l.Add("TOPIC/grow_with_wrong_assignment", "META-35", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := growTo(topic.Name, 3)
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = []int32{kit.NodeID(t, c)}
		req.Topics[0].Assignment = append(req.Topics[0].Assignment, a)
		diff.Do(c, "one for two", 3, req)
		req.Topics[0].Assignment[0].Replicas = []int32{999}
		req.Topics[0].Count = 2
		diff.Do(c, "unknown broker", 3, req)
	})
}

func deleting(l *diff.List) {
	l.Each("TOPIC/delete", "META-33", diff.Range(1, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "delete", v, kit.DeleteTopic(topic.Name))
		t.Until("gone", 10*time.Second, func() bool {
			return diff.Do(c, "metadata", 9, kit.Metadata(topic.Name)).Topics[0].ErrorCode == 3
		})
		diff.Do(c, "delete again", v, kit.DeleteTopic(topic.Name))
	})
	l.Add("TOPIC/delete_by_id", "META-33 META-13", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.DeleteTopic()
		for _, id := range [][16]byte{topic.ID, t.RawUUID("nobody")} {
			row := kmsg.NewDeleteTopicsRequestTopic()
			row.TopicID = id
			req.Topics = append(req.Topics, row)
		}
		diff.Do(c, "delete", 6, req)
	})
	l.Add("TOPIC/delete_twice_in_one_request", "META-27", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "delete", 6, kit.DeleteTopic(topic.Name, topic.Name))
		diff.Do(c, "delete old", 4, kit.DeleteTopic(topic.Name, topic.Name))
	})
	l.Add("TOPIC/delete_wakes_a_parked_fetch", "META-34 FETCH-32", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		fetch := kit.Fetch(topic, 0, 0)
		fetch.MaxWaitMillis = 8000
		parked := diff.Start(c, "parked fetch", 13, fetch)
		t.Sleep(200 * time.Millisecond)
		diff.Do(other, "delete", 6, kit.DeleteTopic(topic.Name))
		parked.Wait(diff.Waits(8 * time.Second))
	})
}
