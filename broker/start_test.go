package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func nopLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func hold(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestStart_that_fails_leaves_nothing_behind(t *testing.T) {
	taken := hold(t)
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	b, _ := started(t, map[string]string{"data-dir": other})
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		settings map[string]string
		want     string // in the error
	}{
		{"Kafka's port", map[string]string{"listen": taken}, "flag --listen: the address " + taken + " is in use"},
		{"the second of Kafka's ports", map[string]string{"listen": "127.0.0.1:0 " + taken}, "flag --listen: the address " + taken + " is in use"},
		{"the HTTP port", map[string]string{"http": taken}, "http: the address " + taken + " is in use"},
		{"an address that isn't ours", map[string]string{"listen": "192.0.2.1:9092"}, "flag --listen: can't listen on 192.0.2.1:9092"},
		{"a directory that can't be made", map[string]string{"data-dir": filepath.Join(dir, "file")}, "data-dir: "},
		{"another node's directory", map[string]string{"data-dir": other, "node-id": "9"}, "data-dir: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fresh := filepath.Join(dir, "fresh")
			if tt.settings["data-dir"] == "" {
				tt.settings["data-dir"] = fresh
			}
			_, err := Start(t.Context(), given(t, tt.settings), nopLog())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "(allowed: ") && tt.settings["data-dir"] != filepath.Join(dir, "file") {
				t.Errorf("%v, want %q and what is allowed", err, tt.want)
			}
			if _, err := os.Stat(fresh); err == nil {
				t.Error("the data directory was made")
			}
		})
	}
	// The directory that was refused is as it was: unlocked, and cleanly closed.
	if _, err := os.Stat(filepath.Join(other, ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	started(t, map[string]string{"data-dir": other})
}

func TestStart_a_metadata_directory_is_locked_too(t *testing.T) {
	dir := t.TempDir()
	meta := filepath.Join(dir, "meta")
	started(t, map[string]string{"data-dir": filepath.Join(dir, "a"), "kafka:metadata.log.dir": meta})
	_, err := Start(t.Context(), given(t, map[string]string{"data-dir": filepath.Join(dir, "b"), "kafka:metadata.log.dir": meta}), nopLog())
	if err == nil || !strings.Contains(err.Error(), "metadata.log.dir: ") || !strings.Contains(err.Error(), "allowed") {
		t.Errorf("%v", err)
	}
}

func TestRun_is_no_failure_when_it_is_told_to_end(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, given(t, nil), nopLog()); err != nil {
		t.Errorf("before the start: %v", err)
	}
}

func TestListen_localhost_is_both_families_with_one_port(t *testing.T) {
	b, _ := started(t, map[string]string{"listen": "localhost:0"})
	addrs := b.Addrs()
	v4, port, _ := net.SplitHostPort(addrs[0])
	if v4 != "127.0.0.1" {
		t.Errorf("addresses %v", addrs)
	}
	probe, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6 loopback")
	}
	probe.Close()
	if len(addrs) != 2 || addrs[1] != "[::1]:"+port {
		t.Fatalf("addresses %v", addrs)
	}
	for _, a := range addrs {
		if refused(t, a) {
			t.Errorf("no answer on %s", a)
		}
	}
}

func TestStop_fetches_that_wait_are_answered(t *testing.T) {
	b, _ := started(t, map[string]string{"topic": "t:1"})
	cl := client(t, b.Addrs()[0], kgo.ConsumeTopics("t"), kgo.FetchMaxWait(5*time.Minute))
	parked := make(chan struct{})
	go func() {
		defer close(parked)
		for b.server.Stats().Parked == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond) // the condition is what is waited for
		}
	}()
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		cl.PollFetches(within(t, 30*time.Second))
	}()
	<-parked
	began := time.Now()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > drainTime/2 {
		t.Errorf("stopping took %s: the fetch wasn't answered", took)
	}
	cl.Close()
	<-polled
}

func TestMemory_deleted_topics_give_their_memory_back_at_once(t *testing.T) {
	b, lines := started(t, map[string]string{"memory-budget": "16MiB", "topic": "a:1 b:1"})
	cl := client(t, b.Addrs()[0], kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 900<<10)
	fill := func() (n int, err error) {
		for n = 0; err == nil && n < 64; n++ {
			err = cl.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: value}).FirstErr()
		}
		return n, err
	}
	if n, err := fill(); !errors.Is(err, kerr.KafkaStorageError) || n < 8 {
		t.Fatalf("%d records, then %v", n, err)
	}
	admin := kadm.NewClient(cl)
	if resp, err := admin.CreateTopic(t.Context(), 1, 1, nil, "new"); err != nil {
		t.Errorf("metadata suffer from records: %v, %v", resp, err)
	}
	if resp, err := admin.DeleteTopic(t.Context(), "a"); err != nil {
		t.Fatalf("%v, %v", resp, err)
	}
	if used := b.memory.fs.Used(); used > 8<<20 {
		t.Errorf("%d bytes are still in use", used)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "b", Value: value}).FirstErr(); err != nil {
		t.Errorf("a produce after the deletion: %v", err)
	}
	if n := strings.Count(lines.String(), "memory budget is spent"); n > 1 {
		t.Errorf("said %d times", n)
	}
}

func TestMemory_retention_makes_room_when_there_is_none(t *testing.T) {
	b, _ := started(t, map[string]string{
		"memory-budget": "16MiB", "topic": "a:1", "kafka:log.segment.bytes": "1048576", "kafka:log.retention.bytes": "2097152",
	})
	// Producers try again, as they do; retention runs by itself only every five minutes.
	cl := client(t, b.Addrs()[0], kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MetadataMinAge(20*time.Millisecond))
	value := make([]byte, 500<<10)
	ctx := within(t, time.Minute)
	for i := range 100 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "a", Value: value}).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}
