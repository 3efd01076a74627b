package handlers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func names(resp *kmsg.MetadataResponse) []string {
	var list []string
	for _, t := range resp.Topics {
		list = append(list, *t.Topic)
	}
	slices.Sort(list)
	return list
}

func TestMetadata_META_01_02_09_null_and_empty_topics_by_version(t *testing.T) {
	b := startAdmin(t)
	b.create(3, "b")
	b.create(1, "a")
	for v := int16(0); v <= 13; v++ {
		all := kmsg.NewPtrMetadataRequest()
		if v == 0 {
			all.Topics = []kmsg.MetadataRequestTopic{}
		}
		resp := ask[*kmsg.MetadataResponse](b, v, all)
		if got := fmt.Sprint(names(resp)); got != "[a b]" {
			t.Errorf("v%d: all topics are %s", v, got)
		}
		if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 1 {
			t.Errorf("v%d: brokers %+v", v, resp.Brokers)
		}
		for _, topic := range resp.Topics {
			for n, p := range topic.Partitions {
				if p.ErrorCode != 0 || p.Partition != int32(n) || p.Leader != 1 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || len(p.OfflineReplicas) != 0 {
					t.Errorf("v%d: %s-%d is %+v", v, *topic.Topic, n, p)
				}
			}
		}
		if v > 0 {
			none := ask[*kmsg.MetadataResponse](b, v, metadataOf())
			if len(none.Topics) != 0 || len(none.Brokers) != 1 {
				t.Errorf("v%d: no topics gives %d, brokers %d", v, len(none.Topics), len(none.Brokers))
			}
		}
	}
}

func TestMetadata_META_03_04_controller_and_cluster_id(t *testing.T) {
	b := startAdmin(t)
	resp := ask[*kmsg.MetadataResponse](b, 12, metadataOf())
	if resp.ControllerID != 1 || resp.ClusterID == nil || *resp.ClusterID != "testtesttesttesttesttQ" {
		t.Errorf("controller %d, cluster %v", resp.ControllerID, resp.ClusterID)
	}
}

func TestMetadata_META_05_08_unknown_and_bad_names_beside_good_ones(t *testing.T) {
	b := startAdmin(t, "auto.create.topics.enable", "false")
	b.create(1, "t")
	want := map[string]int16{"t": 0, "missing": kerr.UnknownTopicOrPartition.Code, "": kerr.InvalidTopicException.Code, "..": kerr.InvalidTopicException.Code,
		"a/b": kerr.InvalidTopicException.Code, "thé": kerr.InvalidTopicException.Code}
	req := metadataOf("t", "t", "missing", "", "..", "a/b", "thé")
	resp := ask[*kmsg.MetadataResponse](b, 9, req)
	if len(resp.Topics) != len(want) {
		t.Errorf("%d rows, want %d: a name that is there twice has one", len(resp.Topics), len(want))
	}
	for _, row := range resp.Topics {
		wantCode(t, *row.Topic, row.ErrorCode, want[*row.Topic])
	}
}

func TestMetadata_META_06_07_auto_creation_answers_with_the_leader(t *testing.T) {
	b := startAdmin(t, "num.partitions", "2")
	for _, v := range []int16{0, 3, 4, 13} {
		req := metadataOf(fmt.Sprint("auto", v))
		req.AllowAutoTopicCreation = true // below v4 it isn't on the wire: always allowed
		row := ask[*kmsg.MetadataResponse](b, v, req).Topics[0]
		wantCode(t, *row.Topic, row.ErrorCode, 0)
		if len(row.Partitions) != 2 || row.Partitions[0].Leader != 1 || row.Partitions[1].Leader != 1 {
			t.Errorf("v%d: %+v", v, row.Partitions)
		}
		if _, err := b.node.Partition(*row.Topic, 1); err != nil {
			t.Errorf("v%d: a produce would fail: %v", v, err)
		}
	}
	not := ask[*kmsg.MetadataResponse](b, 4, metadataOf("not.allowed")).Topics[0]
	wantCode(t, "not allowed", not.ErrorCode, kerr.UnknownTopicOrPartition.Code)
	b.create(1, "co.llides")
	bad := metadataOf("not/a/name", cluster.ClusterMetadataTopic, "co_llides")
	bad.AllowAutoTopicCreation = true
	for i, code := range []int16{kerr.InvalidTopicException.Code, kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicOrPartition.Code} { // META-26
		row := ask[*kmsg.MetadataResponse](b, 9, bad).Topics[i]
		wantCode(t, *row.Topic, row.ErrorCode, code)
	}
	if b.node.Image().Topic("co_llides") != nil {
		t.Error("a colliding topic was made")
	}
}

