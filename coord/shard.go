package coord

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
)

type shardState int8

const (
	loading shardState = iota
	active
	failed
	unloaded
)

// shard is one machine and its log. It goes from loading to active or failed, and to unloaded, never back.
type shard[M Machine] struct {
	runtime   *Runtime[M]
	partition int32
	log       Log

	taken time.Time // when Load or LoadEmpty was called
	// claimed says that somebody runs the load; loaded is closed when it is over, one way or another.
	claimed  atomic.Bool
	loaded   chan struct{}
	loadOver sync.Once

	// gone is set before mu is asked for by unload, so that a load ends soon.
	gone atomic.Bool
	// signal says that a commit was reported to a shard whose mutex was taken.
	signal atomic.Bool

	mu      sync.Mutex
	state   shardState
	machine M
	// lastOffset is the last record's offset that is in the log by this shard.
	lastOffset int64
	pending    []*pendingWrite // in the order of their offsets
	timer      *time.Timer
	armed      int64 // when timer fires; MaxInt64: not at all
}

// pendingWrite is in the log and waits for its commit.
type pendingWrite struct {
	offset   int64
	deadline int64
	done     func(*Output, error)
	withdraw func()
	failure  atomic.Pointer[error]
}

func (s *shard[M]) do(op func(M, *Output)) error {
	s.mu.Lock()
	if s.state == loading {
		s.mu.Unlock()
		s.awaitLoad()
		s.mu.Lock()
	}
	switch s.state {
	case active:
	case loading:
		s.mu.Unlock()
		return ErrLoading
	default:
		s.mu.Unlock()
		return ErrNotCoordinator
	}
	out := s.runtime.output()
	op(s.machine, out)
	s.finish(out)
	return nil
}

// awaitLoad has the load begin, if its turn didn't come yet, and waits for it for a while.
func (s *shard[M]) awaitLoad() {
	left := loadPatience - time.Since(s.taken)
	if left <= 0 {
		return
	}
	if !s.claimed.Load() {
		s.runtime.loadNow(s)
	}
	patience := time.NewTimer(left)
	defer patience.Stop()
	select {
	case <-s.loaded:
	case <-patience.C:
	}
}

// finish does what an operation asked for, gives up the mutex and delivers the replies.
func (s *shard[M]) finish(out *Output) {
	s.settle(out)
	s.arm(out.Now)
	s.mu.Unlock()
	out.Deliver()
	if s.signal.Load() {
		s.committed()
	}
}

// settle carries out writes until there are none.
func (s *shard[M]) settle(out *Output) {
	for {
		writes := out.Writes()
		if len(writes) == 0 {
			return
		}
		for i := range writes {
			s.write(&writes[i], out)
		}
	}
}

func (s *shard[M]) write(w *Write, out *Output) {
	if err := s.append(w, out); err != nil {
		if w.Done != nil {
			w.Done(out, err)
		}
		return
	}
	if w.Appended != nil {
		w.Appended(out)
	}
	if w.Done == nil {
		return
	}
	if s.lastOffset < 0 || s.lastOffset < s.log.HighWatermark() {
		w.Done(out, nil)
		return
	}
	p := &pendingWrite{offset: s.lastOffset, deadline: out.Now + s.runtime.cfg.CommitTimeout.Milliseconds(), done: w.Done}
	already, withdraw := s.log.AwaitCommitted(p.offset, func(err error) {
		if err != nil {
			p.failure.Store(&err)
		}
		s.committed()
	})
	if already {
		w.Done(out, nil)
		return
	}
	p.withdraw = withdraw
	s.pending = append(s.pending, p)
}

