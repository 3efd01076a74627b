package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/kbroker/kbroker/storage/vfs"
)

func noRelease() {}

// Read gives whole batches from the one that holds offset, or the first one after it, up to upTo (exclusive), of one segment
// and of at most maxBytes; with atLeastOne the first batch even if it is larger. They are the stored bytes, not copied, and stay
// valid until Release. An empty read has no chunks. ErrOffsetOutOfRange: offset is below the log start or beyond the log's end
// (FETCH-01, 03 to 06, 13, 33). Reading on at Next misses nothing; where upTo lies within a batch, which isn't given then, Next is upTo and
// that batch comes whole. It takes no lock, and works on a log that has stopped.
func (l *Log) Read(offset, upTo, maxBytes int64, atLeastOne bool) (Records, error) {
	var r Records
	err := l.withView(func(v *view) (err error) {
		r, err = l.read(v, offset, upTo, maxBytes, atLeastOne)
		return err
	})
	return r, err
}

// withView calls fn with the view, and again where a segment went meanwhile: then the new view says what is true.
func (l *Log) withView(fn func(v *view) error) error {
	for {
		v := l.view.Load()
		err := fn(v)
		if err != nil && v != l.view.Load() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed)) {
			continue
		}
		return err
	}
}

func (l *Log) read(v *view, offset, upTo, maxBytes int64, atLeastOne bool) (Records, error) {
	if offset < v.start || offset > v.leo {
		return Records{}, fmt.Errorf("%w: %d isn't within [%d, %d] of %s", ErrOffsetOutOfRange, offset, v.start, v.leo, l.name)
	}
	empty := Records{Next: offset, Release: noRelease}
	upTo = min(upTo, v.leo)
	if offset >= upTo || maxBytes <= 0 && !atLeastOne {
		return empty, nil
	}
	// A segment whose batches all lie before offset (a gap at its end) leads on to the next one.
	for i := v.floor(offset); i < len(v.segments) && v.segments[i].base < upTo; i++ {
		r, err := l.readSegment(v, i, offset, upTo, max(maxBytes, 0), atLeastOne)
		if err != nil {
			return Records{}, err
		}
		if r.Release != nil {
			return r, nil
		}
	}
	return empty, nil
}

// readSegment reads from segment i; the result has no Release where it has no batch at or after offset.
func (l *Log) readSegment(v *view, i int, offset, upTo, maxBytes int64, atLeastOne bool) (Records, error) {
	s, size, end := v.segments[i], v.sizeOf(i), v.endOf(i)
	if size == 0 {
		return Records{}, nil
	}
	h, err := s.acquire()
	if err != nil {
		return Records{}, l.readError(s, err)
	}
	r, err := l.readFrom(s, h, size, end, offset, upTo, maxBytes, atLeastOne)
	if err != nil || len(r.Chunks) == 0 {
		h.unref()
		if err != nil {
			return Records{}, l.readError(s, err)
		}
		return r, nil
	}
	r.Release = h.unref
	return r, nil
}

func (l *Log) readError(s *segment, err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	if notABatch(err) {
		return fmt.Errorf("%w: %s segment %d: %w", ErrCorruptMessage, l.name, s.base, err)
	}
	return fmt.Errorf("%w: reading segment %d of %s: %w", ErrStorage, s.base, l.name, err)
}

func (l *Log) readFrom(s *segment, h *handle, size, end, offset, upTo, maxBytes int64, atLeastOne bool) (Records, error) {
	pos, err := s.position(h, size, offset)
	if err != nil {
		return Records{}, err
	}
	if pos >= size {
		return Records{}, nil
	}
	limit, next := size, end
	if upTo < end {
		if limit, err = s.position(h, size, upTo); err != nil {
			return Records{}, err
		}
		next = upTo
		if limit <= pos {
			return Records{Next: offset, Release: noRelease}, nil
		}
	}
	bounded := limit-pos > maxBytes
	if bounded {
		if known := s.hints.bounded(pos, maxBytes); known != nil && known.end <= limit && (atLeastOne || known.end-pos <= maxBytes) {
			limit, next = known.end, known.nextOffset
		} else if limit, next, err = s.lastWithin(h, size, pos, limit, maxBytes, atLeastOne); err != nil {
			return Records{}, err
		}
		if limit <= pos {
			return Records{Next: offset, Release: noRelease}, nil
		}
	}
	chunks, err := h.log.Chunks(make([]vfs.Chunk, 0, 1), pos, limit-pos)
	if err != nil {
		return Records{}, err
	}
	s.hints.add(&hint{offset: offset, pos: pos, nextOffset: next, end: limit, maxBytes: maxBytes, bounded: bounded})
	return Records{Chunks: chunks, Bytes: limit - pos, Next: next}, nil
}

