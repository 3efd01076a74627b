package cases

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// configs covers DescribeConfigs, AlterConfigs and IncrementalAlterConfigs.
func configs(l *diff.List) {
	describingConfigs(l)
	incrementalConfigs(l)
	replacingConfigs(l)
	brokerConfigs(l)
	groupConfigs(l)
	l.Add("CFG/list_resources", "CFGAPI-20", func(t *diff.T) {
		c := t.Dial()
		kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "topics", 1, listResources(2), diff.Own("ConfigResources"))
		diff.Do(c, "all", 1, listResources(), diff.Own("ConfigResources"))
		diff.Do(c, "client metrics at v0", 0, listResources(), diff.Own("ConfigResources"))
		diff.Do(c, "brokers", 1, listResources(4), diff.Ignore("broker ids are the deployment's", "ConfigResources[].Name"))
		diff.Do(c, "unknown type", 1, listResources(77))
	})
}

func listResources(types ...int8) *kmsg.ListConfigResourcesRequest {
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.ResourceTypes = types
	return req
}

// settle waits until a change that the controller has answered is seen by the
// broker that describes it.
func settle(t *diff.T) { t.Sleep(300 * time.Millisecond) }

// describeConfig asks for keys of a resource; none means all.
func describeConfig(kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
	req.Resources = append(req.Resources, r)
	return req
}

func withSynonyms(req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsRequest {
	req.IncludeSynonyms = true
	return req
}

func describingConfigs(l *diff.List) {
	const topicType = kmsg.ConfigResourceTypeTopic
	l.Each("CFG/topic_defaults", "CFGAPI-01 CFGAPI-03 CFGT-01 CFGT-24", diff.Range(1, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "describe", v, describeConfig(topicType, kit.NewTopic(t, c, "t", 1).Name))
	})
	l.Each("CFG/topic_overrides", "CFGAPI-01 CFGAPI-02", diff.Versions(1, 3, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "retention.ms=111", "cleanup.policy=compact,delete")
		diff.Do(c, "describe", v, withSynonyms(describeConfig(topicType, topic.Name, "retention.ms", "cleanup.policy", "segment.ms", "no.such.key")))
	})
	l.Add("CFG/topic_all_synonyms", "CFGAPI-02 CFGAPI-14", func(t *diff.T) {
		c := t.Dial()
		diff.Do(c, "describe", 4, withSynonyms(describeConfig(topicType, kit.NewTopic(t, c, "t", 1, "retention.ms=5").Name)))
	})
	l.Add("CFG/topic_documentation", "CFGAPI-07", func(t *diff.T) {
		c := t.Dial()
		req := describeConfig(topicType, kit.NewTopic(t, c, "t", 1).Name, "retention.ms", "cleanup.policy")
		req.IncludeDocumentation = true
		diff.Do(c, "describe", 3, req)
	})
	l.Add("CFG/empty_keys", "CFGAPI-01", func(t *diff.T) {
		c := t.Dial()
		req := describeConfig(topicType, kit.NewTopic(t, c, "t", 1).Name)
		req.Resources[0].ConfigNames = []string{}
		diff.Do(c, "describe", 4, req)
	})
	l.Each("CFG/missing_and_bad_resources", "CFGAPI-04 CFGAPI-05", diff.Versions(2, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		both := describeConfig(topicType, t.Name("missing"), "retention.ms")
		both.Resources = append(both.Resources, describeConfig(topicType, topic.Name, "retention.ms").Resources[0])
		diff.Do(c, "missing and present", v, both)
		diff.Do(c, "bad name", v, describeConfig(topicType, "a/b"))
		diff.Do(c, "other broker", v, describeConfig(kmsg.ConfigResourceTypeBroker, "4711"))
		diff.Do(c, "not a number", v, describeConfig(kmsg.ConfigResourceTypeBroker, "one"))
		diff.Try(c, "unknown type", v, describeConfig(99, "x"))
	})
}

