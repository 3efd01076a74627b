package config

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Source says which layer a value comes from, with Kafka's numbers.
type Source int8

const (
	SourceDynamicTopic         Source = 1
	SourceDynamicBroker        Source = 2
	SourceDynamicDefaultBroker Source = 3
	SourceStaticBroker         Source = 4
	SourceDefault              Source = 5
	SourceDynamicBrokerLogger  Source = 6
	SourceClientMetrics        Source = 7
	SourceGroup                Source = 8
)

// Synonym is one value that could hold for a setting; the first of an entry's synonyms does.
type Synonym struct {
	Name   string
	Value  *string // nil where it is null or sensitive
	Source Source
}

// Entry is a setting's effective value and where it comes from.
type Entry struct {
	Value  *string // nil where it is null or sensitive
	Source Source
	// Synonyms are all values that could hold, the one that does first (KIP-226).
	Synonyms []Synonym
}

// Layers are the settings of which the effective ones are made. Maps may be nil and are not changed.
type Layers struct {
	Topic   map[string]string // of the topic in question
	Group   map[string]string // of the group in question
	Metrics map[string]string // of the client metrics subscription in question
	Broker  map[string]string // dynamic, of this broker
	Cluster map[string]string // dynamic, of all brokers
	Static  *Static
}

// minInsyncReplicas always has a value for the whole cluster (KIP-966): what the first broker was started with, until it is altered.
const minInsyncReplicas = "min.insync.replicas"

func (l Layers) cluster(name string) (string, bool) {
	if v, ok := l.Cluster[name]; ok {
		return v, true
	}
	if name == minInsyncReplicas {
		v, _ := l.Static.Get(name)
		return v, true
	}
	return "", false
}

// ClusterNames lists the settings that have a value for the whole cluster, sorted: what DescribeConfigs of broker "" shows.
func (l Layers) ClusterNames() []string {
	names := slices.Sorted(maps.Keys(l.Cluster))
	if i, found := slices.BinarySearch(names, minInsyncReplicas); !found {
		names = slices.Insert(names, i, minInsyncReplicas)
	}
	return names
}

// override gives what is set on the topic or group itself.
func (l Layers) override(k *Key) (string, Source, bool) {
	switch k.Scope {
	case Topic:
		v, ok := l.Topic[k.Name]
		return v, SourceDynamicTopic, ok
	case Group:
		v, ok := l.Group[k.Name]
		return v, SourceGroup, ok
	case ClientMetrics:
		v, ok := l.Metrics[k.Name]
		return v, SourceClientMetrics, ok
	case Broker:
	}
	return "", 0, false
}

// brokerValue gives what is set for the broker under exactly this name.
func (l Layers) brokerValue(name string) (string, bool) {
	if v, ok := l.Broker[name]; ok {
		return v, true
	}
	if v, ok := l.cluster(name); ok {
		return v, true
	}
	v, set := l.Static.Get(name)
	return v, set
}

// value gives a setting's effective value; not ok where it is null.
func (l Layers) value(k *Key) (string, bool) {
	if v, _, ok := l.override(k); ok {
		return k.normal(v), true
	}
	if k.Scope == Broker {
		v, ok := l.brokerValue(k.Name)
		if ok && !l.shadowed(k) {
			return k.normal(v), true
		}
		return k.Default, k.HasDefault
	}
	for _, name := range k.Synonyms { // the name counts more than the layer: hours never win over milliseconds
		if v, ok := l.brokerValue(name); ok {
			return convert(name, k, v), true
		}
	}
	if k.Name == "streams.assignor.name" {
		if first := l.Static.List(k.Synonyms[0]); len(first) > 0 {
			return first[0], true
		}
	}
	return k.Default, k.HasDefault
}

// shadowed says that a static setting doesn't count because the same thing is set at run time in another unit.
func (l Layers) shadowed(k *Key) bool {
	dynamic := func(name string) bool {
		_, broker := l.Broker[name]
		_, cluster := l.Cluster[name]
		return broker || cluster
	}
	return !dynamic(k.Name) && slices.ContainsFunc(brokerNames(k), dynamic)
}

// convert turns a broker's setting into the setting of a topic or group that it is the default of.
func convert(broker string, k *Key, value string) string {
	var unit int64
	switch {
	case strings.HasSuffix(broker, ".hours"):
		unit = 3600_000
	case strings.HasSuffix(broker, ".minutes"):
		unit = 60_000
	default:
		return retention(k, k.normal(value))
	}
	n, err := strconv.ParseInt(trim(value), 10, 32)
	if err != nil || n > math.MaxInt64/unit {
		return value
	}
	return retention(k, strconv.FormatInt(n*unit, 10))
}

// retention shows any negative time of retention as -1, which Kafka does for what brokers set.
func retention(k *Key, value string) string {
	if k.Name == "retention.ms" && strings.HasPrefix(value, "-") {
		return "-1"
	}
	return value
}

