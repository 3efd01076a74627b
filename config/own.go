package config

import (
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// ownSetting is one of the program's own settings: a flag --name, KBROKER_NAME in the environment, name in a YAML file.
type ownSetting struct {
	name     string
	argument string // as the usage shows it
	fallback string // the default, empty where it depends on something
	// several settings may be given more than once; separator divides their values in the environment.
	several   bool
	separator string
	doc       string
	hidden    bool // isn't a setting of the broker itself
}

// The names of the program's own settings.
const (
	ownListen       = "listen"
	ownAdvertise    = "advertise"
	ownDataDir      = "data-dir"
	ownHTTP         = "http"
	ownProfile      = "profile"
	ownConfig       = "config"
	ownNodeID       = "node-id"
	ownTopic        = "topic"
	ownSet          = "set"
	ownMemoryBudget = "memory-budget"
	ownLogLevel     = "log-level"
	ownLogFormat    = "log-format"
	ownDurability   = "durability"
)

// ownSettings lists them in the order of the usage.
var ownSettings = []ownSetting{
	{name: ownListen, argument: "HOST:PORT", fallback: "localhost:9092", several: true, separator: ",", doc: "Where clients connect; localhost is both loopback families, an empty host all interfaces. Repeatable. NAME://HOST:PORT names a listener."},
	{name: ownAdvertise, argument: "auto|HOST:PORT", fallback: "auto", doc: "What clients are told to connect to; auto is the address at which they came in."},
	{name: ownDataDir, argument: "PATH|memory:", fallback: "./kbroker-data", doc: "Where the data is kept; memory: keeps nothing on disk."},
	{name: ownHTTP, argument: "HOST:PORT|off", fallback: "127.0.0.1:9644", doc: "Where health, readiness and metrics are served."},
	{name: ownProfile, argument: "dev|production", fallback: "dev", doc: "Which defaults hold."},
	{name: ownConfig, argument: "FILE", doc: "A YAML file with the names of these flags and a map kafka of Kafka's properties, or a server.properties.", hidden: true},
	{name: ownNodeID, argument: "N", fallback: "1", doc: "The broker's number in the cluster."},
	{name: ownTopic, argument: "NAME[:PARTITIONS]", several: true, separator: ",", doc: "A topic that is made before the broker is ready. Repeatable."},
	{name: ownSet, argument: "PROPERTY=VALUE", several: true, separator: ";", doc: "One of Kafka's broker properties. Repeatable; in the environment divided by semicolons.", hidden: true},
	{name: ownMemoryBudget, argument: "SIZE", doc: "Most memory for requests, and for records with memory:, as 512MiB or in bytes; by default half of what the container or machine has."},
	{name: ownDurability, argument: "os|fsync", doc: "When a record counts as written: when the operating system has it (default in dev) or when it is synced to disk (default in production)."},
	{name: ownLogLevel, argument: "debug|info|warn|error", fallback: "info", doc: "What is logged."},
	{name: ownLogFormat, argument: "text|json", fallback: "text", doc: "How it is logged."},
}

// ownValue is what was given for one of the program's own settings.
type ownValue struct {
	values []string
	origin Origin
}

func (v ownValue) joined() string { return strings.Join(v.values, ",") }

// Environment gives the name of the environment variable of a flag.
func Environment(flag string) string {
	return "KBROKER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// problem is an error about one of the program's own settings.
func (v ownValue) problem(name, format string, args ...any) error {
	where := v.origin.String()
	if v.origin.Kind == FromFile || v.origin.Kind == FromDefault {
		where += ": " + name
	}
	return fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...))
}

// oneOf checks an enumeration.
func (v ownValue) oneOf(name string, allowed ...string) (string, error) {
	for _, a := range allowed {
		if v.joined() == a {
			return a, nil
		}
	}
	return "", v.problem(name, "%q is not allowed (allowed: %s)", v.joined(), strings.Join(allowed, ", "))
}

// httpAddress reads where HTTP is served; empty is off.
func (v ownValue) httpAddress() (string, error) {
	address := v.joined()
	if address == "off" {
		return "", nil
	}
	if err := checkAddress(address); err != nil {
		return "", v.problem(ownHTTP, "%v (allowed: HOST:PORT or off)", err)
	}
	return address, nil
}

// checkAddress checks HOST:PORT.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if strings.ContainsAny(host, " /@") {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("the port of %q is not a number from 0 to 65535", address)
	}
	return nil
}

func (v ownValue) level() (slog.Level, error) {
	name, err := v.oneOf(ownLogLevel, "debug", "info", "warn", "error")
	if err != nil {
		return 0, err
	}
	var l slog.Level
	return l, l.UnmarshalText([]byte(name))
}

// Topic names as Kafka allows them.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// MaxSeedPartitions is the largest number of partitions that --topic takes.
const MaxSeedPartitions = 10_000

func (v ownValue) topics() ([]SeedTopic, error) {
	var topics []SeedTopic
	seen := map[string]bool{}
	for _, given := range v.values {
		name, count, counted := strings.Cut(given, ":")
		t := SeedTopic{Name: name, Partitions: -1}
		if !topicName.MatchString(name) || name == "." || name == ".." {
			return nil, v.problem(ownTopic, "%q is not a topic's name (allowed: 1 to 249 letters, digits, '.', '_' and '-')", name)
		}
		if counted {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 || n > MaxSeedPartitions {
				return nil, v.problem(ownTopic, "%q: the number of partitions must be from 1 to %d", given, MaxSeedPartitions)
			}
			t.Partitions = int32(n)
		}
		if seen[name] {
			return nil, v.problem(ownTopic, "the topic %q is named twice", name)
		}
		seen[name] = true
		topics = append(topics, t)
	}
	return topics, nil
}

var sizePattern = regexp.MustCompile(`(?i)^([0-9]+)\s*(|[kmgt]|[kmgt]i?b|b)$`)

// MinMemoryBudget is the least memory that a broker can work with, in bytes.
const MinMemoryBudget = 16 << 20

// parseSize reads 512MiB, 1g or a number of bytes.
func parseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, fmt.Errorf("%q is not a size (allowed: bytes, or a number with KiB, MiB, GiB)", s)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is too large", s)
	}
	shift := map[byte]int{'k': 10, 'm': 20, 'g': 30, 't': 40}
	if unit := strings.ToLower(m[2]); unit != "" {
		by := shift[unit[0]]
		if n > (1<<62)>>by {
			return 0, fmt.Errorf("%q is too large", s)
		}
		n <<= by
	}
	return n, nil
}

func (v ownValue) memoryBudget() (int64, error) {
	n, err := parseSize(v.joined())
	if err != nil {
		return 0, v.problem(ownMemoryBudget, "%v", err)
	}
	if n < MinMemoryBudget {
		return 0, v.problem(ownMemoryBudget, "%s is too little (allowed: %d MiB or more)", v.joined(), MinMemoryBudget>>20)
	}
	return n, nil
}
