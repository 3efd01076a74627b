package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

const (
	snapshotVersion    = 1
	snapshotHeaderSize = 2 + 4 + 4
	snapshotEntrySize  = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8
	// maxSnapshotFile bounds a snapshot file.
	maxSnapshotFile = 1 << 30
	// keptSnapshots is how many snapshots stay that aren't at a segment's beginning.
	keptSnapshots = 2
)

var errBadSnapshot = errors.New("malformed producer snapshot")

// encode writes Kafka's snapshot format: version int16, CRC-32C uint32 of what follows, and an array of entries. Kafka keeps a
// producer's last batch only; the older ones of the window are entries of their own here, before the last. Kafka's reader
// takes the last entry of a producer, ours all of them, so that the window survives a restart.
func (s *producerState) encode() []byte {
	ids := make([]int64, 0, len(s.producers))
	n := 0
	for id, p := range s.producers {
		ids = append(ids, id)
		n += max(int(p.count), 1)
	}
	slices.Sort(ids)
	b := make([]byte, 0, snapshotHeaderSize+n*snapshotEntrySize)
	be := binary.BigEndian
	b = be.AppendUint16(b, snapshotVersion)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, uint32(n))
	for _, id := range ids {
		p := s.producers[id]
		batches := p.batches[:p.count]
		if p.count == 0 {
			last, _ := p.last()
			batches = []sentBatch{last}
		}
		for i, sent := range batches {
			timestamp, txn := sent.timestamp, int64(-1)
			if i == len(batches)-1 {
				timestamp, txn = p.lastTimestamp, p.txnFirstOffset
			}
			b = be.AppendUint64(b, uint64(id))
			b = be.AppendUint16(b, uint16(p.epoch))
			b = be.AppendUint32(b, uint32(sent.lastSequence))
			b = be.AppendUint64(b, uint64(sent.lastOffset))
			b = be.AppendUint32(b, uint32(sent.delta))
			b = be.AppendUint64(b, uint64(timestamp))
			b = be.AppendUint32(b, uint32(p.coordinatorEpoch))
			b = be.AppendUint64(b, uint64(txn))
		}
	}
	be.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli))
	return b
}

