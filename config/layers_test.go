package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// described is a row of DescribeConfigs as Kafka 4.4.0 answered it.
type described struct {
	Name      string   `json:"name"`
	Value     *string  `json:"value"`
	Source    Source   `json:"source"`
	Type      Type     `json:"type"`
	ReadOnly  bool     `json:"readOnly"`
	Sensitive bool     `json:"sensitive"`
	Synonyms  [][3]any `json:"synonyms"`
}

func readDescribed(t *testing.T, file string) (static *Static, sections map[string][]described) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	sections = map[string][]described{}
	for name, section := range raw {
		var err error
		if name == "static" {
			var lines []string
			if err := json.Unmarshal(section, &lines); err != nil {
				t.Fatal(err)
			}
			var settings []Setting
			for _, l := range lines {
				name, value, _ := strings.Cut(l, "=")
				settings = append(settings, Setting{Name: name, Value: value})
			}
			settings = append(settings, Setting{Name: "broker.id", Value: "1"})
			if static, err = NewStatic(settings...); err != nil {
				t.Fatal(err)
			}
		} else {
			var rows []described
			err = json.Unmarshal(section, &rows)
			sections[name] = rows
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return static, sections
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return "\"" + *s + "\""
}

func checkRow(t *testing.T, k *Key, e Entry, want described) {
	t.Helper()
	if text(e.Value) != text(want.Value) || e.Source != want.Source {
		t.Errorf("%s: %s from %d, Kafka has %s from %d", want.Name, text(e.Value), e.Source, text(want.Value), want.Source)
	}
	if k.Type != want.Type || k.Sensitive != want.Sensitive || (k.Scope == Broker && (k.UpdateMode == ReadOnly) != want.ReadOnly) {
		t.Errorf("%s: %v sensitive %v %v, Kafka has %v sensitive %v read-only %v", want.Name, k.Type, k.Sensitive, k.UpdateMode, want.Type, want.Sensitive, want.ReadOnly)
	}
	var got, theirs []string
	for _, s := range e.Synonyms {
		got = append(got, s.Name+"="+text(s.Value)+" "+string('0'+rune(s.Source)))
	}
	for _, s := range want.Synonyms {
		value := "null"
		if v, ok := s[1].(string); ok {
			value = "\"" + v + "\""
		}
		theirs = append(theirs, s[0].(string)+"="+value+" "+string('0'+rune(s[2].(float64))))
	}
	if !slices.Equal(got, theirs) {
		t.Errorf("%s: synonyms %v, Kafka has %v", want.Name, got, theirs)
	}
}

func checkSection(t *testing.T, l Layers, scope Scope, rows []described) {
	t.Helper()
	for _, want := range rows {
		k, ok := Lookup(scope, want.Name)
		if !ok {
			t.Errorf("no %v setting %s", scope, want.Name)
			continue
		}
		checkRow(t, k, l.Resolve(k), want)
	}
}

func checkAll(t *testing.T, scope Scope, rows []described) {
	t.Helper()
	for _, k := range Keys(scope) {
		if !slices.ContainsFunc(rows, func(d described) bool { return d.Name == k.Name }) {
			t.Errorf("Kafka doesn't show %s", k.Name)
		}
	}
}

func checkCluster(t *testing.T, l Layers, rows []described) {
	t.Helper()
	var names []string
	for _, want := range rows {
		names = append(names, want.Name)
		k, _ := Lookup(Broker, want.Name)
		e, ok := l.ResolveCluster(k)
		if !ok {
			t.Errorf("%s isn't set for the cluster", want.Name)
			continue
		}
		checkRow(t, k, e, want)
	}
	if got := l.ClusterNames(); !slices.Equal(got, names) {
		t.Errorf("for the cluster are set %v, Kafka has %v", got, names)
	}
}

func TestResolve_CFGAPI_02_03_a_fresh_cluster_shows_what_Kafka_shows(t *testing.T) {
	static, sections := readDescribed(t, "kafka_4.4.0_fresh.json")
	l := Layers{Static: static}
	checkSection(t, l, Topic, sections["topic"])
	checkSection(t, l, Broker, sections["broker"])
	checkSection(t, l, Group, sections["group"])
	checkCluster(t, l, sections["cluster"])
	checkAll(t, Topic, sections["topic"])
	checkAll(t, Broker, sections["broker"])
	checkAll(t, Group, sections["group"])
}

func TestResolve_CFGAPI_02_14_overrides_show_what_Kafka_shows(t *testing.T) {
	static, sections := readDescribed(t, "kafka_4.4.0_altered.json")
	l := Layers{
		Static: static,
		Broker: map[string]string{"log.segment.bytes": "5555555", "log.roll.ms": "99999"},
		Cluster: map[string]string{
			"log.retention.ms": "7777777", "log.segment.bytes": "6666666", "message.max.bytes": "2000000",
			"log.cleaner.min.cleanable.ratio": "0.25", "compression.type": "lz4", "group.consumer.assignment.interval.ms": "2000",
		},
	}
	checkSection(t, l, Broker, sections["broker"])
	checkSection(t, l, Topic, sections["other topic"])
	checkCluster(t, l, sections["cluster"])
	l.Topic = map[string]string{
		"retention.ms": "1000", "segment.bytes": " 3000000 ", "cleanup.policy": "compact , delete", "min.cleanable.dirty.ratio": "1e-4",
		"preallocate": "TRUE", "compression.type": " gzip ", "flush.ms": "+5", "min.insync.replicas": "2",
	}
	checkSection(t, l, Topic, sections["topic"])
	l.Group = map[string]string{"consumer.session.timeout.ms": "50000", "share.auto.offset.reset": "by_duration:PT1H"}
	checkSection(t, l, Group, sections["group"])
}

func TestEffective_CFGAPI_14_the_smallest_unit_wins(t *testing.T) {
	static := func(pairs ...string) *Static {
		var settings []Setting
		for i := 0; i < len(pairs); i += 2 {
			settings = append(settings, Setting{Name: pairs[i], Value: pairs[i+1]})
		}
		s, err := NewStatic(settings...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := []struct {
		name   string
		layers Layers
		key    string
		want   string
	}{
		{"default", Layers{}, "retention.ms", "604800000"},
		{"hours", Layers{Static: static("log.retention.hours", "2")}, "retention.ms", "7200000"},
		{"minutes over hours", Layers{Static: static("log.retention.hours", "2", "log.retention.minutes", "3")}, "retention.ms", "180000"},
		{"milliseconds over minutes", Layers{Static: static("log.retention.ms", "4", "log.retention.minutes", "3")}, "retention.ms", "4"},
		{"unlimited hours", Layers{Static: static("log.retention.hours", "-1")}, "retention.ms", "-1"},
		{"many hours don't overflow", Layers{Static: static("log.roll.hours", "2147483647")}, "segment.ms", "7730941129200000"},
		{"dynamic over static", Layers{Static: static("log.retention.ms", "4"), Cluster: map[string]string{"log.retention.ms": "5"}}, "retention.ms", "5"},
		{"this broker over all brokers", Layers{Broker: map[string]string{"log.retention.ms": "6"}, Cluster: map[string]string{"log.retention.ms": "5"}}, "retention.ms", "6"},
		{"topic over broker", Layers{Topic: map[string]string{"retention.ms": "7"}, Broker: map[string]string{"log.retention.ms": "6"}}, "retention.ms", "7"},
		{"jitter in hours", Layers{Static: static("log.roll.jitter.hours", "1")}, "segment.jitter.ms", "3600000"},
		{"flush interval falls back to the scheduler's", Layers{Static: static("log.flush.scheduler.interval.ms", "9")}, "flush.ms", "9"},
		{"another name", Layers{Static: static("message.max.bytes", "10")}, "max.message.bytes", "10"},
		{"a list is trimmed", Layers{Topic: map[string]string{"cleanup.policy": " delete , compact,delete"}}, "cleanup.policy", "delete,compact"},
		{"an empty list", Layers{Topic: map[string]string{"cleanup.policy": ""}}, "cleanup.policy", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.layers.Effective(Topic, tt.key); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.key, got, tt.want)
			}
		})
	}
}

