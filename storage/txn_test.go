package storage

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kbroker/kbroker/storage/batch"
)

func txn(pid int64, epoch int16, seq int32) produce {
	return produce{producer: true, pid: pid, epoch: epoch, seq: seq, txn: true, size: 30}
}

func endTxn(t testing.TB, l *Log, pid int64, epoch int16, kind batch.ControlType, coordinatorEpoch int32) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(testNow, 0, OriginCoordinator, true, batch.EndTxnMarker(testNow, pid, epoch, kind, coordinatorEpoch))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestTransactions_TXN_19_22_31_first_unstable_and_aborted(t *testing.T) {
	for _, r := range restarts {
		t.Run(r.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.SegmentBytes = 400
			l := openTest(t, testDirFS(t), cfg, OpenOptions{})
			unstable := func(want int64) {
				t.Helper()
				got, ok := l.FirstUnstableOffset()
				if !ok {
					got = -1
				}
				if got != want {
					t.Fatalf("first unstable %d, want %d", got, want)
				}
			}
			unstable(-1)
			mustAppend(t, l, produce{})    // 0
			mustAppend(t, l, txn(1, 0, 0)) // 1
			mustAppend(t, l, txn(2, 0, 0)) // 2
			mustAppend(t, l, txn(1, 0, 1)) // 3
			unstable(1)
			if !l.HasOngoingTransaction(1, 0) || l.HasOngoingTransaction(1, 1) || l.HasOngoingTransaction(3, 0) {
				t.Fatal("ongoing transactions")
			}
			if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, idem(1, 0, 2, 1).batch()); !errors.Is(err, ErrInvalidTxnState) {
				t.Fatalf("a plain batch within a transaction: %v", err)
			}
			endTxn(t, l, 1, 0, batch.ControlAbort, 3) // 4
			unstable(1)                               // the marker isn't replicated
			l.SetHighWatermark(4)
			unstable(1)
			l.SetHighWatermark(5)
			unstable(2)
			endTxn(t, l, 2, 0, batch.ControlCommit, 0) // 5
			mustAppend(t, l, txn(1, 0, 2))             // 6
			mustAppend(t, l, txn(2, 0, 1))             // 7
			endTxn(t, l, 2, 0, batch.ControlAbort, 0)  // 8
			l.SetHighWatermark(9)
			unstable(6)
			l = r.fn(t, l)
			l.SetHighWatermark(9)
			unstable(6)
			for _, c := range []struct {
				from, upTo int64
				want       string
			}{
				{0, 9, "[{1 1 4 2} {2 7 8 6}]"},
				{0, 2, "[{1 1 4 2}]"},
				{5, 9, "[{2 7 8 6}]"},
				{9, 9, "[]"},
				{0, 1, "[]"},
			} {
				got, err := l.AbortedTxns(c.from, c.upTo)
				if err != nil || fmt.Sprint(got) != c.want || got == nil {
					t.Fatalf("aborted within [%d, %d): %v, %v; want %s", c.from, c.upTo, got, err, c.want)
				}
			}
			// Markers: a stale coordinator, a stale epoch, and a newer epoch that fences.
			if _, err := l.AppendAsLeader(testNow, 0, OriginCoordinator, true, batch.EndTxnMarker(testNow, 1, 0, batch.ControlAbort, 2)); !errors.Is(err, ErrCoordinatorFenced) {
				t.Fatal(err)
			}
			endTxn(t, l, 1, 1, batch.ControlAbort, 3) // TV2: the marker bumps the epoch
			l.SetHighWatermark(10)
			unstable(-1)
			if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, txn(1, 0, 3).batch()); !errors.Is(err, ErrInvalidProducerEpoch) {
				t.Fatalf("a late batch must not reopen the transaction (TXN-20): %v", err)
			}
			if info := mustAppend(t, l, txn(1, 1, 0)); info.Duplicate {
				t.Fatal("a sequence that is used again after an abort was taken for a duplicate")
			}
			unstable(10)
		})
	}
}

func TestTransactions_clients_write_no_markers(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
	if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, batch.EndTxnMarker(testNow, 1, 0, batch.ControlAbort, 2)); !errors.Is(err, ErrInvalidRecord) {
		t.Fatal(err)
	}
	// A coordinator's batches carry no sequence (offsets committed in a transaction).
	p := txn(1, 0, -1)
	if _, err := l.AppendAsLeader(testNow, 0, OriginCoordinator, true, p.batch()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendAsLeader(testNow, 0, OriginCoordinator, true, p.batch()); err != nil {
		t.Fatal(err)
	}
	endTxn(t, l, 1, 0, batch.ControlCommit, 0)
	if l.LogEndOffset() != 3 {
		t.Fatal(l.LogEndOffset())
	}
}

func TestTransactions_many_aborts_fill_the_index_file(t *testing.T) {
	cfg := testConfig()
	cfg.SegmentBytes = 1 << 20
	l := openTest(t, testDirFS(t), cfg, OpenOptions{})
	for i := range 100 {
		mustAppend(t, l, txn(1, 0, int32(i)))
		endTxn(t, l, 1, 0, batch.ControlAbort, 0)
	}
	for _, reopen := range restarts[:4] {
		l = reopen.fn(t, l)
		got, err := l.AbortedTxns(0, 200)
		if err != nil || len(got) != 100 || got[99] != (AbortedTxn{1, 198, 199, 200}) {
			t.Fatal(reopen.name, len(got), err)
		}
	}
	l = reopenClean(t, l)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if b := slurp(t, l.fs, "/data/t-0/00000000000000000000.txnindex"); len(b) != 100*34 {
		t.Fatalf("%d bytes", len(b))
	}
}
