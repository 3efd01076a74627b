package storage

import (
	"errors"
	"fmt"
	"io/fs"
)

// Retain deletes the segments whose time has come: by age, by size, and those wholly below the log start (LOG-08 to -11, -14).
// Nothing above the high watermark goes. If all of the log is too old the active segment is closed first and goes too, so that an
// idle topic empties. Files of earlier deletions whose delay is over are removed. It says how many segments were deleted.
func (l *Log) Retain(now, highWatermark int64) (deletedSegments int, err error) {
	deletedSegments, err = l.retain(now, highWatermark)
	if err == nil && deletedSegments > 0 {
		// So that a crash doesn't bring them back, and the log start with them.
		if err := l.fs.SyncDir(l.dir); err != nil {
			return deletedSegments, l.fail("deleting a segment", err)
		}
	}
	return deletedSegments, err
}

func (l *Log) retain(now, highWatermark int64) (deletedSegments int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return 0, err
	}
	if err := l.removeDoomed(now); err != nil {
		return 0, err
	}
	cfg := l.cfg.Load()
	if cfg.Delete {
		if cfg.RetentionMillis >= 0 {
			n, err := l.deleteWhile(now, highWatermark, cfg, func(v *view, i int) (bool, error) {
				newest, err := l.newestMillis(v, i)
				return now-newest > cfg.RetentionMillis, err
			})
			deletedSegments += n
			if err != nil {
				return deletedSegments, err
			}
		}
		if cfg.RetentionBytes >= 0 {
			excess := l.Size() - cfg.RetentionBytes
			n, err := l.deleteWhile(now, highWatermark, cfg, func(v *view, i int) (bool, error) {
				excess -= v.sizeOf(i)
				return excess >= 0, nil
			})
			deletedSegments += n
			if err != nil {
				return deletedSegments, err
			}
		}
	}
	n, err := l.deleteWhile(now, highWatermark, cfg, func(v *view, i int) (bool, error) {
		return i < len(v.segments)-1 && v.segments[i+1].base <= v.start, nil
	})
	return deletedSegments + n, err
}

// newestMillis is the largest timestamp of segment i, or when it was made or last changed where its batches have none.
func (l *Log) newestMillis(v *view, i int) (int64, error) {
	s := v.segments[i]
	newest, err := l.newestOf(v, i)
	if err != nil {
		return 0, err
	}
	if newest.timestamp >= 0 {
		return newest.timestamp, nil
	}
	return s.createdMillis, nil
}

// newestOf is the largest timestamp of segment i.
func (l *Log) newestOf(v *view, i int) (timeEntry, error) {
	s := v.segments[i]
	if n := s.newest.Load(); n != nil {
		return *n, nil
	}
	h, err := s.acquire()
	if err != nil {
		return timeEntry{}, err
	}
	defer h.unref()
	if _, err := s.loadIndex(h); err != nil {
		return timeEntry{}, err
	}
	if n := s.newest.Load(); n != nil {
		return *n, nil
	}
	// An empty time index: all batches have no timestamp, or the index was emptied.
	newest := timeEntry{timestamp: noTimestamp, rel: -1}
	w := newWalker(h.log, 0, v.sizeOf(i))
	defer w.close()
	for w.next() {
		if w.header.MaxTimestamp > newest.timestamp {
			newest = timeEntry{timestamp: w.header.MaxTimestamp, rel: int32(w.header.LastOffset() - s.base)}
		}
	}
	if w.err != nil {
		return timeEntry{}, w.err
	}
	s.newest.CompareAndSwap(nil, &newest)
	return newest, nil
}

// deleteWhile deletes segments from the oldest on while due says so.
func (l *Log) deleteWhile(now, highWatermark int64, cfg *LogConfig, due func(v *view, i int) (bool, error)) (int, error) {
	v := l.view.Load()
	n := 0
	for ; n < len(v.segments); n++ {
		if highWatermark < v.endOf(n) || n == len(v.segments)-1 && v.size == 0 {
			break
		}
		ok, err := due(v, n)
		if err != nil {
			return 0, l.readError(v.segments[n], err)
		}
		if !ok {
			break
		}
	}
	if n == 0 {
		return 0, nil
	}
	if n == len(v.segments) {
		if err := l.roll(now, v.leo); err != nil {
			return 0, err
		}
		v = l.view.Load()
	}
	return n, l.deleteOldest(v, n, now+cfg.FileDeleteDelayMillis)
}

