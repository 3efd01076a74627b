package storage

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
)

// segmentsOf lists the base offsets of a log's segments.
func segmentsOf(l *Log) []int64 {
	var bases []int64
	for _, s := range l.view.Load().segments {
		bases = append(bases, s.base)
	}
	return bases
}

func TestRoll_LOG_05_LOG_07(t *testing.T) {
	const hour = 3600_000
	for _, c := range []struct {
		name   string
		change func(*LogConfig)
		sends  []produce
		now    []int64 // of each append; testNow where missing
		want   []int64
	}{
		{"by size", func(c *LogConfig) { c.SegmentBytes = 500 }, []produce{{size: 150}, {size: 150}, {size: 150}, {size: 150}}, nil, []int64{0, 2}},
		{"not while it fits exactly", func(c *LogConfig) { c.SegmentBytes = 2 * len(produce{size: 150}.batch()) }, []produce{{size: 150}, {size: 150}, {size: 150}}, nil, []int64{0, 2}},
		{"by age, by the records' timestamps", func(c *LogConfig) { c.SegmentMillis = 1000 },
			[]produce{{ts: testNow - hour}, {ts: testNow - hour + 1000}, {ts: testNow - hour + 1001}}, nil, []int64{0, 2}},
		{"not by the clock where records have timestamps", func(c *LogConfig) { c.SegmentMillis = 1000 },
			[]produce{{ts: testNow - hour}, {ts: testNow - hour}}, []int64{testNow, testNow + 5000}, []int64{0}},
		{"by the clock where they have none", func(c *LogConfig) { c.SegmentMillis = 1000 },
			[]produce{{ts: -1}, {ts: -1}}, []int64{testNow, testNow + 5000}, []int64{0, 1}},
		{"an empty segment never by age", func(c *LogConfig) { c.SegmentMillis = 1000 },
			[]produce{{ts: testNow}}, []int64{testNow + 100*hour}, []int64{0}},
		{"by a full index", func(c *LogConfig) { c.SegmentIndexBytes = 24; c.IndexIntervalBytes = 1 },
			[]produce{{}, {}, {}, {}, {}}, nil, []int64{0, 2, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := DefaultLogConfig()
			c.change(&cfg)
			l := openTest(t, testDirFS(t), cfg, OpenOptions{})
			for i, p := range c.sends {
				now := testNow
				if i < len(c.now) {
					now = c.now[i]
				}
				if _, err := l.AppendAsLeader(now, 0, OriginClient, true, p.batch()); err != nil {
					t.Fatal(err)
				}
			}
			if got := segmentsOf(l); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("segments %v, want %v", got, c.want)
			}
		})
	}
}

func TestRoll_LOG_05_offset_overflow(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	for _, base := range []int64{0, 1<<31 - 1, 1 << 31, 1 << 40} {
		b := produce{}.batch()
		batch.SetBaseOffset(b, base)
		if _, err := l.AppendAsFollower(testNow, b); err != nil {
			t.Fatal(err)
		}
	}
	if got := segmentsOf(l); fmt.Sprint(got) != fmt.Sprint([]int64{0, 1 << 31, 1 << 40}) {
		t.Fatal(got)
	}
	l = reopenCrashed(t, l)
	if hs := readAll(t, l, 1000); len(hs) != 4 || hs[3].BaseOffset != 1<<40 {
		t.Fatal(hs)
	}
	r, err := l.Read(5, l.LogEndOffset(), 1, true) // FETCH-05: in a gap the next batch
	if err != nil {
		t.Fatal(err)
	}
	if hs := headersOf(t, contents(t, r)); len(hs) != 1 || hs[0].BaseOffset != 1<<31-1 {
		t.Fatal(hs)
	}
}

func TestRoll_jitter_is_the_same_for_a_segment_and_below_its_limit(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	seen := map[int64]bool{}
	for base := range int64(50) {
		j := l.jitter(base, 1000)
		if j < 0 || j >= 1000 || j != l.jitter(base, 1000) {
			t.Fatal(j)
		}
		seen[j] = true
	}
	if len(seen) < 40 || l.jitter(1, 0) != 0 {
		t.Fatalf("%d different values", len(seen))
	}
}