// alter changes one resource; a change is "key=value", or "key" for null.
func alter(kind kmsg.ConfigResourceType, name string, op kmsg.IncrementalAlterConfigOp, changes ...string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, change := range changes {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		key, value, ok := strings.Cut(change, "=")
		c.Name, c.Op = key, op
		if ok {
			c.Value = &value
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

const (
	opSet      = kmsg.IncrementalAlterConfigOpSet
	opDelete   = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract
)

func incrementalConfigs(l *diff.List) {
	const topicType = kmsg.ConfigResourceTypeTopic
	changes := map[string]struct {
		op      kmsg.IncrementalAlterConfigOp
		changes []string
	}{
		"set":                {opSet, []string{"retention.ms=777", "segment.ms=888"}},
		"set_same_value":     {opSet, []string{"retention.ms=1000"}},
		"set_null":           {opSet, []string{"retention.ms"}},
		"set_empty":          {opSet, []string{"retention.ms="}},
		"set_bad_value":      {opSet, []string{"segment.ms=888", "retention.ms=soon"}},
		"set_unknown_key":    {opSet, []string{"segment.ms=888", "no.such.key=1"}},
		"set_twice":          {opSet, []string{"segment.ms=888", "segment.ms=999"}},
		"set_spaces":         {opSet, []string{"retention.ms= 5 "}},
		"set_gone_key":       {opSet, []string{"message.format.version=3.0"}},
		"set_noop_key":       {opSet, []string{"message.downconversion.enable=true"}},
		"delete":             {opDelete, []string{"retention.ms"}},
		"delete_unset":       {opDelete, []string{"segment.ms"}},
		"delete_unknown_key": {opDelete, []string{"no.such.key"}},
		"append":             {opAppend, []string{"cleanup.policy=delete"}},
		"append_present":     {opAppend, []string{"cleanup.policy=compact"}},
		"append_bad":         {opAppend, []string{"cleanup.policy=vanish"}},
		"append_to_number":   {opAppend, []string{"retention.ms=5"}},
		"append_null":        {opAppend, []string{"cleanup.policy"}},
		"subtract":           {opSubtract, []string{"cleanup.policy=compact"}},
		"subtract_absent":    {opSubtract, []string{"cleanup.policy=delete"}},
		"subtract_number":    {opSubtract, []string{"retention.ms=1000"}},
		"unknown_op":         {9, []string{"retention.ms=5"}},
	}
	for name, change := range changes {
		l.Add("CFG/incremental/"+name, "CFGAPI-08 CFGAPI-09 CFGAPI-10 CFGAPI-11 CFGT-24", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1, "retention.ms=1000", "cleanup.policy=compact")
			diff.Try(c, "alter", 1, alter(topicType, topic.Name, change.op, change.changes...))
			settle(t)
			diff.Do(t.Dial(), "describe", 4, describeConfig(topicType, topic.Name, "retention.ms", "segment.ms", "cleanup.policy", "message.downconversion.enable"))
		})
	}
	l.Each("CFG/incremental_validate_only", "CFGAPI-13", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := alter(topicType, topic.Name, opSet, "retention.ms=55")
		req.ValidateOnly = true
		diff.Do(c, "good", v, req)
		req = alter(topicType, topic.Name, opSet, "retention.ms=never")
		req.ValidateOnly = true
		diff.Do(c, "bad", v, req)
		settle(t)
		diff.Do(c, "describe", 4, describeConfig(topicType, topic.Name, "retention.ms"))
	})
	l.Add("CFG/incremental_resources", "CFGAPI-04 CFGAPI-10", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "missing topic", 1, alter(topicType, t.Name("missing"), opSet, "retention.ms=5"))
		twice := alter(topicType, topic.Name, opSet, "retention.ms=5")
		twice.Resources = append(twice.Resources, alter(topicType, topic.Name, opSet, "segment.ms=6").Resources...)
		diff.Try(c, "same resource twice", 1, twice)
		mixed := alter(topicType, topic.Name, opSet, "retention.ms=5")
		mixed.Resources = append(mixed.Resources, alter(topicType, t.Name("missing"), opSet, "segment.ms=6").Resources...)
		diff.Do(t.Dial(), "good and missing", 1, mixed)
		diff.Do(t.Dial(), "unknown type", 1, alter(55, "x", opSet, "a=b"))
		settle(t)
		diff.Do(t.Dial(), "describe", 4, describeConfig(topicType, topic.Name, "retention.ms", "segment.ms"))
	})
	l.Add("CFG/takes_effect", "LOG-15 CFGT-04 CFGT-08", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "alter", 1, alter(topicType, topic.Name, opSet, "max.message.bytes=100"))
		t.Until("refused", 5e9, func() bool {
			resp := diff.Do(c, "produce", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("x", 200)).Bytes()))
			return resp.Topics[0].Partitions[0].ErrorCode == 10
		})
	})
}

