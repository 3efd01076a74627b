package storage

import (
	"errors"
	"fmt"

	"github.com/kbroker/kbroker/storage/batch"
)

// AppendAsLeader validates records, which must be exactly one batch, gives it the next offsets and the leader epoch (in place),
// and writes it. No byte of records is kept. A refused batch is an *AppendError; nothing of it stays behind. ErrStorage and
// ErrClosed say that the log takes nothing more, ErrMemoryBudget that it takes nothing now.
func (l *Log) AppendAsLeader(now int64, leaderEpoch int32, origin Origin, allowZstd bool, records []byte) (AppendInfo, error) {
	cfg := l.cfg.Load()
	valid, err := batch.Validate(records, batch.Rules{
		Partition:                l.name,
		CompactedTopic:           cfg.Compact,
		TimestampType:            cfg.TimestampType,
		TimestampBeforeMaxMillis: cfg.TimestampBeforeMillis,
		TimestampAfterMaxMillis:  cfg.TimestampAfterMillis,
		TargetCodec:              cfg.TargetCodec,
		GzipLevel:                cfg.GzipLevel,
		LZ4Level:                 cfg.LZ4Level,
		ZstdLevel:                cfg.ZstdLevel,
		MaxMessageBytes:          cfg.MaxMessageBytes,
		MaxDecompressedBytes:     cfg.MaxDecompressedBytes,
		AllowControl:             origin == OriginCoordinator,
		AllowZstd:                allowZstd,
		NowMillis:                now,
	})
	if err != nil {
		return AppendInfo{}, l.refusedRequest(err, allowZstd, records)
	}
	b, h := valid.Batch, &valid.Header
	if len(b) > cfg.SegmentBytes {
		return AppendInfo{}, &AppendError{
			Err:            ErrRecordListTooLarge,
			Message:        fmt.Sprintf("Message batch size is %d bytes in append to partition %s, which exceeds the maximum configured segment size of %d.", len(b), l.name, cfg.SegmentBytes),
			LogStartOffset: -1,
		}
	}
	var m *marker
	if h.IsControl() && h.HasProducerID() {
		if parsed, ok := parseMarker(b); ok {
			m = &parsed
		}
	}

	l.mu.Lock()
	info, err := l.appendValid(now, leaderEpoch, origin, cfg, b, h, m)
	flush := err == nil && l.unflushed >= cfg.FlushMessages
	l.mu.Unlock()
	if flush {
		err = l.Sync()
	}
	return info, err
}

// appendValid appends one validated batch. The append side's.
func (l *Log) appendValid(now int64, leaderEpoch int32, origin Origin, cfg *LogConfig, b []byte, h *batch.Header, m *marker) (AppendInfo, error) {
	if err := l.writable(); err != nil {
		return AppendInfo{}, err
	}
	v := l.view.Load()
	first := v.leo
	info := AppendInfo{FirstOffset: first, LastOffset: first + int64(h.LastOffsetDelta), LogAppendTimeMillis: -1, LogStartOffset: v.start}
	if h.HasProducerID() {
		if p := l.producers.producers[h.ProducerID]; p != nil && origin == OriginClient {
			if sent, ok := p.duplicateOf(h); ok {
				info.FirstOffset, info.LastOffset = sent.lastOffset-int64(sent.delta), sent.lastOffset
				info.LogAppendTimeMillis = sent.timestamp
				info.Duplicate = true
				return info, nil
			}
		}
		if err := l.producers.check(now, h, m, origin, first); err != nil {
			return AppendInfo{}, l.refused(err)
		}
	}
	if cfg.TimestampType == batch.LogAppendTime {
		info.LogAppendTimeMillis = now
	}
	if err := l.prepare(cfg, now, h.MaxTimestamp, first, info.LastOffset, len(b)); err != nil {
		return AppendInfo{}, err
	}
	batch.SetBaseOffset(b, first)
	batch.SetLeaderEpoch(b, leaderEpoch)
	if err := l.write(b); err != nil {
		return AppendInfo{}, err
	}
	h.BaseOffset, h.LeaderEpoch = first, leaderEpoch
	v = l.view.Load()
	l.commit(now, h, m, v.size, cfg.IndexIntervalBytes)
	l.publish(v, h.NextOffset(), len(b))
	info.Bytes = len(b)
	return info, nil
}

