package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// clean takes everything out of the environment that would count.
func clean(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "KAFKA_") || strings.HasPrefix(name, "KBROKER_") || name == "CLUSTER_ID" {
			t.Setenv(name, value) // is put back after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// given is how a test starts the program. file has contents by names.
type given struct {
	args []string
	env  map[string]string
	file map[string]string
}

func load(t *testing.T, g given) (*Config, error) {
	t.Helper()
	clean(t)
	for name, value := range g.env {
		t.Setenv(name, value)
	}
	args := slices.Clone(g.args)
	for name, content := range g.file {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config="+path)
	}
	flags := pflag.NewFlagSet("kbroker", pflag.ContinueOnError)
	AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(flags)
}

func mustLoad(t *testing.T, g given) *Config {
	t.Helper()
	c, err := load(t, g)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad_without_anything_is_a_broker_for_development(t *testing.T) {
	c := mustLoad(t, given{})
	want := []Listener{{Name: "PLAINTEXT", Addresses: []string{"localhost:9092"}}}
	if !reflect.DeepEqual(c.Listeners, want) {
		t.Errorf("listeners %+v", c.Listeners)
	}
	if c.Profile != ProfileDev || !c.ClampReplicas || !c.AdvertisedAtRunTime || c.Durability != DurabilityOS || c.NodeID != 1 || c.HTTP != "127.0.0.1:9644" {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(c.DataDirs, []string{"./kbroker-data"}) || c.InMemory() || c.LogLevel != slog.LevelInfo || c.LogFormat != LogText || len(c.Ignored) > 0 {
		t.Errorf("%+v", c)
	}
	if c.Static.Int("group.initial.rebalance.delay.ms") != 0 || !c.Static.Bool("auto.create.topics.enable") {
		t.Error("the dev profile's properties don't hold")
	}
	if c.MemoryBudget < MinMemoryBudget {
		t.Errorf("a budget of %d bytes", c.MemoryBudget)
	}
}

func TestLoad_the_production_profile(t *testing.T) {
	c := mustLoad(t, given{args: []string{"--profile=production"}})
	if c.ClampReplicas || c.AdvertisedAtRunTime || c.Durability != DurabilityFsync {
		t.Errorf("%+v", c)
	}
	if c.Static.Int("group.initial.rebalance.delay.ms") != 3000 || c.Static.Bool("auto.create.topics.enable") {
		t.Error("the production profile's properties don't hold")
	}
	c = mustLoad(t, given{args: []string{"--profile=production", "--durability=os", "--set", "auto.create.topics.enable=true"}})
	if c.Durability != DurabilityOS || !c.Static.Bool("auto.create.topics.enable") {
		t.Error("what is set doesn't win over the profile")
	}
}

func TestLoad_flag_over_environment_over_file_over_default(t *testing.T) {
	file := map[string]string{"k.yaml": "node-id: 3\nlog-level: warn\nkafka:\n  log.retention.ms: 3\n  num.partitions: 3\n  message.max.bytes: 3\n"}
	env := map[string]string{"KBROKER_NODE_ID": "2", "KAFKA_LOG_RETENTION_MS": "2", "KAFKA_NUM_PARTITIONS": "2"}
	c := mustLoad(t, given{args: []string{"--node-id=1", "--set", "log.retention.ms=1"}, env: env, file: file})
	if c.NodeID != 1 || c.LogLevel != slog.LevelWarn {
		t.Errorf("node %d, level %v", c.NodeID, c.LogLevel)
	}
	for name, want := range map[string]int64{"log.retention.ms": 1, "num.partitions": 2, "message.max.bytes": 3, "node.id": 1} {
		if got := c.Static.Long(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]OriginKind{"log.retention.ms": FromFlag, "num.partitions": FromEnvironment, "message.max.bytes": FromFile, "node.id": FromFlag} {
		if got := c.Static.Origin(name).Kind; got != want {
			t.Errorf("%s comes from %v", name, c.Static.Origin(name))
		}
	}
	if c := mustLoad(t, given{env: env, file: file}); c.NodeID != 2 {
		t.Errorf("node %d: the environment doesn't win over the file", c.NodeID)
	}
	if c := mustLoad(t, given{file: file}); c.NodeID != 3 {
		t.Errorf("node %d: the file doesn't win over the default", c.NodeID)
	}
}

func TestLoad_every_setting_by_flag_environment_and_file(t *testing.T) {
	check := func(t *testing.T, c *Config) {
		t.Helper()
		wantListeners := []Listener{{Name: "PLAINTEXT", Addresses: []string{"0.0.0.0:1", "[::1]:2"}, AdvertisedHost: "kafka.example.com", AdvertisedPort: 9}}
		if !reflect.DeepEqual(c.Listeners, wantListeners) {
			t.Errorf("listeners %+v", c.Listeners)
		}
		if want := []SeedTopic{{"a", 3}, {"b", -1}, {"c", 1}}; !slices.Equal(c.Topics, want) {
			t.Errorf("topics %+v", c.Topics)
		}
		if !c.InMemory() || c.HTTP != "" || c.Profile != ProfileProduction || c.NodeID != 7 || c.MemoryBudget != 64<<20 || c.LogLevel != slog.LevelDebug || c.LogFormat != LogJSON || c.Durability != DurabilityOS {
			t.Errorf("%+v", c)
		}
		if c.Static.Long("log.retention.ms") != 5 || c.Static.Long("num.partitions") != 4 {
			t.Error("the properties don't hold")
		}
	}
	t.Run("flags", func(t *testing.T) {
		check(t, mustLoad(t, given{args: []string{
			"--listen", "0.0.0.0:1,[::1]:2", "--advertise", "kafka.example.com:9", "--data-dir", "memory:", "--http", "off", "--profile", "production", "--node-id", "7",
			"--topic", "a:3", "--topic", "b,c:1", "--memory-budget", "64MiB", "--log-level", "debug", "--log-format", "json", "--durability", "os",
			"--set", "log.retention.ms=5", "--set", "num.partitions=4",
		}}))
	})
	t.Run("environment", func(t *testing.T) {
		check(t, mustLoad(t, given{env: map[string]string{
			"KBROKER_LISTEN": "0.0.0.0:1, [::1]:2", "KBROKER_ADVERTISE": "kafka.example.com:9", "KBROKER_DATA_DIR": "memory:", "KBROKER_HTTP": "off", "KBROKER_PROFILE": "production", "KBROKER_NODE_ID": "7",
			"KBROKER_TOPIC": "a:3,b,c:1", "KBROKER_MEMORY_BUDGET": "64m", "KBROKER_LOG_LEVEL": "debug", "KBROKER_LOG_FORMAT": "json", "KBROKER_DURABILITY": "os",
			"KBROKER_SET": "log.retention.ms=5;num.partitions=4",
		}}))
	})
	t.Run("file", func(t *testing.T) {
		check(t, mustLoad(t, given{file: map[string]string{"k.yml": `
listen: ["0.0.0.0:1", "[::1]:2"]
advertise: kafka.example.com:9
data-dir: "memory:"
http: off
profile: production
node-id: 7
topic: [a:3, b, "c:1"]
memory-budget: 67108864
log-level: debug
log-format: json
durability: os
num.partitions: 4
kafka:
  log:
    retention.ms: 5
`}}))
	})
}

func TestLoad_a_setting_that_is_wrong_is_named_with_what_is_allowed(t *testing.T) {
	tests := []struct {
		name  string
		given given
		want  []string // all in the error, which is one line
	}{
		{"unknown property", given{args: []string{"--set", "log.retention.huors=1"}}, []string{"--set", "log.retention.huors", "did you mean \"log.retention.hours\""}},
		{"topic's property", given{args: []string{"--set", "retention.ms=1"}}, []string{"retention.ms", "log.retention.ms"}},
		{"property without value", given{args: []string{"--set", "log.retention.ms"}}, []string{"--set", "PROPERTY=VALUE"}},
		{"bad value", given{env: map[string]string{"KAFKA_LOG_SEGMENT_BYTES": "10"}}, []string{"KAFKA_LOG_SEGMENT_BYTES", "Value must be at least 1048576", "[1048576,...]"}},
		{"misspelled variable of Kafka", given{env: map[string]string{"KAFKA_NUM_PARTITION": "1"}}, []string{"KAFKA_NUM_PARTITION", "num.partitions"}},
		{"misspelled variable of ours", given{env: map[string]string{"KBROKER_DATADIR": "x"}}, []string{"KBROKER_DATADIR", "KBROKER_DATA_DIR"}},
		{"profile", given{args: []string{"--profile=fast"}}, []string{"--profile", "dev, production"}},
		{"durability", given{args: []string{"--durability=none"}}, []string{"--durability", "os, fsync"}},
		{"log level", given{args: []string{"--log-level=loud"}}, []string{"--log-level", "debug, info, warn, error"}},
		{"listen", given{args: []string{"--listen=9092"}}, []string{"--listen", "HOST:PORT"}},
		{"listen nowhere", given{args: []string{"--listen="}}, []string{"--listen", "no listener"}},
		{"port", given{args: []string{"--listen=:70000"}}, []string{"--listen", "70000", "0 to 65535"}},
		{"advertise", given{args: []string{"--advertise=kafka"}}, []string{"--advertise", "HOST:PORT"}},
		{"advertise everything", given{args: []string{"--advertise=0.0.0.0:9092"}}, []string{"--advertise", "0.0.0.0"}},
		{"http", given{args: []string{"--http=on"}}, []string{"--http", "HOST:PORT or off"}},
		{"node id", given{args: []string{"--node-id=-3"}}, []string{"--node-id", "0 to 2147483647"}},
		{"two node ids", given{args: []string{"--node-id=3", "--set", "node.id=4"}}, []string{"node.id", "--node-id", "the same"}},
		{"topic", given{args: []string{"--topic=a b"}}, []string{"--topic", "letters, digits"}},
		{"partitions", given{args: []string{"--topic=a:0"}}, []string{"--topic", "1 to 10000"}},
		{"topic twice", given{args: []string{"--topic=a,a:3"}}, []string{"--topic", "twice"}},
		{"budget", given{args: []string{"--memory-budget=much"}}, []string{"--memory-budget", "MiB"}},
		{"small budget", given{args: []string{"--memory-budget=1k"}}, []string{"--memory-budget", "16 MiB"}},
		{"data dir", given{args: []string{"--data-dir="}}, []string{"--data-dir", "a path or memory:"}},
		{"memory without colon", given{args: []string{"--data-dir=memory"}}, []string{"--data-dir", "memory:"}},
		{"no file", given{args: []string{"--config=/nowhere/k.yaml"}}, []string{"--config", "/nowhere/k.yaml", "no such file"}},
		{"not YAML", given{file: map[string]string{"k.yaml": "a: [b"}}, []string{"k.yaml", "YAML"}},
		{"unknown key", given{file: map[string]string{"k.yaml": "lisen: x"}}, []string{"k.yaml", "lisen", "allowed"}},
		{"bad value in a file", given{file: map[string]string{"server.properties": "log.retention.hours=soon"}}, []string{"server.properties", "log.retention.hours", "Not a number of type INT"}},
		{"bad flag's value in a file", given{file: map[string]string{"k.yaml": "profile: fast"}}, []string{"k.yaml", "profile", "dev, production"}},
		{"TLS", given{args: []string{"--set", "listeners=SSL://:9093"}}, []string{"listeners", "SSL", "PLAINTEXT"}},
		{"SASL by map", given{env: map[string]string{"KAFKA_LISTENERS": "OUT://:9092", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "OUT:SASL_SSL"}}, []string{"KAFKA_LISTENERS", "OUT", "SASL_SSL"}},
		{"unknown listener", given{env: map[string]string{"KAFKA_LISTENERS": "OUT://:9092"}}, []string{"OUT", "listener.security.protocol.map"}},
		{"bad protocol", given{env: map[string]string{"KAFKA_LISTENERS": "OUT://:9092", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "OUT:TLS"}}, []string{"LISTENER_SECURITY_PROTOCOL_MAP", "OUT:TLS", "SASL_SSL"}},
		{"listener twice", given{args: []string{"--set", "listeners=PLAINTEXT://:1,PLAINTEXT://:2"}}, []string{"listeners", "different name"}},
		{"address twice", given{args: []string{"--listen=:1,:1"}}, []string{"--listen", "twice"}},
		{"only controllers", given{args: []string{"--set", "listeners=CONTROLLER://:1", "--set", "controller.listener.names=CONTROLLER"}}, []string{"listeners", "no listener for clients"}},
		{"advertised but not there", given{args: []string{"--set", "advertised.listeners=OUT://a:1"}}, []string{"advertised.listeners", "OUT"}},
		{"advertised port", given{args: []string{"--set", "advertised.listeners=PLAINTEXT://a:0"}}, []string{"advertised.listeners", "port 0"}},
		{"inter broker listener", given{args: []string{"--set", "inter.broker.listener.name=IN"}}, []string{"inter.broker.listener.name", "IN"}},
		{"controller only", given{env: map[string]string{"KAFKA_PROCESS_ROLES": "controller"}}, []string{"KAFKA_PROCESS_ROLES", "broker,controller"}},
		{"several voters", given{env: map[string]string{"KAFKA_CONTROLLER_QUORUM_VOTERS": "1@a:1,2@b:1,3@c:1"}}, []string{"KAFKA_CONTROLLER_QUORUM_VOTERS", "one"}},
		{"authorizer", given{args: []string{"--set", "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"}}, []string{"authorizer.class.name"}},
		{"cluster id", given{env: map[string]string{"CLUSTER_ID": "a b"}}, []string{"CLUSTER_ID"}},
		{"session timeouts", given{args: []string{"--set", "group.min.session.timeout.ms=9000000"}}, []string{"group.min.session.timeout.ms", "group.max.session.timeout.ms"}},
		{"no retention", given{args: []string{"--set", "log.retention.ms=0"}}, []string{"log.retention.ms", "-1"}},
		{"request memory", given{args: []string{"--set", "queued.max.request.bytes=5"}}, []string{"queued.max.request.bytes", "socket.request.max.bytes"}},
		{"connections of hosts", given{args: []string{"--set", "max.connections.per.ip.overrides=localhost"}}, []string{"max.connections.per.ip.overrides", "HOST:LIMIT"}},
		{"throttles aren't static", given{args: []string{"--set", "leader.replication.throttled.rate=5"}}, []string{"leader.replication.throttled.rate"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.given)
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
		})
	}
}

// What Kafka's own documentation and its users start one combined-mode node with.
func TestLoad_a_combined_mode_node_starts_unchanged(t *testing.T) {
	t.Run("compose file", func(t *testing.T) {
		c := mustLoad(t, given{env: map[string]string{
			"KBROKER_LISTEN": "0.0.0.0:9092", "KBROKER_DATA_DIR": "/data", "KBROKER_HTTP": "0.0.0.0:9644", // the image's own
			"KAFKA_NODE_ID": "4", "KAFKA_PROCESS_ROLES": "broker,controller",
			"KAFKA_LISTENERS":                                "INTERNAL://0.0.0.0:29092,EXTERNAL://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093",
			"KAFKA_ADVERTISED_LISTENERS":                     "INTERNAL://kafka:29092,EXTERNAL://localhost:9092",
			"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":           "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
			"KAFKA_INTER_BROKER_LISTENER_NAME":               "INTERNAL",
			"KAFKA_CONTROLLER_LISTENER_NAMES":                "CONTROLLER",
			"KAFKA_CONTROLLER_QUORUM_VOTERS":                 "4@kafka:9093",
			"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
			"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
			"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
			"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":         "0",
			"KAFKA_LOG_DIRS":                                 "/tmp/kraft-combined-logs",
			"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                "true",
			"KAFKA_INTER_BROKER_PROTOCOL_VERSION":            "3.9",
			"KAFKA_CONFLUENT_BALANCER_ENABLE":                "false",
			"KAFKA_HEAP_OPTS":                                "-Xmx1g",
			"KAFKA_JMX_PORT":                                 "9101",
			"KAFKA_LOG4J_ROOT_LOGLEVEL":                      "INFO",
			"KAFKA_PORT":                                     "tcp://10.0.0.1:9092",
			"KAFKA_PORT_9092_TCP_ADDR":                       "10.0.0.1",
			"KAFKA_SERVICE_HOST":                             "10.0.0.1",
			"KAFKA_BOOTSTRAP_SERVERS":                        "kafka:29092",
			"CLUSTER_ID":                                     "MkU3OEVBNTcwNTJENDM2Qk",
		}})
		want := []Listener{
			{Name: "INTERNAL", Addresses: []string{"0.0.0.0:29092"}, AdvertisedHost: "kafka", AdvertisedPort: 29092},
			{Name: "EXTERNAL", Addresses: []string{"0.0.0.0:9092"}, AdvertisedHost: "localhost", AdvertisedPort: 9092},
		}
		if !reflect.DeepEqual(c.Listeners, want) {
			t.Errorf("listeners %+v", c.Listeners)
		}
		if c.NodeID != 4 || c.ClusterID != "MkU3OEVBNTcwNTJENDM2Qk" || !slices.Equal(c.DataDirs, []string{"/data"}) {
			t.Errorf("%+v", c)
		}
		if want := []string{"confluent.balancer.enable", "controller.quorum.voters", "inter.broker.protocol.version", "KAFKA_BOOTSTRAP_SERVERS"}; !slices.Equal(c.Ignored, want) {
			t.Errorf("ignored are %v", c.Ignored)
		}
	})
	t.Run("server.properties", func(t *testing.T) {
		c := mustLoad(t, given{file: map[string]string{"server.properties": `
# The role of this server.
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
socket.send.buffer.bytes=102400
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
share.coordinator.state.topic.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`}})
		want := []Listener{{Name: "PLAINTEXT", Addresses: []string{":9092"}, AdvertisedHost: "localhost", AdvertisedPort: 9092}}
		if !reflect.DeepEqual(c.Listeners, want) {
			t.Errorf("listeners %+v", c.Listeners)
		}
		if !slices.Equal(c.DataDirs, []string{"/tmp/kraft-combined-logs"}) {
			t.Errorf("data in %v", c.DataDirs)
		}
		if want := []string{"controller.quorum.bootstrap.servers", "num.network.threads", "socket.send.buffer.bytes"}; !slices.Equal(c.Ignored, want) {
			t.Errorf("ignored are %v", c.Ignored)
		}
	})
}

func TestLoad_which_listeners_hold(t *testing.T) {
	tests := []struct {
		name  string
		given given
		want  string // the property listeners
		told  string // the property advertised.listeners
	}{
		{"the property over the environment's listen", given{env: map[string]string{"KBROKER_LISTEN": ":1"}, file: map[string]string{"server.properties": "listeners=PLAINTEXT://:2"}}, "PLAINTEXT://:2", ""},
		{"the flag over the property", given{args: []string{"--listen=:1"}, env: map[string]string{"KAFKA_LISTENERS": "PLAINTEXT://:2"}}, "PLAINTEXT://:1", ""},
		{"the property as a flag over the flag", given{args: []string{"--listen=:1", "--set", "listeners=PLAINTEXT://:2"}}, "PLAINTEXT://:2", ""},
		{"named in listen", given{args: []string{"--listen=PLAINTEXT://:1"}}, "PLAINTEXT://:1", ""},
		{"as Kafka's images derive it", given{env: map[string]string{"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092", "KBROKER_LISTEN": ":1"}}, "PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://kafka:9092"},
		{"both address families", given{args: []string{"--set", "listeners=PLAINTEXT://127.0.0.1:1,PLAINTEXT://[::1]:1"}}, "PLAINTEXT://127.0.0.1:1,PLAINTEXT://[::1]:1", ""},
		{"the flag advertise over the property", given{args: []string{"--advertise=a:1"}, env: map[string]string{"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://b:2", "KAFKA_LISTENERS": "PLAINTEXT://:2"}}, "PLAINTEXT://:2", "PLAINTEXT://a:1"},
		{"advertised for one listener", given{args: []string{"--advertise=OUT://a:1", "--set", "listeners=IN://:1,OUT://:2", "--set", "listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT"}}, "IN://:1,OUT://:2", "OUT://a:1"},
		{"names count in upper case", given{args: []string{"--set", "listeners=plaintext://:1"}}, "PLAINTEXT://:1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustLoad(t, tt.given)
			if got, _ := c.Static.Get("listeners"); got != tt.want {
				t.Errorf("listeners are %s, want %s", got, tt.want)
			}
			if got, _ := c.Static.Get("advertised.listeners"); got != tt.told {
				t.Errorf("advertised are %q, want %q", got, tt.told)
			}
		})
	}
}

func TestLoad_where_the_data_is(t *testing.T) {
	tests := []struct {
		name     string
		given    given
		want     []string
		metadata string
	}{
		{"several directories", given{args: []string{"--set", "log.dirs=/a,/b", "--set", "metadata.log.dir=/m"}}, []string{"/a", "/b"}, "/m"},
		{"log.dir where log.dirs isn't set", given{env: map[string]string{"KAFKA_LOG_DIR": "/a"}}, []string{"/a"}, ""},
		{"the property as a flag over the environment", given{args: []string{"--set", "log.dirs=/a"}, env: map[string]string{"KBROKER_DATA_DIR": "/b"}}, []string{"/a"}, ""},
		{"the flag over the property", given{args: []string{"--data-dir=memory:"}, env: map[string]string{"KAFKA_LOG_DIRS": "/b"}}, []string{"memory:"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c := mustLoad(t, tt.given); !slices.Equal(c.DataDirs, tt.want) || c.MetadataDir != tt.metadata {
				t.Errorf("data in %v, metadata in %q", c.DataDirs, c.MetadataDir)
			}
		})
	}
}

func TestNew_reads_no_environment(t *testing.T) {
	clean(t)
	t.Setenv("KAFKA_NODE_ID", "9")
	t.Setenv("KBROKER_DATA_DIR", "/elsewhere")
	c, err := New(Given{Own: map[string][]string{"data-dir": {"memory:"}, "listen": {"127.0.0.1:0"}, "topic": {"a:3", "b"}}, Kafka: map[string]string{"num.partitions": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.NodeID != 1 || !c.InMemory() || len(c.Topics) != 2 || c.Static.Int("num.partitions") != 2 {
		t.Errorf("%+v", c)
	}
	if _, err := New(Given{Own: map[string][]string{"nope": {"x"}}}); err == nil {
		t.Error("an unknown setting is accepted")
	}
}

func TestEffective_shows_sources_and_hides_secrets(t *testing.T) {
	c := mustLoad(t, given{args: []string{"--set", "ssl.keystore.password=secret", "--set", "num.io.threads=9"}, env: map[string]string{"KBROKER_HTTP": "off"}})
	rows := map[string]EffectiveSetting{}
	for _, s := range c.Effective(false) {
		rows[s.Name] = s
		if strings.Contains(s.Value, "secret") {
			t.Errorf("%+v shows a secret", s)
		}
	}
	if r := rows["http"]; r.Value != "off" || r.Origin != "environment KBROKER_HTTP" || r.Kafka {
		t.Errorf("%+v", r)
	}
	if r := rows["num.io.threads"]; r.Value != "9" || r.Origin != "flag --set" || !r.Ignored || !r.Kafka {
		t.Errorf("%+v", r)
	}
	if r := rows["ssl.keystore.password"]; r.Value != "[hidden]" {
		t.Errorf("%+v", r)
	}
	if _, shown := rows["log.retention.hours"]; shown {
		t.Error("a default is shown")
	}
	if all := c.Effective(true); len(all) < 350 {
		t.Errorf("%d settings with defaults", len(all))
	}
}

func TestParseProperties(t *testing.T) {
	got, err := parseProperties("# comment\n! another\na=1\nb : 2\nc 3\n  d = x y \\\n   z\r\ne=\nf\ng=a\\=b\\u0041\\n\nh\\:i=j\nk=a\\\\\nl=1\n")
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "x y z"}, {"e", ""}, {"f", ""}, {"g", "a=bA\n"}, {"h:i", "j"}, {"k", `a\`}, {"l", "1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, bad := range []string{"a=\\u00", "a=\\uzzzz", "a=\xff"} {
		if _, err := parseProperties(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestPropertyOfVariable(t *testing.T) {
	for variable, want := range map[string]string{
		"KAFKA_LOG_RETENTION_MS": "log.retention.ms", "KAFKA_A__B": "a_b", "KAFKA_A___B": "a-b", "KAFKA_CFG_NODE_ID": "node.id",
	} {
		if got := propertyOfVariable(variable); got != want {
			t.Errorf("%s is %s, want %s", variable, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"5": 5, "1k": 1 << 10, "2MiB": 2 << 20, "3 GB": 3 << 30, "1T": 1 << 40, "7b": 7} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s is %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "1x", "99999999999999999999", "9999999999G", "1.5G"} {
		if n, err := parseSize(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
}

func TestMachineMemory(t *testing.T) {
	tests := []struct {
		name      string
		files     map[string]string
		want      int64
		contained bool
	}{
		{"nothing known", nil, 0, false},
		{"a machine", map[string]string{"proc/meminfo": "MemTotal:        1024 kB\nMemFree: 5 kB\n"}, 1 << 20, false},
		{"version 2", map[string]string{"proc/meminfo": "MemTotal: 4096 kB\n", "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1048576\n"}, 1 << 20, true},
		{"version 2, no limit", map[string]string{"proc/meminfo": "MemTotal: 4096 kB\n", "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 4 << 20, false},
		{"the outer group limits", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2097152\n"}, 2 << 20, true},
		{"version 1", map[string]string{"proc/self/cgroup": "5:cpu,memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3145728\n"}, 3 << 20, true},
		{"version 1, no limit", map[string]string{"proc/meminfo": "MemTotal: 4096 kB\n", "proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 4 << 20, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range tt.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, contained := memoryUnder(root); got != tt.want || contained != tt.contained {
				t.Errorf("%d contained %v, want %d %v", got, contained, tt.want, tt.contained)
			}
		})
	}
}

// Nothing that a file can hold may end the program.
func FuzzParseProperties(f *testing.F) {
	f.Add("a=b\\\n c")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseProperties(text) })
}
