package cases

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// admin covers the cluster's own APIs: log directories, elections,
// reassignments, quorum, features and what a stock broker refuses.
func admin(l *diff.List) {
	l.Each("ADM/log_dirs", "ADM-01 ADM-02", diff.Range(1, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kmsg.NewPtrDescribeLogDirsRequest()
		tp := kmsg.NewDescribeLogDirsRequestTopic()
		tp.Topic, tp.Partitions = topic.Name, []int32{0, 1, 9}
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{tp}
		diff.Do(c, "one topic", v, req)
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		diff.Do(c, "no topics", v, req)
	})
	for name, kind := range map[string]int8{"preferred": 0, "unclean": 1, "unknown": 7} {
		l.Add("ADM/elect_leaders/"+name, "REPL-07 REPL-17", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			req := kmsg.NewPtrElectLeadersRequest()
			req.ElectionType, req.TimeoutMillis = kind, 5000
			tp := kmsg.NewElectLeadersRequestTopic()
			tp.Topic, tp.Partitions = topic.Name, []int32{0, 4}
			req.Topics = []kmsg.ElectLeadersRequestTopic{tp}
			diff.Try(c, "elect", 2, req)
		})
	}
	l.Each("ADM/elect_all_leaders", "REPL-17", diff.Range(0, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "t", 2)
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = 5000
		diff.Do(c, "elect", v, req, diff.Own("Topics"))
	})
	reassignments(l)
	l.Each("ADM/quorum", "ADM-06", diff.Range(0, 2), func(t *diff.T, v int16) {
		req := kmsg.NewPtrDescribeQuorumRequest()
		tp := kmsg.NewDescribeQuorumRequestTopic()
		tp.Topic = "__cluster_metadata"
		tp.Partitions = append(tp.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
		req.Topics = append(req.Topics, tp)
		diff.Do(t.Dial(), "describe", v, req, diff.Ignore("the metadata log is the broker's own",
			"Topics[].Partitions[].HighWatermark", "Topics[].Partitions[].CurrentVoters[].LogEndOffset",
			"Topics[].Partitions[].CurrentVoters[].LastFetchTimestamp", "Topics[].Partitions[].CurrentVoters[].LastCaughtUpTimestamp"))
	})
	l.Add("ADM/quorum_of_another_topic", "ADM-06", func(t *diff.T) {
		req := kmsg.NewPtrDescribeQuorumRequest()
		tp := kmsg.NewDescribeQuorumRequestTopic()
		tp.Topic = t.Name("t")
		tp.Partitions = append(tp.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
		req.Topics = append(req.Topics, tp)
		diff.Do(t.Dial(), "describe", 2, req)
	})
	features(l)
	l.Add("ADM/unregister_unknown_broker", "ADM-07", func(t *diff.T) {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = 4711
		diff.Do(t.Dial(), "unregister", 0, req)
	})
	l.AddExclusive("ADM/telemetry_not_served", "TELE-06 AV-14", func(t *diff.T) {
		diff.Try(t.Dial(), "get", 0, kmsg.NewPtrGetTelemetrySubscriptionsRequest())
		diff.Try(t.Dial(), "push", 0, kmsg.NewPtrPushTelemetryRequest())
	})
	l.Each("ADM/sasl_handshake_on_plaintext", "SASL-13", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kmsg.NewPtrSASLHandshakeRequest()
		req.Mechanism = "PLAIN"
		diff.Try(c, "handshake", v, req)
		diff.Try(c, "metadata afterwards", 9, kit.Metadata())
	})
	l.Add("ADM/alter_replica_log_dirs", "ADM-01", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		d := kmsg.NewAlterReplicaLogDirsRequestDir()
		d.Dir = "/no/such/directory"
		tp := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
		tp.Topic, tp.Partitions = topic.Name, []int32{0}
		d.Topics = append(d.Topics, tp)
		req.Dirs = append(req.Dirs, d)
		diff.Do(c, "unknown directory", 2, req)
	})
}

func reassign(topic string, replicas ...int32) *kmsg.AlterPartitionAssignmentsRequest {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis = 5000
	tp := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	tp.Topic = topic
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Replicas = replicas
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return req
}

func reassignments(l *diff.List) {
	l.Each("ADM/reassign", "REPL-08 ADM-04", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		id := kit.NodeID(t, c)
		diff.Do(c, "cancel nothing", v, reassign(topic.Name))
		diff.Do(c, "unknown broker", v, reassign(topic.Name, 4711))
		diff.Do(c, "same replica", v, reassign(topic.Name, id))
		diff.Do(c, "replica twice", v, reassign(topic.Name, id, id))
		diff.Do(c, "missing topic", v, reassign(t.Name("missing"), id))
	})
	l.Add("ADM/list_reassignments", "ADM-04", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = 5000
		diff.Do(c, "all", 0, req, diff.Own("Topics"))
		for _, name := range []string{topic.Name, t.Name("missing")} {
			tp := kmsg.NewListPartitionReassignmentsRequestTopic()
			tp.Topic, tp.Partitions = name, []int32{0}
			req.Topics = append(req.Topics, tp)
		}
		diff.Do(c, "named", 0, req)
	})
}

func updateFeature(name string, level int16) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.TimeoutMillis, req.ValidateOnly = 5000, true
	f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	f.Feature, f.MaxVersionLevel, f.UpgradeType = name, level, 1
	req.FeatureUpdates = append(req.FeatureUpdates, f)
	return req
}

// features only validates: the cluster stays as it is.
func features(l *diff.List) {
	updates := map[string]*kmsg.UpdateFeaturesRequest{
		"unknown":              updateFeature("no.such.feature", 1),
		"level_too_high":       updateFeature("metadata.version", 999),
		"same_level":           updateFeature("transaction.version", 2),
		"downgrade_as_upgrade": updateFeature("transaction.version", 1),
		"none":                 {TimeoutMillis: 5000, ValidateOnly: true},
	}
	for name, req := range updates {
		l.Each("ADM/update_features/"+name, "ADM-05", diff.Versions(1, 2), func(t *diff.T, v int16) {
			fresh := *req
			diff.Do(t.Dial(), "update", v, &fresh)
		})
	}
}
