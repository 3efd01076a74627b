package storage

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

func TestAppend_PROD_03_to_21_refusals_and_their_log_start(t *testing.T) {
	damaged := func(change func(b []byte)) func() []byte {
		return func() []byte {
			b := produce{n: 2, size: 20}.batch()
			change(b)
			return b
		}
	}
	for _, c := range []struct {
		name     string
		change   func(*LogConfig)
		records  func() []byte
		noZstd   bool
		want     error
		logStart int64
		records2 int // record errors
	}{
		{"PROD_03 no records", nil, func() []byte { return nil }, false, ErrInvalidRecord, -1, 0},
		{"PROD_03 two batches", nil, func() []byte { return append(produce{}.batch(), produce{}.batch()...) }, false, ErrInvalidRecord, -1, 0},
		{"PROD_03 magic 1", nil, damaged(func(b []byte) { b[16] = 1 }), false, ErrInvalidRecord, -1, 0},
		{"PROD_03 magic 3", nil, damaged(func(b []byte) { b[16] = 3 }), false, ErrCorruptMessage, -1, 0},
		{"PROD_04 checksum", nil, damaged(func(b []byte) { b[len(b)-1] ^= 1 }), false, ErrCorruptMessage, -1, 0},
		{"PROD_05 too large", func(c *LogConfig) { c.MaxMessageBytes = 90 }, damaged(func([]byte) {}), false, ErrMessageTooLarge, -1, 0},
		{"PROD_06 larger than a segment", func(c *LogConfig) { c.SegmentBytes = 90 }, damaged(func([]byte) {}), false, ErrRecordListTooLarge, -1, 0},
		{"PROD_07 counts", nil, damaged(func(b []byte) { b[26] = 7; batch.SetCRC(b) }), false, ErrInvalidRecord, 5, 0},
		{"PROD_08 control batch", nil, damaged(func(b []byte) { b[22] |= 0x20; batch.SetCRC(b) }), false, ErrInvalidRecord, 5, 0},
		{"PROD_10 base offset", nil, damaged(func(b []byte) { batch.SetBaseOffset(b, 3) }), false, ErrInvalidRecord, 5, 0},
		{"PROD_11 zstd in an old request", nil, func() []byte { return produce{codec: batch.Zstd}.batch() }, true, ErrUnsupportedCodec, -1, 0},
		{"PROD_18 too new", nil, func() []byte { return produce{ts: testNow + 3600_001, n: 2}.batch() }, false, ErrInvalidTimestamp, 5, 2},
		{"PROD_20 no key", func(c *LogConfig) { c.Compact = true }, func() []byte {
			return batch.NewBuilder().Append(testNow, []byte("k"), nil).Append(testNow, nil, []byte("v")).Build()
		}, false, ErrInvalidRecord, 5, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
			mustAppend(t, l, produce{n: 6})
			if err := l.AdvanceLogStart(5); err != nil {
				t.Fatal(err)
			}
			cfg := testConfig()
			if c.change != nil {
				c.change(&cfg)
			}
			l.SetConfig(cfg)
			size := l.Size()
			_, err := l.AppendAsLeader(testNow, 0, OriginClient, !c.noZstd, c.records())
			var e *AppendError
			if !errors.Is(err, c.want) || !errors.As(err, &e) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if e.LogStartOffset != c.logStart || len(e.RecordErrors) != c.records2 || e.Message == "" {
				t.Fatalf("%+v", e)
			}
			if l.LogEndOffset() != 6 || l.Size() != size || l.Err() != nil {
				t.Fatal("something stayed behind")
			}
		})
	}
}

func TestAppend_PROD_14_15_19_32_offsets_epoch_time_and_codec(t *testing.T) {
	cfg := testConfig()
	l := openTest(t, testDirFS(t), cfg, OpenOptions{})
	mustAppend(t, l, produce{n: 3})
	if _, err := l.AppendAsLeader(testNow, 9, OriginClient, true, produce{n: 2, codec: batch.Gzip, size: 99}.batch()); err != nil {
		t.Fatal(err)
	}
	cfg.TimestampType = batch.LogAppendTime
	cfg.TargetCodec = batch.LZ4
	l.SetConfig(cfg)
	info, err := l.AppendAsLeader(testNow+77, 9, OriginClient, true, produce{n: 2, codec: batch.Gzip, size: 99}.batch())
	if err != nil || info != (AppendInfo{FirstOffset: 5, LastOffset: 6, LogAppendTimeMillis: testNow + 77, Bytes: info.Bytes}) {
		t.Fatalf("%+v, %v", info, err)
	}
	hs := readAll(t, l, 1<<20)
	for i, want := range []struct {
		base  int64
		epoch int32
		codec batch.Codec
		max   int64
		kind  batch.TimestampType
	}{{0, 0, batch.None, testNow, batch.CreateTime}, {3, 9, batch.Gzip, testNow, batch.CreateTime}, {5, 9, batch.LZ4, testNow + 77, batch.LogAppendTime}} {
		h := hs[i]
		if h.BaseOffset != want.base || h.LeaderEpoch != want.epoch || h.Codec() != want.codec || h.MaxTimestamp != want.max || h.TimestampType() != want.kind {
			t.Errorf("%v at %d, want %+v", h, h.MaxTimestamp, want)
		}
	}
	if e := l.EpochOf(3); e != 9 {
		t.Fatal(e)
	}
}