// prepare does all that can fail before a batch is written: a roll where one is due, and room in the indexes' tails.
func (l *Log) prepare(cfg *LogConfig, now, timestamp, firstOffset, lastOffset int64, size int) error {
	l.nowMillis = max(l.nowMillis, now)
	v := l.view.Load()
	s := v.active()
	x, err := l.indexOf(s)
	if err != nil {
		return l.fail("reading the index of the active segment", err)
	}
	if l.rollDue(v, cfg, now, timestamp, lastOffset, size) {
		base := v.leo
		if lastOffset-base > maxRelativeOffset {
			base = firstOffset
		}
		return l.roll(now, base)
	}
	if len(x.offTail) >= maxIndexTail {
		if err := s.flushIndexes(false); err != nil {
			return l.fail("writing an index", err)
		}
		l.dirUnsynced = true
	}
	if len(s.txns) >= maxTxnTail {
		if err := s.flushTxns(); err != nil {
			return l.fail("writing a transaction index", err)
		}
		l.dirUnsynced = true
	}
	return nil
}

// write writes b behind the active segment's batches. A failed write leaves nothing behind: what it did write is cut off, or
// the log stops and the next start cuts it off.
func (l *Log) write(b []byte) error {
	v := l.view.Load()
	s := v.active()
	h, err := s.acquire()
	if err != nil {
		return l.fail("opening the active segment", err)
	}
	defer h.unref()
	s.dirty.Store(true)
	if _, err := h.log.WriteAt(b, v.size); err != nil {
		werr := l.fail("appending", err)
		if terr := h.log.Truncate(v.size); terr != nil && errors.Is(werr, ErrMemoryBudget) {
			return l.fail("taking back a failed append", terr)
		}
		return werr
	}
	return nil
}

// commit takes a batch that was written at pos of the active segment into the indexes, the producers and the epochs. It can't fail.
func (l *Log) commit(now int64, h *batch.Header, m *marker, pos int64, interval int) {
	s := l.view.Load().active()
	s.noteBatch(h.LastOffset(), h.MaxTimestamp, pos, h.Size(), interval)
	if pos == 0 {
		s.firstMillis = h.MaxTimestamp
	}
	if h.LeaderEpoch >= 0 && l.epochs.needs(h.LeaderEpoch) {
		l.epochs.assign(h.LeaderEpoch, h.BaseOffset)
	}
	l.epochs.idle = false
	done, lastStable, ok := l.producers.apply(now, h, m)
	if ok && done.aborted {
		s.txns = append(s.txns, AbortedTxn{ProducerID: done.producerID, FirstOffset: done.first, LastOffset: done.last, LastStableOffset: lastStable})
		l.hasAborted.Store(true)
	}
	l.unflushed += int64(h.NumRecords)
}

// publish shows readers the batches that were written behind v.
func (l *Log) publish(v *view, leo int64, written int) {
	next := l.views.take()
	*next = view{segments: v.segments, start: v.start, leo: leo, size: v.size + int64(written), closed: v.closed}
	l.view.Store(next)
	v.active().size.Store(v.size + int64(written))
}

// refusedRequest is refused for what batch.Validate says: some of it a request is held to before any log is asked.
func (l *Log) refusedRequest(err error, allowZstd bool, records []byte) error {
	e := l.refused(err)
	if !singleBatch(records) || e.Err == ErrUnsupportedCodec && !allowZstd && isZstd(records) { //nolint:errorlint // assigned in refused
		e.LogStartOffset = -1
	}
	return e
}

func isZstd(records []byte) bool {
	h, err := batch.ParseHeader(records)
	return err == nil && h.Codec() == batch.Zstd
}

// refused makes the error of a batch that was refused. Kafka names the real log start for what its log refuses, and none for
// what is refused before or is too large or corrupt (PROD-16; ReplicaManager.appendToLocalLog).
func (l *Log) refused(err error) *AppendError {
	e := &AppendError{Err: err, Message: err.Error(), LogStartOffset: l.LogStartOffset()}
	for sentinel, ours := range map[error]error{
		batch.ErrInvalidRecord:    ErrInvalidRecord,
		batch.ErrInvalidTimestamp: ErrInvalidTimestamp,
		batch.ErrCorrupt:          ErrCorruptMessage,
		batch.ErrTooLarge:         ErrMessageTooLarge,
		batch.ErrUnsupportedCodec: ErrUnsupportedCodec,
		ErrOutOfOrderSequence:     ErrOutOfOrderSequence,
		ErrInvalidProducerEpoch:   ErrInvalidProducerEpoch,
		ErrInvalidTxnState:        ErrInvalidTxnState,
		ErrCoordinatorFenced:      ErrCoordinatorFenced,
		ErrTooManyProducers:       ErrTooManyProducers,
	} {
		if errors.Is(err, sentinel) {
			e.Err = ours
		}
	}
	var be *batch.Error
	if errors.As(err, &be) {
		e.Message = be.Message
		for _, r := range be.RecordErrors {
			e.RecordErrors = append(e.RecordErrors, RecordError{BatchIndex: r.Index, Message: r.Message})
		}
		if e.Err == ErrCorruptMessage && !be.InRecords || e.Err == ErrMessageTooLarge { //nolint:errorlint // assigned above
			e.LogStartOffset = -1
		}
	}
	return e
}

