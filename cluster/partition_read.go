package cluster

import (
	"github.com/kbroker/kbroker/storage"
)

// CheckEpoch compares a client's idea of the leader epoch with the leader's (KIP-320): ErrFencedLeaderEpoch where the client
// is behind, ErrUnknownLeaderEpoch where it is ahead. Negative epochs pass.
func (p *Partition) CheckEpoch(currentLeaderEpoch int32) error {
	switch epoch := p.LeaderEpoch(); {
	case currentLeaderEpoch < 0 || currentLeaderEpoch == epoch:
		return nil
	case currentLeaderEpoch < epoch:
		return ErrFencedLeaderEpoch
	default:
		return ErrUnknownLeaderEpoch
	}
}

// Serving is nil where this node can answer for the partition as its leader. Else it says why not: ErrNotLeader, what became of the
// partition, or that its log can't be opened.
func (p *Partition) Serving() error {
	if _, err := p.log(); err != nil {
		return err
	}
	_, err := p.usable()
	return err
}

// view is one consistent view of a partition: start <= lastStable <= highWatermark <= end.
type view struct {
	start, lastStable, highWatermark, end int64
}

// view loads each offset once. The order matters: the log start never passes a high watermark that is loaded after it; a
// transaction that begins after the high watermark was loaded begins behind it, and one that ends in between is decided
// below it, so that what lies below the smaller of the two is decided either way.
func (p *Partition) view(l *storage.Log) view {
	var v view
	v.start = l.LogStartOffset()
	v.highWatermark = max(v.start, p.highWatermark.Load())
	v.lastStable = v.highWatermark
	if first, open := l.FirstUnstableOffset(); open {
		v.lastStable = max(v.start, min(first, v.highWatermark))
	}
	v.end = max(v.highWatermark, l.LogEndOffset())
	return v
}

// readable is the offset that a reader may read up to, exclusively.
func (v view) readable(iso Isolation) int64 {
	if iso == ReadCommitted {
		return v.lastStable
	}
	return v.highWatermark
}

func noRecords(next int64) storage.Records { return storage.Records{Next: next, Release: func() {}} }

// Read finds records for a fetch. It doesn't wait. Errors: storage.ErrOffsetOutOfRange (below the log start or beyond the log
// end; FETCH-13), ErrNotLeader, ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch, ErrUnknownTopicOrPartition, or the log's failure.
func (p *Partition) Read(r ReadRequest) (ReadResult, error) {
	l, err := p.log()
	if err != nil {
		return ReadResult{}, err
	}
	s := p.state.Load()
	switch {
	case s.err != nil:
		return ReadResult{}, s.err
	case s.info.Leader != p.host.nodeID && !r.ToLogEnd:
		return ReadResult{}, ErrNotLeader
	}
	if err := p.CheckEpoch(r.CurrentLeaderEpoch); err != nil {
		return ReadResult{}, err
	}
	v := p.view(l)
	result := ReadResult{Records: noRecords(r.Offset), HighWatermark: v.highWatermark, LastStableOffset: v.lastStable, LogStartOffset: v.start}
	if r.Isolation == ReadCommitted {
		result.Aborted = []storage.AbortedTxn{}
	}
	if r.LastFetchedEpoch >= 0 {
		end := l.EndOffsetForEpoch(r.LastFetchedEpoch)
		switch {
		case end.Epoch < 0 || end.EndOffset < 0 || r.Offset < v.start:
			return ReadResult{}, storage.ErrOffsetOutOfRange
		case end.Epoch < r.LastFetchedEpoch || end.EndOffset < r.Offset:
			result.Diverging = &end
			return result, nil
		}
	}
	if r.Offset < v.start || r.Offset > v.end {
		return ReadResult{}, storage.ErrOffsetOutOfRange
	}
	upTo := v.readable(r.Isolation)
	if r.ToLogEnd {
		upTo = v.end
	}
	result.EndSegment = l.SegmentBaseOf(upTo)
	if r.Offset >= upTo {
		return result, nil
	}
	result.OlderSegment = l.SegmentBaseOf(r.Offset) < result.EndSegment
	records, err := l.Read(r.Offset, upTo, r.MaxBytes, r.AtLeastOne)
	if err != nil {
		return ReadResult{}, p.reason(l, err)
	}
	result.Records = records
	if r.Isolation == ReadCommitted && records.Bytes > 0 {
		aborted, err := l.AbortedTxns(r.Offset, records.Next)
		if err != nil {
			records.Release()
			return ReadResult{}, p.reason(l, err)
		}
		result.Aborted = append(result.Aborted, aborted...)
	}
	return result, nil
}