// fill appends n batches into segments of two, with rising timestamps a second apart.
func fill(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := range n {
		mustAppend(t, l, produce{size: 100, ts: testNow + int64(i)*1000})
	}
}

func TestRetain_LOG_08_LOG_09_LOG_10_LOG_11_LOG_14(t *testing.T) {
	size := int64(len(produce{size: 100}.batch()))
	for _, c := range []struct {
		name   string
		change func(*LogConfig)
		now    int64
		high   int64
		want   []int64 // segments
		start  int64
	}{
		{"nothing is due", func(*LogConfig) {}, testNow, 10, []int64{0, 2, 4, 6, 8}, 0},
		{"LOG-08 by age", func(c *LogConfig) { c.RetentionMillis = 5000 }, testNow + 9000, 10, []int64{4, 6, 8}, 4},
		{"LOG-11 by age, all", func(c *LogConfig) { c.RetentionMillis = 5000 }, testNow + 60_000, 10, []int64{10}, 10},
		{"age -1 keeps", func(c *LogConfig) { c.RetentionMillis = -1 }, testNow + 1e12, 10, []int64{0, 2, 4, 6, 8}, 0},
		{"LOG-10 nothing above the high watermark", func(c *LogConfig) { c.RetentionMillis = 5000 }, testNow + 60_000, 5, []int64{4, 6, 8}, 4},
		{"LOG-09 by size", func(c *LogConfig) { c.RetentionBytes = 5 * size }, testNow, 10, []int64{4, 6, 8}, 4},
		{"LOG-09 by size, just enough", func(c *LogConfig) { c.RetentionBytes = 6 * size }, testNow, 10, []int64{4, 6, 8}, 4},
		{"size 0 empties", func(c *LogConfig) { c.RetentionBytes = 0 }, testNow, 10, []int64{10}, 10},
		{"compacted only", func(c *LogConfig) { c.RetentionMillis, c.RetentionBytes, c.Delete, c.Compact = 1, 1, false, true }, testNow + 1e9, 10, []int64{0, 2, 4, 6, 8}, 0},
		{"LOG-14 compacted and deleted", func(c *LogConfig) { c.RetentionMillis, c.Compact = 5000, true }, testNow + 9000, 10, []int64{4, 6, 8}, 4},
		{"LOG-14 no policy at all", func(c *LogConfig) { c.RetentionMillis, c.RetentionBytes, c.Delete = 1, 1, false }, testNow + 1e9, 10, []int64{0, 2, 4, 6, 8}, 0},
	} {
		for _, reopened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/reopened=%v", c.name, reopened), func(t *testing.T) {
				cfg := testConfig()
				cfg.SegmentBytes = int(2 * size)
				cfg.RetentionMillis = -1
				cfg.TimestampAfterMillis = 1e9
				fsys := testDirFS(t)
				l := openTest(t, fsys, cfg, OpenOptions{})
				fill(t, l, 10)
				if reopened {
					l = reopenClean(t, l)
				}
				c.change(&cfg)
				l.SetConfig(cfg) // LOG-15: it holds at once
				before := len(segmentsOf(l))
				n, err := l.Retain(c.now, c.high)
				if err != nil {
					t.Fatal(err)
				}
				got := segmentsOf(l)
				if fmt.Sprint(got) != fmt.Sprint(c.want) || l.LogStartOffset() != c.start || l.LogEndOffset() != 10 {
					t.Fatalf("segments %v, start %d, end %d", got, l.LogStartOffset(), l.LogEndOffset())
				}
				if want := before - len(got); n != want && !(n == before && len(got) == 1) {
					t.Fatalf("%d deleted", n)
				}
				if c.start > 0 {
					if _, err := l.Read(c.start-1, 10, 1000, true); !errors.Is(err, ErrOffsetOutOfRange) {
						t.Fatalf("below the start: %v", err)
					}
				}
				if got := int64(len(readAll(t, l, 1000))) * size; got != l.Size() {
					t.Fatalf("size %d, there are %d bytes", l.Size(), got)
				}
				l = reopenCrashed(t, l)
				if l.LogStartOffset() != c.start || l.LogEndOffset() != 10 {
					t.Fatalf("after a restart: start %d, end %d", l.LogStartOffset(), l.LogEndOffset())
				}
			})
		}
	}
}

