// Package kcat runs librdkafka's kcat against the built broker.
package kcat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
)

// run runs kcat with input and gives what it printed.
func run(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kcat", args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

func broker(t *testing.T, args ...string) *proc.Broker {
	t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Fatal("kcat is missing: compat-tests/kcat/install.sh installs it (make test does)")
	}
	return proc.Start(t, args...)
}

func TestEachCodecRoundTrips_ACC_02_PROD_13(t *testing.T) {
	b := broker(t)
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf("key-%d|value number %d %s", i, i, strings.Repeat("x", i%97)))
	}
	want := strings.Join(lines, "\n") + "\n"
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			topic := "codec-" + codec
			run(t, want, "-b", b.Addr, "-P", "-t", topic, "-K", "|", "-z", codec)
			if got := run(t, "", "-b", b.Addr, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k|%s\n"); got != want {
				t.Errorf("read %d bytes, want %d", len(got), len(want))
			}
		})
	}
}

func TestKeysHeadersAndNulls(t *testing.T) {
	b := broker(t, "--topic", "h")
	run(t, "k1|v1\n", "-b", b.Addr, "-P", "-t", "h", "-K", "|", "-H", "a=1", "-H", "b=two", "-p", "0")
	run(t, "k2|\n", "-b", b.Addr, "-P", "-t", "h", "-K", "|", "-Z", "-p", "0")
	got := run(t, "", "-b", b.Addr, "-C", "-t", "h", "-o", "beginning", "-e", "-q", "-f", "%o %k %S %h\n")
	if want := "0 k1 2 a=1,b=two\n1 k2 -1 \n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheSameKeyStaysInItsPartition(t *testing.T) {
	b := broker(t, "--topic", "keyed:6")
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintf(&in, "k%d|%d\n", i%10, i)
	}
	run(t, in.String(), "-b", b.Addr, "-P", "-t", "keyed", "-K", "|")
	of, last := map[string]string{}, map[string]int{}
	for line := range strings.Lines(run(t, "", "-b", b.Addr, "-C", "-t", "keyed", "-o", "beginning", "-e", "-q", "-f", "%p %k %s\n")) {
		var p, k string
		var v int
		if _, err := fmt.Sscan(line, &p, &k, &v); err != nil {
			t.Fatal(err)
		}
		if of[k] != "" && of[k] != p {
			t.Errorf("key %s is in partitions %s and %s", k, of[k], p)
		}
		if prev, ok := last[k]; ok && prev >= v {
			t.Errorf("key %s: %d came after %d", k, v, prev)
		}
		of[k], last[k] = p, v
	}
	if len(of) != 10 {
		t.Errorf("read %d keys, want 10", len(of))
	}
}

func TestGroupGoesOnWhereItStopped_OFFS_01(t *testing.T) {
	b := broker(t, "--topic", "g:2")
	consume := func(n int) []string {
		out := run(t, "", "-b", b.Addr, "-G", "kcat-group", "-q", "-c", fmt.Sprint(n), "-X", "auto.offset.reset=earliest", "-f", "%s\n", "g")
		return strings.Fields(out)
	}
	run(t, "1\n2\n3\n", "-b", b.Addr, "-P", "-t", "g", "-p", "0")
	first := consume(3)
	run(t, "4\n5\n", "-b", b.Addr, "-P", "-t", "g", "-p", "0")
	b.Kill()
	b.Restart(t)
	second := consume(2)
	if got := strings.Join(append(first, second...), " "); got != "1 2 3 4 5" {
		t.Errorf("the group read %q", got)
	}
}

func TestOffsetsByTime_LOFF_01_LOFF_02_LOFF_03(t *testing.T) {
	b := broker(t, "--topic", "times")
	run(t, "old\n", "-b", b.Addr, "-P", "-t", "times", "-p", "0")
	stamp := strings.TrimSpace(run(t, "", "-b", b.Addr, "-C", "-t", "times", "-o", "beginning", "-e", "-q", "-f", "%T\n"))
	var ms int64
	if _, err := fmt.Sscan(stamp, &ms); err != nil {
		t.Fatal(err)
	}
	for time.Now().UnixMilli() <= ms {
		time.Sleep(time.Millisecond) // the second record's own timestamp has to differ
	}
	run(t, "new\n", "-b", b.Addr, "-P", "-t", "times", "-p", "0")
	for want, at := range map[string]string{"0": "-2", "2": "-1", "1": fmt.Sprint(ms + 1)} {
		if got := run(t, "", "-b", b.Addr, "-Q", "-t", "times:0:"+at); !strings.Contains(got, "offset "+want) {
			t.Errorf("offset at %s: got %q, want %s", at, got, want)
		}
	}
	if got := run(t, "", "-b", b.Addr, "-C", "-t", "times", "-o", "s@"+fmt.Sprint(ms+1), "-e", "-q", "-f", "%s\n"); got != "new\n" {
		t.Errorf("read %q from the time of the second record on", got)
	}
}

func TestMetadata_META_02_META_09(t *testing.T) {
	b := broker(t, "--topic", "listed:3")
	var md struct {
		Brokers []struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		}
		Topics []struct {
			Topic      string
			Partitions []struct{ Partition, Leader int }
		}
	}
	if err := json.Unmarshal([]byte(run(t, "", "-b", b.Addr, "-L", "-J")), &md); err != nil {
		t.Fatal(err)
	}
	if len(md.Brokers) != 1 || md.Brokers[0].Name != b.Addr {
		t.Errorf("brokers %+v, want one at %s", md.Brokers, b.Addr)
	}
	for _, topic := range md.Topics {
		if topic.Topic != "listed" {
			continue
		}
		if len(topic.Partitions) != 3 {
			t.Errorf("partitions %+v, want 3", topic.Partitions)
		}
		for _, p := range topic.Partitions {
			if p.Leader != md.Brokers[0].ID {
				t.Errorf("partition %d is led by %d", p.Partition, p.Leader)
			}
		}
		return
	}
	t.Errorf("topic not listed: %+v", md.Topics)
}

// A consumer that waits at the end of a partition gets what is written later, and kcat says that it was there.
func TestPartitionEOFAndLongPoll_FETCH_08(t *testing.T) {
	b := broker(t, "--topic", "tail")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kcat", "-b", b.Addr, "-C", "-t", "tail", "-p", "0", "-o", "end", "-c", "1", "-f", "%s\n", "-u")
	var out bytes.Buffer
	cmd.Stdout = &out
	eof := &waitFor{text: "Reached end of topic", found: make(chan struct{})}
	cmd.Stderr = eof
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-eof.found:
	case <-ctx.Done():
		t.Fatalf("no end of partition seen: %q", eof.seen)
	}
	run(t, "late\n", "-b", b.Addr, "-P", "-t", "tail", "-p", "0")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "late\n" {
		t.Errorf("read %q", out.String())
	}
}

// waitFor closes found once text was written to it.
type waitFor struct {
	text  string
	seen  string
	found chan struct{}
	done  bool
}

func (w *waitFor) Write(p []byte) (int, error) {
	w.seen += string(p)
	if !w.done && strings.Contains(w.seen, w.text) {
		w.done = true
		close(w.found)
	}
	return len(p), nil
}
