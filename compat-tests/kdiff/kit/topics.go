// Package kit holds the building blocks that cases share: set-up that is not
// itself compared, record batches made by hand, and requests with one topic
// and one partition. Set-up talks unrecorded and ends the case where it fails.
package kit

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

// Topic is a topic that exists.
type Topic struct {
	Name string
	ID   [16]byte
}

// NewTopic creates a topic, unrecorded, with configs written "key=value".
func NewTopic(t *diff.T, c *diff.Conn, name string, partitions int32, configs ...string) Topic {
	var topic Topic
	t.Quiet(func() {
		resp := diff.Do(c, "create topic", 7, CreateTopic(t.Name(name), partitions, configs...))
		if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
			t.Fail("set-up: cannot create a topic: %s", diff.ErrorName(resp.Topics[0].ErrorCode))
		}
		topic = Topic{Name: resp.Topics[0].Topic, ID: resp.Topics[0].TopicID}
		AwaitTopic(t, c, topic.Name)
	})
	return topic
}

// SettledTopic is NewTopic for cases whose group coordinator must know the topic
// at once. No request shows when a coordinator has seen the newest metadata, so
// it waits a little.
func SettledTopic(t *diff.T, c *diff.Conn, name string, partitions int32, configs ...string) Topic {
	topic := NewTopic(t, c, name, partitions, configs...)
	t.Sleep(250 * time.Millisecond)
	return topic
}

// AwaitTopic waits until every partition of a topic has a leader and the leader
// knows: Kafka's metadata is a little ahead of its replica manager.
func AwaitTopic(t *diff.T, c *diff.Conn, name string) {
	t.Until("topic ready", 10*time.Second, func() bool {
		partitions, ok := led(diff.Do(c, "metadata", 9, Metadata(name)))
		if !ok {
			return false
		}
		for p := range partitions {
			resp := diff.Do(c, "latest", 5, ListOffsets(Topic{Name: name}, int32(p), -1))
			if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
				return false
			}
		}
		return true
	})
}

// led counts the partitions of the one topic, if all of them have leaders.
func led(resp *kmsg.MetadataResponse) (partitions int, ok bool) {
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
		return 0, false
	}
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 || p.Leader < 0 {
			return 0, false
		}
	}
	return len(resp.Topics[0].Partitions), len(resp.Topics[0].Partitions) > 0
}

// CreateTopic asks for one topic with one replica.
func CreateTopic(name string, partitions int32, configs ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for _, config := range configs {
		key, value, _ := strings.Cut(config, "=")
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, &value
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	return req
}

// DeleteTopic asks to delete topics by name, in the form of every version.
func DeleteTopic(names ...string) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10000
	req.TopicNames = names
	for _, name := range names {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// Metadata asks for topics by name and allows no auto-creation; without names
// it asks for no topic.
func Metadata(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// NodeID asks, unrecorded, for the id of the broker behind the connection.
func NodeID(t *diff.T, c *diff.Conn) (id int32) {
	t.Quiet(func() {
		resp := diff.Do(c, "node id", 9, Metadata())
		if len(resp.Brokers) == 0 {
			t.Fail("set-up: metadata lists no broker")
		}
		id = resp.Brokers[0].NodeID
	})
	return id
}

// LeaderEpoch asks, unrecorded, for the leader epoch of a partition.
func LeaderEpoch(t *diff.T, c *diff.Conn, topic Topic, partition int32) (epoch int32) {
	t.Quiet(func() {
		resp := diff.Do(c, "leader epoch", 9, Metadata(topic.Name))
		for _, tp := range resp.Topics {
			for _, p := range tp.Partitions {
				if p.Partition == partition {
					epoch = p.LeaderEpoch
				}
			}
		}
	})
	return epoch
}
