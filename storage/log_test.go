package storage

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

const testNow = int64(1_700_000_000_000)

var (
	testTP = TopicPartition{Topic: "t", Partition: 0}
	testID = TopicID{1, 2, 3}
)

// testConfig has small segments and an index entry for nearly every batch.
func testConfig() LogConfig {
	cfg := DefaultLogConfig()
	cfg.SegmentBytes = 4096
	cfg.IndexIntervalBytes = 200
	return cfg
}

func testDirFS(t testing.TB) vfs.FS {
	t.Helper()
	m := vfs.NewMem(vfs.MemOptions{TrackSync: true})
	if err := m.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	return m
}

func openTest(t testing.TB, fsys vfs.FS, cfg LogConfig, o OpenOptions) *Log {
	t.Helper()
	if o.NowMillis == 0 {
		o.NowMillis = testNow
	}
	l, err := OpenLog(fsys, "/data/t-0", testTP, testID, cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reopenClean closes the log and opens it again as after a clean stop.
func reopenClean(t testing.TB, l *Log) *Log {
	t.Helper()
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
	return openTest(t, l.fs, l.Config(), OpenOptions{CleanShutdown: true, RecoveryPoint: l.DurableEndOffset(), LogStart: l.LogStartOffset()})
}

// reopenCrashed opens the log's files again as after a crash, with all that was written.
func reopenCrashed(t testing.TB, l *Log) *Log {
	t.Helper()
	return openTest(t, l.fs, l.Config(), OpenOptions{RecoveryPoint: l.DurableEndOffset(), LogStart: l.LogStartOffset()})
}

type produce struct {
	ts       int64
	n        int
	size     int
	codec    batch.Codec
	pid      int64
	epoch    int16
	seq      int32
	txn      bool
	step     int64 // between records' timestamps
	producer bool
}

func (p produce) batch() []byte {
	b := batch.NewBuilder()
	if p.producer {
		b.SetProducer(p.pid, p.epoch, p.seq)
	}
	if p.txn {
		b.SetTransactional()
	}
	if p.codec != batch.None {
		b.SetCodec(p.codec, 0)
	}
	if p.ts == 0 {
		p.ts = testNow
	}
	for i := range max(p.n, 1) {
		b.Append(p.ts+int64(i)*p.step, fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{'v'}, p.size))
	}
	return b.Build()
}

func mustAppend(t testing.TB, l *Log, p produce) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(testNow, 0, OriginClient, true, p.batch())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// contents gives a read's bytes and releases it.
func contents(t testing.TB, r Records) []byte {
	t.Helper()
	defer r.Release()
	var b []byte
	for _, c := range r.Chunks {
		if c.Bytes != nil {
			b = append(b, c.Bytes...)
			continue
		}
		p := make([]byte, c.N)
		if _, err := c.File.ReadAt(p, c.Off); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		b = append(b, p...)
	}
	if int64(len(b)) != r.Bytes {
		t.Fatalf("read says %d bytes and has %d", r.Bytes, len(b))
	}
	return b
}

// headersOf checks that b is whole batches with good checksums and gives their headers.
func headersOf(t testing.TB, b []byte) []batch.Header {
	t.Helper()
	var hs []batch.Header
	for len(b) > 0 {
		one, rest, ok, err := batch.Split(b)
		if err != nil || !ok {
			t.Fatalf("not whole batches: %v %v", ok, err)
		}
		if !batch.ValidCRC(one) {
			t.Fatal("wrong checksum")
		}
		h, err := batch.ParseHeader(one)
		if err != nil {
			t.Fatal(err)
		}
		hs = append(hs, h)
		b = rest
	}
	return hs
}

// readAll reads the log from its start to its end, read by read.
func readAll(t testing.TB, l *Log, maxBytes int64) []batch.Header {
	t.Helper()
	var hs []batch.Header
	for at := l.LogStartOffset(); at < l.LogEndOffset(); {
		r, err := l.Read(at, l.LogEndOffset(), maxBytes, true)
		if err != nil {
			t.Fatalf("read at %d: %v", at, err)
		}
		got := headersOf(t, contents(t, r))
		if len(got) == 0 {
			t.Fatalf("nothing read at %d of %d", at, l.LogEndOffset())
		}
		if last := got[len(got)-1].NextOffset(); r.Next < last || r.Next <= at {
			t.Fatalf("read at %d says next is %d; its last batch ends at %d", at, r.Next, last)
		}
		at = r.Next
		hs = append(hs, got...)
	}
	return hs
}

func TestLog_LOG_01_offsets_are_dense_across_rolls_and_restarts(t *testing.T) {
	for _, reopen := range []struct {
		name string
		fn   func(testing.TB, *Log) *Log
	}{{"clean", reopenClean}, {"crash", reopenCrashed}} {
		t.Run(reopen.name, func(t *testing.T) {
			l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
			next := int64(0)
			for round := range 4 {
				for i := range 30 {
					info := mustAppend(t, l, produce{n: 1 + i%3, size: 100})
					if info.FirstOffset != next {
						t.Fatalf("round %d: first offset %d, want %d", round, info.FirstOffset, next)
					}
					next = info.LastOffset + 1
				}
				l = reopen.fn(t, l)
				if l.LogEndOffset() != next {
					t.Fatalf("round %d: end %d after reopening, want %d", round, l.LogEndOffset(), next)
				}
			}
			if n := len(l.view.Load().segments); n < 4 {
				t.Fatalf("only %d segments", n)
			}
			for _, maxBytes := range []int64{1, 500, 1000, 1 << 20} {
				at := int64(0)
				for _, h := range readAll(t, l, maxBytes) {
					if h.BaseOffset != at {
						t.Fatalf("maxBytes %d: batch at %d, want %d", maxBytes, h.BaseOffset, at)
					}
					at = h.NextOffset()
				}
				if at != next {
					t.Fatalf("maxBytes %d: read to %d, want %d", maxBytes, at, next)
				}
			}
		})
	}
}
