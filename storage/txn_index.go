package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
)

const (
	txnEntrySize = 2 + 4*8
	// maxTxnTail is how many entries of a transaction index stay in memory before they are written.
	maxTxnTail = 32
	// maxTxnFile bounds a transaction index: a segment can't hold more aborted transactions.
	maxTxnFile = 1 << 30
)

var errTxnIndexDamaged = errors.New("transaction index is damaged")

func appendTxnEntries(dst []byte, txns []AbortedTxn) []byte {
	be := binary.BigEndian
	for _, t := range txns {
		dst = be.AppendUint16(dst, 0)
		dst = be.AppendUint64(dst, uint64(t.ProducerID))
		dst = be.AppendUint64(dst, uint64(t.FirstOffset))
		dst = be.AppendUint64(dst, uint64(t.LastOffset))
		dst = be.AppendUint64(dst, uint64(t.LastStableOffset))
	}
	return dst
}

// readTxns reads a segment's transaction index file; no file is no aborted transaction.
func (s *segment) readTxns() ([]AbortedTxn, error) {
	b, err := readFile(s.log.fs, s.path(suffixTxns), maxTxnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(b)%txnEntrySize != 0 {
		return nil, fmt.Errorf("%w: torn entry in segment %d", errTxnIndexDamaged, s.base)
	}
	txns := make([]AbortedTxn, 0, len(b)/txnEntrySize)
	last := int64(-1)
	be := binary.BigEndian
	for ; len(b) > 0; b = b[txnEntrySize:] {
		t := AbortedTxn{
			ProducerID:       int64(be.Uint64(b[2:])),
			FirstOffset:      int64(be.Uint64(b[10:])),
			LastOffset:       int64(be.Uint64(b[18:])),
			LastStableOffset: int64(be.Uint64(b[26:])),
		}
		if be.Uint16(b) != 0 || t.LastOffset <= last || t.LastOffset < s.base || t.FirstOffset > t.LastOffset {
			return nil, fmt.Errorf("%w: entry %d of segment %d", errTxnIndexDamaged, len(txns), s.base)
		}
		txns, last = append(txns, t), t.LastOffset
	}
	return txns, nil
}

// flushTxns writes the entries that are in memory only. The append side's.
func (s *segment) flushTxns() error {
	if len(s.txns) == 0 {
		return nil
	}
	off := int64(0)
	if info, err := s.log.fs.Stat(s.path(suffixTxns)); err == nil {
		off = info.Size() / txnEntrySize * txnEntrySize
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := appendToFile(s.log.fs, s.path(suffixTxns), off, appendTxnEntries(nil, s.txns)); err != nil {
		return err
	}
	s.txns = nil
	s.txnsUnsynced = true
	return nil
}

// AbortedTxns lists the aborted transactions that overlap the offsets from (inclusive) to upTo (exclusive), in the order of
// their markers, as Kafka's UnifiedLog.collectAbortedTransactions. ErrOffsetOutOfRange says that the segment of from is gone, and with it what
// was aborted there: somebody who read its records before must not give them to anybody.
func (l *Log) AbortedTxns(from, upTo int64) ([]AbortedTxn, error) {
	txns, err := l.abortedTxns(from, upTo)
	if errors.Is(err, errTxnIndexDamaged) {
		l.mu.Lock()
		err = l.rebuildTxnIndexes(err)
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		txns, err = l.abortedTxns(from, upTo)
	}
	if err == nil && from < l.view.Load().segments[0].base {
		return nil, fmt.Errorf("%w: %d is below the segments of %s", ErrOffsetOutOfRange, from, l.name)
	}
	return txns, err
}

func (l *Log) abortedTxns(from, upTo int64) ([]AbortedTxn, error) {
	if !l.hasAborted.Load() {
		return []AbortedTxn{}, nil
	}
	// What isn't in a file yet is the append side's; transactions end far less often than this lock is taken.
	l.mu.Lock()
	v := l.view.Load()
	active := v.active()
	tail := append([]AbortedTxn(nil), active.txns...)
	l.mu.Unlock()

	found := []AbortedTxn{}
	for i := v.floor(from); i < len(v.segments); i++ {
		s := v.segments[i]
		txns, err := s.readTxns()
		if err != nil {
			return nil, err
		}
		if s == active {
			for _, t := range tail { // some may have gone to the file since
				if n := len(txns); n == 0 || txns[n-1].LastOffset < t.LastOffset {
					txns = append(txns, t)
				}
			}
		}
		for _, t := range txns {
			if t.LastOffset >= from && t.FirstOffset < upTo {
				found = append(found, t)
			}
			if t.LastStableOffset >= upTo {
				return found, nil
			}
		}
	}
	return found, nil
}
