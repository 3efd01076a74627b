package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

func slurp(t testing.TB, fsys vfs.FS, path string) []byte {
	t.Helper()
	b, err := readFile(fsys, path, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func spit(t testing.TB, fsys vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fsys.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// files lists the folder's files that end so, in order.
func files(t testing.TB, fsys vfs.FS, suffix string) []string {
	t.Helper()
	entries, err := fsys.ReadDir("/data/t-0")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, "/data/t-0/"+e.Name())
		}
	}
	return names
}

// state is all that a log knows, to compare.
func state(t testing.TB, l *Log) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "start %d end %d size %d\n", l.LogStartOffset(), l.LogEndOffset(), l.Size())
	for _, h := range readAll(t, l, 900) {
		fmt.Fprintln(&b, h)
	}
	for _, p := range l.Producers() {
		fmt.Fprintf(&b, "%+v\n", p)
	}
	for _, id := range slices.Sorted(maps.Keys(l.producers.producers)) {
		p := l.producers.producers[id]
		window := slices.Clone(p.batches[:p.count])
		if n := len(window); n > 0 {
			window[n-1].timestamp = p.lastTimestamp // as a snapshot has it, Kafka's too: a marker's time replaces the batch's
		}
		fmt.Fprintf(&b, "%d window %v\n", id, window)
	}
	fmt.Fprintln(&b, l.epochs.load())
	l.SetHighWatermark(l.LogEndOffset())
	first, ok := l.FirstUnstableOffset()
	fmt.Fprintln(&b, first, ok)
	aborted, err := l.AbortedTxns(0, l.LogEndOffset())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, aborted)
	for _, ts := range []int64{0, testNow + 3, testNow + 41, testNow + 77, testNow + 1000} {
		at, err := l.OffsetForTimestamp(ts, l.LogEndOffset())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, ts, at)
	}
	newest, err := l.MaxTimestamp(l.LogEndOffset())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, newest)
	return b.String()
}

// diffLines shows where two states differ.
func diffLines(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines, want %d", len(g), len(w))
	for i := range max(len(g), len(w)) {
		var x, y string
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			fmt.Fprintf(&b, "\n  line %d: got  %s\n  line %d: want %s", i, x, i, y)
			if b.Len() > 2000 {
				break
			}
		}
	}
	return b.String()
}

