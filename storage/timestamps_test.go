package storage

import (
	"fmt"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
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
