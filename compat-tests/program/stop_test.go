package program

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestStop_SIGTERM_answers_what_waits_and_leaves_a_clean_directory(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			p := start(t, "--data-dir", dir, "--topic", "t:1", "--durability", "fsync")
			parked := dial(t, p.addrs[0])
			fetch := fetchOf("t", 0, 300_000, 1<<20)
			parked.send(fetch)
			awaitMetric(t, p, "kbroker_parked_requests", func(v float64) bool { return v == 1 })
			produce := produceOf(t, "t", -1, []byte("in flight"))
			producing := dial(t, p.addrs[0])
			producing.send(produce)
			awaitMetric(t, p, `kbroker_topic_messages_in_total{topic="t"}`, func(v float64) bool { return v == 1 })
			began := time.Now()
			if err := p.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if code := errorOf(producing.receive(produce)); code != 0 {
				t.Errorf("the produce in flight got error %d", code)
			}
			if r := parked.receive(fetch).(*kmsg.FetchResponse); r.ErrorCode != 0 || r.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Errorf("the fetch that waited got %+v", r)
			}
			if code := p.await(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %s", took)
			}
			if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
				t.Error(err)
			}
			if _, err := parked.read(fetch); err == nil {
				t.Error("the connection is still answered")
			}
		})
	}
}

// A client that takes no answers keeps a stopping broker waiting for a few seconds; a second signal doesn't wait.
func TestStop_a_second_signal_ends_at_once(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "--data-dir", dir, "--topic", "t:1")
	c := dial(t, p.addrs[0])
	value := make([]byte, 900<<10)
	for range 30 {
		if code := errorOf(c.ask(produceOf(t, "t", 1, value))); code != 0 {
			t.Fatalf("error %d", code)
		}
	}
	for range 20 { // some 500 MB of answers, more than any socket holds
		c.send(fetchOf("t", 0, 0, 1))
	}
	awaitMetric(t, p, `kbroker_topic_bytes_out_total{topic="t"}`, func(v float64) bool { return v > 0 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.log.await(t, "stopping")
	if code := p.end(t, syscall.SIGTERM); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if len(p.log.with("msg=stopped")) != 0 {
		t.Errorf("it stopped in order:\n%s", p.log)
	}
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err == nil {
		t.Error("a stop that was cut short left the mark of a clean one")
	}
	// The next start recovers.
	p = start(t, "--data-dir", dir)
	r := dial(t, p.addrs[0]).ask(fetchOf("t", 0, 0, 1)).(*kmsg.FetchResponse)
	if got := r.Topics[0].Partitions[0]; got.ErrorCode != 0 || got.HighWatermark != 30 {
		t.Errorf("error %d, high watermark %d, want 30", got.ErrorCode, got.HighWatermark)
	}
}

func TestStop_kill_9_loses_nothing_that_was_acknowledged(t *testing.T) {
	dir := t.TempDir()
	for life := range int64(3) {
		p := start(t, "--data-dir", dir, "--topic", "t:1")
		c := dial(t, p.addrs[0])
		r := c.ask(fetchOf("t", 0, 0, 1)).(*kmsg.FetchResponse)
		if hw := r.Topics[0].Partitions[0].HighWatermark; hw != 100*life {
			t.Fatalf("life %d begins with %d records", life, hw)
		}
		for range 100 {
			if code := errorOf(c.ask(produceOf(t, "t", 1, []byte("x")))); code != 0 {
				t.Fatalf("error %d", code)
			}
		}
		p.end(t, syscall.SIGKILL)
	}
}

func TestStop_an_idle_broker_stops_at_once(t *testing.T) {
	p := start(t)
	client(t, p.addrs[0]) // an idle client
	c := dial(t, p.addrs[0])
	c.ask(kmsg.NewPtrApiVersionsRequest())
	began := time.Now()
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Clients that open connections without end take no descriptors that the logs need.
func TestConnections_leave_descriptors_to_the_logs(t *testing.T) {
	const files, partitions = 256, 60
	i := invocation{args: []string{"--listen", "127.0.0.1:0", "--http", "off", "--data-dir", "data", "--topic", fmt.Sprintf("t:%d", partitions)}, files: files}
	p := i.start(t)
	c := dial(t, p.addrs[0])
	c.ask(kmsg.NewPtrApiVersionsRequest())
	for range 2 * files {
		dial(t, p.addrs[0])
	}
	for n := range partitions {
		r := produceOf(t, "t", 1, []byte("x"))
		r.Topics[0].Partitions[0].Partition = int32(n)
		if code := errorOf(c.ask(r)); code != 0 {
			t.Fatalf("partition %d: error %d", n, code)
		}
	}
	if found := append(p.log.with("level=WARN"), p.log.with("level=ERROR")...); len(found) > 0 {
		t.Errorf("it says:\n%s", strings.Join(found, "\n"))
	}
}

// Producers under load that a stop interrupts: each request is either answered as it should be or not at all.
func TestStop_no_produce_is_answered_otherwise_than_it_went(t *testing.T) {
	const producers, requests = 16, 200
	for range 5 {
		dir := t.TempDir()
		p := start(t, "--data-dir", dir, "--topic", "t:1", "--durability", "fsync")
		var wg sync.WaitGroup
		var acknowledged atomic.Int64
		for range producers {
			c := dial(t, p.addrs[0])
			r := produceOf(t, "t", -1, []byte("x"))
			frame := kmsg.NewRequestFormatter().AppendRequest(nil, r, 1)
			wg.Go(func() { // the broker may be gone at any time
				for range requests {
					if _, err := c.Write(frame); err != nil {
						return
					}
				}
			})
			wg.Go(func() {
				for range requests {
					resp, err := c.read(r)
					if err != nil {
						return
					}
					if code := errorOf(resp); code != 0 {
						t.Errorf("error %d", code)
						return
					}
					acknowledged.Add(1)
				}
			})
		}
		awaitMetric(t, p, `kbroker_topic_messages_in_total{topic="t"}`, func(v float64) bool { return v > producers })
		if code := p.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
		wg.Wait()
		p = start(t, "--data-dir", dir)
		r := dial(t, p.addrs[0]).ask(fetchOf("t", 0, 0, 1)).(*kmsg.FetchResponse)
		if hw := r.Topics[0].Partitions[0].HighWatermark; hw < acknowledged.Load() {
			t.Errorf("%d records, of %d that were acknowledged", hw, acknowledged.Load())
		}
		t.Logf("%d of %d acknowledged", acknowledged.Load(), producers*requests)
		p.end(t, syscall.SIGKILL)
	}
}