// CountSent notes for the metrics that a reader was sent bytes of records. A read alone counts nothing: a long poll reads more than once.
func (p *Partition) CountSent(bytes int64) { p.stats.BytesOut.Add(bytes) }

// Offsets gives one consistent view of the three; zeros where the log can't be opened.
func (p *Partition) Offsets() (logStart, highWatermark, lastStable int64) {
	l, err := p.log()
	if err != nil {
		return 0, 0, 0
	}
	v := p.view(l)
	return v.start, v.highWatermark, v.lastStable
}

// LogEndOffset is the offset that the next record gets; 0 where the log can't be opened.
func (p *Partition) LogEndOffset() int64 {
	l, err := p.log()
	if err != nil {
		return 0
	}
	return l.LogEndOffset()
}

var noTimestampOffset = storage.TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}

// OffsetForTimestamp gives the first record at or after the time; Offset -1 where there is none that the isolation level may see (LOFF-03, LOFF-04).
func (p *Partition) OffsetForTimestamp(timestampMillis int64, iso Isolation) (storage.TimestampOffset, error) {
	return p.lookUp(func(l *storage.Log, v view) (storage.TimestampOffset, error) {
		return l.OffsetForTimestamp(timestampMillis, v.readable(iso))
	})
}

// MaxTimestamp gives the record with the largest timestamp below the high watermark, Offset -1 where there is none (KIP-734).
func (p *Partition) MaxTimestamp() (storage.TimestampOffset, error) {
	return p.lookUp(func(l *storage.Log, v view) (storage.TimestampOffset, error) {
		return l.MaxTimestamp(v.highWatermark)
	})
}

func (p *Partition) lookUp(find func(*storage.Log, view) (storage.TimestampOffset, error)) (storage.TimestampOffset, error) {
	l, err := p.log()
	if err != nil {
		return noTimestampOffset, err
	}
	if _, err := p.usable(); err != nil {
		return noTimestampOffset, err
	}
	found, err := find(l, p.view(l))
	if err != nil {
		return noTimestampOffset, p.reason(l, err)
	}
	return found, nil
}

// EpochOf gives the leader epoch of the record at offset (of the latest one for the log's end), -1 where unknown.
func (p *Partition) EpochOf(offset int64) int32 {
	l, err := p.log()
	if err != nil {
		return -1
	}
	return l.EpochOf(offset)
}

// EndOffsetForEpoch gives the largest known epoch that isn't above epoch, and where it ends (LOFF-13, LOFF-14).
func (p *Partition) EndOffsetForEpoch(epoch int32) storage.EpochEnd {
	l, err := p.log()
	if err != nil {
		return storage.EpochEnd{Epoch: -1, EndOffset: -1}
	}
	return l.EndOffsetForEpoch(epoch)
}

// DeleteRecords moves the log start to before, -1 being the high watermark, and gives the new low watermark. The move is
// durable when it returns. Above the high watermark or below -1 is storage.ErrOffsetOutOfRange; at or below the log start nothing happens (DREC-02).
func (p *Partition) DeleteRecords(before int64) (int64, error) {
	l, err := p.log()
	if err != nil {
		return -1, err
	}
	low, moved, err := p.advanceLogStart(l, before)
	if err != nil {
		return -1, p.reason(l, err)
	}
	if moved {
		p.wakeAll()
	}
	return low, nil
}

func (p *Partition) advanceLogStart(l *storage.Log, before int64) (low int64, moved bool, err error) {
	p.leadership.RLock()
	defer p.leadership.RUnlock()
	if _, err := p.usable(); err != nil {
		return -1, false, err
	}
	v := p.view(l)
	if before == -1 {
		before = v.highWatermark
	}
	if before < 0 || before > v.highWatermark {
		return -1, false, storage.ErrOffsetOutOfRange
	}
	if before <= v.start {
		return v.start, false, nil
	}
	if err := l.AdvanceLogStart(before); err != nil {
		return -1, false, err
	}
	return l.LogStartOffset(), true, nil
}

// Producers lists the producers that the log remembers.
func (p *Partition) Producers() []storage.ProducerInfo {
	l, err := p.log()
	if err != nil {
		return nil
	}
	return l.Producers()
}

// Size is the log's size in bytes.
func (p *Partition) Size() int64 {
	l, err := p.log()
	if err != nil {
		return 0
	}
	return l.Size()
}

// Dir is the log's folder, "" where it can't be opened.
func (p *Partition) Dir() string {
	l, err := p.log()
	if err != nil {
		return ""
	}
	return l.Dir()
}
