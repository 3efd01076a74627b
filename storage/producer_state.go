package storage

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/kbroker/kbroker/storage/batch"
)

// dedupWindow is how many batches of a producer are remembered, so that sending one of them again is answered and not
// appended (IDEM-03). Clients have at most so many in flight.
const dedupWindow = 5

// sentBatch is what is remembered of a batch.
type sentBatch struct {
	lastOffset, timestamp int64
	lastSequence, delta   int32
}

func (b sentBatch) firstSequence() int32 {
	if b.lastSequence == batch.NoSequence {
		return batch.NoSequence
	}
	if b.lastSequence >= b.delta {
		return b.lastSequence - b.delta
	}
	return math.MaxInt32 - (b.delta - b.lastSequence) + 1
}

// producer is the state of one producer id in one log (Kafka's ProducerStateEntry).
type producer struct {
	epoch            int16
	count            uint8 // how many of batches are set; the newest is the last
	coordinatorEpoch int32
	lastTimestamp    int64 // of the last batch or marker
	seenMillis       int64 // when this process last saw it append or loaded it; it expires by this
	txnFirstOffset   int64 // -1: no open transaction
	batches          [dedupWindow]sentBatch
}

func (p *producer) last() (sentBatch, bool) {
	if p.count == 0 {
		return sentBatch{lastOffset: -1, timestamp: noTimestamp, lastSequence: batch.NoSequence}, false
	}
	return p.batches[p.count-1], true
}

func (p *producer) add(b sentBatch) {
	if p.count == dedupWindow {
		copy(p.batches[:], p.batches[1:])
		p.count--
	}
	p.batches[p.count] = b
	p.count++
}

// duplicateOf finds the batch with the same epoch and sequences among the remembered ones.
func (p *producer) duplicateOf(h *batch.Header) (sentBatch, bool) {
	if p.epoch != h.ProducerEpoch {
		return sentBatch{}, false
	}
	last := h.LastSequence()
	for _, b := range p.batches[:p.count] {
		if b.lastSequence == last && b.firstSequence() == h.BaseSequence {
			return b, true
		}
	}
	return sentBatch{}, false
}

// openTxn is a transaction with records in this log; last is its marker's offset once it has one.
type openTxn struct{ producerID, first, last int64 }

// completedTxn is a transaction that a marker just ended.
type completedTxn struct {
	openTxn
	aborted bool
}

// producerState is what a log knows of its producers and transactions (Kafka's ProducerStateManager). It belongs to the append
// side; the first unstable offset is published for readers.
type producerState struct {
	tp           TopicPartition
	maxProducers int
	expiryMillis int64
	producers    map[int64]*producer
	// open are the transactions without marker, unreplicated those whose marker isn't below the high watermark yet; both by
	// first offset.
	open, unreplicated []openTxn
	// end is the offset after the last batch that was applied.
	end int64
	// firstUnstable is the smallest first offset of both; -1: there is none.
	firstUnstable atomic.Int64
	hasUnstable   atomic.Bool // says that unreplicated isn't empty
	// snapshots are the offsets of the snapshot files there are, rising.
	snapshots []int64
}

func (s *producerState) reset(end int64) {
	s.producers = nil
	s.open, s.unreplicated = nil, nil
	s.end = end
	s.publish()
}

func (s *producerState) publish() {
	first := int64(-1)
	if len(s.open) > 0 {
		first = s.open[0].first
	}
	if len(s.unreplicated) > 0 && (first < 0 || s.unreplicated[0].first < first) {
		first = s.unreplicated[0].first
	}
	s.firstUnstable.Store(first)
	s.hasUnstable.Store(len(s.unreplicated) > 0)
}

// check says whether a batch that a client or a coordinator sends may be appended at offset. It changes nothing.
func (s *producerState) check(now int64, h *batch.Header, m *marker, origin Origin, offset int64) error {
	p := s.producers[h.ProducerID]
	if p == nil {
		if len(s.producers) >= s.maxProducers {
			s.expire(now)
		}
		if len(s.producers) >= s.maxProducers {
			return fmt.Errorf("%w: partition %v has %d", ErrTooManyProducers, s.tp, len(s.producers))
		}
		return nil
	}
	if h.ProducerEpoch < p.epoch {
		return fmt.Errorf("%w: Epoch of producer %d at offset %d in %v is %d, which is smaller than the last seen epoch %d",
			ErrInvalidProducerEpoch, h.ProducerID, offset, s.tp, h.ProducerEpoch, p.epoch)
	}
	if h.IsControl() {
		if m != nil && m.coordinatorEpoch < p.coordinatorEpoch {
			return fmt.Errorf("%w: Invalid coordinator epoch for producerId %d at offset %d in partition %v: %d (zombie), %d (current)",
				ErrCoordinatorFenced, h.ProducerID, offset, s.tp, m.coordinatorEpoch, p.coordinatorEpoch)
		}
		return nil
	}
	if origin == OriginClient {
		if err := s.checkSequence(p, h, offset); err != nil {
			return err
		}
	}
	if p.txnFirstOffset >= 0 && !h.IsTransactional() {
		return fmt.Errorf("%w: Expected transactional write from producer %d at offset %d in partition %v",
			ErrInvalidTxnState, h.ProducerID, offset, s.tp)
	}
	return nil
}