func TestRetain_LOG_13_a_time_in_the_future_keeps_its_segment_and_all_behind_it(t *testing.T) {
	const day = 24 * 3600_000
	fsys := testDirFS(t)
	cfg := testConfig()
	cfg.SegmentBytes = len(produce{}.batch()) // a segment for each batch
	cfg.RetentionMillis = 1000
	cfg.TimestampAfterMillis = 100 * day
	l := openTest(t, fsys, cfg, OpenOptions{})
	for _, ts := range []int64{testNow - day, testNow + 10*day, testNow - day, testNow} {
		mustAppend(t, l, produce{ts: ts})
	}
	for _, c := range []struct {
		now  int64
		want []int64
	}{
		{testNow, []int64{1, 2, 3}},                 // of a file that was made just now the records are old
		{testNow + 5*day, []int64{1, 2, 3}},         // the old ones behind it are as old, and stay
		{testNow + 10*day + 1000, []int64{1, 2, 3}}, // retention.ms counts from its timestamp on
		{testNow + 10*day + 1001, []int64{4}},
	} {
		l = reopenCrashed(t, reopenClean(t, l))
		if _, err := l.Retain(c.now, 4); err != nil {
			t.Fatal(err)
		}
		if got := segmentsOf(l); fmt.Sprint(got) != fmt.Sprint(c.want) || l.LogStartOffset() != c.want[0] {
			t.Fatalf("at %+d ms: segments %v, want %v", c.now-testNow, got, c.want)
		}
	}
}