// workload fills a log with batches of all kinds over several segments and epochs.
func workload(t testing.TB, l *Log) {
	t.Helper()
	seq := int32(0)
	for i := range 60 {
		p := produce{n: 1 + i%4, size: 90, ts: testNow + int64(i*7%80), step: 1}
		epoch := int32(i / 20)
		switch {
		case i%5 == 0:
			p.producer, p.pid, p.seq = true, 1, seq
			seq += int32(p.n)
		case i%7 == 0:
			p.producer, p.pid, p.epoch, p.seq, p.txn = true, 100+int64(i), 0, 0, true
		case i%3 == 0:
			p.codec = batch.Zstd
		}
		if _, err := l.AppendAsLeader(testNow, epoch, OriginClient, true, p.batch()); err != nil {
			t.Fatal(err)
		}
		if p.txn && i != 49 { // that one stays open
			kind := batch.ControlAbort
			if i%2 == 0 {
				kind = batch.ControlCommit
			}
			m := batch.EndTxnMarker(testNow+int64(i), p.pid, p.epoch, kind, 1)
			if _, err := l.AppendAsLeader(testNow, epoch, OriginCoordinator, true, m); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRecovery_LOG_03_LOG_04_LOG_18_damage_of_each_file(t *testing.T) {
	truncated := func(n int) func([]byte) []byte {
		return func(b []byte) []byte { return b[:max(len(b)-n, 0)] }
	}
	emptied := func([]byte) []byte { return nil }
	zeroed := func(b []byte) []byte { return make([]byte, len(b)) }
	padded := func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, 4096)...) } // as a live index of Kafka's is
	garbage := func(b []byte) []byte { return bytes.Repeat([]byte{0x5a}, max(len(b), 24)) }
	for _, c := range []struct {
		name, suffix string
		damage       func([]byte) []byte
		crash        []bool // after a clean stop, after a crash
	}{
		{"index torn", suffixIndex, truncated(3), []bool{false, true}},
		{"index short", suffixIndex, truncated(8), []bool{false, true}},
		{"index emptied", suffixIndex, emptied, []bool{false, true}},
		{"index zeroed", suffixIndex, zeroed, []bool{false, true}},
		{"index not trimmed", suffixIndex, padded, []bool{false, true}},
		{"index garbage", suffixIndex, garbage, []bool{false, true}},
		{"index missing", suffixIndex, nil, []bool{false, true}},
		{"index of another log", suffixIndex, func(b []byte) []byte {
			for i := 7; i < len(b); i += 8 {
				b[i] ^= 0x11 // positions that rise and lie within the log, but where no batch begins
			}
			return b
		}, []bool{false, true}},
		{"time index torn", suffixTimes, truncated(5), []bool{false, true}},
		{"time index emptied", suffixTimes, emptied, []bool{false, true}},
		{"time index zeroed", suffixTimes, zeroed, []bool{true}},
		{"time index not trimmed", suffixTimes, padded, []bool{false, true}},
		{"time index missing", suffixTimes, nil, []bool{false, true}},
		{"snapshot torn", suffixSnapshot, truncated(3), []bool{false, true}},
		{"snapshot emptied", suffixSnapshot, emptied, []bool{false, true}},
		{"snapshot zeroed", suffixSnapshot, zeroed, []bool{false, true}},
		{"snapshot garbage", suffixSnapshot, garbage, []bool{false, true}},
		{"snapshot missing", suffixSnapshot, nil, []bool{false, true}},
		{"transaction index torn", suffixTxns, truncated(1), []bool{false, true}},
		{"transaction index zeroed", suffixTxns, zeroed, []bool{false, true}},
		{"transaction index garbage", suffixTxns, garbage, []bool{false, true}},
		{"epochs torn", leaderEpochFile, truncated(2), []bool{false, true}},
		{"epochs emptied", leaderEpochFile, emptied, []bool{false, true}},
		{"epochs zeroed", leaderEpochFile, zeroed, []bool{false, true}},
		{"epochs garbage", leaderEpochFile, garbage, []bool{false, true}},
		{"epochs without entries", leaderEpochFile, func([]byte) []byte { return []byte("0\n0\n") }, []bool{false, true}},
		{"epochs missing", leaderEpochFile, nil, []bool{false, true}},
		{"partition.metadata garbage", partitionMetadataFile, garbage, []bool{false, true}},
		{"partition.metadata missing", partitionMetadataFile, nil, []bool{false, true}},
	} {
		for _, crash := range c.crash {
			t.Run(fmt.Sprintf("%s/crash=%v", c.name, crash), func(t *testing.T) {
				fsys := testDirFS(t)
				l := openTest(t, fsys, testConfig(), OpenOptions{})
				workload(t, l)
				want := state(t, l)
				o := OpenOptions{CleanShutdown: !crash, RecoveryPoint: l.LogEndOffset() / 2}
				if crash {
					if err := l.Sync(); err != nil {
						t.Fatal(err)
					}
				}
				if err := l.Close(testNow); err != nil {
					t.Fatal(err)
				}
				damaged := files(t, fsys, c.suffix)
				if len(damaged) == 0 {
					t.Fatal("nothing to damage")
				}
				for _, path := range damaged {
					if c.damage == nil {
						if err := fsys.Remove(path); err != nil {
							t.Fatal(err)
						}
						continue
					}
					spit(t, fsys, path, c.damage(slurp(t, fsys, path)))
				}
				l = openTest(t, fsys, testConfig(), o)
				if got := state(t, l); got != want {
					t.Fatal(diffLines(got, want))
				}
				// And once more, from what was rebuilt.
				l = reopenClean(t, l)
				if got := state(t, l); got != want {
					t.Fatal("after another start:", diffLines(got, want))
				}
				if id, err := readTopicID(fsys, "/data/t-0"); err != nil || id != testID {
					t.Fatalf("topic id %v, %v", id, err)
				}
			})
		}
	}
}

