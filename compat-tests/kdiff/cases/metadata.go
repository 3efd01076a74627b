package cases

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// metadata covers Metadata, DescribeCluster and DescribeTopicPartitions.
func metadata(l *diff.List) {
	l.Each("META/named_topic", "META-02 META-09 META-12", diff.Range(0, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 3)
		diff.Do(c, "metadata", v, kit.Metadata(topic.Name))
	})
	l.Each("META/missing_topic", "META-05", diff.Versions(4, 8, 9, 10, 13), func(t *diff.T, v int16) {
		diff.Do(t.Dial(), "metadata", v, kit.Metadata(t.Name("missing")))
	})
	l.Each("META/no_topics", "META-01 META-02", diff.Versions(1, 5, 9, 12), func(t *diff.T, v int16) {
		diff.Do(t.Dial(), "metadata", v, kit.Metadata())
	})
	l.Each("META/all_topics", "META-01", diff.Versions(0, 1, 7, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "b", 1)
		kit.NewTopic(t, c, "a", 2)
		req := kit.Metadata()
		if v > 0 {
			req.Topics = nil
		}
		diff.Do(c, "metadata", v, req, diff.Own("Topics"))
	})
	l.Add("META/internal_topics", "META-15 META-07", func(t *diff.T) {
		diff.Do(t.Dial(), "metadata", 9, kit.Metadata("__consumer_offsets", "__transaction_state"))
	})
	for name, topic := range map[string]string{"empty": "", "dots": "..", "slash": "a/b", "space": "a b", "unicode": "thé"} {
		l.Add("META/invalid_name/"+name, "META-08", func(t *diff.T) {
			diff.Do(t.Dial(), "metadata", 9, kit.Metadata(topic))
		})
	}
	l.Add("META/good_and_bad_names", "META-05 META-08", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "metadata", 9, kit.Metadata("a b", topic.Name, t.Name("missing")))
	})
	l.Add("META/same_topic_twice", "META-05", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "metadata", 9, kit.Metadata(topic.Name, topic.Name))
	})
	l.Each("META/auto_create", "META-06 META-07", diff.Versions(3, 4, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.Metadata(t.Name("auto"))
		req.AllowAutoTopicCreation = true
		diff.Do(c, "first", v, req)
		kit.AwaitTopic(t, c, t.Name("auto"))
		diff.Do(c, "later", v, kit.Metadata(t.Name("auto")))
	})
	l.Add("META/auto_create_not_allowed", "META-06", func(t *diff.T) {
		c := t.Dial()
		diff.Do(c, "first", 4, kit.Metadata(t.Name("auto")))
		t.Sleep(300 * time.Millisecond)
		diff.Do(c, "later", 4, kit.Metadata(t.Name("auto")))
	})
	l.Add("META/auto_create_invalid_name", "META-06 META-08", func(t *diff.T) {
		req := kit.Metadata("not/a/name")
		req.AllowAutoTopicCreation = true
		diff.Do(t.Dial(), "metadata", 9, req)
	})
	l.Each("META/by_id", "META-12 META-13", diff.Versions(12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		diff.Do(c, "known id", v, metadataByID(topic.ID))
		diff.Do(c, "unknown id", v, metadataByID(t.RawUUID("nobody")))
		diff.Do(c, "both", v, metadataByID(topic.ID, t.RawUUID("nobody")))
	})
	l.Add("META/by_id_below_v12", "META-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Try(c, "by id", 10, metadataByID(topic.ID))
		diff.Try(c, "metadata afterwards", 9, kit.Metadata())
	})
	l.Each("META/authorized_operations", "META-17 META-18", diff.Versions(8, 9, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Metadata(topic.Name)
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = v <= 10, true
		diff.Do(c, "metadata", v, req)
	})
	l.Add("META/recreated_topic_has_a_new_id", "META-14", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "before", 12, kit.Metadata(topic.Name))
		diff.Do(c, "delete", 6, kit.DeleteTopic(topic.Name))
		t.Until("gone", 10*time.Second, func() bool {
			return diff.Do(c, "metadata", 12, kit.Metadata(topic.Name)).Topics[0].ErrorCode != 0
		})
		kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "after", 12, kit.Metadata(topic.Name))
		diff.Do(c, "old id", 12, metadataByID(topic.ID))
	})

	l.Each("META/describe_cluster", "META-03 META-04 META-21 META-22", diff.Range(0, 2), func(t *diff.T, v int16) {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = 1
		req.IncludeClusterAuthorizedOperations = v == 1
		req.IncludeFencedBrokers = v == 2
		diff.Do(t.Dial(), "describe cluster", v, req)
	})
	for name, endpoint := range map[string]int8{"controllers": 2, "unknown": 3} {
		l.Add("META/describe_cluster_endpoint/"+name, "META-21", func(t *diff.T) {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType = endpoint
			diff.Do(t.Dial(), "describe cluster", 1, req)
		})
	}
	describeTopicPartitions(l)
}

func metadataByID(ids ...[16]byte) *kmsg.MetadataRequest {
	req := kit.Metadata()
	for _, id := range ids {
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func describeTopicPartitions(l *diff.List) {
	l.Add("META/describe_topic_partitions/named", "META-23", func(t *diff.T) {
		c := t.Dial()
		kit.NewTopic(t, c, "b", 2)
		kit.NewTopic(t, c, "a", 1)
		diff.Do(c, "describe", 0, describePartitions(2000, t.Name("b"), t.Name("missing"), t.Name("a")))
	})
	l.Add("META/describe_topic_partitions/pages", "META-23", func(t *diff.T) {
		c := t.Dial()
		kit.NewTopic(t, c, "a", 2)
		kit.NewTopic(t, c, "b", 3)
		req := describePartitions(2, t.Name("a"), t.Name("b"))
		for page := 1; page <= 4; page++ {
			resp := diff.Do(c, "page", 0, req)
			if resp.NextCursor == nil {
				return
			}
			req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
		}
	})
	l.Add("META/describe_topic_partitions/limit_zero", "META-23", func(t *diff.T) {
		c := t.Dial()
		kit.NewTopic(t, c, "a", 2)
		diff.Try(c, "describe", 0, describePartitions(0, t.Name("a")))
	})
}

func describePartitions(limit int32, topics ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = limit
	for _, name := range topics {
		topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
		topic.Topic = name
		req.Topics = append(req.Topics, topic)
	}
	return req
}