// singleBatch says whether records are one batch of the right magic, as a request must bring.
func singleBatch(records []byte) bool {
	b, rest, ok, err := batch.Split(records)
	if err != nil || !ok || len(b) < batch.HeaderSize {
		return false
	}
	if h, err := batch.ParseHeader(b); err != nil || h.Magic != batch.Magic {
		return false
	}
	_, _, more, err := batch.Split(rest)
	return err == nil && !more
}

// AppendAsFollower appends whole batches as a leader sent them, with their offsets and epochs. They must follow the log's end;
// gaps are allowed. What is behind the last whole batch is left out, as Kafka leaves it out. It is also how a log is written
// whose offsets somebody else gives. No byte of records is kept.
func (l *Log) AppendAsFollower(now int64, records []byte) (AppendInfo, error) {
	cfg := l.cfg.Load()
	info := AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTimeMillis: -1}
	// First look at all of them: nothing is written unless all are right.
	var headers []batch.Header
	newest := noTimestamp
	rest := records
	for len(rest) > 0 {
		b, more, ok, err := batch.Split(rest)
		if err != nil {
			return AppendInfo{}, l.refused(err)
		}
		if !ok {
			break
		}
		h, err := batch.ParseHeader(b)
		if err == nil {
			err = checkStored(&h, int64(len(b)), b[:batch.HeaderSize])
		}
		if err == nil && !batch.ValidCRC(b) {
			err = errors.New("wrong checksum")
		}
		if err != nil {
			return AppendInfo{}, &AppendError{Err: ErrCorruptMessage, Message: fmt.Sprintf("batch for %s: %v", l.name, err), LogStartOffset: -1}
		}
		if n := len(headers); n > 0 && h.BaseOffset <= headers[n-1].LastOffset() {
			return AppendInfo{}, &AppendError{Err: ErrUnexpectedOffset, LogStartOffset: -1,
				Message: fmt.Sprintf("Out of order offsets found in append to %s: %d after %d", l.name, h.BaseOffset, headers[n-1].LastOffset())}
		}
		headers = append(headers, h)
		newest = max(newest, h.MaxTimestamp)
		rest = more
	}
	if len(headers) == 0 {
		return info, nil
	}
	if span := headers[len(headers)-1].LastOffset() - headers[0].BaseOffset; span > maxRelativeOffset {
		return AppendInfo{}, &AppendError{Err: ErrCorruptMessage, LogStartOffset: -1,
			Message: fmt.Sprintf("batches for %s span %d offsets", l.name, span)}
	}
	records = records[:len(records)-len(rest)]
	first, last := headers[0].BaseOffset, headers[len(headers)-1].LastOffset()

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return AppendInfo{}, err
	}
	v := l.view.Load()
	if first < v.leo {
		return AppendInfo{}, &AppendError{Err: ErrUnexpectedOffset, LogStartOffset: -1,
			Message: fmt.Sprintf("Unexpected offset in append to %s: first offset %d is less than the next offset %d", l.name, first, v.leo)}
	}
	if err := l.prepare(cfg, now, newest, first, last, len(records)); err != nil {
		return AppendInfo{}, err
	}
	if err := l.write(records); err != nil {
		return AppendInfo{}, err
	}
	v = l.view.Load()
	pos := int64(0)
	for i := range headers {
		h := &headers[i]
		var m *marker
		if h.IsControl() && h.HasProducerID() {
			if parsed, ok := parseMarker(records[pos : pos+int64(h.Size())]); ok {
				m = &parsed
			}
		}
		l.commit(now, h, m, v.size+pos, cfg.IndexIntervalBytes)
		pos += int64(h.Size())
	}
	l.publish(v, last+1, len(records))
	return AppendInfo{FirstOffset: first, LastOffset: last, LogAppendTimeMillis: -1, LogStartOffset: v.start, Bytes: len(records)}, nil
}