// deleteOldest takes the n oldest segments out of the log; their files are renamed now and removed later. The log start moves first,
// so that no reader finds a hole.
func (l *Log) deleteOldest(v *view, n int, dueMillis int64) error {
	gone := v.segments[:n]
	kept := v.segments[n:]
	closed := v.closed
	for _, s := range gone {
		closed -= s.size.Load()
	}
	// Of the producers that only these segments have, the snapshot at the next one's beginning is all that will be left.
	if err := l.producers.syncSnapshot(l.fs, l.dir, kept[0].base); err != nil {
		return l.fail("deleting a segment", err)
	}
	start := max(v.start, kept[0].base)
	l.view.Store(&view{segments: kept, start: start, leo: v.leo, size: v.size, closed: closed})
	l.epochs.truncateStart(start)
	l.producers.replicatedTo(start)
	for _, s := range gone {
		if err := l.doom(s, dueMillis); err != nil {
			return l.fail("deleting a segment", err)
		}
	}
	l.dirUnsynced = true
	if err := l.producers.dropSnapshotsBelow(l.fs, l.dir, kept[0].base); err != nil {
		return l.fail("deleting a segment", err)
	}
	return nil
}

// doom renames a segment's files and notes them for removal.
func (l *Log) doom(s *segment, dueMillis int64) error {
	s.gone.Store(true)
	d := doomedSegment{handle: s.handle.Load(), dueMillis: dueMillis}
	for _, suffix := range []string{suffixLog, suffixIndex, suffixTimes, suffixTxns} {
		err := l.fs.Rename(s.path(suffix), s.path(suffix)+suffixDeleted)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		d.files = append(d.files, s.path(suffix)+suffixDeleted)
	}
	s.release()
	l.doomed = append(l.doomed, d)
	return nil
}

// removeDoomed removes the files whose delay is over and that nobody reads any more.
func (l *Log) removeDoomed(now int64) error {
	kept := l.doomed[:0]
	for _, d := range l.doomed {
		if now < d.dueMillis || d.handle.open() {
			kept = append(kept, d)
			continue
		}
		for _, file := range d.files {
			if err := l.fs.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return l.fail("removing a deleted segment", err)
			}
		}
	}
	clear(l.doomed[len(kept):])
	l.doomed = kept
	if len(kept) == 0 {
		l.doomed = nil
	}
	return nil
}

// RemoveDeleted removes files of deleted segments whose delay is over.
func (l *Log) RemoveDeleted(now int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	return l.removeDoomed(now)
}

// AdvanceLogStart moves the log start to offset, durably, and never back (DREC-02, -04, -05). ErrOffsetOutOfRange: it is beyond
// the log's end. Segments below go with the next Retain.
func (l *Log) AdvanceLogStart(offset int64) error {
	l.mu.Lock()
	if err := l.writable(); err != nil {
		l.mu.Unlock()
		return err
	}
	v := l.view.Load()
	if offset > v.leo {
		l.mu.Unlock()
		return fmt.Errorf("%w: %d is beyond the end %d of %s", ErrOffsetOutOfRange, offset, v.leo, l.name)
	}
	if offset <= v.start {
		l.mu.Unlock()
		return nil
	}
	l.view.Store(&view{segments: v.segments, start: offset, leo: v.leo, size: v.size, closed: v.closed})
	l.epochs.truncateStart(offset)
	l.producers.replicatedTo(offset)
	l.mu.Unlock()
	if l.saveLogStart == nil {
		return nil
	}
	if err := l.saveLogStart(offset); err != nil {
		return l.fail("writing the log start", err)
	}
	return nil
}
