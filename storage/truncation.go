package storage

import (
	"errors"
	"slices"
)

// TruncateTo drops everything from offset on, and the whole batch that holds it. Where the log ends before nothing happens.
func (l *Log) TruncateTo(offset int64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	v := l.view.Load()
	if offset >= v.leo {
		return nil
	}
	offset, err := l.batchBase(v, offset)
	if err != nil {
		return l.fail("truncating", err)
	}
	if offset <= v.segments[0].base {
		return l.restartLogged(max(offset, 0))
	}
	if err := l.lowerDurable(offset); err != nil {
		return l.fail("writing the recovery point", err)
	}
	if err := l.truncate(v, offset); err != nil {
		return l.fail("truncating", err)
	}
	return nil
}

// batchBase is the base offset of the batch that holds offset, or offset where none does.
func (l *Log) batchBase(v *view, offset int64) (int64, error) {
	i := v.floor(offset)
	s, size := v.segments[i], v.sizeOf(i)
	if size == 0 {
		return offset, nil
	}
	h, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer h.unref()
	pos, err := s.position(h, size, offset)
	if err != nil {
		return 0, err
	}
	w := newWalker(h.log, pos, size)
	defer w.close()
	if w.next() {
		return min(offset, w.header.BaseOffset), nil
	}
	return offset, w.err
}

// lowerDurable moves the recovery point down, durably, before what lies behind it is replaced: a crash must not find other records there
// and believe them.
func (l *Log) lowerDurable(offset int64) error {
	if l.durable.Load() <= offset {
		return nil
	}
	l.durable.Store(offset)
	if l.saveRecoveryPoint == nil {
		return nil
	}
	return l.saveRecoveryPoint(offset)
}

// syncRemovals makes the removal of segments and snapshots durable: they must not come back behind what is appended from now on.
func (l *Log) syncRemovals() error {
	if err := l.fs.SyncDir(parentOf(l.dir)); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

func (l *Log) truncate(v *view, offset int64) error {
	i := v.floor(offset)
	if v.segments[i].base == offset {
		i-- // the whole segment goes
	}
	for _, s := range slices.Backward(v.segments[i+1:]) { // a crash in between leaves no hole
		if err := l.removeFiles(s); err != nil {
			return err
		}
	}
	if err := l.producers.dropSnapshotsAbove(l.fs, l.dir, offset); err != nil {
		return err
	}
	if err := l.syncRemovals(); err != nil {
		return err
	}
	old := v.segments[i]
	h, err := old.acquire()
	if err != nil {
		return err
	}
	defer h.unref()
	size := v.sizeOf(i)
	pos, err := old.position(h, size, offset)
	if err != nil {
		return err
	}
	// Readers may still hold the old segment and its hints; what comes now is a new one over the same files.
	s := newSegment(l, old.base)
	s.createdMillis = old.createdMillis
	s.size.Store(pos)
	s.dirty.Store(true)
	if err := truncateDurably(h.log, pos); err != nil {
		return err
	}
	b := indexBuilder{interval: l.cfg.Load().IndexIntervalBytes, base: s.base, newest: timeEntry{timestamp: noTimestamp, rel: -1}}
	w := newWalker(h.log, 0, pos)
	defer w.close()
	leo := s.base
	for w.next() {
		b.add(w.header.LastOffset(), w.header.MaxTimestamp, int32(w.pos), w.header.Size())
		leo = w.header.NextOffset()
	}
	if w.err != nil {
		return w.err
	}
	x := b.index()
	if err := s.writeIndexes(x); err != nil {
		return err
	}
	s.newest.Store(&b.newest)
	s.sinceIndex = b.sinceIndex
	s.index.Store(x.written())
	s.txns, s.txnsUnsynced = old.txns, old.txnsUnsynced
	old.gone.Store(true)
	old.release()

	next := &view{segments: append(append([]*segment(nil), v.segments[:i]...), s), start: min(v.start, leo), leo: leo, size: pos}
	for _, c := range next.segments[:i] {
		next.closed += c.size.Load()
	}
	l.view.Store(next)
	l.dirUnsynced = true
	l.durable.Store(min(l.durable.Load(), leo))
	l.epochs.truncateEnd(leo)
	if err := l.epochs.save(l.fs); err != nil {
		return err
	}
	return l.truncateProducers(next, l.nowMillis)
}

// truncateProducers makes producer state and transaction index what they were at the log's new end.
func (l *Log) truncateProducers(v *view, now int64) error {
	s := v.active()
	if err := s.flushTxns(); err != nil {
		return err
	}
	if err := l.trimTxnIndexes(v, v.leo); err != nil {
		if !errors.Is(err, errTxnIndexDamaged) {
			return err
		}
		if err := l.rebuildTxnIndexes(err); err != nil {
			return err
		}
	}
	l.producers.load(l.fs, l.dir, v.segments[0].base, v.leo, now, func(offset int64, err error) {
		l.logger.Warn("a producer snapshot can't be used", "partition", l.name, "offset", offset, "cause", err)
	})
	if err := l.replayProducers(v, now, func(*segment, AbortedTxn) {}); err != nil {
		return err
	}
	l.producers.replicatedTo(l.highWater.Load())
	return nil
}

// Reset drops everything; the log goes on at offset, as for a follower whose leader's log begins there.
func (l *Log) Reset(offset int64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	return l.restartLogged(offset)
}

func (l *Log) restartLogged(offset int64) error {
	if err := l.lowerDurable(min(offset, l.view.Load().segments[0].base)); err != nil {
		return l.fail("writing the recovery point", err)
	}
	if err := l.restart(offset, l.nowMillis); err != nil {
		return l.fail("starting anew", err)
	}
	return nil
}

// restart removes all segments and begins at offset. The append side's.
func (l *Log) restart(offset, now int64) error {
	for _, s := range slices.Backward(l.view.Load().segments) { // a crash in between leaves no hole
		if err := l.removeFiles(s); err != nil {
			return err
		}
	}
	if err := l.producers.dropSnapshotsAbove(l.fs, l.dir, -1); err != nil {
		return err
	}
	if err := l.syncRemovals(); err != nil {
		return err
	}
	s, err := l.createSegment(offset, now)
	if err != nil {
		return err
	}
	l.view.Store(&view{segments: []*segment{s}, start: offset, leo: offset})
	l.producers.reset(offset)
	l.durable.Store(min(l.durable.Load(), offset))
	l.hasAborted.Store(false)
	l.epochs.set(nil)
	return l.epochs.save(l.fs)
}
