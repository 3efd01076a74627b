package storage

import (
	"errors"
	"io/fs"
)

// loadProducers takes the newest snapshot that may be believed and applies what the log has behind it. After a crash a
// snapshot from behind the recovery point isn't believed, but for the one at the log's first segment, which was made durable before what
// lay before it was deleted; and the transaction indexes are made anew from there on.
func (l *Log) loadProducers(clean bool, recoveryPoint, now int64) error {
	v := l.view.Load()
	trusted := v.leo
	if !clean {
		trusted = min(max(recoveryPoint, v.segments[0].base), v.leo)
	}
	if err := l.producers.dropSnapshotsAbove(l.fs, l.dir, trusted); err != nil {
		return err
	}
	l.producers.load(l.fs, l.dir, v.segments[0].base, v.leo, now, func(offset int64, err error) {
		l.logger.Warn("a producer snapshot can't be used", "partition", l.name, "offset", offset, "cause", err)
	})
	if !clean && l.hasAborted.Load() {
		if err := l.trimTxnIndexes(v, trusted); err != nil {
			if !errors.Is(err, errTxnIndexDamaged) {
				return err
			}
			l.producers.reset(v.segments[0].base)
			trusted = -1
			if err := l.dropTxnIndexes(v, err); err != nil {
				return err
			}
		}
	}
	err := l.replayProducers(v, now, func(s *segment, t AbortedTxn) {
		if !clean && t.LastOffset >= trusted {
			s.txns = append(s.txns, t)
			l.hasAborted.Store(true)
		}
	})
	for _, s := range v.segments[:len(v.segments)-1] {
		if err == nil {
			err = s.flushTxns() // only the active segment's are looked for in memory
		}
	}
	return err
}

// replayProducers applies the batches from the producers' end on.
func (l *Log) replayProducers(v *view, now int64, aborted func(s *segment, t AbortedTxn)) error {
	p := &l.producers
	if p.end >= v.leo {
		p.end = v.leo
		return nil
	}
	err := replayInto(l, p, v, now, aborted)
	p.end = v.leo
	return err
}

func replayInto(l *Log, p *producerState, v *view, now int64, aborted func(s *segment, t AbortedTxn)) error {
	from := p.end
	for i := v.floor(from); i < len(v.segments); i++ {
		s := v.segments[i]
		err := l.walkSegment(v, i, from, func(w *walker) error {
			h := &w.header
			if h.BaseOffset < from || !h.HasProducerID() {
				return nil
			}
			var m *marker
			if h.IsControl() {
				b, err := w.batch()
				if err != nil {
					return err
				}
				if parsed, ok := parseMarker(b); ok {
					m = &parsed
				}
			}
			done, lastStable, ok := p.apply(now, h, m)
			if ok && done.aborted {
				aborted(s, AbortedTxn{ProducerID: done.producerID, FirstOffset: done.first, LastOffset: done.last, LastStableOffset: lastStable})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trimTxnIndexes drops the entries of transactions that ended at or behind end.
func (l *Log) trimTxnIndexes(v *view, end int64) error {
	for i, s := range v.segments {
		if i < len(v.segments)-1 && v.segments[i+1].base <= end {
			continue
		}
		txns, err := s.readTxns()
		if err != nil {
			return err
		}
		keep := len(txns)
		for keep > 0 && txns[keep-1].LastOffset >= end {
			keep--
		}
		if keep == len(txns) {
			continue
		}
		if err := s.replaceTxns(txns[:keep]); err != nil {
			return err
		}
	}
	return nil
}

// replaceTxns replaces a segment's transaction index.
func (s *segment) replaceTxns(txns []AbortedTxn) error {
	s.txns = nil
	s.txnsUnsynced = len(txns) > 0
	if len(txns) == 0 {
		err := s.log.fs.Remove(s.path(suffixTxns))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return writeFile(s.log.fs, s.path(suffixTxns), appendTxnEntries(nil, txns), false)
}

func (l *Log) dropTxnIndexes(v *view, cause error) error {
	l.logger.Warn("rebuilding the transaction indexes from the log", "partition", l.name, "cause", cause)
	for _, s := range v.segments {
		if err := s.replaceTxns(nil); err != nil {
			return err
		}
	}
	return nil
}

// rebuildTxnIndexes makes all transaction indexes anew from the log. The append side's.
func (l *Log) rebuildTxnIndexes(cause error) error {
	v := l.view.Load()
	if err := l.dropTxnIndexes(v, cause); err != nil {
		return err
	}
	p := &producerState{tp: l.tp, maxProducers: maxRelativeOffset}
	p.reset(v.segments[0].base)
	found := map[*segment][]AbortedTxn{}
	if err := replayInto(l, p, v, 0, func(s *segment, t AbortedTxn) { found[s] = append(found[s], t) }); err != nil {
		return err
	}
	for _, s := range v.segments {
		if err := s.replaceTxns(found[s]); err != nil {
			return err
		}
	}
	l.dirUnsynced = true
	return nil
}