// Resolve gives a setting's effective value, its source and its synonyms as DescribeConfigs answers them (Kafka's ConfigHelper).
func (l Layers) Resolve(k *Key) Entry {
	value, ok := l.value(k)
	e := Entry{Source: SourceDefault, Synonyms: l.chain(k)}
	if ok && !k.Sensitive {
		e.Value = &value
	}
	if v, source, set := l.override(k); set {
		v = k.normal(v)
		e.Synonyms = slices.Insert(e.Synonyms, 0, synonym(k, k.Name, v, source))
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// ResolveCluster gives a broker's setting as DescribeConfigs of broker "" shows it: only what holds for the whole cluster; not ok where nothing is set there.
func (l Layers) ResolveCluster(k *Key) (e Entry, ok bool) {
	v, ok := l.cluster(k.Name)
	if !ok {
		return Entry{}, false
	}
	s := synonym(k, k.Name, v, SourceDynamicDefaultBroker)
	return Entry{Value: s.Value, Source: s.Source, Synonyms: []Synonym{s}}, true
}

func synonym(k *Key, name, value string, source Source) Synonym {
	s := Synonym{Name: name, Source: source}
	if !k.Sensitive {
		s.Value = &value
	}
	return s
}

// chain lists what the broker's layers have for a setting, in Kafka's order. Kafka leaves out what stands before the first value of the
// setting's own name, or of its first synonym: a topic's retention.ms that comes from log.retention.hours has no synonyms.
func (l Layers) chain(k *Key) []Synonym {
	names := brokerNames(k)
	if len(names) == 0 {
		if k.Scope == Group && k.HasDefault {
			return []Synonym{synonym(k, k.Name, k.Default, SourceDefault)}
		}
		return nil
	}
	var list []Synonym
	add := func(source Source, get func(name string) (string, bool)) {
		for _, name := range names {
			if v, ok := get(name); ok {
				list = append(list, synonym(k, name, v, source))
			}
		}
	}
	add(SourceDynamicBroker, func(name string) (string, bool) { v, ok := l.Broker[name]; return v, ok })
	add(SourceDynamicDefaultBroker, l.cluster)
	add(SourceStaticBroker, l.Static.Get)
	add(SourceDefault, func(name string) (string, bool) {
		if b, ok := Lookup(Broker, name); ok && b.HasDefault && !b.DynamicOnly {
			return b.Default, true
		}
		return "", false
	})
	first := names[0]
	if k.Scope == Broker {
		first = k.Name
	}
	if i := slices.IndexFunc(list, func(s Synonym) bool { return s.Name == first }); i > 0 {
		return list[i:]
	} else if i < 0 {
		return nil
	}
	return list
}

// brokerNames lists the broker settings that a setting is read from, the one that counts most first.
func brokerNames(k *Key) []string {
	if k.Scope != Broker {
		return k.Synonyms
	}
	for _, family := range brokerFamilies {
		if slices.Contains(family.members, k.Name) {
			return family.names
		}
	}
	return []string{k.Name}
}

// brokerFamilies are the broker settings that say one thing in several units. Members are those whose synonyms are all names.
var brokerFamilies = []struct{ names, members []string }{
	{[]string{"log.roll.ms", "log.roll.hours"}, []string{"log.roll.ms", "log.roll.hours"}},
	{[]string{"log.roll.jitter.ms", "log.roll.jitter.hours"}, []string{"log.roll.jitter.ms", "log.roll.jitter.hours"}},
	{[]string{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"}, []string{"log.flush.interval.ms"}},
	{[]string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}, []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}},
}

// Effective gives the effective value of a setting, "" where it is null. It panics where the table has no such setting, which is a mistake in the program.
func (l Layers) Effective(scope Scope, name string) string {
	k, ok := Lookup(scope, name)
	if !ok {
		panic("config: there is no " + scope.String() + " setting " + name)
	}
	v, _ := l.value(k)
	return v
}

// Long gives the effective value of a whole number, 0 where it is null.
func (l Layers) Long(scope Scope, name string) int64 {
	n, _ := strconv.ParseInt(l.Effective(scope, name), 10, 64)
	return n
}

// Int gives the effective value of an INT or SHORT.
func (l Layers) Int(scope Scope, name string) int { return int(l.Long(scope, name)) }

// Double gives the effective value of a DOUBLE.
func (l Layers) Double(scope Scope, name string) float64 {
	d, _ := parseJavaDouble(l.Effective(scope, name))
	return d
}

// Bool gives the effective value of a BOOLEAN.
func (l Layers) Bool(scope Scope, name string) bool { return l.Effective(scope, name) == "true" }

// List gives the effective value of a LIST.
func (l Layers) List(scope Scope, name string) []string { return SplitList(l.Effective(scope, name)) }