func TestLayers_typed_values(t *testing.T) {
	l := Layers{Topic: map[string]string{"retention.ms": "+12", "preallocate": "True", "min.cleanable.dirty.ratio": ".25", "cleanup.policy": "compact, delete"}}
	if n := l.Long(Topic, "retention.ms"); n != 12 {
		t.Errorf("retention.ms is %d", n)
	}
	if n := l.Int(Topic, "segment.bytes"); n != 1<<30 {
		t.Errorf("segment.bytes is %d", n)
	}
	if !l.Bool(Topic, "preallocate") {
		t.Error("preallocate is false")
	}
	if d := l.Double(Topic, "min.cleanable.dirty.ratio"); d != 0.25 {
		t.Errorf("min.cleanable.dirty.ratio is %v", d)
	}
	if list := l.List(Topic, "cleanup.policy"); !slices.Equal(list, []string{"compact", "delete"}) {
		t.Errorf("cleanup.policy is %v", list)
	}
	if v := l.Effective(Broker, "log.retention.ms"); v != "" {
		t.Errorf("a null value is %q", v)
	}
}

func TestResolve_CFGAPI_06_sensitive_values_stay_inside(t *testing.T) {
	static, err := NewStatic(Setting{Name: "ssl.keystore.password", Value: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	k, _ := Lookup(Broker, "ssl.keystore.password")
	e := Layers{Static: static, Broker: map[string]string{"ssl.keystore.password": "other"}}.Resolve(k)
	if e.Value != nil || len(e.Synonyms) != 2 || e.Synonyms[0].Value != nil || e.Synonyms[1].Value != nil {
		t.Errorf("a password is shown: %+v", e)
	}
}