// append writes a write's records, in as few batches as they fit into, and replays what was written.
func (s *shard[M]) append(w *Write, out *Output) error {
	limit := s.log.MaxBatchBytes()
	for rest := w.Records; len(rest) > 0; {
		b := batch.NewBuilder()
		n := 0
		for n < len(rest) {
			if n > 0 && w.Splits && b.Size()+recordSize(rest[n]) > limit {
				break
			}
			b.Append(out.Wall, rest[n].Key, rest[n].Value)
			n++
			if b.Size() > limit {
				return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
			}
		}
		last, err := s.log.Append(b.Build())
		if err != nil {
			if errors.Is(err, storage.ErrMessageTooLarge) || errors.Is(err, storage.ErrRecordListTooLarge) {
				return fmt.Errorf("%w: %w", ErrTooLarge, err)
			}
			return err
		}
		s.lastOffset = last
		if !w.NoReplay {
			for i, r := range rest[:n] {
				at := Position{Offset: last - int64(n-1-i), ProducerID: -1}
				if err := s.machine.Replay(at, r.Key, r.Value); err != nil {
					s.runtime.cfg.Logger.Error("a coordinator can't read what it wrote", "partition", s.partition, "offset", at.Offset, "error", err)
				}
			}
		}
		rest = rest[n:]
	}
	return nil
}

// recordSize is at least what a record takes in a batch.
func recordSize(r Record) int {
	const overhead = 32 // lengths, attributes, deltas, header count: at most
	return len(r.Key) + len(r.Value) + overhead
}

// committed looks which writes are done. It may be called with the mutex held by the caller's own operation (an append can
// move the high watermark): then that operation looks after it has given the mutex up.
func (s *shard[M]) committed() {
	s.signal.Store(true)
	for s.signal.Load() && s.mu.TryLock() {
		s.signal.Store(false)
		if s.state != active {
			s.mu.Unlock()
			return
		}
		out := s.runtime.output()
		s.completePending(out)
		s.settle(out)
		s.arm(out.Now)
		s.mu.Unlock()
		out.Deliver()
	}
}

func (s *shard[M]) completePending(out *Output) {
	if len(s.pending) == 0 {
		return
	}
	highWatermark := s.log.HighWatermark()
	kept := s.pending[:0]
	var ready []*pendingWrite
	var errs []error
	for _, p := range s.pending {
		switch failure := p.failure.Load(); {
		case p.offset < highWatermark:
			ready, errs = append(ready, p), append(errs, nil)
		case failure != nil:
			ready, errs = append(ready, p), append(errs, *failure)
		case p.deadline <= out.Now:
			p.withdraw()
			ready, errs = append(ready, p), append(errs, ErrTimeout)
		default:
			kept = append(kept, p)
		}
	}
	clear(s.pending[len(kept):])
	s.pending = kept
	for i, p := range ready {
		p.done(out, errs[i])
	}
}

// arm has tick called at the earliest deadline. A deadline that moved back leaves the timer as it is: it then fires for nothing once.
func (s *shard[M]) arm(now int64) {
	if s.state != active {
		return
	}
	next, ok := s.machine.Deadline()
	if !ok {
		next = math.MaxInt64
	}
	if len(s.pending) > 0 {
		next = min(next, s.pending[0].deadline)
	}
	if next >= s.armed {
		return
	}
	s.armed = next
	wait := time.Duration(max(next-now, 0)) * time.Millisecond
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.tick)
	} else {
		s.timer.Reset(wait)
	}
}

func (s *shard[M]) tick() {
	s.mu.Lock()
	if s.state != active {
		s.mu.Unlock()
		return
	}
	s.armed = math.MaxInt64
	out := s.runtime.output()
	s.completePending(out)
	s.machine.Tick(out)
	s.finish(out)
}

func (s *shard[M]) unload() {
	s.gone.Store(true)
	s.endLoad()
	s.mu.Lock()
	was := s.state
	s.state = unloaded
	if s.timer != nil {
		s.timer.Stop()
	}
	if was != active {
		s.mu.Unlock()
		return
	}
	out := s.runtime.output()
	pending := s.pending
	s.pending = nil
	for _, p := range pending {
		p.withdraw()
		p.done(out, ErrNotCoordinator)
	}
	s.machine.Unloaded(out)
	// Nothing is written any more; what was asked for fails.
	for writes := out.Writes(); len(writes) > 0; writes = out.Writes() {
		for _, w := range writes {
			if w.Done != nil {
				w.Done(out, ErrNotCoordinator)
			}
		}
	}
	var none M
	s.machine = none
	s.mu.Unlock()
	out.Deliver()
}

