package cases

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// topicBatches covers requests about several topics, where some are wrong, at every version.
func topicBatches(l *diff.List) {
	l.Each("TOPIC/create_several", "META-24 META-26 META-29 META-31", diff.Range(2, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "old", 1)
		req := kit.CreateTopic(t.Name("a"), 2, "cleanup.policy=compact", "retention.ms=-1", "max.message.bytes=2000")
		add := func(name string, partitions int32, configs ...string) *kmsg.CreateTopicsRequestTopic {
			req.Topics = append(req.Topics, kit.CreateTopic(name, partitions, configs...).Topics[0])
			return &req.Topics[len(req.Topics)-1]
		}
		add(t.Name("old"), 1)
		add("bad/name", 1)
		add(t.Name("none"), 0)
		add(t.Name("conf"), 1, "cleanup.policy=vanish")
		add(t.Name("both"), 0, "retention.ms=soon").ReplicationFactor = 0
		add(t.Name("rf"), 1).ReplicationFactor = 5
		add(t.Name("z"), 1)
		diff.Do(c, "create", v, req)
		kit.AwaitTopic(t, c, t.Name("z"))
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("a"), t.Name("none"), t.Name("conf"), t.Name("rf"), t.Name("z")))
	})
	l.Each("TOPIC/create_validate_several", "META-30", diff.Versions(2, 5, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "old", 1)
		req := kit.CreateTopic(t.Name("a"), 2)
		req.Topics = append(req.Topics, kit.CreateTopic(t.Name("old"), 1).Topics[0], kit.CreateTopic(t.Name("b"), 1, "no.such=1").Topics[0])
		req.ValidateOnly = true
		diff.Do(c, "validate", v, req)
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("a"), t.Name("b")))
	})
	l.Each("TOPIC/create_none", "META-24", diff.Range(2, 7), func(t *diff.T, v int16) {
		req := kit.CreateTopic(t.Name("a"), 1)
		req.Topics = nil
		diff.Do(t.Dial(), "create", v, req)
	})
	keys := []string{
		"cleanup.policy=", "cleanup.policy=delete,compact", "cleanup.policy=delete,delete", "cleanup.policy= delete , compact ", "cleanup.policy=Delete",
		"compression.type=GZIP", "compression.type=none", "compression.gzip.level=0", "compression.gzip.level=-1", "compression.zstd.level=23", "compression.lz4.level=18",
		"retention.ms=-2", "retention.ms=-1", "retention.bytes=-2", "segment.ms=0", "segment.bytes=1048576", "segment.bytes=1048575", "segment.bytes=2147483648",
		"segment.index.bytes=3", "min.insync.replicas=0", "min.cleanable.dirty.ratio=1.1", "min.cleanable.dirty.ratio=.5", "min.cleanable.dirty.ratio=NaN",
		"message.timestamp.type=logappendtime", "preallocate=TRUE", "preallocate=yes", "unclean.leader.election.enable=", "max.message.bytes=-1", "max.message.bytes=0",
		"max.compaction.lag.ms=0", "flush.messages=0", "flush.ms=-1", "remote.storage.enable=true", "remote.storage.enable=false", "local.retention.ms=5",
		"local.retention.bytes=-3", "message.timestamp.after.max.ms=-1", "delete.retention.ms= 5", "index.interval.bytes=1e3", "file.delete.delay.ms=0x10",
		"leader.replication.throttled.replicas=*", "leader.replication.throttled.replicas=0:1,1:2", "leader.replication.throttled.replicas=x",
		"errors.deadletterqueue.group.enable=true", "max.decompressed.message.bytes=0", "max.decompressed.message.bytes=5", "remote.log.copy.disable=true",
		"internal.segment.bytes=10", "internal.segment.bytes=0", "internal.segment.bytes=-1", "internal.segment.bytes=x", "log.retention.ms=5",
	}
	for _, key := range keys {
		l.Add("TOPIC/create_setting/"+key, "META-29 CFGT-01", func(t *diff.T) {
			c := t.Dial()
			diff.Do(c, "create", 7, kit.CreateTopic(t.Name("t"), 1, key))
			diff.Do(c, "alter", 1, alter(kmsg.ConfigResourceTypeTopic, kit.NewTopic(t, c, "u", 1).Name, opSet, key))
		})
	}
	for name, keys := range map[string][]string{
		"lags":             {"min.compaction.lag.ms=10", "max.compaction.lag.ms=5"},
		"local_retention":  {"retention.ms=5", "local.retention.ms=10"},
		"local_bytes":      {"retention.bytes=5", "local.retention.bytes=10"},
		"remote_compacted": {"cleanup.policy=compact", "remote.storage.enable=true"},
		"isr_above":        {"min.insync.replicas=5"},
		"same_key":         {"retention.ms=5", "retention.ms=6"},
	} {
		l.Add("TOPIC/create_settings/"+name, "META-29 CFGT-01", func(t *diff.T) {
			diff.Do(t.Dial(), "create", 7, kit.CreateTopic(t.Name("t"), 1, keys...))
		})
	}
	l.Add("TOPIC/create_timeouts", "META-38", func(t *diff.T) {
		c := t.Dial()
		for _, timeout := range []int32{0, -1, 1 << 30} {
			req := kit.CreateTopic(t.Name(fmt.Sprintf("t%d", timeout)), 1)
			req.TimeoutMillis = timeout
			diff.Do(c, fmt.Sprintf("timeout %d", timeout), 7, req)
		}
	})
	l.Each("TOPIC/grow_several", "META-35", diff.Range(0, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		req := growTo(kit.NewTopic(t, c, "a", 1).Name, 2)
		for name, count := range map[string]int32{kit.NewTopic(t, c, "b", 2).Name: 2, t.Name("missing"): 3, "bad/name": 2, "__consumer_offsets": 1} {
			req.Topics = append(req.Topics, growTo(name, count).Topics[0])
		}
		diff.Do(c, "grow", v, req)
	})
	l.Each("TOPIC/grow_twice_in_one_request", "META-35 META-27", diff.Versions(0, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		req := growTo(kit.NewTopic(t, c, "a", 1).Name, 2)
		req.Topics = append(req.Topics, growTo(t.Name("a"), 3).Topics[0])
		diff.Do(c, "grow", v, req)
		settle(t)
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("a")))
	})
	l.Each("TOPIC/grow_assigned", "META-35", diff.Versions(0, 2, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		id := kit.NodeID(t, c)
		req := growTo(kit.NewTopic(t, c, "a", 1).Name, 3)
		for _, replicas := range [][]int32{{id}, {id}} {
			req.Topics[0].Assignment = append(req.Topics[0].Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		diff.Do(c, "grow", v, req)
		t.Until("grown", 5*time.Second, func() bool {
			return len(diff.Do(c, "metadata", 9, kit.Metadata(t.Name("a"))).Topics[0].Partitions) == 3
		})
		diff.Do(c, "metadata", 9, kit.Metadata(t.Name("a")))
		for _, replicas := range [][]int32{{id, id}, {}, {-1}} {
			req := growTo(t.Name("a"), 4)
			req.Topics[0].Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: replicas}}
			diff.Do(c, fmt.Sprintf("%d replicas", len(replicas)), v, req)
		}
		req = growTo(t.Name("a"), 4)
		req.Topics[0].Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
		diff.Do(c, "no assignments", v, req)
	})
	l.Each("TOPIC/grown_partitions_work", "META-35", diff.Versions(3), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "a", 1)
		diff.Do(c, "grow", v, growTo(topic.Name, 3))
		kit.AwaitTopic(t, c, topic.Name)
		t.Until("third", 5*time.Second, func() bool {
			return diff.Do(c, "produce", 9, kit.Produce(topic, 2, kit.Values(t, "x").Bytes())).Topics[0].Partitions[0].ErrorCode == 0
		})
		diff.Do(c, "fetch", 12, kit.Fetch(topic, 2, 0))
	})
	l.Each("TOPIC/delete_several", "META-33", diff.Range(1, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "a", 1)
		kit.NewTopic(t, c, "b", 1)
		diff.Do(c, "delete", v, kit.DeleteTopic(t.Name("a"), t.Name("missing"), "bad/name", "", t.Name("b")))
		diff.Do(c, "none", v, kit.DeleteTopic())
	})
	l.Add("TOPIC/delete_odd_rows", "META-33 META-27", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "a", 1)
		row := func(name *string, id [16]byte) kmsg.DeleteTopicsRequestTopic {
			r := kmsg.NewDeleteTopicsRequestTopic()
			r.Topic, r.TopicID = name, id
			return r
		}
		req := kit.DeleteTopic()
		req.Topics = []kmsg.DeleteTopicsRequestTopic{row(nil, [16]byte{}), row(&topic.Name, topic.ID)}
		diff.Try(c, "neither and both", 6, req)
		req.Topics = []kmsg.DeleteTopicsRequestTopic{row(&topic.Name, [16]byte{}), row(nil, topic.ID)}
		diff.Try(c, "same by name and id", 6, req)
		req.Topics = []kmsg.DeleteTopicsRequestTopic{row(nil, topic.ID), row(nil, topic.ID)}
		diff.Try(c, "same id twice", 6, req)
		req = kit.DeleteTopic(t.Name("missing"))
		req.TimeoutMillis = 0
		diff.Try(c, "timeout zero", 6, req)
	})
	moreMetadata(l)
}

