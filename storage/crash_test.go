package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

// history is what a client of one log knows: the batches that it sent, by their base offsets, and how many of them have to be
// there whatever happens.
type history struct {
	sent    []batch.Header
	durable int
	// before is what the log held before a truncation that may not have happened yet.
	before []batch.Header
	start  int64
	epoch  int32
}

func openCrashManager(fsys vfs.FS) (*Manager, error) {
	return OpenManager(context.Background(), ManagerConfig{FS: fsys, Dirs: []string{"/data"}, ClusterID: "c", NodeID: 1, NowMillis: func() int64 { return testNow }})
}

// crashScript does one of everything on a log. It ends at the first error.
func crashScript(fsys vfs.FS, h *history, deletes bool) error {
	m, err := openCrashManager(fsys)
	if err != nil {
		return err
	}
	cfg := testConfig()
	cfg.SegmentBytes = 1500
	l, err := m.Open(testTP, testID, cfg)
	if err != nil {
		return err
	}
	seq := int32(0)
	send := func(p produce, origin Origin) error {
		b := p.batch()
		if origin == OriginCoordinator {
			b = batch.EndTxnMarker(p.ts, p.pid, p.epoch, batch.ControlAbort, 1)
		}
		info, err := l.AppendAsLeader(testNow, h.epoch, origin, true, b)
		if err != nil {
			return err
		}
		hd, err := batch.ParseHeader(b)
		if err != nil {
			return err
		}
		if hd.BaseOffset != info.FirstOffset {
			return fmt.Errorf("offset %d in the batch, %d answered", hd.BaseOffset, info.FirstOffset)
		}
		h.sent = append(h.sent, hd)
		return nil
	}
	some := func(n int) error {
		for i := range n {
			p := produce{producer: true, pid: 1, seq: seq, n: 1 + i%2, size: 150, ts: testNow + int64(10*i)}
			seq += int32(p.n)
			if err := send(p, OriginClient); err != nil {
				return err
			}
			if i%4 == 3 {
				p = produce{producer: true, pid: 50 + int64(len(h.sent)), txn: true, size: 40, ts: testNow}
				if err := send(p, OriginClient); err != nil {
					return err
				}
				if i%8 == 7 {
					if err := send(p, OriginCoordinator); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	sync := func() error {
		n := len(h.sent)
		if err := l.Sync(); err != nil {
			return err
		}
		h.durable = n
		return nil
	}
	if err := l.AssignEpoch(h.epoch); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return some(9) }, sync, func() error { return some(5) }, m.Checkpoint, func() error { return some(6) },
		func() error {
			h.epoch++
			return l.AssignEpoch(h.epoch)
		},
		func() error { return some(4) }, sync, m.Checkpoint,
		func() error {
			keep := len(h.sent) - 7
			h.before = h.sent
			h.sent = append([]batch.Header(nil), h.sent[:keep]...)
			h.durable = min(h.durable, keep)
			seq = 0
			for _, b := range h.sent {
				if b.ProducerID == 1 {
					seq = b.LastSequence() + 1
				}
			}
			if err := l.TruncateTo(h.before[keep].BaseOffset); err != nil {
				return err
			}
			h.epoch++
			return nil
		},
		func() error { return some(6) }, sync,
		func() error {
			if !deletes {
				return nil
			}
			start := h.sent[h.durable/2].BaseOffset + 1
			if err := l.AdvanceLogStart(start); err != nil {
				return err
			}
			h.start = start
			_, err := l.Retain(testNow, l.LogEndOffset())
			return err
		},
		func() error { return some(9) },
		func() error {
			n := len(h.sent)
			if err := m.Close(); err != nil {
				return err
			}
			h.durable = n
			return nil
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// isPrefix says whether got are the batches of all from the log start on, up to any one.
func isPrefix(got, all []batch.Header, from int) bool {
	return len(got) <= len(all)-from && fmt.Sprint(got) == fmt.Sprint(all[from:from+len(got)])
}

func lines(hs []batch.Header) string {
	var b strings.Builder
	for _, h := range hs {
		fmt.Fprintln(&b, h)
	}
	return b.String()
}

func checkAfterCrash(t *testing.T, fsys *vfs.Mem, h *history, deletes bool) {
	t.Helper()
	m, err := openCrashManager(fsys)
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.SegmentBytes = 1500
	l, err := m.Open(testTP, testID, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if l.LogStartOffset() < h.start {
		t.Fatalf("log start %d went back from %d", l.LogStartOffset(), h.start)
	}
	got := readAll(t, l, 400)
	find := func(all []batch.Header) int {
		for i, b := range all {
			if b.LastOffset() >= l.LogStartOffset() {
				return i
			}
		}
		return len(all)
	}
	ok := isPrefix(got, h.sent, find(h.sent)) && find(h.sent)+len(got) >= h.durable
	if !ok && h.before != nil {
		ok = isPrefix(got, h.before, find(h.before)) && find(h.before)+len(got) >= h.durable
	}
	if !ok {
		t.Fatalf("%d batches from %d are no prefix of the %d sent (%d before a truncation) that holds the %d durable ones: %s",
			len(got), l.LogStartOffset(), len(h.sent), len(h.before), h.durable, diffLines(lines(got), lines(h.sent)))
	}
	for i := len(got) - 1; i >= 0; i-- {
		if b := got[i]; b.ProducerID == 1 && !b.IsControl() {
			p := produce{producer: true, pid: 1, seq: b.BaseSequence, n: int(b.NumRecords), size: 150}
			info, err := l.AppendAsLeader(testNow, h.epoch, OriginClient, true, p.batch())
			if err != nil || !info.Duplicate || info.FirstOffset != b.BaseOffset {
				t.Fatalf("sending %v again: %+v, %v", b, info, err)
			}
			break
		}
	}
	if !deletes {
		// What was recovered is what the .log alone says.
		bare := fsys.Clone()
		entries, err := bare.ReadDir("/data/t-0")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, suffix, ok := parseOffsetFile(e.Name()); !ok || suffix != suffixLog {
				if err := bare.Remove("/data/t-0/" + e.Name()); err != nil {
					t.Fatal(err)
				}
			}
		}
		again, err := OpenLog(bare, "/data/t-0", testTP, testID, cfg, OpenOptions{NowMillis: testNow, RecoveryPoint: -1})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := state(t, l), state(t, again); a != b {
			t.Fatal("recovered and rebuilt logs differ:", diffLines(a, b))
		}
	}
	end := l.LogEndOffset()
	if info := mustAppend(t, l, produce{}); info.FirstOffset != end {
		t.Fatalf("next append at %d, want %d", info.FirstOffset, end)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// A crash at each operation of the script: what was synced survives, the rest is a clean prefix (LOG-02, -03, -04, DREC-05, IDEM-10).
func TestCrash_LOG_02_03_04_DREC_05_at_every_operation(t *testing.T) {
	for _, deletes := range []bool{false, true} {
		t.Run(fmt.Sprintf("deletes=%v", deletes), func(t *testing.T) {
			fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
			var whole history
			if err := crashScript(fsys, &whole, deletes); err != nil {
				t.Fatal(err)
			}
			ops := fsys.Ops()
			if ops < 100 || len(whole.before) == 0 {
				t.Fatalf("the script has %d operations", ops)
			}
			step := int64(1)
			if testing.Short() {
				step = 7
			}
			for n := int64(1); n <= ops; n += step {
				for _, c := range []struct {
					name string
					opts vfs.CrashOptions
					part int
				}{
					{"lose", vfs.CrashOptions{Unsynced: vfs.LoseUnsynced}, 0},
					{"prefix", vfs.CrashOptions{Unsynced: vfs.KeepPrefix, Seed: uint64(n)}, 0},
					{"subset torn", vfs.CrashOptions{Unsynced: vfs.KeepSubset, Tear: true, Seed: uint64(n)}, 0},
					{"process dies in the write", vfs.CrashOptions{Unsynced: vfs.KeepAll}, 17},
				} {
					fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true, Fault: vfs.CrashWithin(n, c.part)})
					var h history
					err := crashScript(fsys, &h, deletes)
					if !errors.Is(err, vfs.ErrCrashed) {
						t.Fatalf("crash at %d: the script ended with %v", n, err)
					}
					if !t.Run(fmt.Sprintf("%d/%s", n, c.name), func(t *testing.T) {
						checkAfterCrash(t, fsys.Crash(c.opts), &h, deletes)
					}) {
						t.FailNow()
					}
				}
			}
		})
	}
}

// The first failed operation stops the log for good, and none after it is acknowledged; reads go on (Fail-stop).
func TestFailure_PROD_34_LOG_16_first_error_stops_the_log(t *testing.T) {
	boom := errors.New("boom")
	fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
	var whole history
	if err := crashScript(fsys, &whole, true); err != nil {
		t.Fatal(err)
	}
	for n := int64(1); n <= fsys.Ops(); n++ {
		fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true, Fault: vfs.FailWhere(func(op vfs.Op) bool {
			return op.N == n && (op.Kind == vfs.OpWrite || op.Kind == vfs.OpSync)
		}, boom)})
		var h history
		err := crashScript(fsys, &h, true)
		if err == nil {
			continue
		}
		if !errors.Is(err, boom) {
			t.Fatalf("failure at %d: %v", n, err)
		}
		// The log as it was left, by a process that then died.
		if !t.Run(fmt.Sprint(n), func(t *testing.T) { checkAfterCrash(t, fsys.Crash(vfs.CrashOptions{Unsynced: vfs.KeepAll}), &h, true) }) {
			t.FailNow()
		}
	}
}

func TestFailure_append_and_sync(t *testing.T) {
	boom := errors.New("boom")
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSync} {
		t.Run(kind.String(), func(t *testing.T) {
			fsys := vfs.NewMem(vfs.MemOptions{TrackSync: true})
			if err := fsys.MkdirAll("/data"); err != nil {
				t.Fatal(err)
			}
			l := openTest(t, fsys, testConfig(), OpenOptions{})
			mustAppend(t, l, produce{n: 3, size: 10})
			fsys.SetFault(vfs.FailWhere(func(op vfs.Op) bool { return op.Kind == kind }, boom))
			end := l.LogEndOffset()
			var err error
			if kind == vfs.OpSync {
				err = l.Sync()
			} else {
				_, err = l.AppendAsLeader(testNow, 0, OriginClient, true, produce{}.batch())
			}
			if !errors.Is(err, ErrStorage) || !errors.Is(err, boom) {
				t.Fatal(err)
			}
			fsys.SetFault(nil) // the disk is well again; the log stays stopped
			if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, produce{}.batch()); !errors.Is(err, ErrStorage) || !errors.Is(err, boom) {
				t.Fatalf("append after the failure: %v", err)
			}
			if err := l.Sync(); !errors.Is(err, ErrStorage) {
				t.Fatalf("sync after the failure: %v", err)
			}
			if err := l.Err(); !errors.Is(err, boom) {
				t.Fatal(err)
			}
			if l.LogEndOffset() != end || l.DurableEndOffset() != 0 {
				t.Fatalf("end %d, durable %d", l.LogEndOffset(), l.DurableEndOffset())
			}
			if n := len(readAll(t, l, 1000)); n != 1 {
				t.Fatalf("%d batches can be read", n)
			}
			if err := l.Close(testNow); !errors.Is(err, boom) || l.clean.Load() {
				t.Fatalf("closed as if all were well: %v", err)
			}
		})
	}
}

func TestFailure_memory_budget_stops_nothing(t *testing.T) {
	fsys := vfs.NewMem(vfs.MemOptions{Budget: 200_000})
	if err := fsys.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.SegmentBytes = 20_000
	cfg.RetentionBytes = 40_000
	cfg.FileDeleteDelayMillis = 0
	l := openTest(t, fsys, cfg, OpenOptions{})
	acked := int64(0)
	refused := 0
	seq := int32(0)
	for i := range 3000 {
		info, err := l.AppendAsLeader(testNow, 0, OriginClient, true, produce{producer: true, pid: 1, seq: seq, size: 200 + i%500}.batch())
		if errors.Is(err, ErrMemoryBudget) && !errors.Is(err, ErrStorage) {
			refused++
			hs := readAll(t, l, 1<<20)
			if last := hs[len(hs)-1]; last.NextOffset() != acked {
				t.Fatalf("the log ends at %d, acknowledged were %d", last.NextOffset(), acked)
			}
			if _, err := l.Retain(testNow, l.LogEndOffset()); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Retain(testNow, l.LogEndOffset()); err != nil { // the files' delay is over
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		seq++
		if info.FirstOffset != acked {
			t.Fatalf("offset %d, want %d", info.FirstOffset, acked)
		}
		acked = info.LastOffset + 1
	}
	if refused == 0 || l.Err() != nil {
		t.Fatalf("refused %d times, %v", refused, l.Err())
	}
}
