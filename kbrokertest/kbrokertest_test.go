package kbrokertest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/kbroker/kbroker/kbrokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, b *kbrokertest.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func produce(t *testing.T, b *kbrokertest.Broker, topic string, values ...string) {
	t.Helper()
	cl := client(t, b)
	for _, v := range values {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func consume(t *testing.T, b *kbrokertest.Broker, topic string, n int) (values []string) {
	t.Helper()
	cl := client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(values) < n {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("%v after %q", err, values)
		}
		f.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestStart_several_brokers_side_by_side_share_nothing(t *testing.T) {
	const brokers = 5
	var all []*kbrokertest.Broker
	ports := map[int]bool{}
	for range brokers {
		b := kbrokertest.Start(t, kbrokertest.Topic("t", 1))
		all = append(all, b)
		ports[b.Port()] = true
	}
	if len(ports) != brokers {
		t.Fatalf("ports %v", ports)
	}
	for i, b := range all {
		produce(t, b, "t", fmt.Sprint("of broker ", i))
	}
	for i, b := range all {
		if got := consume(t, b, "t", 1); len(got) != 1 || got[0] != fmt.Sprint("of broker ", i) {
			t.Errorf("broker %d has %q", i, got)
		}
	}
}

func TestStart_in_parallel(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := kbrokertest.Start(t).Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestTopic_is_there_with_its_partitions(t *testing.T) {
	b := kbrokertest.Start(t, kbrokertest.Topic("a", 3), kbrokertest.Topic("b", 0), kbrokertest.Set("num.partitions", "2"))
	topics, err := kadm.NewClient(client(t, b)).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(topics["a"].Partitions) != 3 || len(topics["b"].Partitions) != 2 {
		t.Errorf("topics %v", topics)
	}
}

func TestStop_twice_and_again_at_the_end(t *testing.T) {
	b := kbrokertest.Start(t)
	for range 2 {
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Addr()); err == nil {
		c.Close()
		t.Error("a stopped broker takes connections")
	}
}

func TestDir_keeps_the_data_for_the_next_broker(t *testing.T) {
	dir := t.TempDir()
	b := kbrokertest.Start(t, kbrokertest.Dir(dir), kbrokertest.Topic("t", 1))
	produce(t, b, "t", "one", "two")
	port := b.Port()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	b = kbrokertest.Start(t, kbrokertest.Dir(dir), kbrokertest.Port(port))
	if b.Port() != port {
		t.Errorf("port %d, want %d", b.Port(), port)
	}
	if got := strings.Join(consume(t, b, "t", 2), " "); got != "one two" {
		t.Errorf("found %q", got)
	}
}

func TestStart_reads_neither_environment_nor_files(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.yaml", []byte("nonsense: true"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"KBROKER_CONFIG": "bad.yaml", "KBROKER_PROFILE": "nonsense", "KBROKER_LISTEN": "nonsense", "KAFKA_NUM_PARTITIONS": "7", "CLUSTER_ID": "!",
		"KAFKA_LOG_RETENTION_MS": "nonsense",
	} {
		t.Setenv(name, value)
	}
	b := kbrokertest.Start(t, kbrokertest.Topic("t", 0))
	topics, err := kadm.NewClient(client(t, b)).ListTopics(t.Context(), "t")
	if err != nil || len(topics["t"].Partitions) != 1 {
		t.Errorf("%v, %v", topics, err)
	}
	left, err := os.ReadDir(".")
	if err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

func TestMemoryBudget_bounds_the_records(t *testing.T) {
	lines := &logged{}
	b := kbrokertest.Start(t, kbrokertest.MemoryBudget(16<<20), kbrokertest.Topic("t", 1), kbrokertest.Logger(slog.New(slog.NewTextHandler(lines, nil))))
	cl := client(t, b, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 900<<10)
	var err error
	n := 0
	for ; err == nil && n < 64; n++ {
		err = cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: value}).FirstErr()
	}
	if !errors.Is(err, kerr.KafkaStorageError) || n < 8 {
		t.Fatalf("%d records of 900 KiB, then %v", n, err)
	}
	if got := len(consume(t, b, "t", n-1)); got != n-1 {
		t.Errorf("%d records can be read, want %d", got, n-1)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if said := strings.Count(lines.String(), "memory budget is spent"); said != 1 {
		t.Errorf("said %d times:\n%s", said, lines)
	}
}

// logged is a log that may be written to from anywhere.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestStart_that_fails_leaves_nothing(t *testing.T) {
	first := kbrokertest.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		kbrokertest.Start(f, kbrokertest.Dir(dir), kbrokertest.Port(first.Port()))
	}()
	<-done
	if !strings.Contains(f.message, "in use") {
		t.Errorf("failed with %q", f.message)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the data directory was made")
	}
}

// failing is a test that may fail without the test that it is part of.
type failing struct {
	testing.TB
	message string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestFlag_takes_settings_of_the_program(t *testing.T) {
	b := kbrokertest.Start(t, kbrokertest.Flag("profile", "production"))
	resp, err := kadm.NewClient(client(t, b)).CreateTopic(t.Context(), 1, 3, nil, "t")
	if !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("three replicas in production: %v, %v", resp, err)
	}
}

func TestHTTPAddr(t *testing.T) {
	if a := kbrokertest.Start(t).HTTPAddr(); a != "" {
		t.Errorf("HTTP is served on %s without being asked for", a)
	}
	if a := kbrokertest.Start(t, kbrokertest.Flag("http", "127.0.0.1:0")).HTTPAddr(); !strings.HasPrefix(a, "127.0.0.1:") {
		t.Errorf("HTTP is served on %q", a)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		if err := kbrokertest.Start(b).Stop(); err != nil {
			b.Fatal(err)
		}
	}
}