func TestRetain_LOG_12_files_go_after_the_delay_and_after_their_readers(t *testing.T) {
	cfg := testConfig()
	cfg.SegmentBytes = 400
	cfg.RetentionBytes = 400
	fsys := testDirFS(t)
	l := openTest(t, fsys, cfg, OpenOptions{})
	fill(t, l, 10)
	r, err := l.Read(0, 10, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Retain(testNow, 10); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	all := len(files(t, fsys, suffixDeleted))
	if all == 0 || l.LogStartOffset() == 0 {
		t.Fatalf("%d files wait, start %d", all, l.LogStartOffset())
	}
	if err := l.RemoveDeleted(testNow + cfg.FileDeleteDelayMillis - 1); err != nil || len(files(t, fsys, suffixDeleted)) != all {
		t.Fatal("gone too early", err)
	}
	if err := l.RemoveDeleted(testNow + cfg.FileDeleteDelayMillis); err != nil {
		t.Fatal(err)
	}
	if left := files(t, fsys, suffixDeleted); len(left) == 0 || len(left) >= all {
		t.Fatalf("while one is read there are left: %v", left)
	}
	if hs := headersOf(t, contents(t, r)); len(hs) != 1 || hs[0].BaseOffset != 0 {
		t.Fatal(hs)
	}
	if err := l.RemoveDeleted(testNow + cfg.FileDeleteDelayMillis); err != nil || len(files(t, fsys, suffixDeleted)) != 0 {
		t.Fatal("not gone", err)
	}
}

func TestAdvanceLogStart_DREC_02_DREC_04_DREC_05(t *testing.T) {
	fsys := testDirFS(t)
	cfg := testConfig()
	cfg.SegmentBytes = 800
	saved := int64(-1)
	l := openTest(t, fsys, cfg, OpenOptions{SaveLogStart: func(offset int64) error { saved = offset; return nil }})
	for range 10 {
		mustAppend(t, l, produce{n: 3, size: 50})
	}
	if err := l.AdvanceLogStart(31); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("beyond the end: %v", err)
	}
	if err := l.AdvanceLogStart(13); err != nil || saved != 13 {
		t.Fatal(err, saved)
	}
	for _, noop := range []int64{0, 12, 13} {
		if err := l.AdvanceLogStart(noop); err != nil || l.LogStartOffset() != 13 {
			t.Fatal(err, l.LogStartOffset())
		}
	}
	if _, err := l.Read(12, 30, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
	r, err := l.Read(13, 30, 1, true) // mid-batch: the whole batch comes (FETCH-04)
	if err != nil {
		t.Fatal(err)
	}
	if hs := headersOf(t, contents(t, r)); hs[0].BaseOffset != 12 {
		t.Fatal(hs)
	}
	if _, err := l.Retain(testNow, 30); err != nil {
		t.Fatal(err)
	}
	if base := segmentsOf(l)[0]; base == 0 || base > 13 {
		t.Fatalf("first segment %d", base)
	}
	if e := l.epochs.load(); len(e) != 1 || e[0].start != 13 {
		t.Fatalf("epochs %v", e)
	}
	l = openTest(t, fsys, cfg, OpenOptions{RecoveryPoint: -1, LogStart: saved})
	if l.LogStartOffset() != 13 || l.LogEndOffset() != 30 {
		t.Fatal(l.LogStartOffset(), l.LogEndOffset())
	}
	// Everything gone: the end stays (LOG-01), by its checkpoint alone.
	if err := l.AdvanceLogStart(30); err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, fsys, "") {
		if err := fsys.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	l = openTest(t, fsys, cfg, OpenOptions{RecoveryPoint: -1, LogStart: 30})
	if info := mustAppend(t, l, produce{}); info.FirstOffset != 30 {
		t.Fatal(info)
	}
}

func TestTruncateTo(t *testing.T) {
	for _, at := range []int64{0, 1, 2, 3, 8, 9, 10, 17, 29, 30, 40} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			cfg := testConfig()
			cfg.SegmentBytes = 900
			l := openTest(t, testDirFS(t), cfg, OpenOptions{})
			for i := range 10 {
				p := idem(1, 0, int32(i*3), 3)
				if _, err := l.AppendAsLeader(testNow, int32(i/2), OriginClient, true, p.batch()); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := l.TruncateTo(at); err != nil {
				t.Fatal(err)
			}
			want := min(at/3*3, 30) // whole batches
			for _, l := range []*Log{l, reopenCrashed(t, l)} {
				if l.LogEndOffset() != want || l.DurableEndOffset() > want {
					t.Fatalf("end %d, durable %d, want %d", l.LogEndOffset(), l.DurableEndOffset(), want)
				}
				if n := len(readAll(t, l, 400)); int64(n) != want/3 {
					t.Fatalf("%d batches", n)
				}
				if e := l.LatestEpoch(); want > 0 && int64(e) != (want/3-1)/2 || want == 0 && e != -1 {
					t.Fatalf("epoch %d (LOFF-16)", e)
				}
				ps := l.Producers()
				if want == 0 && len(ps) != 0 || want > 0 && ps[0].LastSequence != int32(want-1) {
					t.Fatalf("%+v", ps)
				}
			}
			mustAppend(t, l, idem(1, 0, int32(want), 2))
			l = reopenCrashed(t, l)
			if l.LogEndOffset() != want+2 {
				t.Fatal(l.LogEndOffset())
			}
		})
	}
}

func TestReset(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	workload(t, l)
	if err := l.Reset(1000); err != nil {
		t.Fatal(err)
	}
	if l.LogStartOffset() != 1000 || l.LogEndOffset() != 1000 || l.Size() != 0 || len(l.Producers()) != 0 || l.LatestEpoch() != -1 {
		t.Fatal(l.LogStartOffset(), l.LogEndOffset(), l.Size())
	}
	if info := mustAppend(t, l, produce{}); info.FirstOffset != 1000 {
		t.Fatal(info)
	}
	l = reopenCrashed(t, l)
	if l.LogStartOffset() != 1000 || l.LogEndOffset() != 1001 {
		t.Fatal(l.LogStartOffset(), l.LogEndOffset())
	}
}
