package cases

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// configBatches covers requests about several resources, every version, and the APIs of administration with rows that fail.
func configBatches(l *diff.List) {
	const topicType, brokerType, groupType, metricsType = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceType(32), kmsg.ConfigResourceType(16)
	l.Each("CFG/describe_several", "CFGAPI-01 CFGAPI-04", diff.Range(1, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "retention.ms=5")
		req := describeConfig(topicType, topic.Name, "retention.ms")
		for _, more := range []*kmsg.DescribeConfigsRequest{
			describeConfig(topicType, t.Name("missing")), describeConfig(topicType, ""), describeConfig(topicType, topic.Name, "segment.ms"),
			describeConfig(brokerType, "", "no.such.key"), describeConfig(groupType, ""), describeConfig(groupType, t.Name("g"), "consumer.session.timeout.ms"),
			describeConfig(metricsType, ""), describeConfig(metricsType, t.Name("m"), "interval.ms"),
		} {
			req.Resources = append(req.Resources, more.Resources...)
		}
		diff.Do(c, "describe", v, withSynonyms(req))
		req.Resources = nil
		diff.Do(c, "none", v, req)
	})
	l.Each("CFG/client_metrics_synonyms", "CFGAPI-18", diff.Range(1, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		name := t.Name("m")
		diff.Do(c, "set", 1, alter(metricsType, name, opSet, "metrics=a,b", "match=client_id=x"))
		settle(t)
		diff.Do(c, "describe", v, withSynonyms(describeConfig(metricsType, name)))
		diff.Do(c, "append", 1, alter(metricsType, name, opAppend, "metrics=c"))
		settle(t)
		diff.Do(c, "appended", v, describeConfig(metricsType, name, "metrics"))
		t.Quiet(func() { diff.Do(c, "delete", 1, alter(metricsType, name, opDelete, "metrics", "match")) })
	})
	l.Each("CFG/alter_several", "CFGAPI-08 CFGAPI-10", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		a, b := kit.NewTopic(t, c, "a", 1), kit.NewTopic(t, c, "b", 1)
		req := alter(topicType, a.Name, opSet, "retention.ms=5")
		for _, more := range []*kmsg.IncrementalAlterConfigsRequest{
			alter(topicType, t.Name("missing"), opSet, "retention.ms=5"), alter(topicType, b.Name, opSet, "retention.ms=soon"),
			alter(99, "x", opSet, "a=b"), alter(topicType, "", opSet, "retention.ms=5"), alter(topicType, "a/b", opSet, "retention.ms=5"),
			alter(brokerType, "4711", opSet, "max.connections=5"), alter(brokerType, "x", opSet, "max.connections=5"), alter(groupType, t.Name("g"), opSet, "no.such=1"),
		} {
			req.Resources = append(req.Resources, more.Resources...)
		}
		diff.Do(c, "alter", v, req)
		settle(t)
		both := describeConfig(topicType, a.Name, "retention.ms")
		both.Resources = append(both.Resources, describeConfig(topicType, b.Name, "retention.ms").Resources...)
		diff.Do(c, "describe", 4, both)
		req = alter(topicType, a.Name, opSet, "retention.ms=6")
		req.Resources = append(req.Resources, alter(topicType, a.Name, opSet, "segment.ms=6").Resources...)
		diff.Do(c, "same resource twice", v, req)
		req.Resources = nil
		diff.Do(c, "none", v, req)
		diff.Do(c, "no changes", v, alter(topicType, a.Name, opSet))
	})
	l.Each("CFG/replace_several", "CFGAPI-11", diff.Range(0, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		a := kit.NewTopic(t, c, "a", 1, "retention.ms=5", "segment.ms=6")
		req := kmsg.NewPtrAlterConfigsRequest()
		add := func(kind kmsg.ConfigResourceType, name, key, value string) {
			r := kmsg.NewAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kind, name
			conf := kmsg.NewAlterConfigsRequestResourceConfig()
			conf.Name, conf.Value = key, &value
			r.Configs = append(r.Configs, conf)
			req.Resources = append(req.Resources, r)
		}
		add(topicType, a.Name, "segment.ms", "7")
		add(topicType, t.Name("missing"), "segment.ms", "7")
		add(brokerType, "4711", "max.connections", "7")
		add(88, "x", "max.connections", "7")
		diff.Do(c, "alter", v, req)
		settle(t)
		diff.Do(c, "describe", 4, describeConfig(topicType, a.Name, "retention.ms", "segment.ms"))
		req.Resources = req.Resources[:1]
		req.Resources = append(req.Resources, req.Resources[0])
		diff.Do(c, "twice", v, req)
	})
	l.Each("CFG/validate_only", "CFGAPI-13", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		for _, change := range []string{"retention.ms=5", "retention.ms=soon", "no.such=1"} {
			req := alter(topicType, topic.Name, opSet, change)
			req.ValidateOnly = true
			diff.Do(c, change, v, req)
		}
		settle(t)
		diff.Do(c, "describe", 4, describeConfig(topicType, topic.Name, "retention.ms"))
	})
	for name, changes := range map[string][]string{
		"two_good":  {"append cleanup.policy=compact", "append leader.replication.throttled.replicas=0:1"},
		"to_empty":  {"subtract cleanup.policy=delete"},
		"of_unset":  {"append follower.replication.throttled.replicas=0:1,1:1", "subtract follower.replication.throttled.replicas=1:1"},
		"twice":     {"append cleanup.policy=compact", "append cleanup.policy=compact,delete"},
		"no_value":  {"append cleanup.policy="},
		"spaces":    {"append cleanup.policy= compact "},
		"set_empty": {"set follower.replication.throttled.replicas="},
	} {
		l.Add("CFG/lists/"+name, "CFGAPI-08 CFGAPI-09", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			for _, change := range changes {
				var op, rest string
				fmt.Sscanf(change, "%s", &op)
				rest = change[len(op)+1:]
				kind := map[string]kmsg.IncrementalAlterConfigOp{"append": opAppend, "subtract": opSubtract, "set": opSet}[op]
				diff.Do(c, change, 1, alter(topicType, topic.Name, kind, rest))
			}
			settle(t)
			diff.Do(c, "describe", 4, describeConfig(topicType, topic.Name, "cleanup.policy", "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"))
		})
	}
	l.Add("CFG/loggers", "CFGAPI-19", func(t *diff.T) {
		c := t.Dial()
		const loggerType = kmsg.ConfigResourceTypeBrokerLogger
		id := fmt.Sprint(kit.NodeID(t, c))
		anonymous := diff.Ignore("the id is the deployment's", "Resources[].ResourceName")
		for _, change := range []struct {
			op   kmsg.IncrementalAlterConfigOp
			what string
		}{{opSet, "no.such.Logger=INFO"}, {opSet, "root=LOUD"}, {opAppend, "root=INFO"}, {opSubtract, "root=INFO"}, {opDelete, "root"}, {9, "root=INFO"}, {opSet, "root"}} {
			diff.Do(c, change.what, 1, alter(loggerType, id, change.op, change.what), anonymous)
		}
		diff.Do(c, "other broker", 1, alter(loggerType, "4711", opSet, "root=INFO"))
		diff.Do(c, "no broker", 1, alter(loggerType, "", opSet, "root=INFO"))
		diff.Do(c, "describe none", 4, describeConfig(loggerType, ""))
	})
	l.EachExclusive("CFG/list_resources_by_type", "CFGAPI-20", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.NewTopic(t, c, "t", 1, "retention.ms=5")
		t.Quiet(func() {
			diff.Do(c, "group", 1, alter(groupType, t.Name("g"), opSet, "consumer.session.timeout.ms=50000"))
			diff.Do(c, "metrics", 1, alter(metricsType, t.Name("m"), opSet, "interval.ms=60000"))
		})
		settle(t)
		defer t.Quiet(func() {
			diff.Do(c, "no group", 1, alter(groupType, t.Name("g"), opDelete, "consumer.session.timeout.ms"))
			diff.Do(c, "no metrics", 1, alter(metricsType, t.Name("m"), opDelete, "interval.ms"))
		})
		if v == 0 {
			diff.Do(c, "list", v, listResources(), diff.Own("ConfigResources"))
			return
		}
		for _, types := range [][]int8{{2}, {16}, {32}, {2, 16, 32}, {8}, {0}, {-1}, {2, 2}, {2, 99}} {
			diff.Do(c, fmt.Sprint(types), v, listResources(types...), diff.Own("ConfigResources"), diff.Ignore("of a deployment", "ConfigResources[].Name"))
		}
	})
	moreAdmin(l)
}