func TestMetadata_META_06_not_where_the_broker_forbids_it_nor_for_all(t *testing.T) {
	b := startAdmin(t, "auto.create.topics.enable", "false")
	req := metadataOf("auto")
	req.AllowAutoTopicCreation = true
	wantCode(t, "forbidden", ask[*kmsg.MetadataResponse](b, 9, req).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	if b.node.Image().NumTopics() != 0 {
		t.Error("a topic was made")
	}
}

func TestMetadata_META_07_15_internal_topics_are_made_as_they_should_be(t *testing.T) {
	b := startAdmin(t, "offsets.topic.num.partitions", "4")
	req := metadataOf(cluster.ConsumerOffsetsTopic)
	req.AllowAutoTopicCreation = true
	row := ask[*kmsg.MetadataResponse](b, 9, req).Topics[0]
	if row.ErrorCode != 0 || !row.IsInternal || len(row.Partitions) != 4 || len(row.Partitions[0].Replicas) != 1 {
		t.Errorf("%+v", row)
	}
	if c := b.node.Image().Configs(cluster.ConfigResource{Type: cluster.ResourceTopic, Name: cluster.ConsumerOffsetsTopic}); c["cleanup.policy"] != "compact" {
		t.Errorf("settings %v", c)
	}
	made, err := b.h.ensureInternalTopic(t.Context(), cluster.ConsumerOffsetsTopic)
	if err != nil || made.ID != row.TopicID && made.Name != cluster.ConsumerOffsetsTopic {
		t.Errorf("%v %v", made, err)
	}
	if made, err = b.h.ensureInternalTopic(t.Context(), cluster.TransactionStateTopic); err != nil || len(made.Partitions) != 50 {
		t.Errorf("%v %v", made, err)
	}
}

func TestMetadata_META_10_12_13_14_topic_ids_and_epochs(t *testing.T) {
	b := startAdmin(t)
	b.create(2, "t")
	id := b.node.Image().Topic("t").ID
	byID := func(ids ...[16]byte) *kmsg.MetadataRequest {
		req := metadataOf()
		for _, id := range ids {
			row := kmsg.NewMetadataRequestTopic()
			row.TopicID = id
			req.Topics = append(req.Topics, row)
		}
		return req
	}
	for v := int16(0); v <= 13; v++ {
		row := ask[*kmsg.MetadataResponse](b, v, metadataOf("t")).Topics[0]
		if got := row.TopicID == [16]byte(id); got != (v >= 10) {
			t.Errorf("v%d: id is there: %v", v, got)
		}
		if epoch := row.Partitions[0].LeaderEpoch; (epoch == 0) != (v >= 7) {
			t.Errorf("v%d: epoch %d", v, epoch)
		}
	}
	for _, v := range []int16{12, 13} {
		rows := ask[*kmsg.MetadataResponse](b, v, byID([16]byte{5}, id)).Topics
		if len(rows) != 2 || rows[0].ErrorCode != kerr.UnknownTopicID.Code || rows[0].Topic != nil || rows[0].TopicID != [16]byte{5} || rows[1].ErrorCode != 0 || *rows[1].Topic != "t" {
			t.Errorf("v%d: %+v", v, rows)
		}
	}
	for _, v := range []int16{10, 11} {
		resp := ask[*kmsg.MetadataResponse](b, v, byID(id))
		if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != kerr.InvalidRequest.Code || *resp.Topics[0].Topic != "" || resp.ControllerID != -1 || len(resp.Brokers) != 0 {
			t.Errorf("v%d: %+v", v, resp)
		}
	}
	wantCode(t, "neither name nor id", ask[*kmsg.MetadataResponse](b, 12, byID([16]byte{})).Topics[0].ErrorCode, kerr.InvalidRequest.Code)

	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TimeoutMillis = 5000
	row := kmsg.NewDeleteTopicsRequestTopic()
	row.TopicID = id
	del.Topics = append(del.Topics, row)
	wantCode(t, "delete", ask[*kmsg.DeleteTopicsResponse](b, 6, del).Topics[0].ErrorCode, 0)
	b.create(1, "t")
	if again := ask[*kmsg.MetadataResponse](b, 12, metadataOf("t")).Topics[0]; again.TopicID == [16]byte(id) || len(again.Partitions) != 1 {
		t.Errorf("made again: %+v", again)
	}
	wantCode(t, "old id", ask[*kmsg.MetadataResponse](b, 12, byID(id)).Topics[0].ErrorCode, kerr.UnknownTopicID.Code)
}

func TestMetadata_META_17_18_authorized_operations(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	for v := int16(8); v <= 13; v++ {
		req := metadataOf("t")
		plain := ask[*kmsg.MetadataResponse](b, v, req)
		if plain.Topics[0].AuthorizedOperations != operationsNotAsked || plain.AuthorizedOperations != operationsNotAsked {
			t.Errorf("v%d, not asked: %d %d", v, plain.Topics[0].AuthorizedOperations, plain.AuthorizedOperations)
		}
		req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations = true, true
		wantCluster := operationsNotAsked
		if v <= 10 {
			wantCluster = 8096
		}
		asked := ask[*kmsg.MetadataResponse](b, v, req)
		if asked.Topics[0].AuthorizedOperations != 3576 || asked.AuthorizedOperations != wantCluster {
			t.Errorf("v%d, asked: %d %d", v, asked.Topics[0].AuthorizedOperations, asked.AuthorizedOperations)
		}
	}
}

func TestMetadata_CONN_15_CONN_16_endpoints_are_those_of_the_listener(t *testing.T) {
	b := startAdmin(t)
	b.create(1, "t")
	resp := ask[*kmsg.MetadataResponse](b, 9, metadataOf("t"))
	if resp.Brokers[0].Host != "host-of-PLAINTEXT" || resp.Brokers[0].Port != 9001 {
		t.Errorf("%+v", resp.Brokers)
	}
	other := b.dial("OTHER")
	for v, code := range map[int16]int16{0: kerr.LeaderNotAvailable.Code, 5: kerr.LeaderNotAvailable.Code, 6: kerr.ListenerNotFound.Code, 13: kerr.ListenerNotFound.Code} {
		resp := askOn[*kmsg.MetadataResponse](b, other, v, metadataOf("t"))
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != code || p.Leader != -1 || len(resp.Brokers) != 0 {
			t.Errorf("v%d: %+v, brokers %v", v, p, resp.Brokers)
		}
		if v >= 5 && !slices.Equal(p.OfflineReplicas, []int32{1}) { // META-16
			t.Errorf("v%d: offline %v", v, p.OfflineReplicas)
		}
	}
}

func TestDescribeCluster_META_03_04_21_22(t *testing.T) {
	b := startAdmin(t)
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations = true
		resp := ask[*kmsg.DescribeClusterResponse](b, v, req)
		if resp.ErrorCode != 0 || resp.ErrorMessage != nil || resp.ClusterID != "testtesttesttesttesttQ" || resp.ControllerID != 1 || len(resp.Brokers) != 1 ||
			resp.Brokers[0].Host != "host-of-PLAINTEXT" || resp.Brokers[0].Rack != nil || resp.ClusterAuthorizedOperations != 8096 || v > 0 && resp.EndpointType != 1 {
			t.Errorf("v%d: %+v", v, resp)
		}
	}
	for kind, want := range map[int8]struct {
		code int16
		text string
	}{
		2: {kerr.MismatchedEndpointType.Code, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"},
		0: {kerr.UnsupportedEndpointType.Code, "Unsupported endpoint type 0"},
		3: {kerr.UnsupportedEndpointType.Code, "Unsupported endpoint type 3"},
	} {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = kind
		resp := ask[*kmsg.DescribeClusterResponse](b, 1, req)
		wantCode(t, "endpoint type", resp.ErrorCode, want.code)
		wantText(t, "endpoint type", resp.ErrorMessage, want.text)
		if len(resp.Brokers) != 0 || resp.ControllerID != -1 || resp.EndpointType != 1 {
			t.Errorf("%+v", resp)
		}
	}
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

func TestDescribeTopicPartitions_META_23_pages(t *testing.T) {
	b := startAdmin(t, "max.request.partition.size.limit", "3")
	b.create(2, "a")
	b.create(3, "b")
	b.create(1, "c")
	for name, c := range map[string]struct {
		limit  int32
		topics []string
		want   string
	}{
		"all, limit 2":            {2, nil, "[a0 a1] [b0 b1] [b2 c0]"},
		"named, limit 2":          {2, []string{"b", "a"}, "[a0 a1] [b0 b1] [b2]"},
		"limit 0 works as 1":      {0, []string{"a"}, "[a0] [a1]"},
		"negative too":            {-7, []string{"a"}, "[a0] [a1]"},
		"the broker's own limit":  {1000, nil, "[a0 a1 b0] [b1 b2 c0]"},
		"named twice":             {3, []string{"a", "a"}, "[a0 a1]"},
		"missing, in its place":   {3, []string{"c", "abc", "a"}, "[a0 a1 abc! c0]"},
		"invalid":                 {3, []string{"a b"}, "[a b!]"},
		"cursor at a topic's end": {2, []string{"a", "c"}, "[a0 a1] [c0]"},
	} {
		t.Run(name, func(t *testing.T) {
			req, pages := describePartitions(c.limit, c.topics...), ""
			for range 20 {
				resp := ask[*kmsg.DescribeTopicPartitionsResponse](b, 0, req)
				var page []string
				for _, topic := range resp.Topics {
					if topic.AuthorizedOperations != topicOperations {
						t.Errorf("operations %d", topic.AuthorizedOperations)
					}
					if topic.ErrorCode != 0 {
						page = append(page, *topic.Topic+"!")
					}
					for _, p := range topic.Partitions {
						page = append(page, fmt.Sprint(*topic.Topic, p.Partition))
						if p.LeaderID != 1 || p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil { // null breaks Kafka's tools
							t.Errorf("%+v", p)
						}
					}
				}
				pages += " " + fmt.Sprint(page)
				if resp.NextCursor == nil {
					break
				}
				req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
			}
			if pages[1:] != c.want {
				t.Errorf("pages%s, want %s", pages, c.want)
			}
		})
	}
	if b.node.Image().Topic("abc") != nil {
		t.Error("describing made a topic")
	}
}

func TestDescribeTopicPartitions_META_23_bad_cursors(t *testing.T) {
	b := startAdmin(t)
	b.create(2, "t")
	for _, cursor := range []kmsg.DescribeTopicPartitionsRequestCursor{{Topic: "zzz"}, {Topic: "t", Partition: -1}} {
		req := describePartitions(10, "t")
		req.Cursor = &cursor
		rows := ask[*kmsg.DescribeTopicPartitionsResponse](b, 0, req).Topics
		if len(rows) != 1 || rows[0].ErrorCode != kerr.InvalidRequest.Code || rows[0].AuthorizedOperations != operationsNotAsked {
			t.Errorf("cursor %+v: %+v", cursor, rows)
		}
	}
	beyond := describePartitions(10, "t")
	beyond.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "t", Partition: 77}
	if rows := ask[*kmsg.DescribeTopicPartitionsResponse](b, 0, beyond).Topics; len(rows) != 1 || rows[0].ErrorCode != 0 || len(rows[0].Partitions) != 0 {
		t.Errorf("beyond the end: %+v", rows)
	}
	gone := kmsg.NewPtrDescribeTopicPartitionsRequest() // all: a cursor's topic may have been deleted meanwhile
	gone.ResponsePartitionLimit = 10
	gone.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "s", Partition: 1}
	if rows := ask[*kmsg.DescribeTopicPartitionsResponse](b, 0, gone).Topics; len(rows) != 1 || len(rows[0].Partitions) != 2 {
		t.Errorf("after a topic that is gone: %+v", rows)
	}
}