func (s *producerState) checkSequence(p *producer, h *batch.Header, offset int64) error {
	if h.ProducerEpoch != p.epoch {
		if h.BaseSequence != 0 && p.epoch != batch.NoProducerEpoch {
			return fmt.Errorf("%w: Invalid sequence number for new epoch of producer %d at offset %d in partition %v: %d (request epoch), %d (seq. number), %d (current producer epoch)",
				ErrOutOfOrderSequence, h.ProducerID, offset, s.tp, h.ProducerEpoch, h.BaseSequence, p.epoch)
		}
		return nil
	}
	last, _ := p.last()
	if int64(h.BaseSequence) == int64(last.lastSequence)+1 || h.BaseSequence == 0 && last.lastSequence == math.MaxInt32 {
		return nil
	}
	return fmt.Errorf("%w: Out of order sequence number for producer %d at offset %d in partition %v: %d (incoming seq. number), %d (current end sequence number)",
		ErrOutOfOrderSequence, h.ProducerID, offset, s.tp, h.BaseSequence, last.lastSequence)
}

// apply takes a batch in that is in the log. m is the marker of a control batch, nil where it holds none. The result is the
// transaction that it ended, with the last stable offset that the transaction index keeps.
func (s *producerState) apply(now int64, h *batch.Header, m *marker) (done completedTxn, lastStable int64, ok bool) {
	s.end = h.NextOffset()
	if !h.HasProducerID() || h.IsControl() && m == nil {
		return completedTxn{}, 0, false
	}
	p := s.producers[h.ProducerID]
	if p == nil {
		if s.producers == nil {
			s.producers = map[int64]*producer{}
		}
		if len(s.producers) >= s.maxProducers {
			s.evict()
		}
		p = &producer{epoch: h.ProducerEpoch, coordinatorEpoch: -1, txnFirstOffset: -1}
		s.producers[h.ProducerID] = p
	}
	p.seenMillis = now
	if p.epoch != h.ProducerEpoch {
		p.epoch, p.count = h.ProducerEpoch, 0
	}
	p.lastTimestamp = h.MaxTimestamp
	if m != nil {
		p.coordinatorEpoch = m.coordinatorEpoch
		if p.txnFirstOffset < 0 {
			return completedTxn{}, 0, false
		}
		done = completedTxn{openTxn: openTxn{producerID: h.ProducerID, first: p.txnFirstOffset, last: h.LastOffset()}, aborted: m.abort}
		p.txnFirstOffset = -1
		lastStable = s.complete(done.openTxn)
		return done, lastStable, true
	}
	p.add(sentBatch{lastOffset: h.LastOffset(), timestamp: h.MaxTimestamp, lastSequence: h.LastSequence(), delta: h.LastOffsetDelta})
	if h.IsTransactional() && p.txnFirstOffset < 0 {
		p.txnFirstOffset = h.BaseOffset
		s.open = append(s.open, openTxn{producerID: h.ProducerID, first: h.BaseOffset, last: -1})
		s.publish()
	}
	return completedTxn{}, 0, false
}

// complete moves a transaction to the unreplicated ones and gives the last stable offset as it is once the marker is below
// the high watermark.
func (s *producerState) complete(t openTxn) (lastStable int64) {
	i := sort.Search(len(s.open), func(i int) bool { return s.open[i].first >= t.first })
	if i < len(s.open) && s.open[i].first == t.first {
		s.open = slices.Delete(s.open, i, i+1)
	}
	j := sort.Search(len(s.unreplicated), func(i int) bool { return s.unreplicated[i].first >= t.first })
	s.unreplicated = slices.Insert(s.unreplicated, j, t)
	s.publish()
	if len(s.open) > 0 {
		return s.open[0].first
	}
	return t.last + 1
}

// replicatedTo says that everything below the high watermark is replicated.
func (s *producerState) replicatedTo(highWatermark int64) {
	s.unreplicated = slices.DeleteFunc(s.unreplicated, func(t openTxn) bool { return t.last < highWatermark })
	s.publish()
}

// expire forgets the producers that were silent for too long and have no open transaction (IDEM-11).
func (s *producerState) expire(now int64) {
	for id, p := range s.producers {
		if p.txnFirstOffset < 0 && now-p.seenMillis >= s.expiryMillis {
			delete(s.producers, id)
		}
	}
}

// evict makes room where a log that is read back has more producers than there may be: the one whose last batch is the oldest goes.
func (s *producerState) evict() {
	victim, oldest := int64(-1), int64(math.MaxInt64)
	for id, p := range s.producers {
		last, _ := p.last()
		if p.txnFirstOffset < 0 && (last.lastOffset < oldest || last.lastOffset == oldest && id < victim) {
			victim, oldest = id, last.lastOffset
		}
	}
	if victim >= 0 {
		delete(s.producers, victim)
	}
}

func (s *producerState) list() []ProducerInfo {
	infos := make([]ProducerInfo, 0, len(s.producers))
	for id, p := range s.producers {
		last, _ := p.last()
		infos = append(infos, ProducerInfo{
			ProducerID:            id,
			ProducerEpoch:         p.epoch,
			LastSequence:          last.lastSequence,
			LastTimestampMillis:   p.lastTimestamp,
			CoordinatorEpoch:      p.coordinatorEpoch,
			CurrentTxnStartOffset: p.txnFirstOffset,
		})
	}
	slices.SortFunc(infos, func(a, b ProducerInfo) int {
		if a.ProducerID < b.ProducerID {
			return -1
		}
		return 1
	})
	return infos
}
