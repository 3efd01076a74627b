package cluster

import (
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func set(settings ...string) []ConfigChange { return changes(ConfigSet, settings...) }
func remove(keys ...string) (list []ConfigChange) {
	for _, key := range keys {
		list = append(list, ConfigChange{Key: key, Op: ConfigDelete})
	}
	return list
}

func changes(op ConfigOp, settings ...string) (list []ConfigChange) {
	for i := 0; i+1 < len(settings); i += 2 {
		list = append(list, ConfigChange{settings[i], op, str(settings[i+1])})
	}
	return list
}

var (
	topicT  = ConfigResource{ResourceTopic, "t"}
	broker1 = ConfigResource{ResourceBroker, "1"}
	allOf   = ConfigResource{ResourceBroker, ""}
	groupG  = ConfigResource{ResourceGroup, "g"}
	metrics = ConfigResource{ResourceClientMetrics, "m"}
)

// configured is a cluster with a topic t, and settings of its own for each resource.
func configured(t testing.TB) *Image {
	return adminImage(t, 1, append(topicRecords("t", 1, 1),
		ConfigRecord{topicT, "retention.ms", str("1000")}, ConfigRecord{topicT, "cleanup.policy", str("compact")},
		ConfigRecord{allOf, "min.insync.replicas", str("1")})...)
}

func TestIncrementalAlterConfigs_CFGAPI_08_09_10_11_12_17_18_21(t *testing.T) {
	long := strings.Repeat("x", MaxConfigValueLength+1)
	before := map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}
	with := func(settings ...string) map[string]string {
		m := maps.Clone(before)
		for i := 0; i+1 < len(settings); i += 2 {
			m[settings[i]] = settings[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		resource ConfigResource
		changes  []ConfigChange
		kafka    *kerr.Error
		text     string
		want     map[string]string // of the resource, nil where it stays as it was
	}{
		"set":                 {topicT, set("retention.ms", "777", "segment.ms", "888"), nil, "", with("retention.ms", "777", "segment.ms", "888")},
		"set same":            {topicT, set("retention.ms", "1000"), nil, "", nil},
		"set spaces":          {topicT, set("retention.ms", " 5 "), nil, "", with("retention.ms", " 5 ")},
		"set null":            {topicT, []ConfigChange{{Key: "retention.ms"}}, kerr.InvalidRequest, "Null value not supported for : retention.ms", nil},
		"set empty":           {topicT, set("retention.ms", ""), kerr.InvalidConfig, "Invalid value  for configuration retention.ms: Not a number of type LONG", nil},
		"one bad of two":      {topicT, set("segment.ms", "888", "retention.ms", "soon"), kerr.InvalidConfig, "Invalid value soon for configuration retention.ms: Not a number of type LONG", nil},
		"one unknown of two":  {topicT, set("segment.ms", "888", "no.such.key", "1"), kerr.InvalidConfig, "Unknown topic config name: no.such.key", nil},
		"key twice":           {topicT, set("segment.ms", "888", "segment.ms", "999"), kerr.InvalidRequest, "Error due to duplicate config keys", nil},
		"gone key":            {topicT, set("message.format.version", "3.0"), kerr.InvalidConfig, "Unknown topic config name: message.format.version", nil},
		"gone key, CFGT-24":   {topicT, set("message.downconversion.enable", "true"), kerr.InvalidConfig, "Unknown topic config name: message.downconversion.enable", nil},
		"too long":            {topicT, set("leader.replication.throttled.replicas", long), kerr.InvalidConfig, "", nil},
		"delete":              {topicT, remove("retention.ms"), nil, "", map[string]string{"cleanup.policy": "compact"}},
		"delete unset":        {topicT, remove("segment.ms"), nil, "", nil},
		"delete unknown":      {topicT, remove("no.such.key"), nil, "", nil},
		"append":              {topicT, changes(ConfigAppend, "cleanup.policy", "delete"), nil, "", with("cleanup.policy", "compact,delete")},
		"append present":      {topicT, changes(ConfigAppend, "cleanup.policy", "compact"), nil, "", nil},
		"append bad":          {topicT, changes(ConfigAppend, "cleanup.policy", "vanish"), kerr.InvalidConfig, "Invalid value vanish for configuration cleanup.policy: String must be one of: compact, delete", nil},
		"append number":       {topicT, changes(ConfigAppend, "retention.ms", "5"), kerr.InvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST.", nil},
		"append to default":   {topicT, changes(ConfigAppend, "follower.replication.throttled.replicas", "0:1,1:2"), nil, "", with("follower.replication.throttled.replicas", "0:1,1:2")},
		"append null":         {topicT, []ConfigChange{{Key: "cleanup.policy", Op: ConfigAppend}}, kerr.InvalidRequest, "Null value not supported for : cleanup.policy", nil},
		"subtract":            {topicT, changes(ConfigSubtract, "cleanup.policy", "compact"), nil, "", with("cleanup.policy", "")},
		"subtract absent":     {topicT, changes(ConfigSubtract, "cleanup.policy", "delete"), nil, "", nil},
		"subtract number":     {topicT, changes(ConfigSubtract, "retention.ms", "1000"), kerr.InvalidConfig, "Can't SUBTRACT to key retention.ms because its type is not LIST.", nil},
		"unknown op":          {topicT, changes(9, "retention.ms", "5"), kerr.InvalidRequest, "", nil},
		"broker unknown op":   {broker1, changes(9, "message.max.bytes", "5"), kerr.InvalidRequest, "Unknown operations type 9", nil},
		"missing topic":       {ConfigResource{ResourceTopic, "x"}, set("retention.ms", "5"), kerr.UnknownTopicOrPartition, "The topic 'x' does not exist.", nil},
		"topic without name":  {ConfigResource{ResourceTopic, ""}, set("retention.ms", "5"), kerr.InvalidRequest, "Default topic resources are not allowed.", nil},
		"topic with bad name": {ConfigResource{ResourceTopic, "a b"}, set("retention.ms", "5"), kerr.InvalidTopicException, "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", nil},
		"unknown type":        {ConfigResource{55, "x"}, set("a", "b"), kerr.InvalidRequest, "Unknown resource type 55", nil},

		"broker":                     {broker1, set("message.max.bytes", "2000000"), nil, "", map[string]string{"message.max.bytes": "2000000"}},
		"broker read-only":           {broker1, set("num.partitions", "3", "broker.id", "4"), kerr.InvalidRequest, "Cannot update these configs dynamically: [broker.id, num.partitions]", nil},
		"broker unknown":             {broker1, set("no.such.key", "5"), nil, "", map[string]string{"no.such.key": "5"}},
		"broker bad":                 {allOf, set("message.max.bytes", "big"), kerr.InvalidRequest, "Invalid value big for configuration message.max.bytes: Not a number of type INT", nil},
		"broker quota":               {broker1, set("leader.replication.throttled.rate", "-5"), kerr.InvalidRequest, "Invalid value -5 for configuration leader.replication.throttled.rate: Value must be at least 0", nil},
		"broker listeners for all":   {allOf, set("listeners", "PLAINTEXT://:1"), kerr.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [listeners]", nil},
		"broker security":            {broker1, set("ssl.keystore.password", "x"), kerr.InvalidRequest, "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.password]", nil},
		"broker not a number":        {ConfigResource{ResourceBroker, "one"}, set("message.max.bytes", "1"), kerr.InvalidRequest, "Node id must be an integer, but it is: one", nil},
		"broker other":               {ConfigResource{ResourceBroker, "77"}, set("message.max.bytes", "1"), kerr.InvalidRequest, "Unexpected broker id, expected 1, but received 77", nil},
		"broker append number":       {broker1, changes(ConfigAppend, "message.max.bytes", "1"), kerr.InvalidConfig, "Config value append is not allowed for config key: message.max.bytes", nil},
		"broker append unknown":      {broker1, changes(ConfigAppend, "no.such", "1"), kerr.InvalidConfig, "Unknown config name: no.such", nil},
		"broker listener's for all":  {allOf, set("listener.name.plaintext.ssl.keystore.password", "x"), kerr.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [listener.name.plaintext.ssl.keystore.password]", nil},
		"broker listener's":          {broker1, set("listener.name.plaintext.ssl.keystore.type", "JKS"), nil, "", map[string]string{"listener.name.plaintext.ssl.keystore.type": "JKS"}},
		"broker listener's limit":    {allOf, set("listener.name.plaintext.max.connections", "10"), nil, "", map[string]string{"min.insync.replicas": "1", "listener.name.plaintext.max.connections": "10"}},
		"broker listener's bad":      {allOf, set("listener.name.plaintext.max.connections", "x"), kerr.InvalidRequest, "Invalid value x for configuration max.connections: Not a number of type INT", nil},
		"broker together":            {allOf, set("log.retention.ms", "0"), kerr.InvalidRequest, "", nil},
		"broker addresses":           {allOf, set("max.connections.per.ip.overrides", "nohost"), kerr.InvalidRequest, "", nil},
		"broker min isr, CFGAPI-16":  {broker1, set("min.insync.replicas", "1"), kerr.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.", nil},
		"cluster min isr, CFGAPI-16": {allOf, remove("min.insync.replicas"), kerr.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.", nil},
		"cluster min isr raised":     {allOf, set("min.insync.replicas", "2"), nil, "", map[string]string{"min.insync.replicas": "2"}},

		"group":                {groupG, set("consumer.session.timeout.ms", "50000", "share.auto.offset.reset", "earliest"), nil, "", map[string]string{"consumer.session.timeout.ms": "50000", "share.auto.offset.reset": "earliest"}},
		"group too short":      {groupG, set("consumer.session.timeout.ms", "1000"), kerr.InvalidConfig, "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive.", nil},
		"group lock duration":  {groupG, set("share.record.lock.duration.ms", "1000"), kerr.InvalidConfig, "share.record.lock.duration.ms must be in the range 15000 to 60000 inclusive.", nil},
		"group standbys":       {groupG, set("streams.num.standby.replicas", "9"), kerr.InvalidConfig, "streams.num.standby.replicas must be less than or equal to 2", nil},
		"group assignor":       {groupG, set("streams.assignor.name", "x"), kerr.InvalidConfig, "streams.assignor.name 'x' is not a registered task assignor. Registered assignors are: [sticky].", nil},
		"group reset":          {groupG, set("share.auto.offset.reset", "x"), kerr.InvalidConfig, "", nil},
		"group unknown":        {groupG, set("no.such.key", "1"), kerr.InvalidConfig, "Unknown group config name: no.such.key", nil},
		"group without name":   {ConfigResource{ResourceGroup, ""}, set("consumer.session.timeout.ms", "50000"), kerr.InvalidRequest, "Default group resources are not allowed.", nil},
		"metrics":              {metrics, set("metrics", "org.apache.kafka.", "interval.ms", "60000", "match", "client_id=a.*,client_software_name=x"), nil, "", map[string]string{"metrics": "org.apache.kafka.", "interval.ms": "60000", "match": "client_id=a.*,client_software_name=x"}},
		"metrics too often":    {metrics, set("interval.ms", "99"), kerr.InvalidRequest, "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)", nil},
		"metrics not a number": {metrics, set("interval.ms", "x"), kerr.InvalidConfig, "Invalid value x for configuration interval.ms: Not a number of type INT", nil},
		"metrics bad match":    {metrics, set("match", "nonsense"), kerr.InvalidConfig, "Illegal client matching pattern: nonsense", nil},
		"metrics bad regexp":   {metrics, set("match", "client_id=["), kerr.InvalidConfig, "Illegal client matching pattern: client_id=[", nil},
		"metrics java regexp":  {metrics, set("match", "client_id=(?!x)a++"), nil, "", map[string]string{"match": "client_id=(?!x)a++"}},
		"metrics append":       {metrics, changes(ConfigAppend, "metrics", "a"), kerr.InvalidConfig, "Can't APPEND to key metrics because its type is not LIST.", nil},
		"metrics unknown":      {metrics, set("nope", "1"), kerr.InvalidRequest, "Unknown client metrics configuration: nope", nil},
		"metrics without name": {ConfigResource{ResourceClientMetrics, ""}, set("interval.ms", "1000"), kerr.InvalidRequest, "Subscription name can't be empty", nil},
	} {
		t.Run(name, func(t *testing.T) {
			img := configured(t)
			op := AlterConfigs{Incremental: true, NodeID: 1, Resources: []ConfigAlteration{{c.resource, c.changes}}}
			want := c.want
			if want == nil {
				want = img.Configs(c.resource)
			}
			validated := op
			validated.ValidateOnly = true
			got, next := decide[[]*Refusal](t, img, validated)
			wantRefusal(t, got[0], c.kafka, c.text)
			if !maps.Equal(next.Configs(c.resource), img.Configs(c.resource)) { // CFGAPI-13
				t.Errorf("validating changed it to %v", next.Configs(c.resource))
			}
			got, next = decide[[]*Refusal](t, img, op)
			wantRefusal(t, got[0], c.kafka, c.text)
			if got := next.Configs(c.resource); !maps.Equal(got, want) {
				t.Errorf("settings are %v, want %v", got, want)
			}
		})
	}
}

func TestAlterConfigs_CFGAPI_08_11_replaces_all(t *testing.T) {
	for name, c := range map[string]struct {
		resource ConfigResource
		changes  []ConfigChange
		kafka    *kerr.Error
		want     map[string]string
	}{
		"another key": {topicT, set("segment.ms", "888"), nil, map[string]string{"segment.ms": "888"}},
		"nothing":     {topicT, nil, nil, nil},
		"null":        {topicT, []ConfigChange{{Key: "retention.ms"}}, kerr.InvalidRequest, map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}},
		"unknown":     {topicT, set("no.such.key", "1"), kerr.InvalidConfig, map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}},
		"bad":         {topicT, set("retention.ms", "soon"), kerr.InvalidConfig, map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}},
		"cluster":     {allOf, set("message.max.bytes", "2000000"), kerr.InvalidConfig, map[string]string{"min.insync.replicas": "1"}},
		"logger":      {ConfigResource{ResourceBrokerLogger, "1"}, set("root", "INFO"), kerr.InvalidRequest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := decide[[]*Refusal](t, configured(t), AlterConfigs{NodeID: 1, Resources: []ConfigAlteration{{c.resource, c.changes}}})
			wantRefusal(t, got[0], c.kafka, "")
			if got := next.Configs(c.resource); !maps.Equal(got, c.want) {
				t.Errorf("settings are %v, want %v", got, c.want)
			}
		})
	}
}

func TestAlterConfigs_CFGAPI_04_10_resources_stand_by_themselves(t *testing.T) {
	op := AlterConfigs{Incremental: true, NodeID: 1, Resources: []ConfigAlteration{
		{topicT, set("retention.ms", "5")}, {groupG, set("consumer.session.timeout.ms", "50000")},
		{ConfigResource{ResourceTopic, "x"}, set("segment.ms", "6")}, {topicT, set("segment.ms", "6")},
	}}
	got, next := decide[[]*Refusal](t, configured(t), op)
	const once = "Each resource must appear at most once."
	wantRefusal(t, got[0], kerr.InvalidRequest, once)
	wantRefusal(t, got[1], nil, "")
	wantRefusal(t, got[2], kerr.UnknownTopicOrPartition, "")
	wantRefusal(t, got[3], kerr.InvalidRequest, once)
	if next.Configs(topicT)["retention.ms"] != "1000" || next.Configs(groupG)["consumer.session.timeout.ms"] != "50000" {
		t.Errorf("topic %v, group %v", next.Configs(topicT), next.Configs(groupG))
	}
}

func TestAlterConfigs_bounds_what_a_resource_can_hold(t *testing.T) {
	var many []ConfigChange
	for n := range MaxConfigsPerResource + 1 {
		many = append(many, set("plugin."+strings.Repeat("x", n%10)+string(rune('a'+n%26))+strings.Repeat("y", n/26), "1")...)
	}
	got, next := decide[[]*Refusal](t, configured(t), AlterConfigs{Incremental: true, NodeID: 1, Resources: []ConfigAlteration{{broker1, many}}})
	wantRefusal(t, got[0], kerr.InvalidConfig, "")
	if len(next.Configs(broker1)) != 0 {
		t.Error("some were set")
	}

	var subscriptions []ConfigAlteration
	for n := range MaxClientMetricsSubscriptions + 1 {
		subscriptions = append(subscriptions, ConfigAlteration{ConfigResource{ResourceClientMetrics, "m" + strings.Repeat("x", n)}, set("interval.ms", "1000")})
	}
	got, next = decide[[]*Refusal](t, configured(t), AlterConfigs{Incremental: true, NodeID: 1, Resources: subscriptions})
	wantRefusal(t, got[MaxClientMetricsSubscriptions-1], nil, "")
	wantRefusal(t, got[MaxClientMetricsSubscriptions], kerr.PolicyViolation, "")
	if n := len(next.ConfigResources(ResourceClientMetrics)); n != MaxClientMetricsSubscriptions {
		t.Errorf("%d subscriptions", n)
	}
}

func TestConfigValueLength_CFGAPI_21_counts_as_java_does(t *testing.T) {
	for value, want := range map[string]bool{
		strings.Repeat("x", 32767):                false,
		strings.Repeat("x", 32768):                true,
		strings.Repeat("é", 32767):                false,
		strings.Repeat("\U0001F600", 16383):       false,
		strings.Repeat("\U0001F600", 16384):       true,
		strings.Repeat("\U0001F600", 16383) + "x": false,
	} {
		if got := tooLong(value); got != want {
			t.Errorf("%d bytes: %v, want %v", len(value), got, want)
		}
	}
}