// position is where the batch begins that holds offset, or the first one after it; size where there is none.
func (s *segment) position(h *handle, size, offset int64) (int64, error) {
	if offset <= s.base {
		return 0, nil
	}
	if pos, ok := s.hints.position(offset); ok && pos <= size {
		return pos, nil
	}
	var found int64
	err := s.trustingIndex(h, func(x *segmentIndex) error {
		e, ok, err := s.floorOffset(h, x, func(e offsetEntry) bool { return s.base+int64(e.rel) <= offset && int64(e.pos) < size })
		if err != nil {
			return err
		}
		w := newWalker(h.log, int64(e.pos), size)
		defer w.close()
		for first := ok; w.next(); first = false {
			if first && w.header.LastOffset() != s.base+int64(e.rel) {
				return errIndexDamaged
			}
			if w.header.LastOffset() >= offset {
				break
			}
		}
		if w.err != nil && w.pos == int64(e.pos) && ok {
			return errIndexDamaged
		}
		found = w.pos
		return w.err
	})
	return found, err
}

// lastWithin is where the last batch ends that fits into maxBytes from pos on, and an offset behind it that isn't behind the next batch.
func (s *segment) lastWithin(h *handle, size, pos, limit, maxBytes int64, atLeastOne bool) (end, next int64, err error) {
	bound := min(pos+maxBytes, limit)
	err = s.trustingIndex(h, func(x *segmentIndex) error {
		e, ok, err := s.floorOffset(h, x, func(e offsetEntry) bool { return int64(e.pos) <= bound && int64(e.pos) < size })
		if err != nil {
			return err
		}
		ok = ok && int64(e.pos) > pos
		from := pos
		if ok {
			from = int64(e.pos)
		}
		w := newWalker(h.log, from, limit)
		defer w.close()
		end, next = from, math.MinInt64
		for first := true; w.next(); first = false {
			if first && ok && w.header.LastOffset() != s.base+int64(e.rel) {
				return errIndexDamaged
			}
			if w.pos+w.size > bound && !(atLeastOne && w.pos == pos) {
				if next == math.MinInt64 {
					next = w.header.BaseOffset
				}
				return nil
			}
			end, next = w.pos+w.size, w.header.NextOffset()
		}
		if w.err != nil && w.pos == from && ok {
			return errIndexDamaged
		}
		return w.err
	})
	return end, next, err
}

// trustingIndex calls fn with the segment's index, and once more with a rebuilt one where the first doesn't fit the .log. A
// third time it is called with none at all: every batch is then walked.
func (s *segment) trustingIndex(h *handle, fn func(x *segmentIndex) error) error {
	x, err := s.loadIndex(h)
	if err != nil {
		return err
	}
	err = fn(x)
	if err == nil || !indexToBlame(err) {
		return err
	}
	if y, rerr := s.reindex(h, x, err); rerr == nil {
		if err = fn(y); err == nil || !indexToBlame(err) {
			return err
		}
	}
	return fn(&segmentIndex{lastTime: noTimestamp})
}

func indexToBlame(err error) bool {
	return errors.Is(err, errIndexDamaged) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) || errors.Is(err, errShortRead)
}

// reindex replaces the index x, which doesn't fit the log, of a closed segment. The active segment's is the append side's, and
// is left alone: it was checked at the start.
func (s *segment) reindex(h *handle, x *segmentIndex, cause error) (*segmentIndex, error) {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	if now := s.index.Load(); now != x {
		return now, nil
	}
	if s == s.log.view.Load().active() {
		return nil, errIndexDamaged
	}
	y, err := s.rebuildIndexes(h, cause)
	if err != nil {
		return nil, err
	}
	s.index.Store(y)
	return y, nil
}
