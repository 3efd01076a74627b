package cluster

import (
	"errors"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kbroker/kbroker/config"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ConfigOp is what an incremental alteration does to a setting, with Kafka's numbers.
type ConfigOp int8

const (
	ConfigSet      ConfigOp = 0
	ConfigDelete   ConfigOp = 1
	ConfigAppend   ConfigOp = 2
	ConfigSubtract ConfigOp = 3
)

var configOpNames = [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}

// ConfigChange is one change of a resource. Op counts only for incremental alterations.
type ConfigChange struct {
	Key   string
	Op    ConfigOp
	Value *string
}

// ConfigAlteration is what is to become of one resource's settings.
type ConfigAlteration struct {
	Resource ConfigResource
	Changes  []ConfigChange
}

// AlterConfigs changes dynamic settings, each resource wholly or not at all. Incremental changes touch only the keys that they
// name; others replace all that the resource had (KIP-339). Its result is []*Refusal, one for each resource, in their order,
// nil where it was changed. Loggers aren't settings of the cluster and are refused.
type AlterConfigs struct {
	Resources    []ConfigAlteration
	Incremental  bool
	ValidateOnly bool
	// NodeID is the broker that was asked: a broker's settings can be changed only there.
	NodeID int32
	Static *config.Static
}

// Decide makes the records that change the settings.
func (op AlterConfigs) Decide(img *Image, _ Env) (Decision, error) {
	count := make(map[ConfigResource]int, len(op.Resources))
	for _, r := range op.Resources {
		count[r.Resource]++
	}
	var d Decision
	results := make([]*Refusal, len(op.Resources))
	counts := resourceCounts{img: img}
	for i, r := range op.Resources {
		if count[r.Resource] > 1 {
			results[i] = refuse(kerr.InvalidRequest, "Each resource must appear at most once.")
			continue
		}
		a := alteration{img: img, op: &op, resource: r.Resource, current: img.Configs(r.Resource)}
		records, refusal := a.decide(r.Changes, &counts)
		if refusal != nil {
			results[i] = refusal
			continue
		}
		d.Records = append(d.Records, records...)
	}
	if op.ValidateOnly {
		d.Records = nil
	}
	d.Result = results
	return d, nil
}

// alteration is one resource of an AlterConfigs.
type alteration struct {
	img      *Image
	op       *AlterConfigs
	resource ConfigResource
	current  map[string]string
}

// resourceCounts counts the resources that are there because they have settings, with those that this request makes.
type resourceCounts struct {
	img    *Image
	counts map[int8]int
}

// add counts one more of a type; it is refused where there would be too many.
func (c *resourceCounts) add(resourceType int8) *Refusal {
	limit := MaxConfiguredGroups
	switch resourceType {
	case ResourceGroup:
	case ResourceClientMetrics:
		limit = MaxClientMetricsSubscriptions
	default:
		return nil
	}
	n, counted := c.counts[resourceType]
	if !counted {
		n = len(c.img.ConfigResources(resourceType))
		if c.counts == nil {
			c.counts = map[int8]int{}
		}
		c.counts[resourceType] = n
	}
	if n >= limit {
		return refuse(kerr.PolicyViolation, "There would be more than %d resources of this type that have settings.", limit)
	}
	c.counts[resourceType]++
	return nil
}

// decide gives the records for the changes.
func (a *alteration) decide(changes []ConfigChange, counts *resourceCounts) ([]Record, *Refusal) {
	if r := a.checkShape(changes); r != nil {
		return nil, r
	}
	if r := a.checkResource(); r != nil {
		return nil, r
	}
	next, r := a.apply(changes)
	if r != nil {
		return nil, r
	}
	if len(next) > MaxConfigsPerResource {
		return nil, refuse(kerr.InvalidConfig, "The resource would have %d settings; at most %d are supported.", len(next), MaxConfigsPerResource)
	}
	if r := a.check(next); r != nil {
		return nil, r
	}
	if len(a.current) == 0 && len(next) > 0 {
		if r := counts.add(a.resource.Type); r != nil {
			return nil, r
		}
	}
	var records []Record
	for _, key := range sortedKeys(next) {
		if value := next[key]; !a.has(key, value) {
			records = append(records, ConfigRecord{Resource: a.resource, Key: key, Value: &value})
		}
	}
	for _, key := range sortedKeys(a.current) {
		if _, kept := next[key]; !kept {
			records = append(records, ConfigRecord{Resource: a.resource, Key: key})
		}
	}
	return records, nil
}

func (a *alteration) has(key, value string) bool {
	v, ok := a.current[key]
	return ok && v == value
}

// checkShape finds what is wrong with the changes whatever they are made to.
func (a *alteration) checkShape(changes []ConfigChange) *Refusal {
	seen := make(map[string]bool, len(changes))
	var nulls []string
	for _, c := range changes {
		if seen[c.Key] {
			return refuse(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[c.Key] = true
		if c.Value == nil && !(a.op.Incremental && c.Op == ConfigDelete) {
			nulls = append(nulls, c.Key)
		}
	}
	if len(nulls) > 0 {
		return refuse(kerr.InvalidRequest, "Null value not supported for : %s", joined(nulls, ", "))
	}
	for _, c := range changes {
		if a.op.Incremental && (c.Op < ConfigSet || c.Op > ConfigSubtract) {
			if a.resource.Type != ResourceBroker { // Kafka has an internal error here, without words
				return &Refusal{Kafka: kerr.InvalidRequest}
			}
			return refuse(kerr.InvalidRequest, "Unknown operations type %d", c.Op)
		}
		if c.Value != nil && tooLong(*c.Value) {
			return refusedLength
		}
	}
	return nil
}

func (a *alteration) checkResource() *Refusal {
	name := a.resource.Name
	switch a.resource.Type {
	case ResourceTopic, ResourceGroup, ResourceClientMetrics:
		// Said after the settings were checked, as Kafka does.
	case ResourceBroker:
		if name == "" {
			return nil
		}
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return refuse(kerr.InvalidRequest, "Node id must be an integer, but it is: %s", name)
		}
		if int32(id) != a.op.NodeID {
			return refuse(kerr.InvalidRequest, "Unexpected broker id, expected %d, but received %s", a.op.NodeID, name)
		}
	default:
		return refuse(kerr.InvalidRequest, "Unknown resource type %d", a.resource.Type)
	}
	return nil
}

// scope is where the resource's keys are listed.
func (a *alteration) scope() config.Scope {
	switch a.resource.Type {
	case ResourceTopic:
		return config.Topic
	case ResourceGroup:
		return config.Group
	case ResourceClientMetrics:
		return config.ClientMetrics
	default:
		return config.Broker
	}
}

// apply gives the settings as they are after the changes.
func (a *alteration) apply(changes []ConfigChange) (map[string]string, *Refusal) {
	next := map[string]string{}
	if a.op.Incremental {
		maps.Copy(next, a.current)
	}
	for _, c := range changes {
		op := c.Op
		if !a.op.Incremental {
			op = ConfigSet
		}
		switch op {
		case ConfigSet:
			next[c.Key] = *c.Value
		case ConfigDelete:
			delete(next, c.Key)
		default:
			value, r := a.changeList(c)
			if r != nil {
				return nil, r
			}
			next[c.Key] = value
		}
	}
	return next, nil
}

// changeList appends to a list, or takes from it. Where nothing is set the list begins as its default.
func (a *alteration) changeList(c ConfigChange) (string, *Refusal) {
	key, known := config.Lookup(a.scope(), c.Key)
	switch broker := a.resource.Type == ResourceBroker; {
	case !known && broker:
		return "", refuse(kerr.InvalidConfig, "Unknown config name: %s", c.Key)
	case (!known || key.Type != config.TypeList) && broker:
		return "", refuse(kerr.InvalidConfig, "Config value %s is not allowed for config key: %s", strings.ToLower(configOpNames[c.Op]), c.Key)
	case !known || key.Type != config.TypeList || a.resource.Type == ResourceClientMetrics: // Kafka says so of keys that it doesn't know, too
		return "", refuse(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", configOpNames[c.Op], c.Key)
	}
	value, set := a.current[c.Key]
	if !set && key.HasDefault {
		value = key.Default
	}
	parts := listParts(value)
	for _, part := range strings.Split(*c.Value, ",") {
		at := slices.Index(parts, part)
		switch {
		case c.Op == ConfigAppend && at < 0:
			parts = append(parts, part)
		case c.Op == ConfigSubtract && at >= 0:
			parts = slices.Delete(parts, at, at+1)
		}
	}
	return strings.Join(parts, ","), nil
}

func listParts(value string) []string {
	return slices.DeleteFunc(strings.Split(value, ","), func(part string) bool { return part == "" })
}

// check finds what is wrong with the settings as they would be.
func (a *alteration) check(next map[string]string) *Refusal {
	name := a.resource.Name
	switch a.resource.Type {
	case ResourceTopic:
		if name == "" {
			return refuse(kerr.InvalidRequest, "Default topic resources are not allowed.")
		}
		if r := CheckTopicName(name); r != nil {
			return r
		}
		if r := checkTopicConfigs(next); r != nil {
			return r
		}
		if a.img.Topic(name) == nil {
			return refuse(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", name)
		}
	case ResourceBroker:
		return a.checkBroker(next)
	case ResourceGroup:
		if name == "" {
			return refuse(kerr.InvalidRequest, "Default group resources are not allowed.")
		}
		return checkGroupConfigs(next, a.op.Static)
	case ResourceClientMetrics:
		if name == "" {
			return refuse(kerr.InvalidRequest, "Subscription name can't be empty")
		}
		return checkClientMetrics(next)
	}
	return nil
}

// checkTopicConfigs checks a topic's own settings.
func checkTopicConfigs(set map[string]string) *Refusal {
	for _, name := range sortedKeys(set) {
		if _, known := config.Lookup(config.Topic, name); !known {
			return refuse(kerr.InvalidConfig, "Unknown topic config name: %s", name)
		}
	}
	if r := checkValues(config.Topic, set); r != nil {
		return r
	}
	if strings.EqualFold(strings.TrimSpace(set["remote.storage.enable"]), "true") {
		return refuse(kerr.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	least, most := longOf(config.Topic, set, "min.compaction.lag.ms"), longOf(config.Topic, set, "max.compaction.lag.ms")
	if least > most {
		return refuse(kerr.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", least, most)
	}
	return nil
}

func checkValues(scope config.Scope, set map[string]string) *Refusal {
	for _, name := range sortedKeys(set) {
		if key, known := config.Lookup(scope, name); known {
			if err := key.Check(set[name]); err != nil {
				return refuse(kerr.InvalidConfig, "%s", err.Error())
			}
		}
	}
	return nil
}

// longOf gives a whole number that was checked, or its default.
func longOf(scope config.Scope, set map[string]string, name string) int64 {
	value, ok := set[name]
	if !ok {
		key, known := config.Lookup(scope, name)
		if !known {
			return 0
		}
		value = key.Default
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// groupBounds names the broker's settings that a group's own have to lie between.
var groupBounds = []struct{ key, least, most string }{
	{"consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{"share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	{"share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	{"share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"},
	{"share.partition.max.record.locks", "group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"},
	{"share.assignment.interval.ms", "group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
	{"streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	{"streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
	{"streams.num.standby.replicas", "", "group.streams.max.standby.replicas"},
}

// checkGroupConfigs checks a group's own settings (Kafka's GroupConfig).
func checkGroupConfigs(set map[string]string, static *config.Static) *Refusal {
	for _, name := range sortedKeys(set) {
		if _, known := config.Lookup(config.Group, name); !known {
			return refuse(kerr.InvalidConfig, "Unknown group config name: %s", name)
		}
	}
	if r := checkValues(config.Group, set); r != nil {
		return r
	}
	for _, b := range groupBounds {
		if _, isSet := set[b.key]; !isSet {
			continue
		}
		value, most := longOf(config.Group, set, b.key), int64(static.Int(b.most))
		if b.least == "" {
			if value > most {
				return refuse(kerr.InvalidConfig, "%s must be less than or equal to %d", b.key, most)
			}
			continue
		}
		if least := int64(static.Int(b.least)); value < least || value > most {
			return refuse(kerr.InvalidConfig, "%s must be in the range %d to %d inclusive.", b.key, least, most)
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if longOf(config.Group, set, session) <= longOf(config.Group, set, heartbeat) {
			return refuse(kerr.InvalidConfig, "%s must be greater than %s", session, heartbeat)
		}
	}
	if name, isSet := set["streams.assignor.name"]; isSet && !slices.Contains(streamsAssignors, name) {
		return refuse(kerr.InvalidConfig, "streams.assignor.name '%s' is not a registered task assignor. Registered assignors are: [%s].", name, joined(streamsAssignors, ", "))
	}
	if strings.HasPrefix(set["errors.deadletterqueue.topic.name"], "__") {
		return refuse(kerr.InvalidConfig, "errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'")
	}
	return nil
}

var streamsAssignors = []string{"sticky"}

// Bounds of a client metrics subscription (KIP-714).
const (
	minMetricsIntervalMillis = 100
	maxMetricsIntervalMillis = 3_600_000
)

// clientMetricsParams are what a subscription can select clients by.
var clientMetricsParams = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// checkClientMetrics checks a client metrics subscription (Kafka's ClientMetricsConfigs).
func checkClientMetrics(set map[string]string) *Refusal {
	for _, name := range sortedKeys(set) {
		if _, known := config.Lookup(config.ClientMetrics, name); !known {
			return refuse(kerr.InvalidRequest, "Unknown client metrics configuration: %s", name)
		}
	}
	if interval, err := strconv.ParseInt(strings.TrimSpace(set["interval.ms"]), 10, 32); err == nil && (interval < minMetricsIntervalMillis || interval > maxMetricsIntervalMillis) {
		return refuse(kerr.InvalidRequest, "Invalid value %d for interval.ms, interval must be between 100 and 3600000 (1 hour)", interval)
	}
	if r := checkValues(config.ClientMetrics, set); r != nil {
		return r
	}
	for _, pattern := range listParts(set["match"]) {
		pattern = strings.TrimSpace(pattern)
		param, expression, ok := strings.Cut(pattern, "=")
		if !ok || strings.TrimSpace(expression) == "" || strings.Contains(expression, "=") || !slices.Contains(clientMetricsParams, strings.TrimSpace(param)) ||
			!isJavaRegexp(strings.TrimSpace(expression)) {
			return refuse(kerr.InvalidConfig, "Illegal client matching pattern: %s", pattern)
		}
	}
	return nil
}

// isJavaRegexp says whether an expression can be one of Java's. What only Java has (looking around, back references, possessive
// repetition) is let through.
func isJavaRegexp(expression string) bool {
	_, err := syntax.Parse(expression, syntax.Perl)
	var problem *syntax.Error
	if !errors.As(err, &problem) {
		return true
	}
	switch problem.Code {
	case syntax.ErrMissingBracket, syntax.ErrMissingParen, syntax.ErrUnexpectedParen, syntax.ErrMissingRepeatArgument, syntax.ErrTrailingBackslash, syntax.ErrInvalidCharRange:
		return false
	default:
		return true
	}
}

var refusedLength = refuse(kerr.InvalidConfig, "The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", MaxConfigValueLength)

// tooLong counts as Java's strings do: characters beyond the basic plane are two.
func tooLong(value string) bool {
	if len(value) <= MaxConfigValueLength {
		return false
	}
	units := 0
	for _, r := range value {
		units++
		if r > 0xFFFF && r != utf8.RuneError {
			units++
		}
	}
	return units > MaxConfigValueLength
}

// joined lists names in an error text; a long list is cut, so that a request can't have itself sent back many times.
func joined(names []string, separator string) string {
	const most = 20
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "...")
	}
	return strings.Join(names, separator)
}