func TestRecovery_LOG_03_tails(t *testing.T) {
	for _, c := range []struct {
		name string
		// tail makes of the last segment's bytes, whose last batch begins at last, what a crash left.
		tail func(b []byte, last int) []byte
		kept bool // the last batch is still good
	}{
		{"torn in the header", func(b []byte, last int) []byte { return b[:last+30] }, false},
		{"torn in the records", func(b []byte, last int) []byte { return b[:len(b)-1] }, false},
		{"zeroed last batch", func(b []byte, last int) []byte { clear(b[last:]); return b }, false},
		{"zeroed last bytes", func(b []byte, last int) []byte { clear(b[len(b)-5:]); return b }, false},
		{"flipped bit", func(b []byte, last int) []byte { b[len(b)-1] ^= 1; return b }, false},
		{"wrong magic", func(b []byte, last int) []byte { b[last+16] = 1; return b }, false},
		{"negative length", func(b []byte, last int) []byte { b[last+8] = 0xff; return b }, false},
		{"huge length", func(b []byte, last int) []byte { b[last+8] = 0x7f; return b }, false},
		{"tiny length", func(b []byte, last int) []byte { copy(b[last+8:], []byte{0, 0, 0, 1}); return b }, false},
		{"offset that goes back", func(b []byte, last int) []byte { batch.SetBaseOffset(b[last:], 0); return b }, false},
		{"offset far away", func(b []byte, last int) []byte { batch.SetBaseOffset(b[last:], 1<<40); return b }, false},
		{"zeros behind", func(b []byte, _ int) []byte { return append(b, make([]byte, 5000)...) }, true},
		{"few zeros behind", func(b []byte, _ int) []byte { return append(b, 0, 0, 0) }, true},
		{"garbage behind", func(b []byte, _ int) []byte { return append(b, bytes.Repeat([]byte{0xa5}, 100)...) }, true},
		{"half a batch behind", func(b []byte, last int) []byte { return append(b, b[last:last+70]...) }, true},
	} {
		for _, clean := range []bool{false, true} { // a mark of a clean stop that isn't true
			if clean && (c.name == "flipped bit" || c.name == "zeroed last bytes" || strings.HasPrefix(c.name, "offset")) {
				continue // batches before the end aren't read after a clean stop
			}
			t.Run(fmt.Sprintf("%s/clean=%v", c.name, clean), func(t *testing.T) {
				fsys := testDirFS(t)
				l := openTest(t, fsys, testConfig(), OpenOptions{})
				workload(t, l)
				before := readAll(t, l, 1<<20)
				rp := before[len(before)-2].BaseOffset
				if err := l.Close(testNow); err != nil {
					t.Fatal(err)
				}
				logs := files(t, fsys, suffixLog)
				path := logs[len(logs)-1]
				b := slurp(t, fsys, path)
				last := 0
				for at := 0; at < len(b); {
					h, err := batch.ParseHeader(b[at:])
					if err != nil {
						t.Fatal(err)
					}
					last = at
					at += h.Size()
				}
				spit(t, fsys, path, c.tail(b, last))
				l = openTest(t, fsys, testConfig(), OpenOptions{RecoveryPoint: rp, CleanShutdown: clean})
				want := before
				if !c.kept {
					want = before[:len(before)-1]
				}
				got := readAll(t, l, 1<<20)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("%d batches, want %d", len(got), len(want))
				}
				end := want[len(want)-1].NextOffset()
				if l.LogEndOffset() != end {
					t.Fatalf("end %d, want %d", l.LogEndOffset(), end)
				}
				if info := mustAppend(t, l, produce{}); info.FirstOffset != end {
					t.Fatalf("next append at %d, want %d", info.FirstOffset, end)
				}
				l = reopenCrashed(t, l)
				if n := len(readAll(t, l, 1<<20)); n != len(want)+1 {
					t.Fatalf("%d batches after another start, want %d", n, len(want)+1)
				}
			})
		}
	}
}

