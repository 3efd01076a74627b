// Package coordtest has a partition's log for tests of coordinators: in memory, with commits and failures moved by hand.
package coordtest

import (
	"sync"

	"github.com/kbroker/kbroker/storage/batch"
)

// Log is a coord.Log. The zero value is empty, commits at once and takes batches of up to 1 MiB.
type Log struct {
	mu            sync.Mutex
	batches       [][]byte
	next          int64
	highWatermark int64
	held          bool
	waiters       []*waiter
	appendErr     error
	maxBytes      int
	readGate      chan struct{}
	readErr       error
}

type waiter struct {
	offset int64
	done   func(error)
}

// Hold keeps the high watermark where it is.
func (l *Log) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// Release lets the high watermark go to the log's end, and commits at once from then on.
func (l *Log) Release() {
	l.mu.Lock()
	l.held = false
	l.highWatermark = l.next
	woken := l.take()
	l.mu.Unlock()
	for _, w := range woken {
		w.done(nil)
	}
}

// Advance moves the high watermark to the log's end once; later appends are held again.
func (l *Log) Advance() {
	l.Release()
	l.Hold()
}

// FailWaiters tells all who wait for a commit that it will not come.
func (l *Log) FailWaiters(err error) {
	l.mu.Lock()
	waiters := l.waiters
	l.waiters = nil
	l.mu.Unlock()
	for _, w := range waiters {
		w.done(err)
	}
}

// FailAppends has appends fail, until it is called with nil.
func (l *Log) FailAppends(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appendErr = err
}

// FailReads has reads fail, until it is called with nil.
func (l *Log) FailReads(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readErr = err
}

// SetMaxBatchBytes sets the largest batch that is taken.
func (l *Log) SetMaxBatchBytes(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxBytes = n
}

// GateReads has reads wait until the returned function is called.
func (l *Log) GateReads() (open func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gate := make(chan struct{})
	l.readGate = gate
	return func() { close(gate) }
}

// Batches is how many batches the log holds.
func (l *Log) Batches() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.batches)
}

// Waiters is how many wait for a commit.
func (l *Log) Waiters() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiters)
}

// Put appends a batch that is there before the coordinator.
func (l *Log) Put(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(b)
	l.highWatermark = l.next
}

func (l *Log) put(b []byte) {
	h, err := batch.ParseHeader(b)
	if err != nil {
		panic(err)
	}
	b = append([]byte(nil), b...)
	batch.SetBaseOffset(b, l.next)
	l.batches = append(l.batches, b)
	l.next += int64(h.LastOffsetDelta) + 1
}

// take removes the waiters that are done; mu is held.
func (l *Log) take() (woken []*waiter) {
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if w.offset < l.highWatermark {
			woken = append(woken, w)
		} else {
			kept = append(kept, w)
		}
	}
	l.waiters = kept
	return woken
}

// LogStartOffset is part of coord.Log.
func (l *Log) LogStartOffset() (int64, error) { return 0, nil }

// LogEndOffset is part of coord.Log.
func (l *Log) LogEndOffset() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next, nil
}

// HighWatermark is part of coord.Log.
func (l *Log) HighWatermark() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.highWatermark
}

// MaxBatchBytes is part of coord.Log.
func (l *Log) MaxBatchBytes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.maxBytes == 0 {
		return 1 << 20
	}
	return l.maxBytes
}

// Read is part of coord.Log.
func (l *Log) Read(offset int64, maxBytes int) ([]byte, error) {
	l.mu.Lock()
	gate := l.readGate
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readErr != nil {
		return nil, l.readErr
	}
	var out []byte
	for _, b := range l.batches {
		h, err := batch.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		if h.LastOffset() < offset {
			continue
		}
		if len(out) > 0 && len(out)+len(b) > maxBytes {
			break
		}
		out = append(out, b...)
	}
	return out, nil
}

// Append is part of coord.Log. Like a partition it may call who waits for an earlier commit.
func (l *Log) Append(b []byte) (int64, error) {
	l.mu.Lock()
	if l.appendErr != nil {
		defer l.mu.Unlock()
		return 0, l.appendErr
	}
	l.put(b)
	last := l.next - 1
	var woken []*waiter
	if !l.held {
		l.highWatermark = l.next
		woken = l.take()
	}
	l.mu.Unlock()
	for _, w := range woken {
		w.done(nil)
	}
	return last, nil
}

// CommitOnAppend has the next append move the high watermark past everything before it, with those who wait for that called from within.
func (l *Log) CommitOnAppend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
}

// AwaitCommitted is part of coord.Log.
func (l *Log) AwaitCommitted(offset int64, done func(error)) (bool, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.highWatermark {
		return true, func() {}
	}
	w := &waiter{offset, done}
	l.waiters = append(l.waiters, w)
	return false, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, x := range l.waiters {
			if x == w {
				l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
				return
			}
		}
	}
}
