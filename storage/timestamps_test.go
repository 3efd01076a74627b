package storage

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

func TestTimestamps_LOFF_03_04_05_lookup_equals_a_scan(t *testing.T) {
	for _, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		for _, order := range []string{"rising", "falling", "mixed", "equal", "none"} {
			t.Run(fmt.Sprintf("%v/%s", codec, order), func(t *testing.T) {
				cfg := testConfig()
				cfg.SegmentBytes = 2000
				l := openTest(t, testDirFS(t), cfg, OpenOptions{})
				type rec struct{ ts, offset int64 }
				var all []rec
				for i := range 40 {
					p := produce{n: 3, size: 80, codec: codec, step: 7}
					switch order {
					case "rising":
						p.ts = testNow + int64(i)*10
					case "falling":
						p.ts = testNow - int64(i)*10
					case "mixed":
						p.ts = testNow + int64(i*37%50)*10
						p.step = int64(i%3) * -4
					case "equal":
						p.ts, p.step = testNow, 0
					case "none":
						p.ts, p.step = -1, 0
					}
					info, err := l.AppendAsLeader(testNow, int32(i/15), OriginClient, true, p.batch())
					if err != nil {
						t.Fatal(err)
					}
					for j := range int64(3) {
						all = append(all, rec{p.ts + j*p.step, info.FirstOffset + j})
					}
				}
				check := func(l *Log) {
					t.Helper()
					for _, start := range []int64{l.LogStartOffset(), 50} {
						if err := l.AdvanceLogStart(start); err != nil {
							t.Fatal(err)
						}
						for ts := testNow - 450; ts < testNow+560; ts += 13 {
							want := TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}
							for _, r := range all {
								if r.ts >= ts && r.offset >= start {
									want = TimestampOffset{Offset: r.offset, TimestampMillis: r.ts, LeaderEpoch: int32(r.offset / 45)}
									break
								}
							}
							got, err := l.OffsetForTimestamp(ts, l.LogEndOffset())
							if err != nil || got != want {
								t.Fatalf("start %d, time %d: %+v, %v; want %+v", start, ts-testNow, got, err, want)
							}
							if want.Offset >= 0 {
								if got, err := l.OffsetForTimestamp(ts, want.Offset); err != nil || got.Offset != -1 {
									t.Fatalf("at the bound: %+v, %v", got, err)
								}
							}
						}
						newest := rec{-1, -1}
						for _, r := range all {
							if r.ts > newest.ts {
								newest = r
							}
						}
						got, err := l.MaxTimestamp(l.LogEndOffset())
						if err != nil || got.Offset != newest.offset || got.TimestampMillis != newest.ts {
							t.Fatalf("max: %+v, %v; want %+v", got, err, newest)
						}
						if newest.offset >= 0 {
							if got, err := l.MaxTimestamp(newest.offset); err != nil || got.Offset != -1 || got.TimestampMillis != -1 {
								t.Fatalf("max at the bound: %+v, %v", got, err)
							}
						}
					}
				}
				check(l)
				check(reopenCrashed(t, reopenClean(t, l)))
			})
		}
	}
}

// countingFS counts the bytes that are read of .log files.
type countingFS struct {
	vfs.FS
	bytes *atomic.Int64
}

type countingFile struct {
	vfs.File
	bytes *atomic.Int64
}

func (c countingFS) Open(name string, flag int) (vfs.File, error) {
	f, err := c.FS.Open(name, flag)
	if err != nil || !strings.HasSuffix(name, suffixLog) {
		return f, err
	}
	return countingFile{f, c.bytes}, nil
}

func (c countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	c.bytes.Add(int64(n))
	return n, err
}