// decode replaces the state by a snapshot's; on an error it stays as it was. All producers count as seen now: the snapshot holds
// those that were alive.
func (s *producerState) decode(b []byte, end, now int64) error {
	if len(b) < snapshotHeaderSize {
		return fmt.Errorf("%w: %d bytes", errBadSnapshot, len(b))
	}
	be := binary.BigEndian
	if v := be.Uint16(b); v != snapshotVersion {
		return fmt.Errorf("%w: version %d", errBadSnapshot, v)
	}
	if crc := crc32.Checksum(b[6:], castagnoli); crc != be.Uint32(b[2:]) {
		return fmt.Errorf("%w: wrong checksum", errBadSnapshot)
	}
	n := int64(int32(be.Uint32(b[6:])))
	b = b[snapshotHeaderSize:]
	if n < 0 || n*snapshotEntrySize != int64(len(b)) {
		return fmt.Errorf("%w: %d entries in %d bytes", errBadSnapshot, n, len(b))
	}
	producers := map[int64]*producer{}
	for ; len(b) > 0; b = b[snapshotEntrySize:] {
		id := int64(be.Uint64(b))
		epoch := int16(be.Uint16(b[8:]))
		sent := sentBatch{
			lastSequence: int32(be.Uint32(b[10:])),
			lastOffset:   int64(be.Uint64(b[14:])),
			delta:        int32(be.Uint32(b[22:])),
			timestamp:    int64(be.Uint64(b[26:])),
		}
		p := producers[id]
		if p == nil {
			p = &producer{epoch: epoch}
			producers[id] = p
		}
		if p.epoch != epoch {
			p.epoch, p.count = epoch, 0
		}
		p.lastTimestamp, p.seenMillis = sent.timestamp, now
		p.coordinatorEpoch = int32(be.Uint32(b[34:]))
		p.txnFirstOffset = int64(be.Uint64(b[38:]))
		if sent.lastOffset >= 0 && sent.lastSequence != batch.NoSequence || sent.lastOffset >= 0 && sent.delta >= 0 {
			p.add(sent)
		}
	}
	s.reset(end)
	s.producers = producers
	for id, p := range producers {
		if p.txnFirstOffset >= 0 {
			s.open = append(s.open, openTxn{producerID: id, first: p.txnFirstOffset, last: -1})
		}
	}
	slices.SortFunc(s.open, func(a, b openTxn) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	s.publish()
	return nil
}

// save writes a snapshot at the end of what was applied, unless there is one. Of the others those stay that are at the beginning of a segment
// (isBase), from where a truncation or a recovery goes on, and the newest two.
func (s *producerState) save(fsys vfs.FS, dir string, isBase func(offset int64) bool) error {
	if s.end == 0 && len(s.producers) == 0 || slices.Contains(s.snapshots, s.end) {
		return nil
	}
	if err := writeFile(fsys, dir+"/"+offsetFile(s.end, suffixSnapshot), s.encode(), false); err != nil {
		return err
	}
	s.snapshots = append(s.snapshots, s.end)
	slices.Sort(s.snapshots)
	for i := len(s.snapshots) - 1 - keptSnapshots; i >= 0; i-- {
		if offset := s.snapshots[i]; !isBase(offset) {
			if err := fsys.Remove(dir + "/" + offsetFile(offset, suffixSnapshot)); err != nil {
				return err
			}
			s.snapshots = slices.Delete(s.snapshots, i, i+1)
		}
	}
	return nil
}

// syncSnapshot makes the snapshot at offset durable, if there is one; the folder is the caller's to sync.
func (s *producerState) syncSnapshot(fsys vfs.FS, dir string, offset int64) error {
	if !slices.Contains(s.snapshots, offset) {
		return nil
	}
	return syncFile(fsys, dir+"/"+offsetFile(offset, suffixSnapshot))
}

// dropSnapshotsBelow removes the snapshots of offsets before start.
func (s *producerState) dropSnapshotsBelow(fsys vfs.FS, dir string, start int64) error {
	for len(s.snapshots) > 0 && s.snapshots[0] < start {
		if err := fsys.Remove(dir + "/" + offsetFile(s.snapshots[0], suffixSnapshot)); err != nil {
			return err
		}
		s.snapshots = s.snapshots[1:]
	}
	return nil
}

// dropSnapshotsAbove removes the snapshots of offsets beyond end.
func (s *producerState) dropSnapshotsAbove(fsys vfs.FS, dir string, end int64) error {
	for n := len(s.snapshots); n > 0 && s.snapshots[n-1] > end; n-- {
		if err := fsys.Remove(dir + "/" + offsetFile(s.snapshots[n-1], suffixSnapshot)); err != nil {
			return err
		}
		s.snapshots = s.snapshots[:n-1]
	}
	return nil
}

// load takes the newest usable snapshot at or below end; without one the state is empty at offset start. Unusable ones are
// removed and told to bad.
func (s *producerState) load(fsys vfs.FS, dir string, start, end, now int64, bad func(offset int64, err error)) {
	for i := len(s.snapshots) - 1; i >= 0; i-- {
		offset := s.snapshots[i]
		if offset > end {
			continue
		}
		path := dir + "/" + offsetFile(offset, suffixSnapshot)
		b, err := readFile(fsys, path, maxSnapshotFile)
		if err == nil {
			err = s.decode(b, offset, now)
		}
		if err == nil {
			return
		}
		bad(offset, err)
		_ = fsys.Remove(path) // if it stays, the next start will say so again
		s.snapshots = slices.Delete(s.snapshots, i, i+1)
	}
	s.reset(start)
}
