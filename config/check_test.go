package config

import (
	"math"
	"testing"
)

// What Kafka 4.4.0 answered to IncrementalAlterConfigs; empty means accepted.
func TestCheck_CFGAPI_11_says_what_Kafka_says(t *testing.T) {
	const throttled = " must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
	reset := func(v string) string {
		return "Invalid value " + v + " for configuration share.auto.offset.reset: Invalid value `" + v + "` for configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
	}
	tests := []struct {
		scope       Scope
		name, value string
		want        string
	}{
		{Topic, "retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
		{Topic, "retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{Topic, "retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"},
		{Topic, "retention.ms", "0x10", "Invalid value 0x10 for configuration retention.ms: Not a number of type LONG"},
		{Topic, "retention.ms", "1_000", "Invalid value 1_000 for configuration retention.ms: Not a number of type LONG"},
		{Topic, "retention.ms", " +5 ", ""},
		{Topic, "segment.bytes", "99999999999", "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT"},
		{Topic, "segment.bytes", "1048575", "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576"}, // LOG-06
		{Topic, "segment.bytes", "1048576", ""},
		{Topic, "cleanup.policy", "foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{Topic, "cleanup.policy", "delete,foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{Topic, "cleanup.policy", "delete,,compact", "Configuration 'cleanup.policy' values must not be empty."},
		{Topic, "cleanup.policy", "", ""},
		{Topic, "cleanup.policy", "delete,delete", ""},
		{Topic, "compression.type", "bar", "Invalid value bar for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{Topic, "compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{Topic, "compression.gzip.level", "10", "Invalid value 10 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{Topic, "compression.gzip.level", "-1", ""},
		{Topic, "compression.lz4.level", "18", "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
		{Topic, "compression.zstd.level", "-200000", "Invalid value -200000 for configuration compression.zstd.level: Value must be at least -131072"},
		{Topic, "min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{Topic, "min.cleanable.dirty.ratio", "-1", "Invalid value -1.0 for configuration min.cleanable.dirty.ratio: Value must be at least 0"},
		{Topic, "min.cleanable.dirty.ratio", "x", "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{Topic, "min.cleanable.dirty.ratio", "0.5f", ""},
		{Topic, "min.cleanable.dirty.ratio", "NaN", ""},
		{Topic, "min.cleanable.dirty.ratio", "0x1p-1", ""},
		{Topic, "min.cleanable.dirty.ratio", "inf", "Invalid value inf for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{Topic, "preallocate", "yes", "Invalid value yes for configuration preallocate: Expected value to be either true or false"},
		{Topic, "preallocate", " TRUE", ""},
		{Topic, "message.timestamp.type", "\tLogAppendTime", ""},
		{Topic, "leader.replication.throttled.replicas", "foo", "Invalid value [foo] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas" + throttled},
		{Topic, "leader.replication.throttled.replicas", "0:1,*", "Invalid value [0:1, *] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas" + throttled},
		{Topic, "leader.replication.throttled.replicas", "none", "Invalid value [none] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas" + throttled},
		{Topic, "leader.replication.throttled.replicas", "*", ""},
		{Topic, "leader.replication.throttled.replicas", "0:1 , 1:2", ""},
		{Topic, "leader.replication.throttled.replicas", "", ""},
		{Topic, "min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
		{Group, "share.isolation.level", "READ_COMMITTED", "Invalid value READ_COMMITTED for configuration share.isolation.level: String must be one of: read_committed, read_uncommitted"},
		{Group, "share.auto.offset.reset", "foo", reset("foo")},
		{Group, "share.auto.offset.reset", "EARLIEST", reset("EARLIEST")},
		{Group, "share.auto.offset.reset", "by_duration:", reset("by_duration:")},
		{Group, "share.auto.offset.reset", "by_duration:-PT1H", reset("by_duration:-PT1H")},
		{Group, "share.auto.offset.reset", "by_duration:P1DT", reset("by_duration:P1DT")},
		{Group, "share.auto.offset.reset", "by_duration:P1Y", reset("by_duration:P1Y")},
		{Group, "share.auto.offset.reset", "by_duration:pt1h", ""},
		{Group, "share.auto.offset.reset", "by_duration:PT1.5S", ""},
		{Group, "share.auto.offset.reset", " latest ", ""},
		{Group, "share.delivery.count.limit", "1", "Invalid value 1 for configuration share.delivery.count.limit: Value must be at least 2"},
		{Group, "share.assignor.offload.enable", "x", "Invalid value x for configuration share.assignor.offload.enable: Expected value to be either true or false"},
		{Broker, "log.cleanup.policy", "x", "Invalid value x for configuration log.cleanup.policy: String must be one of: compact, delete"},
		{Broker, "leader.replication.throttled.rate", "-1", "Invalid value -1 for configuration leader.replication.throttled.rate: Value must be at least 0"},
		{Broker, "group.consumer.migration.policy", "Upgrade", ""},
		{Broker, "controller.quorum.voters", "", "Configuration 'controller.quorum.voters' must not be empty. Valid values include: any non-empty value"},
		{ClientMetrics, "interval.ms", "abc", "Invalid value abc for configuration interval.ms: Not a number of type INT"},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			k, ok := Lookup(tt.scope, tt.name)
			if !ok {
				t.Fatal("no such setting")
			}
			got := ""
			if err := k.Check(tt.value); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestTable_is_sound(t *testing.T) {
	counts := map[Scope]int{Topic: 37, Group: 21, Broker: 350, ClientMetrics: 3}
	for scope, want := range counts {
		if got := len(Keys(scope)); got != want {
			t.Errorf("%v has %d settings, Kafka 4.4 has %d", scope, got, want)
		}
		before := ""
		for i := range table(scope) {
			k := &table(scope)[i]
			if k.Name <= before {
				t.Errorf("%s stands after %s", k.Name, before)
			}
			before = k.Name
			if k.Scope != scope || k.Doc == "" {
				t.Errorf("%s: scope %v, doc %q", k.Name, k.Scope, k.Doc)
			}
			if k.HasDefault && k.Valid != "non-empty list" {
				if err := k.Check(k.Default); err != nil {
					t.Errorf("the default of %s is not allowed: %v", k.Name, err)
				}
			}
			for _, name := range k.Synonyms {
				if _, ok := Lookup(Broker, name); !ok {
					t.Errorf("%s falls back to %s, which doesn't exist", k.Name, name)
				}
			}
		}
	}
	if _, ok := Lookup(Topic, "message.downconversion.enable"); ok { // CFGT-24
		t.Error("message.downconversion.enable exists")
	}
}

func TestFormatJavaDouble(t *testing.T) {
	tests := map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1: "1.0", 0.5: "0.5", 1e-4: "1.0E-4", 1e-3: "0.001", 1e7: "1.0E7", 9999999: "9999999.0", 12345678.5: "1.23456785E7",
		math.MaxFloat64: "1.7976931348623157E308", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity",
	}
	for d, want := range tests {
		if got := formatJavaDouble(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