func replacingConfigs(l *diff.List) {
	const topicType = kmsg.ConfigResourceTypeTopic
	replace := func(name string, configs ...string) *kmsg.AlterConfigsRequest {
		req := kmsg.NewPtrAlterConfigsRequest()
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = topicType, name
		for _, config := range configs {
			key, value, ok := strings.Cut(config, "=")
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name = key
			if ok {
				c.Value = &value
			}
			r.Configs = append(r.Configs, c)
		}
		req.Resources = append(req.Resources, r)
		return req
	}
	sets := map[string][]string{
		"other_key": {"segment.ms=888"}, "nothing": {}, "null_value": {"retention.ms"}, "unknown_key": {"no.such.key=1"}, "bad_value": {"retention.ms=soon"},
	}
	for name, set := range sets {
		l.Each("CFG/replace/"+name, "CFGAPI-08 CFGAPI-11", diff.Versions(0, 2), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1, "retention.ms=1000")
			diff.Try(c, "alter", v, replace(topic.Name, set...))
			settle(t)
			diff.Do(t.Dial(), "describe", 4, describeConfig(topicType, topic.Name, "retention.ms", "segment.ms"))
		})
	}
	l.Add("CFG/replace/validate_only", "CFGAPI-13", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "retention.ms=1000")
		req := replace(topic.Name, "segment.ms=888")
		req.ValidateOnly = true
		diff.Do(c, "alter", 1, req)
		settle(t)
		diff.Do(c, "describe", 4, describeConfig(topicType, topic.Name, "retention.ms", "segment.ms"))
	})
}

// deploymentKeys differ between two brokers of the same kind on one machine.
var deploymentKeys = []string{
	"advertised.listeners", "listeners", "log.dir", "log.dirs", "metadata.log.dir", "broker.id", "node.id", "broker.rack",
	"controller.quorum.voters", "controller.quorum.bootstrap.servers", "controller.listener.names", "listener.security.protocol.map",
	"inter.broker.listener.name", "process.roles", "early.start.listeners",
}

// brokerKeys are asked for by clients and tools (CFGB-01 and following).
var brokerKeys = []string{
	"auto.create.topics.enable", "num.partitions", "default.replication.factor", "delete.topic.enable", "message.max.bytes", "fetch.max.bytes",
	"socket.request.max.bytes", "log.retention.hours", "log.retention.minutes", "log.retention.ms", "log.retention.bytes", "log.segment.bytes",
	"log.roll.hours", "log.roll.ms", "log.cleanup.policy", "log.message.timestamp.type", "log.message.timestamp.before.max.ms",
	"log.message.timestamp.after.max.ms", "compression.type", "offsets.topic.num.partitions", "offsets.retention.minutes",
	"offset.metadata.max.bytes", "group.min.session.timeout.ms", "group.max.session.timeout.ms", "group.max.size",
	"group.consumer.session.timeout.ms", "group.consumer.heartbeat.interval.ms", "group.consumer.assignors", "group.consumer.migration.policy",
	"transaction.max.timeout.ms", "transactional.id.expiration.ms", "min.insync.replicas", "unclean.leader.election.enable",
	"connections.max.idle.ms", "max.connections", "inter.broker.protocol.version", "log.message.format.version", "super.users",
	"sasl.enabled.mechanisms", "delegation.token.secret.key", "ssl.keystore.password",
}

