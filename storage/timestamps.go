package storage

import (
	"errors"

	"github.com/kbroker/kbroker/storage/batch"
)

// nothingFound is the answer where no record fits.
var nothingFound = TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}

// errFound ends a walk.
var errFound = errors.New("found")

// OffsetForTimestamp finds the first record from the log start on whose timestamp is timestampMillis or later, inside compressed
// batches too; Offset is -1 where there is none below upTo (LOFF-03, LOFF-04). Timestamps need not rise.
func (l *Log) OffsetForTimestamp(timestampMillis, upTo int64) (found TimestampOffset, err error) {
	err = l.withView(func(v *view) error {
		found, err = l.offsetForTimestamp(v, timestampMillis, upTo)
		return err
	})
	return found, err
}

func (l *Log) offsetForTimestamp(v *view, timestampMillis, upTo int64) (TimestampOffset, error) {
	for i := v.floor(v.start); i < len(v.segments); i++ {
		newest, err := l.newestOf(v, i)
		if err != nil {
			return nothingFound, l.readError(v.segments[i], err)
		}
		if newest.timestamp < timestampMillis {
			continue
		}
		found, err := l.firstIn(v, i, timestampMillis)
		if err != nil {
			return nothingFound, l.readError(v.segments[i], err)
		}
		if found.Offset >= 0 {
			if found.Offset >= upTo {
				return nothingFound, nil
			}
			return found, nil
		}
	}
	return nothingFound, nil
}

// firstIn finds the first record of segment i, from the log start on, that is as new.
func (l *Log) firstIn(v *view, i int, timestampMillis int64) (TimestampOffset, error) {
	s, size := v.segments[i], v.sizeOf(i)
	found := nothingFound
	if size == 0 {
		return found, nil
	}
	h, err := s.acquire()
	if err != nil {
		return found, err
	}
	defer h.unref()
	// Everything up to the batch of the last older time entry is older.
	from := max(v.start, s.base)
	err = s.trustingIndex(h, func(x *segmentIndex) error {
		e, ok, err := s.floorTime(h, x, timestampMillis)
		if ok {
			from = max(from, s.base+int64(e.rel))
		}
		return err
	})
	if err != nil {
		return found, err
	}
	pos, err := s.position(h, size, from)
	if err != nil {
		return found, err
	}
	w := newWalker(h.log, pos, size)
	defer w.close()
	for w.next() {
		if w.header.MaxTimestamp < timestampMillis || w.header.LastOffset() < v.start {
			continue
		}
		found, err = l.firstRecord(&w, func(ts, offset int64) bool { return ts >= timestampMillis && offset >= v.start })
		if err != nil || found.Offset >= 0 {
			return found, err
		}
	}
	return found, w.err
}

// firstRecord finds the first record of the walker's batch that fits. The records' offsets are counted where their deltas, which
// clients choose in uncompressed batches, lie outside the batch.
func (l *Log) firstRecord(w *walker, fits func(timestamp, offset int64) bool) (TimestampOffset, error) {
	found := nothingFound
	b, err := w.batch()
	if err != nil {
		return found, err
	}
	h := &w.header
	err = batch.EachRecord(b, l.decompressedLimit(len(b)), func(i int, r batch.Record) error {
		offset := h.BaseOffset + int64(r.OffsetDelta)
		if ts := h.Timestamp(r); fits(ts, offset) {
			found = TimestampOffset{Offset: offset, TimestampMillis: ts, LeaderEpoch: h.LeaderEpoch}
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// minStoredLimit is what reading back a stored batch may always unpack: the limit it was accepted under may have been higher than
// today's.
const minStoredLimit = 64 << 20

// decompressedLimit bounds what reading back a stored batch of that size may unpack.
func (l *Log) decompressedLimit(size int) int {
	cfg := l.cfg.Load()
	return max(batch.DecompressedLimit(size, cfg.MaxMessageBytes, cfg.MaxDecompressedBytes), minStoredLimit)
}

// MaxTimestamp finds the first record with the largest timestamp of the log; Offset is -1 where the log has none, or where that
// record isn't below upTo (LOFF-05). A record below the log start counts as long as its segment is there, as in Kafka.
func (l *Log) MaxTimestamp(upTo int64) (found TimestampOffset, err error) {
	err = l.withView(func(v *view) error {
		found, err = l.maxTimestamp(v, upTo)
		return err
	})
	return found, err
}

func (l *Log) maxTimestamp(v *view, upTo int64) (TimestampOffset, error) {
	best, at := timeEntry{timestamp: noTimestamp}, -1
	for i := range v.segments {
		newest, err := l.newestOf(v, i)
		if err != nil {
			return nothingFound, l.readError(v.segments[i], err)
		}
		if newest.timestamp > best.timestamp {
			best, at = newest, i
		}
	}
	if at < 0 {
		return nothingFound, nil
	}
	found, err := l.firstOf(v, at, best)
	if err != nil {
		return nothingFound, l.readError(v.segments[at], err)
	}
	if found.Offset >= upTo {
		return nothingFound, nil
	}
	return found, nil
}

// firstOf finds the record of segment i that its newest entry stands for.
func (l *Log) firstOf(v *view, i int, newest timeEntry) (TimestampOffset, error) {
	s, size := v.segments[i], v.sizeOf(i)
	h, err := s.acquire()
	if err != nil {
		return nothingFound, err
	}
	defer h.unref()
	pos, err := s.position(h, size, s.base+int64(newest.rel))
	if err != nil {
		return nothingFound, err
	}
	w := newWalker(h.log, pos, size)
	defer w.close()
	for w.next() {
		if w.header.MaxTimestamp < newest.timestamp {
			continue
		}
		found, err := l.firstRecord(&w, func(ts, _ int64) bool { return ts == newest.timestamp })
		if err != nil || found.Offset >= 0 {
			return found, err
		}
	}
	return nothingFound, w.err
}