// endLoad lets go who waits for the load.
func (s *shard[M]) endLoad() { s.loadOver.Do(func() { close(s.loaded) }) }

// activate ends a load. lastOffset is -1 where the log is empty.
func (s *shard[M]) activate(m M, lastOffset int64) {
	defer s.endLoad()
	s.mu.Lock()
	if s.state != loading {
		s.mu.Unlock()
		return
	}
	s.machine, s.lastOffset, s.state, s.armed = m, lastOffset, active, math.MaxInt64
	out := s.runtime.output()
	m.Loaded(out)
	s.finish(out)
}

// load replays the log, unless somebody else does already.
func (s *shard[M]) load() {
	if !s.claimed.CompareAndSwap(false, true) {
		return
	}
	defer s.endLoad()
	m, started := s.runtime.newMachine(s.partition), time.Now()
	records, end, err := s.replayAll(m)
	if err != nil {
		s.mu.Lock()
		if s.state == loading {
			s.state = failed
		}
		s.mu.Unlock()
		if !s.gone.Load() {
			s.runtime.cfg.Logger.Error("a coordinator's partition could not be loaded", "partition", s.partition, "error", err)
		}
		return
	}
	if records > 0 {
		s.runtime.cfg.Logger.Debug("coordinator's partition loaded", "partition", s.partition, "records", records, "elapsed", time.Since(started))
	}
	s.activate(m, end-1)
}

// replayAll replays the log up to where it ends now: nobody else appends to it.
func (s *shard[M]) replayAll(m M) (records int, end int64, err error) {
	end, err = s.log.LogEndOffset()
	if err != nil {
		return 0, 0, err
	}
	offset, err := s.log.LogStartOffset()
	if err != nil {
		return 0, 0, err
	}
	for offset < end {
		if s.gone.Load() {
			return records, end, ErrNotCoordinator
		}
		b, err := s.log.Read(offset, loadReadBytes)
		if err != nil {
			return records, end, fmt.Errorf("reading from offset %d: %w", offset, err)
		}
		if len(b) == 0 {
			return records, end, fmt.Errorf("nothing to read at offset %d of %d", offset, end)
		}
		for len(b) > 0 {
			h, err := batch.ParseHeader(b)
			if err != nil {
				return records, end, fmt.Errorf("batch at offset %d: %w", offset, err)
			}
			if h.Size() > len(b) {
				return records, end, fmt.Errorf("batch at offset %d: %d bytes of %d", offset, len(b), h.Size())
			}
			n, err := replayBatch(m, b[:h.Size()], h, offset)
			records += n
			if err != nil {
				return records, end, err
			}
			offset = max(offset, h.NextOffset())
			b = b[h.Size():]
		}
	}
	return records, end, nil
}

// replayBatch replays a batch's records from offset on.
func replayBatch[M Machine](m M, b []byte, h batch.Header, from int64) (records int, err error) {
	producerID := int64(-1)
	if h.IsTransactional() {
		producerID = h.ProducerID
	}
	err = batch.EachRecord(b, maxDecompressedBytes, func(_ int, r batch.Record) error {
		at := Position{Offset: h.BaseOffset + int64(r.OffsetDelta), ProducerID: producerID}
		if at.Offset < from {
			return nil
		}
		records++
		if !h.IsControl() {
			if err := m.Replay(at, r.Key, r.Value); err != nil {
				return fmt.Errorf("record at offset %d: %w", at.Offset, err)
			}
			return nil
		}
		switch kind, err := batch.ParseControl(r.Key); {
		case err != nil:
			return fmt.Errorf("control record at offset %d: %w", at.Offset, err)
		case kind == batch.ControlCommit:
			m.EndTransaction(h.ProducerID, true)
		case kind == batch.ControlAbort:
			m.EndTransaction(h.ProducerID, false)
		}
		return nil
	})
	return records, err
}
