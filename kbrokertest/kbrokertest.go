// Package kbrokertest gives a Go test a broker of its own: in the test's process, in memory, on a free port of 127.0.0.1, up in milliseconds.
// Any number run side by side. Neither the environment nor a file says anything to it. When the test ends the broker stops, and nothing of it is left:
// no goroutine, no file.
//
//	b := kbrokertest.Start(t, kbrokertest.Topic("orders", 3))
//	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
package kbrokertest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"

	"github.com/kbroker/kbroker/broker"
	"github.com/kbroker/kbroker/config"
)

// DefaultMemoryBudget is how much a broker's records may take in memory, in bytes. Requests may take a quarter of it besides.
const DefaultMemoryBudget = 256 << 20

// Broker is a running broker.
type Broker struct {
	b *broker.Broker
}

type options struct {
	given config.Given
	log   *slog.Logger
}

// Option changes how a broker starts.
type Option func(*options)

// Topic has a topic made before the broker is ready. With partitions 0 it has as many as num.partitions says.
func Topic(name string, partitions int) Option {
	if partitions > 0 {
		name += ":" + strconv.Itoa(partitions)
	}
	return func(o *options) { o.given.Own["topic"] = append(o.given.Own["topic"], name) }
}

// Set sets one of Kafka's broker properties.
func Set(property, value string) Option {
	return func(o *options) { o.given.Kafka[property] = value }
}

// Flag sets one of kbroker's own settings, by its flag's name without dashes; a later one wins. Topics have Topic, and Kafka's properties Set.
func Flag(name string, values ...string) Option {
	return func(o *options) { o.given.Own[name] = values }
}

// MemoryBudget bounds the records in memory, in bytes; without it DefaultMemoryBudget.
func MemoryBudget(bytes int64) Option { return Flag("memory-budget", strconv.FormatInt(bytes, 10)) }

// Dir keeps the data on disk, in a folder, instead of in memory: a broker that is started on it later has them.
func Dir(path string) Option { return Flag("data-dir", path) }

// Port has the broker listen on this port of 127.0.0.1, for a broker that is to come back where it was.
func Port(port int) Option { return Flag("listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) }

// Logger has the broker log somewhere. Without it only warnings and errors are logged, to the test's own log.
func Logger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// Start starts a broker and returns when it is ready. It stops when the test ends. A broker that can't start fails the test.
func Start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	b, err := start(t, opts...)
	if err != nil {
		t.Fatalf("kbrokertest: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Errorf("kbrokertest: stopping the broker: %v", err)
		}
	})
	return b
}

// base is what a broker is started with unless options say otherwise.
func base() map[string][]string {
	return map[string][]string{
		"listen":        {"127.0.0.1:0"},
		"http":          {"off"},
		"data-dir":      {config.MemoryDataDir},
		"memory-budget": {strconv.Itoa(DefaultMemoryBudget)},
	}
}

func start(t testing.TB, opts ...Option) (*Broker, error) {
	o := options{
		given: config.Given{Own: base(), Kafka: map[string]string{}},
		log:   slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, opt := range opts {
		opt(&o)
	}
	cfg, err := config.New(o.given)
	if err != nil {
		return nil, err
	}
	b, err := broker.Start(context.Background(), cfg, o.log)
	if err != nil {
		return nil, err
	}
	return &Broker{b}, nil
}

// Addr is the broker's address, HOST:PORT.
func (b *Broker) Addr() string { return b.b.Addrs()[0] }

// Port is the port of Addr.
func (b *Broker) Port() int {
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		panic(fmt.Sprintf("kbrokertest: %v", err)) // Addr is a listener's own
	}
	n, _ := strconv.Atoi(port)
	return n
}

// HTTPAddr is where the broker serves HTTP, HOST:PORT, with Flag("http", "127.0.0.1:0"); empty without.
func (b *Broker) HTTPAddr() string {
	if a := b.b.HTTPAddr(); a != nil {
		return a.String()
	}
	return ""
}

// Stop stops the broker before its test ends. Stopping it again does nothing.
func (b *Broker) Stop() error { return b.b.Stop() }

// testWriter writes the broker's log lines to the test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p[:max(0, len(p)-1)]))
	return len(p), nil
}