func moreAdmin(l *diff.List) {
	l.Each("ADM/elect_several", "REPL-07 REPL-17", diff.Range(0, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		a := kit.NewTopic(t, c, "a", 3)
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = 5000
		req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: a.Name, Partitions: []int32{2, 0, 9, -1}}, {Topic: t.Name("missing"), Partitions: []int32{0}}, {Topic: a.Name, Partitions: []int32{1}}}
		diff.Try(c, "elect", v, req)
		req.Topics = []kmsg.ElectLeadersRequestTopic{}
		diff.Try(c, "none", v, req)
		req.TimeoutMillis = 0
		diff.Try(c, "timeout zero", v, req)
	})
	l.Each("ADM/log_dirs_of_all", "ADM-01 ADM-02", diff.Range(1, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Topics = nil
		diff.Do(c, "all", v, req, diff.Own("Dirs[].Topics"))
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: topic.Name, Partitions: nil}, {Topic: t.Name("missing"), Partitions: []int32{0}}}
		diff.Do(c, "odd", v, req)
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: topic.Name, Partitions: []int32{1, 1}}, {Topic: topic.Name, Partitions: []int32{0}}}
		diff.Do(c, "twice", v, req)
	})
	l.Each("ADM/quorum_of_odd_partitions", "ADM-06", diff.Range(0, 2), func(t *diff.T, v int16) {
		for _, partition := range []int32{1, -1} {
			req := kmsg.NewPtrDescribeQuorumRequest()
			req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: partition}}}}
			diff.Try(t.Dial(), fmt.Sprintf("partition %d", partition), v, req)
		}
		req := kmsg.NewPtrDescribeQuorumRequest()
		diff.Try(t.Dial(), "none", v, req)
	})
	l.Each("ADM/reassign_several", "REPL-08 ADM-04", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		id := kit.NodeID(t, c)
		a := kit.NewTopic(t, c, "a", 2)
		req := reassign(a.Name, id)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, reassign("", 4711).Topics[0].Partitions[0], reassign("").Topics[0].Partitions[0], reassign("", -1).Topics[0].Partitions[0])
		for i, p := range []int32{0, 1, 7, 1} {
			req.Topics[0].Partitions[i].Partition = p
		}
		req.Topics = append(req.Topics, reassign(t.Name("missing"), id).Topics[0], reassign("a/b", id).Topics[0])
		diff.Try(c, "reassign", v, req)
		empty := reassign(a.Name, id)
		empty.Topics[0].Partitions[0].Replicas = []int32{}
		diff.Try(c, "no replicas", v, empty)
		empty.Topics = nil
		diff.Try(c, "nothing", v, empty)
		more := reassign(a.Name, id)
		more.AllowReplicationFactorChange = false
		diff.Try(c, "factor kept", v, more)
	})
	l.Add("ADM/list_reassignments_odd", "ADM-04", func(t *diff.T) {
		c := t.Dial()
		a := kit.NewTopic(t, c, "a", 1)
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = 5000
		req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
		diff.Do(c, "none", 0, req)
		req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: a.Name, Partitions: []int32{0, 5, -1}}, {Topic: a.Name}}
		diff.Do(c, "odd partitions", 0, req)
	})
	l.Each("ADM/alter_log_dirs_several", "ADM-01", diff.Range(1, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		a := kit.NewTopic(t, c, "a", 2)
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{
			{Dir: "/no/such", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: a.Name, Partitions: []int32{0, 1, 9}}, {Topic: t.Name("missing"), Partitions: []int32{0}}}},
			{Dir: "relative", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: a.Name, Partitions: []int32{1}}}},
		}
		diff.Try(c, "alter", v, req)
		req.Dirs = nil
		diff.Try(c, "none", v, req)
	})
	for name, change := range map[string]func(*kmsg.UpdateFeaturesRequest){
		"downgrade":        func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].UpgradeType = 2 },
		"unsafe_downgrade": func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].UpgradeType = 3 },
		"unknown_type":     func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].UpgradeType = 9 },
		"negative":         func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].MaxVersionLevel = -1 },
		"delete":           func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].MaxVersionLevel = 0 },
		"upgrade_too_high": func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].MaxVersionLevel = 99 },
		"two_of_one":       func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates = append(r.FeatureUpdates, r.FeatureUpdates[0]) },
		"good_and_bad": func(r *kmsg.UpdateFeaturesRequest) {
			r.FeatureUpdates = append(r.FeatureUpdates, updateFeature("no.such", 1).FeatureUpdates...)
		},
		"kraft_version": func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].Feature = "kraft.version" },
		"metadata_down": func(r *kmsg.UpdateFeaturesRequest) {
			r.FeatureUpdates[0].Feature, r.FeatureUpdates[0].UpgradeType = "metadata.version", 2
		},
		"allow_downgrade": func(r *kmsg.UpdateFeaturesRequest) { r.FeatureUpdates[0].AllowDowngrade = true },
		"share_version_off": func(r *kmsg.UpdateFeaturesRequest) {
			r.FeatureUpdates[0].Feature, r.FeatureUpdates[0].MaxVersionLevel, r.FeatureUpdates[0].UpgradeType = "share.version", 0, 2
		},
	} {
		// Version 0 would change the cluster: it cannot only validate.
		l.Each("ADM/update_features_validate/"+name, "ADM-05", diff.Range(1, 2), func(t *diff.T, v int16) {
			req := updateFeature("transaction.version", 1)
			change(req)
			diff.Try(t.Dial(), "update", v, req)
		})
	}
	l.AddExclusive("ADM/telemetry_with_an_id", "TELE-06", func(t *diff.T) {
		get := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
		get.ClientInstanceID = t.RawUUID("client")
		diff.Try(t.Dial(), "get", 0, get)
		diff.Try(t.Dial(), "version 1", 1, get)
	})
	l.Each("ADM/describe_producers", "TXN-34", diff.Versions(0), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b").From(kit.NewProducer(t, c, ""), 0))
		req := kmsg.NewPtrDescribeProducersRequest()
		req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic.Name, Partitions: []int32{0, 1, 9}}, {Topic: t.Name("missing"), Partitions: []int32{0}}, {Topic: "a/b", Partitions: []int32{0}}}
		diff.Do(c, "describe", v, req)
	})
	for name, change := range map[string]func(*kmsg.DescribeACLsRequest){
		"type_0":       func(r *kmsg.DescribeACLsRequest) { r.ResourceType = 0 },
		"pattern_0":    func(r *kmsg.DescribeACLsRequest) { r.ResourcePatternType = 0 },
		"pattern_77":   func(r *kmsg.DescribeACLsRequest) { r.ResourcePatternType = 77 },
		"permission_0": func(r *kmsg.DescribeACLsRequest) { r.PermissionType = 0 },
		"operation_88": func(r *kmsg.DescribeACLsRequest) { r.Operation = 88 },
	} {
		l.Each("ACL/odd_describe/"+name, "ACL-14", diff.Range(1, 3), func(t *diff.T, v int16) {
			diff.Try(t.Dial(), "describe", v, describeACLs(change))
		})
	}
	for name, change := range map[string]func(*kmsg.CreateACLsRequestCreation){
		"type_0":       func(r *kmsg.CreateACLsRequestCreation) { r.ResourceType = 0 },
		"type_any":     func(r *kmsg.CreateACLsRequestCreation) { r.ResourceType = 1 },
		"pattern_0":    func(r *kmsg.CreateACLsRequestCreation) { r.ResourcePatternType = 0 },
		"pattern_any":  func(r *kmsg.CreateACLsRequestCreation) { r.ResourcePatternType = 1 },
		"permission_0": func(r *kmsg.CreateACLsRequestCreation) { r.PermissionType = 0 },
		"operation_0":  func(r *kmsg.CreateACLsRequestCreation) { r.Operation = 0 },
		"operation_88": func(r *kmsg.CreateACLsRequestCreation) { r.Operation = 88 },
	} {
		l.Each("ACL/odd_create/"+name, "ACL-14", diff.Range(1, 3), func(t *diff.T, v int16) {
			req := kmsg.NewPtrCreateACLsRequest()
			req.Creations = append(req.Creations, topicACL(t.Name("t")))
			change(&req.Creations[0])
			diff.Try(t.Dial(), "create", v, req)
		})
	}
	for name, change := range map[string]func(*kmsg.DeleteACLsRequestFilter){
		"type_0": func(r *kmsg.DeleteACLsRequestFilter) { r.ResourceType = 0 }, "pattern_0": func(r *kmsg.DeleteACLsRequestFilter) { r.ResourcePatternType = 0 },
		"permission_0": func(r *kmsg.DeleteACLsRequestFilter) { r.PermissionType = 0 }, "operation_0": func(r *kmsg.DeleteACLsRequestFilter) { r.Operation = 0 },
		"operation_88": func(r *kmsg.DeleteACLsRequestFilter) { r.Operation = 88 },
	} {
		l.Each("ACL/odd_delete/"+name, "ACL-14", diff.Range(1, 3), func(t *diff.T, v int16) {
			req := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
			change(&f)
			req.Filters = append(req.Filters, f)
			diff.Try(t.Dial(), "delete", v, req)
		})
	}
	l.Each("ADM/unregister_nobody", "ADM-07", diff.Versions(0), func(t *diff.T, v int16) {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = -1
		diff.Try(t.Dial(), "negative", v, req)
	})
}