func TestRecovery_a_bad_batch_ends_the_log_and_a_hole_too(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, fsys vfs.FS, path string)
	}{
		{"damaged", func(t *testing.T, fsys vfs.FS, path string) {
			b := slurp(t, fsys, path)
			b[len(b)-1] ^= 1
			spit(t, fsys, path, b)
		}},
		{"short by a whole batch", func(t *testing.T, fsys vfs.FS, path string) {
			b := slurp(t, fsys, path)
			last := 0
			for at := 0; at < len(b); {
				h, _ := batch.ParseHeader(b[at:])
				last = at
				at += h.Size()
			}
			spit(t, fsys, path, b[:last])
		}},
		{"missing", func(t *testing.T, fsys vfs.FS, path string) {
			if err := fsys.Remove(path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := testDirFS(t)
			l := openTest(t, fsys, testConfig(), OpenOptions{})
			workload(t, l)
			before := readAll(t, l, 1<<20)
			if err := l.Close(testNow); err != nil {
				t.Fatal(err)
			}
			logs := files(t, fsys, suffixLog)
			c.damage(t, fsys, logs[1])
			l = openTest(t, fsys, testConfig(), OpenOptions{})
			got := readAll(t, l, 1<<20)
			if len(got) == 0 || len(got) >= len(before) || fmt.Sprint(got) != fmt.Sprint(before[:len(got)]) {
				t.Fatalf("%d batches of %d, or not a prefix", len(got), len(before))
			}
			if n := len(files(t, fsys, suffixLog)); n > 2 {
				t.Fatalf("%d segments are left", n)
			}
			l = reopenClean(t, l)
			if again := readAll(t, l, 1<<20); fmt.Sprint(again) != fmt.Sprint(got) {
				t.Fatal("another start found something else")
			}
		})
	}
}

func TestRecovery_below_the_recovery_point_nothing_is_read_again(t *testing.T) {
	fsys := vfs.NewMem(vfs.MemOptions{})
	if err := fsys.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	l := openTest(t, fsys, testConfig(), OpenOptions{})
	workload(t, l)
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		o     OpenOptions
		limit int64
	}{
		{"clean", OpenOptions{CleanShutdown: true}, 0},
		{"crash", OpenOptions{RecoveryPoint: l.LogEndOffset()}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := map[string]int64{}
			fsys.SetFault(func(op vfs.Op) error {
				if op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, suffixLog) {
					read[op.Name] += op.Len
				}
				return nil
			})
			defer fsys.SetFault(nil)
			again := openTest(t, fsys, testConfig(), c.o)
			logs := files(t, fsys, suffixLog)
			for _, name := range logs[:len(logs)-1] {
				if read[name] > 0 {
					t.Errorf("%d bytes of closed segment %s were read", read[name], name)
				}
			}
			if again.LogEndOffset() != l.LogEndOffset() {
				t.Fatalf("end %d, want %d", again.LogEndOffset(), l.LogEndOffset())
			}
		})
	}
}

func TestRecovery_leftovers_are_removed(t *testing.T) {
	fsys := testDirFS(t)
	l := openTest(t, fsys, testConfig(), OpenOptions{})
	workload(t, l)
	want := state(t, l)
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00000000000000000000.log.deleted", "00000000000000000099.index", "00000000000000000099.timeindex",
		"00000000000000000099.txnindex", "leader-epoch-checkpoint.tmp", "00000000000000000003.log.cleaned"} {
		spit(t, fsys, "/data/t-0/"+name, []byte("x"))
	}
	spit(t, fsys, "/data/t-0/README", []byte("somebody's own"))
	l = openTest(t, fsys, testConfig(), OpenOptions{CleanShutdown: true})
	if got := state(t, l); got != want {
		t.Fatal(diffLines(got, want))
	}
	for _, suffix := range []string{suffixDeleted, suffixTemp, suffixCleaned, "99.index"} {
		if left := files(t, fsys, suffix); len(left) > 0 {
			t.Fatalf("still there: %v", left)
		}
	}
	if _, err := fsys.Stat("/data/t-0/README"); err != nil {
		t.Fatal(err)
	}
}

func TestOpenLog_refuses_another_topics_folder(t *testing.T) {
	fsys := testDirFS(t)
	l := openTest(t, fsys, testConfig(), OpenOptions{})
	if err := l.Close(testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLog(fsys, "/data/t-0", testTP, TopicID{9}, testConfig(), OpenOptions{}); !errors.Is(err, ErrInconsistentTopicID) {
		t.Fatal(err)
	}
	b := slurp(t, fsys, "/data/t-0/partition.metadata")
	if string(b) != "version: 0\ntopic_id: AQIDAAAAAAAAAAAAAAAAAA" {
		t.Fatalf("%q", b)
	}
	if _, err := fsys.Stat("/data/t-0/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