func brokerConfigs(l *diff.List) {
	const brokerType = kmsg.ConfigResourceTypeBroker
	l.Each("CFG/broker_keys", "CFGAPI-02 CFGAPI-06 CFGAPI-07 CFGB-01 CFGB-02 CFGB-28", diff.Versions(1, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		id := fmt.Sprint(kit.NodeID(t, c))
		diff.Do(c, "describe", v, withSynonyms(describeConfig(brokerType, id, brokerKeys...)), diff.Ignore("the id is the deployment's", "Resources[].ResourceName"))
	})
	l.Add("CFG/broker_all_key_names", "CFGAPI-01", func(t *diff.T) {
		c := t.Dial()
		resp := diff.Do(c, "describe", 4, describeConfig(brokerType, fmt.Sprint(kit.NodeID(t, c))),
			diff.Ignore("compared one by one below, without the deployment's own", "Resources"))
		configs := resp.Resources[0].Configs
		slices.SortFunc(configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) })
		for _, config := range configs {
			if !isDeployment(config.Name) {
				t.Note(config.Name, fmt.Sprintf("read-only %v, sensitive %v, type %v", config.ReadOnly, config.IsSensitive, config.ConfigType))
			}
		}
	})
	l.AddExclusive("CFG/cluster_defaults", "CFGAPI-05", func(t *diff.T) {
		diff.Do(t.Dial(), "describe", 4, withSynonyms(describeConfig(brokerType, "")))
	})
	l.AddExclusive("CFG/broker_alter", "CFGAPI-12 CFGAPI-02", func(t *diff.T) {
		c := t.Dial()
		id := fmt.Sprint(kit.NodeID(t, c))
		anonymous := diff.Ignore("the id is the deployment's", "Resources[].ResourceName")
		keys := []string{"log.retention.ms", "message.max.bytes", "max.connections"}
		look := func(label, maxBytes, retention string) {
			t.Until("until "+label, 10*time.Second, func() bool {
				values := map[string]string{}
				for _, config := range diff.Do(c, label, 4, describeConfig(brokerType, id, keys...)).Resources[0].Configs {
					if config.Value != nil {
						values[config.Name] = *config.Value
					}
				}
				return values["message.max.bytes"] == maxBytes && values["log.retention.ms"] == retention
			})
			diff.Do(c, label, 4, withSynonyms(describeConfig(brokerType, id, keys...)), anonymous)
		}
		diff.Do(c, "set on the broker", 1, alter(brokerType, id, opSet, "message.max.bytes=2000000"), anonymous)
		diff.Do(c, "set for the cluster", 1, alter(brokerType, "", opSet, "log.retention.ms=123456789", "message.max.bytes=3000000"))
		look("both set", "2000000", "123456789")
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "a topic inherits", 4, withSynonyms(describeConfig(kmsg.ConfigResourceTypeTopic, topic.Name, "retention.ms", "max.message.bytes")))
		diff.Do(c, "read-only key", 1, alter(brokerType, id, opSet, "offsets.topic.num.partitions=5"), anonymous)
		diff.Do(c, "unknown key", 1, alter(brokerType, id, opSet, "no.such.key=5"), anonymous)
		diff.Do(c, "bad value", 1, alter(brokerType, "", opSet, "message.max.bytes=big"))
		diff.Do(c, "listener key for the cluster", 1, alter(brokerType, "", opSet, "listeners=PLAINTEXT://:1"))
		diff.Do(c, "delete", 1, alter(brokerType, id, opDelete, "message.max.bytes"), anonymous)
		diff.Do(c, "delete the unknown key", 1, alter(brokerType, id, opDelete, "no.such.key"), anonymous)
		diff.Do(c, "delete for the cluster", 1, alter(brokerType, "", opDelete, "log.retention.ms", "message.max.bytes"))
		look("none set", "1048588", "")
	})
	l.Add("CFG/broker_logger", "CFGAPI-19", func(t *diff.T) {
		c := t.Dial()
		const loggerType = kmsg.ConfigResourceTypeBrokerLogger
		diff.Do(c, "other broker", 4, describeConfig(loggerType, "4711"))
		diff.Do(c, "unknown logger", 4, describeConfig(loggerType, fmt.Sprint(kit.NodeID(t, c)), "no.such.Logger"), diff.Ignore("the id is the deployment's", "Resources[].ResourceName"))
	})
}

func isDeployment(key string) bool {
	for _, k := range deploymentKeys {
		if k == key {
			return true
		}
	}
	return false
}

func groupConfigs(l *diff.List) {
	const groupType = kmsg.ConfigResourceType(32)
	l.Add("CFG/group", "CFGAPI-17 CFGG-01 CFGG-02", func(t *diff.T) {
		c := t.Dial()
		g := t.Name("g")
		diff.Do(c, "describe unset", 4, withSynonyms(describeConfig(groupType, g)))
		diff.Do(c, "set", 1, alter(groupType, g, opSet, "consumer.session.timeout.ms=50000", "share.auto.offset.reset=earliest"))
		settle(t)
		diff.Do(c, "describe set", 4, withSynonyms(describeConfig(groupType, g)))
		diff.Do(c, "below the minimum", 1, alter(groupType, g, opSet, "consumer.session.timeout.ms=1000"))
		diff.Do(c, "unknown key", 1, alter(groupType, g, opSet, "no.such.key=1"))
		diff.Do(c, "empty group", 1, alter(groupType, "", opSet, "consumer.session.timeout.ms=50000"))
		diff.Do(c, "list", 1, listResources(32), diff.Own("ConfigResources"))
	})
	l.Add("CFG/client_metrics", "CFGAPI-18", func(t *diff.T) {
		c := t.Dial()
		const metricsType = kmsg.ConfigResourceType(16)
		name := t.Name("m")
		diff.Do(c, "set", 1, alter(metricsType, name, opSet, "metrics=org.apache.kafka.", "interval.ms=60000"))
		settle(t)
		diff.Do(c, "describe", 4, describeConfig(metricsType, name))
		diff.Do(c, "interval too short", 1, alter(metricsType, name, opSet, "interval.ms=99"))
		diff.Do(c, "bad match", 1, alter(metricsType, name, opSet, "match=nonsense"))
		diff.Do(c, "list", 0, listResources(), diff.Own("ConfigResources"))
		diff.Do(c, "delete", 1, alter(metricsType, name, opDelete, "metrics", "interval.ms"))
	})
}