// A lookup reads a part of one segment that doesn't grow with the log, also once its indexes are gone and were made again.
func TestTimestamps_LOG_18_a_lookup_does_not_scan_the_log(t *testing.T) {
	fsys := countingFS{testDirFS(t), new(atomic.Int64)}
	cfg := testConfig()
	cfg.SegmentBytes, cfg.IndexIntervalBytes = 500_000, 4096
	l := openTest(t, fsys, cfg, OpenOptions{})
	const batches = 2000
	for i := range int64(batches) {
		mustAppend(t, l, produce{size: 500, ts: testNow + i*10})
	}
	most := func(l *Log) (read int64) {
		t.Helper()
		for i := int64(0); i < batches; i += 97 {
			before := fsys.bytes.Load()
			got, err := l.OffsetForTimestamp(testNow+i*10-5, batches)
			if err != nil || got.Offset != i {
				t.Fatalf("record %d: %+v, %v", i, got, err)
			}
			read = max(read, fsys.bytes.Load()-before)
		}
		return read
	}
	const limit = 100_000 // of a log of 1.1 MB in segments of 500 KB
	if n := most(l); n > limit {
		t.Errorf("%d bytes were read", n)
	}
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{suffixIndex, suffixTimes} {
		for _, name := range files(t, fsys, suffix) {
			if err := fsys.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	l = openTest(t, fsys, cfg, OpenOptions{CleanShutdown: true})
	most(l) // rebuilds them
	if n := most(l); n > limit {
		t.Errorf("%d bytes were read with new indexes", n)
	}
	if n := len(files(t, fsys, suffixTimes)); n != len(segmentsOf(l)) {
		t.Errorf("%d time indexes for %d segments", n, len(segmentsOf(l)))
	}
}

func TestMaxTimestamp_LOFF_05_of_a_log_that_DeleteRecords_emptied(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	if got, err := l.MaxTimestamp(0); err != nil || got.Offset != -1 {
		t.Fatal(got, err)
	}
	mustAppend(t, l, produce{n: 2, step: 5})
	if err := l.AdvanceLogStart(2); err != nil {
		t.Fatal(err)
	}
	if got, err := l.MaxTimestamp(2); err != nil || got.Offset != 1 || got.TimestampMillis != testNow+5 {
		t.Fatal(got, err)
	}
}

func TestEpochs_LOFF_13_14(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	for _, e := range []int32{0, 0, 2, 2, 2, 5} {
		if err := l.AssignEpoch(e); err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendAsLeader(testNow, e, OriginClient, true, produce{n: 2}.batch()); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []*Log{l, reopenCrashed(t, l)} {
		for _, c := range []struct {
			epoch int32
			want  EpochEnd
		}{{-1, EpochEnd{-1, -1}}, {0, EpochEnd{0, 4}}, {1, EpochEnd{0, 4}}, {2, EpochEnd{2, 10}}, {3, EpochEnd{2, 10}}, {4, EpochEnd{2, 10}},
			{5, EpochEnd{5, 12}}, {6, EpochEnd{-1, -1}}} {
			if got := l.EndOffsetForEpoch(c.epoch); got != c.want {
				t.Errorf("epoch %d: %+v, want %+v", c.epoch, got, c.want)
			}
		}
		for offset, want := range map[int64]int32{0: 0, 3: 0, 4: 2, 9: 2, 10: 5, 12: 5} {
			if got := l.EpochOf(offset); got != want {
				t.Errorf("epoch of %d: %d, want %d", offset, got, want)
			}
		}
	}
	// An epoch in which nothing was written gives way to the next, and isn't in the file.
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := l.AssignEpoch(7); err != nil {
		t.Fatal(err)
	}
	if err := l.AssignEpoch(8); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.epochs.load()); got != "[{0 0} {2 4} {5 10} {8 12}]" {
		t.Fatal(got)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if b := slurp(t, l.fs, "/data/t-0/leader-epoch-checkpoint"); string(b) != "0\n3\n0 0\n2 4\n5 10\n" {
		t.Fatalf("%q", b)
	}
	// With its first record it comes there, before the recovery point passes that.
	if _, err := l.AppendAsLeader(testNow, 8, OriginClient, true, produce{}.batch()); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if b := slurp(t, l.fs, "/data/t-0/leader-epoch-checkpoint"); string(b) != "0\n4\n0 0\n2 4\n5 10\n8 12\n" {
		t.Fatalf("%q", b)
	}
}

// A kill before the first sync is nothing to warn of; a file that was durable and is gone is.
func TestEpochs_a_missing_file_is_told_where_there_should_be_one(t *testing.T) {
	for _, synced := range []bool{false, true} {
		fsys := testDirFS(t)
		l := openTest(t, fsys, testConfig(), OpenOptions{})
		mustAppend(t, l, produce{})
		if synced {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := fsys.Remove("/data/t-0/" + leaderEpochFile); err != nil {
				t.Fatal(err)
			}
		}
		var told strings.Builder
		l = openTest(t, fsys, testConfig(), OpenOptions{RecoveryPoint: l.DurableEndOffset(), Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if strings.Contains(told.String(), "leader epochs") != synced || l.LatestEpoch() != 0 {
			t.Errorf("synced %v: epoch %d, told %q", synced, l.LatestEpoch(), told.String())
		}
	}
}

// A leader's epochs without records, between others, with syncs and crashes at any point: the history is what a log has whose every epoch was
// written at once.
func TestEpochs_LOFF_13_idle_epochs_and_crashes(t *testing.T) {
	for crashes := range 1 << 5 {
		for syncs := range 1 << 5 {
			l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
			want := []epochEntry{}
			for step, epoch := range []int32{0, 3, 3, 6, 7} { // the odd ones stay without a record
				if err := l.AssignEpoch(epoch); err != nil {
					t.Fatal(err)
				}
				if step%2 == 0 {
					if n := len(want); n == 0 || want[n-1].epoch < epoch {
						want = append(want, epochEntry{epoch, l.LogEndOffset()})
					}
					if _, err := l.AppendAsLeader(testNow, epoch, OriginClient, true, produce{n: 2}.batch()); err != nil {
						t.Fatal(err)
					}
				}
				if syncs>>step&1 == 1 {
					if err := l.Sync(); err != nil {
						t.Fatal(err)
					}
				}
				if crashes>>step&1 == 1 {
					l = reopenCrashed(t, l)
				}
			}
			if got := l.epochs.load(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("crashes %b, syncs %b: %v, want %v", crashes, syncs, got, want)
			}
		}
	}
}
