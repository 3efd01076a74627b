package config

import (
	"log/slog"
	"net"
	"slices"
	"strconv"
)

// Profile is a set of defaults for a purpose.
type Profile string

const (
	// ProfileDev is for development and tests: groups form at once, no more replicas are needed than there are brokers.
	ProfileDev Profile = "dev"
	// ProfileProduction has Kafka's defaults, syncs to disk, and makes no topics by itself.
	ProfileProduction Profile = "production"
)

// Durability says when the broker acknowledges.
type Durability string

const (
	// DurabilityOS acknowledges when the operating system has the bytes: that survives a killed process.
	DurabilityOS Durability = "os"
	// DurabilityFsync acknowledges when the bytes are synced to disk: that survives a power cut.
	DurabilityFsync Durability = "fsync"
)

// LogFormat is how the program's log looks.
type LogFormat string

const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// MemoryDataDir is the data directory that keeps everything in memory.
const MemoryDataDir = "memory:"

// DefaultListener is the name of the listener that --listen opens.
const DefaultListener = "PLAINTEXT"

// Config is everything that the program was started with. It is immutable.
type Config struct {
	// Version is the program's; metrics show it.
	Version string
	Profile Profile
	NodeID  int32
	// ClusterID is what a new data directory is given and an existing one must have; empty takes what comes.
	ClusterID string
	// DataDirs are the directories of the logs, at least one; alone MemoryDataDir keeps everything in memory.
	DataDirs []string
	// MetadataDir is where the metadata log is; empty: in the first of DataDirs.
	MetadataDir string
	// Listeners are what clients connect to, at least one. Controllers' listeners aren't among them.
	Listeners []Listener
	// HTTP is the address of health, metrics and control as HOST:PORT; empty is off.
	HTTP       string
	Durability Durability
	// Topics are made before the broker is ready, where they don't exist.
	Topics []SeedTopic
	// MemoryBudget bounds requests in memory, and records with MemoryDataDir, in bytes; 0 means that it could not be found out.
	MemoryBudget int64
	LogLevel     slog.Level
	LogFormat    LogFormat
	// ClampReplicas gives a topic as many replicas as there are brokers where more are asked for.
	ClampReplicas bool
	// AdvertisedAtRunTime allows PUT /advertised.
	AdvertisedAtRunTime bool
	// Static are Kafka's broker properties, among them those that the fields above were made of.
	Static *Static
	// Ignored names the properties that were set but change nothing here, and the environment variables that begin like Kafka's but
	// aren't; the broker logs them in one line.
	Ignored []string

	own map[string]ownValue
}

// Listener is a name under which clients connect, and where.
type Listener struct {
	Name string
	// Addresses are HOST:PORT. The host localhost means both loopback families, an empty one all interfaces; port 0 is any free one.
	Addresses []string
	// AdvertisedHost and AdvertisedPort are what clients are told to connect to; an empty host means the address at which they came in.
	AdvertisedHost string
	AdvertisedPort int32
}

// Advertised gives what clients are told as HOST:PORT, or auto.
func (l Listener) Advertised() string {
	if l.AdvertisedHost == "" {
		return "auto"
	}
	return net.JoinHostPort(l.AdvertisedHost, strconv.Itoa(int(l.AdvertisedPort)))
}

// SeedTopic is a topic that is made at the start. Partitions is -1 where num.partitions decides.
type SeedTopic struct {
	Name       string
	Partitions int32
}

// InMemory says that nothing is kept on disk.
func (c *Config) InMemory() bool { return len(c.DataDirs) == 1 && c.DataDirs[0] == MemoryDataDir }

// EffectiveSetting is a setting that holds, for people to read.
type EffectiveSetting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	// Kafka says that it is one of Kafka's properties, not one of the program's own flags.
	Kafka bool `json:"kafka"`
	// Ignored settings change nothing here.
	Ignored bool `json:"ignored,omitempty"`
}

// Effective lists what holds and where it comes from: the program's own settings, then the Kafka properties that were set, or with
// defaults all. Secrets are not shown.
func (c *Config) Effective(defaults bool) []EffectiveSetting {
	var list []EffectiveSetting
	for _, o := range ownSettings {
		v, ok := c.own[o.name]
		if !ok || o.hidden {
			continue
		}
		list = append(list, EffectiveSetting{Name: o.name, Value: v.joined(), Origin: v.origin.String()})
	}
	layers := Layers{Static: c.Static}
	for i := range brokerKeys {
		k := &brokerKeys[i]
		set := c.Static.IsSet(k.Name)
		if !set && (!defaults || k.Hidden) {
			continue
		}
		value, _ := layers.value(k)
		if k.Sensitive && value != "" {
			value = "[hidden]"
		}
		list = append(list, EffectiveSetting{
			Name: k.Name, Value: value, Origin: c.Static.Origin(k.Name).String(), Kafka: true, Ignored: slices.Contains(c.Ignored, k.Name),
		})
	}
	return list
}
