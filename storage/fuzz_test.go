package storage

import (
	"errors"
	"testing"

	"github.com/kbroker/kbroker/storage/vfs"
)

// Recovery of damaged files never fails, never panics, and leaves a log that is whole, takes appends, and is found again.
func FuzzRecovery_LOG_03(f *testing.F) {
	build := vfs.NewMem(vfs.MemOptions{})
	if err := build.MkdirAll("/data"); err != nil {
		f.Fatal(err)
	}
	l := openTest(f, build, testConfig(), OpenOptions{})
	workload(f, l)
	end := l.LogEndOffset()
	if err := l.Close(testNow); err != nil {
		f.Fatal(err)
	}
	entries, err := build.ReadDir("/data/t-0")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), uint16(0), []byte{1}, true, int64(0))
	f.Add(uint8(1), uint16(100), []byte("garbage"), false, end)
	f.Add(uint8(3), uint16(8), make([]byte, 100), false, end/2)
	f.Add(uint8(200), uint16(61), []byte{0xff, 0xff, 0xff, 0xff}, true, int64(-1))
	f.Fuzz(func(t *testing.T, which uint8, at uint16, b []byte, clean bool, recoveryPoint int64) {
		fsys := build.Clone()
		path := "/data/t-0/" + entries[int(which)%len(entries)].Name()
		content := slurp(t, fsys, path)
		pos := int(at) % (len(content) + 1)
		if which >= 128 {
			content = content[:pos] // cut, and something else behind
		}
		for i, c := range b {
			if pos+i < len(content) {
				content[pos+i] ^= c
			} else {
				content = append(content, c)
			}
		}
		spit(t, fsys, path, content)
		o := OpenOptions{NowMillis: testNow, CleanShutdown: clean, RecoveryPoint: recoveryPoint}
		l, err := OpenLog(fsys, "/data/t-0", testTP, TopicID{}, testConfig(), o)
		if errors.Is(err, ErrCorruptMessage) && (clean || recoveryPoint > 0) {
			return // damage where all should be well is told, not cut off
		}
		if err != nil {
			t.Fatal(err)
		}
		// Batches that a clean stop or the recovery point vouches for aren't read at the start: damage there is found by their readers.
		reads := 0
		for at := l.LogStartOffset(); at < l.LogEndOffset(); {
			if reads++; reads > 10_000 {
				t.Fatalf("still reading at %d of %d", at, l.LogEndOffset())
			}
			r, err := l.Read(at, l.LogEndOffset(), 700, true)
			if err != nil {
				break
			}
			r.Release()
			if r.Next <= at {
				if !clean && recoveryPoint <= 0 {
					t.Fatalf("no progress at %d", at)
				}
				break
			}
			at = r.Next
		}
		if clean || recoveryPoint > 0 {
			return
		}
		n := len(readAll(t, l, 700))
		if _, err := l.AppendAsLeader(testNow, 9, OriginCoordinator, true, produce{}.batch()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.AbortedTxns(0, l.LogEndOffset()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.OffsetForTimestamp(testNow, l.LogEndOffset()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(testNow); err != nil {
			t.Fatal(err)
		}
		again, err := OpenLog(fsys, "/data/t-0", testTP, TopicID{}, testConfig(), OpenOptions{NowMillis: testNow, CleanShutdown: true})
		if err != nil {
			t.Fatal(err)
		}
		if m := len(readAll(t, again, 900)); m != n+1 || again.LogEndOffset() != l.LogEndOffset() {
			t.Fatalf("%d batches, then %d", n, m)
		}
	})
}