func moreMetadata(l *diff.List) {
	l.Each("META/several", "META-05 META-08 META-12", diff.Range(0, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "a", 2)
		kit.NewTopic(t, c, "b", 1)
		diff.Do(c, "metadata", v, kit.Metadata(t.Name("b"), "bad/name", t.Name("a"), t.Name("b")))
		if v >= 4 {
			diff.Do(c, "missing", v, kit.Metadata(t.Name("b"), t.Name("missing"), ""))
		}
	})
	l.Each("META/null_name", "META-12", diff.Versions(9, 10, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.Metadata()
		req.Topics = append(req.Topics, kmsg.NewMetadataRequestTopic())
		diff.Try(c, "metadata", v, req)
	})
	l.Each("META/name_and_id", "META-12 META-13", diff.Versions(12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "a", 1)
		req := kit.Metadata(topic.Name)
		req.Topics[0].TopicID = topic.ID
		diff.Try(c, "both", v, req)
		req.Topics[0].TopicID = t.RawUUID("nobody")
		diff.Try(c, "name and unknown id", v, req)
		mixed := metadataByID(topic.ID)
		mixed.Topics = append(mixed.Topics, kit.Metadata(topic.Name).Topics[0])
		diff.Try(c, "an id and a name", v, mixed)
	})
	l.Each("META/all_with_operations", "META-17", diff.Range(8, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "a", 1)
		req := kit.Metadata()
		req.Topics, req.IncludeTopicAuthorizedOperations = nil, true
		diff.Do(c, "metadata", v, req, diff.Own("Topics"))
	})
	l.Add("META/describe_topic_partitions/cursors", "META-23", func(t *diff.T) {
		c := t.Dial()
		kit.NewTopic(t, c, "a", 3)
		kit.NewTopic(t, c, "b", 1)
		kit.NewTopic(t, c, "d", 2)
		ask := func(label string, limit int32, topic string, partition int32, names ...string) {
			req := describePartitions(limit, names...)
			req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
			diff.Try(c, label, 0, req)
		}
		all := []string{t.Name("d"), t.Name("a"), t.Name("b")}
		ask("in the middle", 2, t.Name("a"), 1, all...)
		ask("at the end of a topic", 2000, t.Name("a"), 3, all...)
		ask("beyond a topic", 2000, t.Name("a"), 77, all...)
		ask("between topics", 2000, t.Name("c"), 0, all...)
		ask("behind all", 2000, t.Name("z"), 0, all...)
		ask("negative", 2000, t.Name("a"), -1, all...)
		ask("missing named", 2000, t.Name("c"), 0, append(all, t.Name("c"))...)
		ask("exactly one", 1, t.Name("b"), 0, all...)
		diff.Try(c, "twice", 0, describePartitions(2000, t.Name("a"), t.Name("a")))
		diff.Try(c, "bad name", 0, describePartitions(2000, "a/b", ""))
		diff.Try(c, "negative limit", 0, describePartitions(-5, t.Name("a")))
		diff.Try(c, "limit 1 of three topics", 0, describePartitions(1, all...))
		diff.Try(c, "all", 0, describePartitions(2000), diff.Own("Topics"), diff.Ignore("depends on the other topics", "NextCursor"))
	})
	for name, change := range map[string]func(*kmsg.DescribeClusterRequest){
		"type_0": func(r *kmsg.DescribeClusterRequest) { r.EndpointType = 0 },
		"fenced": func(r *kmsg.DescribeClusterRequest) { r.EndpointType, r.IncludeFencedBrokers = 1, true },
	} {
		l.Each("META/describe_cluster_changed/"+name, "META-21 META-22", diff.Versions(0, 1, 2), func(t *diff.T, v int16) {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.IncludeClusterAuthorizedOperations = true
			change(req)
			diff.Try(t.Dial(), "describe", v, req)
		})
	}
}