func TestAppendAsFollower(t *testing.T) {
	leader := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	workload(t, leader)
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	var all []byte
	for at := int64(0); at < leader.LogEndOffset(); {
		r, err := leader.Read(at, leader.LogEndOffset(), 1000, true)
		if err != nil {
			t.Fatal(err)
		}
		b := contents(t, r)
		all = append(all, b...)
		at = r.Next
		partial := append(b[:len(b):len(b)], b[:50]...) // a partial batch at the end is left out
		if info, err := l.AppendAsFollower(testNow, partial); err != nil || info.Bytes != len(b) || info.LastOffset != at-1 {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	if a, b := state(t, l), state(t, leader); a != b {
		t.Fatal(diffLines(a, b))
	}
	end := l.LogEndOffset()
	for _, c := range []struct {
		name string
		b    func() []byte
		want error
	}{
		{"offsets that are there already", func() []byte { return all[:200] }, ErrUnexpectedOffset},
		{"damaged", func() []byte {
			b := produce{}.batch()
			batch.SetBaseOffset(b, end)
			b[len(b)-1] ^= 1
			return b
		}, ErrCorruptMessage},
		{"second one goes back", func() []byte {
			a, b := produce{}.batch(), produce{}.batch()
			batch.SetBaseOffset(a, end)
			batch.SetBaseOffset(b, end)
			return append(a, b...)
		}, ErrUnexpectedOffset},
	} {
		if _, err := l.AppendAsFollower(testNow, c.b()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if l.LogEndOffset() != end {
			t.Fatalf("%s: appended", c.name)
		}
	}
}

func TestAppend_allocates_little_and_copies_nothing(t *testing.T) {
	cfg := DefaultLogConfig()
	for _, size := range []int{100, 20_000} {
		l, err := OpenLog(vfs.OS(), t.TempDir()+"/t-0", testTP, testID, cfg, OpenOptions{NowMillis: testNow})
		if err != nil {
			t.Fatal(err)
		}
		b := produce{size: size}.batch()
		h, err := batch.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		one := func() {
			h.BaseOffset, h.MaxTimestamp, h.BaseTimestamp = 0, h.MaxTimestamp+1, h.BaseTimestamp+1 // each is newer than the one before
			h.AppendTo(b[:0])
			batch.SetCRC(b)
			if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, b); err != nil {
				t.Fatal(err)
			}
		}
		one()
		if n := testing.AllocsPerRun(400, one); n > 0 {
			t.Errorf("%d bytes: %v allocations for an append", size, n)
		}
		end := l.LogEndOffset()
		read := func() {
			r, err := l.Read(0, end, 1<<20, true)
			if err != nil {
				t.Fatal(err)
			}
			r.Release()
		}
		read()
		if n := testing.AllocsPerRun(400, read); n > 4 {
			t.Errorf("%d bytes: %v allocations for a read", size, n)
		}
		if err := l.Close(testNow); err != nil {
			t.Fatal(err)
		}
	}
}

// Readers, an appender, syncs, retention and time lookups side by side: what is read is always whole and in order.
func TestLog_concurrent_readers(t *testing.T) {
	cfg := testConfig()
	cfg.RetentionBytes = 20_000
	cfg.FileDeleteDelayMillis = 0
	l := openTest(t, testDirFS(t), cfg, OpenOptions{files: newFileCache(3)})
	const n = 3000
	var wg sync.WaitGroup
	done := make(chan struct{})
	background := func(fn func() error) {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := fn(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, maxBytes := range []int64{1, 700, 100_000} {
		at := int64(0)
		background(func() error {
			r, err := l.Read(at, l.LogEndOffset(), maxBytes, true)
			if errors.Is(err, ErrOffsetOutOfRange) {
				at = l.LogStartOffset()
				return nil
			}
			if err != nil {
				return err
			}
			for _, h := range headersOf(t, contents(t, r)) {
				if h.BaseOffset != at {
					return fmt.Errorf("batch at %d, want %d", h.BaseOffset, at)
				}
				at = h.NextOffset()
			}
			if at == l.LogEndOffset() {
				at = l.LogStartOffset()
			}
			return nil
		})
	}
	background(func() error { _, err := l.OffsetForTimestamp(testNow, l.LogEndOffset()); return ignoreRange(err) })
	background(func() error { _, err := l.Retain(testNow, l.LogEndOffset()); return err })
	background(l.Sync)
	background(func() error { _, err := l.AbortedTxns(l.LogStartOffset(), l.LogEndOffset()); return ignoreRange(err) })
	for range n {
		mustAppend(t, l, produce{size: 100})
	}
	close(done)
	wg.Wait()
	if l.LogEndOffset() != n {
		t.Fatal(l.LogEndOffset())
	}
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
}

func ignoreRange(err error) error {
	if errors.Is(err, ErrOffsetOutOfRange) {
		return nil
	}
	return err
}

func TestFileCache_bounds_open_files(t *testing.T) {
	cache := newFileCache(4)
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{files: cache})
	workload(t, l)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		readAll(t, l, 500)
		if n := len(cache.open); n > 5 {
			t.Fatalf("%d open segments", n)
		}
	}
	if err := l.Close(testNow); err != nil || len(cache.open) != 0 {
		t.Fatal(err, len(cache.open))
	}
}

// The operating system's files give ranges for sendfile, and the same state as memory.
func TestLog_on_the_operating_systems_files(t *testing.T) {
	dir := t.TempDir() + "/t-0"
	l, err := OpenLog(vfs.OS(), dir, testTP, testID, testConfig(), OpenOptions{NowMillis: testNow})
	if err != nil {
		t.Fatal(err)
	}
	workload(t, l)
	mem := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	workload(t, mem)
	want := state(t, mem)
	if got := state(t, l); got != want {
		t.Fatal(diffLines(got, want))
	}
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
	for _, clean := range []bool{true, false} {
		if l, err = OpenLog(vfs.OS(), dir, testTP, testID, testConfig(), OpenOptions{NowMillis: testNow, CleanShutdown: clean, RecoveryPoint: 40}); err != nil {
			t.Fatal(err)
		}
		if got := state(t, l); got != want {
			t.Fatal(diffLines(got, want))
		}
		r, err := l.Read(0, 10, 1<<20, true)
		if err != nil || r.Chunks[0].File == nil {
			t.Fatal("no file range", err)
		}
		r.Release()
		if err := l.Close(testNow); err != nil {
			t.Fatal(err)
		}
	}
}

// A read that may pass its limit for its first batch leaves no trace for one that mustn't.
func TestRead_FETCH_05_at_least_one_is_each_reads_own(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	mustAppend(t, l, produce{size: 100})
	mustAppend(t, l, produce{size: 100})
	for range 2 {
		for _, atLeastOne := range []bool{true, false} {
			r, err := l.Read(0, 2, 10, atLeastOne)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(headersOf(t, contents(t, r))); (n == 1) != atLeastOne {
				t.Fatalf("at least one: %v, %d batches", atLeastOne, n)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			cfg := DefaultLogConfig()
			cfg.RetentionBytes = 256 << 20
			cfg.SegmentBytes = 64 << 20
			cfg.FileDeleteDelayMillis = 0
			l, err := OpenLog(vfs.OS(), b.TempDir()+"/t-0", testTP, testID, cfg, OpenOptions{NowMillis: testNow})
			if err != nil {
				b.Fatal(err)
			}
			records := produce{size: size}.batch()
			b.SetBytes(int64(len(records)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				batch.SetBaseOffset(records, 0)
				if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, records); err != nil {
					b.Fatal(err)
				}
				if i%1000 == 0 {
					if _, err := l.Retain(testNow, l.LogEndOffset()); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := l.Close(testNow); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	l, err := OpenLog(vfs.OS(), b.TempDir()+"/t-0", testTP, testID, DefaultLogConfig(), OpenOptions{NowMillis: testNow})
	if err != nil {
		b.Fatal(err)
	}
	for range 5000 {
		mustAppend(b, l, produce{size: 10_000})
	}
	end := l.LogEndOffset()
	b.Run("same 1 MB", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := l.Read(100, end, 1<<20, true)
			if err != nil {
				b.Fatal(err)
			}
			r.Release()
		}
	})
	b.Run("1 MB anywhere", func(b *testing.B) {
		b.ReportAllocs()
		at := int64(0)
		for b.Loop() {
			at = (at + 1237) % end
			r, err := l.Read(at, end, 1<<20, true)
			if err != nil {
				b.Fatal(err)
			}
			r.Release()
		}
	})
	if err := l.Close(testNow); err != nil {
		b.Fatal(err)
	}
}
