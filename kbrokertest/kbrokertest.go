// Package kbrokertest gives a Go test a broker of its own: in the test's process, in memory, on a free port of 127.0.0.1, up in milliseconds.
// Any number run side by side. When the test ends the broker stops, and nothing of it is left: no goroutine, no file.
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
	"github.com/spf13/pflag"
)

// defaultBudgetBytes is how much a broker's records may take in memory.
const defaultBudgetBytes = 256 << 20

// Broker is a running broker.
type Broker struct {
	b *broker.Broker
}

type options struct {
	args []string
	log  *slog.Logger
}

// Option changes how a broker starts.
type Option func(*options)

// Topic has a topic made before the broker is ready. With partitions 0 it has as many as num.partitions says.
func Topic(name string, partitions int) Option {
	if partitions > 0 {
		name += ":" + strconv.Itoa(partitions)
	}
	return Args("--topic", name)
}

// Set sets one of Kafka's broker properties.
func Set(property, value string) Option { return Args("--set", property+"="+value) }

// MemoryBudget bounds the records in memory, in bytes; without it 256 MiB.
func MemoryBudget(bytes int64) Option { return Args("--memory-budget", strconv.FormatInt(bytes, 10)) }

// Dir keeps the data on disk, in a folder, instead of in memory.
func Dir(path string) Option { return Args("--data-dir", path) }

// Args gives the broker command-line arguments, as kbroker has them. Later ones win.
func Args(args ...string) Option { return func(o *options) { o.args = append(o.args, args...) } }

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

func start(t testing.TB, opts ...Option) (*Broker, error) {
	o := options{
		args: []string{
			"--listen", "127.0.0.1:0", "--http", "off", "--data-dir", config.MemoryDataDir,
			"--memory-budget", strconv.Itoa(defaultBudgetBytes),
		},
		log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, opt := range opts {
		opt(&o)
	}
	flags := pflag.NewFlagSet("kbroker", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(o.args); err != nil {
		return nil, err
	}
	cfg, err := config.Load(flags)
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

// Stop stops the broker before its test ends. Stopping it again does nothing.
func (b *Broker) Stop() error { return b.b.Stop() }

// testWriter writes the broker's log lines to the test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p[:max(0, len(p)-1)]))
	return len(p), nil
}
