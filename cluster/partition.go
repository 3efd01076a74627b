package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kbroker/kbroker/storage"
)

// Partition is a replica that this node hosts, as its leader serves it. All methods are safe for concurrent use; appends of one
// partition are ordered by its log.
//
// Its log may be opened only when it is first used: after a start there can be thousands that nobody asks for.
//
// Locks, in this order: leadership is held for reading by every append, and for writing where the state changes, so that
// nothing is appended under an old leader epoch or to a deleted log; openMu guards the opening of the log; mu guards the
// leader's core, those who wait for a commit and the watchers. None of them is held while a watcher or waiter is called.
type Partition struct {
	tp      storage.TopicPartition
	topicID TopicID
	host    *partitionHost
	stats   *TopicStats

	leadership sync.RWMutex
	state      atomic.Pointer[partitionState]

	openMu  sync.Mutex
	openErr error
	opened  atomic.Pointer[storage.Log]

	// highWatermark is the core's; written with mu held.
	highWatermark atomic.Int64

	mu       sync.Mutex
	leader   leader
	waiters  commitWaiters
	watchers map[Watcher]struct{}
	syncing  bool

	flushMillis atomic.Int64 // flush.ms; maxFlushMillis: never
	flushQueued atomic.Bool
}

// partitionHost is what the partitions of a node share.
type partitionHost struct {
	nodeID int32
	fsync  bool
	// nowMillis is the shell's clock.
	nowMillis func() int64
	// open opens the partition's log, making it where there is none.
	open func(p *Partition) (*storage.Log, error)
	// flushLater has the log flushed when flush.ms is over.
	flushLater func(p *Partition, afterMillis int64)
	// openFailed is told that a log can't be opened. Later failures the log itself reports.
	openFailed func(p *Partition, err error)
	// syncers counts the running syncers.
	syncers sync.WaitGroup
}

// partitionState is replaced, never changed.
type partitionState struct {
	info   *PartitionInfo
	minISR int // effective
	// err is set once the partition is gone for good: all calls give it.
	err error
}

func makePartition(h *partitionHost, tp storage.TopicPartition, id TopicID, info *PartitionInfo, minInSyncReplicas int, stats *TopicStats) *Partition {
	p := &Partition{tp: tp, topicID: id, host: h, stats: stats}
	p.state.Store(&partitionState{info: info, minISR: effectiveMinISR(minInSyncReplicas, len(info.Replicas))})
	p.leader = leader{self: h.nodeID, fsync: h.fsync, isr: info.ISR}
	p.setFlush(storage.DefaultLogConfig())
	return p
}

// Name is the partition's topic and number.
func (p *Partition) Name() storage.TopicPartition { return p.tp }

// TopicID is the id of the topic that the partition belongs to.
func (p *Partition) TopicID() TopicID { return p.topicID }

// LeaderEpoch is the current leader's epoch.
func (p *Partition) LeaderEpoch() int32 { return p.state.Load().info.LeaderEpoch }

// usable gives the state if this node leads the partition and it is still there.
func (p *Partition) usable() (*partitionState, error) {
	s := p.state.Load()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.info.Leader != p.host.nodeID:
		return nil, ErrNotLeader
	}
	return s, nil
}

// log gives the log, opening it where that wasn't done yet.
func (p *Partition) log() (*storage.Log, error) {
	if l := p.opened.Load(); l != nil {
		return l, nil
	}
	p.openMu.Lock()
	defer p.openMu.Unlock()
	if l := p.opened.Load(); l != nil {
		return l, nil
	}
	if p.openErr != nil {
		return nil, p.openErr
	}
	s := p.state.Load()
	if s.err != nil {
		return nil, s.err
	}
	l, err := p.openAs(s)
	if err != nil {
		if errors.Is(err, storage.ErrMemoryBudget) {
			return nil, err // may work later
		}
		p.openErr = fmt.Errorf("%w: %w", storage.ErrStorage, err)
		p.host.openFailed(p, err)
		return nil, p.openErr
	}
	p.opened.Store(l)
	return l, nil
}

// openAs opens the log and takes up the leadership that the state gives.
func (p *Partition) openAs(s *partitionState) (*storage.Log, error) {
	l, err := p.host.open(p)
	if err != nil {
		return nil, err
	}
	if s.info.Leader == p.host.nodeID {
		if err := l.AssignEpoch(s.info.LeaderEpoch); err != nil {
			return nil, err
		}
	}
	if p.host.fsync && l.DurableEndOffset() < l.LogEndOffset() {
		if err := l.Sync(); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	p.leader.end, p.leader.durable = l.LogEndOffset(), l.DurableEndOffset()
	p.leader.highWatermark = l.LogStartOffset()
	p.leader.advance()
	p.highWatermark.Store(p.leader.highWatermark)
	l.SetHighWatermark(p.leader.highWatermark)
	p.mu.Unlock()
	return l, nil
}

// Append appends one batch as the partition's leader. With Acks -1 the records are committed only once AwaitCommitted says
// so. Errors: those of a log's append, ErrNotEnoughReplicas (acks -1, nothing appended), ErrNotLeader, ErrUnknownTopicOrPartition
// (deleted), ErrShuttingDown.
func (p *Partition) Append(r AppendRequest) (storage.AppendInfo, error) {
	l, err := p.log()
	if err != nil {
		return storage.AppendInfo{}, err
	}
	var w wakeups
	info, err := p.append(l, r, &w)
	p.wake(&w)
	if err != nil {
		return info, p.reason(l, err)
	}
	return info, nil
}

func (p *Partition) append(l *storage.Log, r AppendRequest, w *wakeups) (storage.AppendInfo, error) {
	p.leadership.RLock()
	defer p.leadership.RUnlock()
	s, err := p.usable()
	if err != nil {
		return storage.AppendInfo{}, err
	}
	if r.Acks == -1 && len(s.info.ISR) < s.minISR {
		return storage.AppendInfo{}, ErrNotEnoughReplicas
	}
	info, err := l.AppendAsLeader(p.host.nowMillis(), s.info.LeaderEpoch, r.Origin, r.AllowZstd, r.Records)
	if err != nil || info.Duplicate {
		return info, err
	}
	p.stats.MessagesIn.Add(info.LastOffset - info.FirstOffset + 1)
	p.stats.BytesIn.Add(int64(info.Bytes))
	p.appended(l, r, info, w)
	p.flushLater()
	return info, nil
}

// appended moves the high watermark as far as it may after an append, has the log synced where that is what
// acknowledging takes, and collects who is to be woken.
func (p *Partition) appended(l *storage.Log, r AppendRequest, info storage.AppendInfo, w *wakeups) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.leader.highWatermark
	bytes := int64(info.Bytes)
	rolled := info.FirstOffset > info.LogStartOffset && l.SegmentBaseOf(info.FirstOffset) == info.FirstOffset
	if r.Origin != storage.OriginClient || rolled {
		bytes = 0 // a marker can make more readable than itself, a new segment ends every wait (FETCH-10)
	}
	w.readable = p.leader.appended(info.LastOffset+1, bytes)
	if p.leader.fsync && !p.syncing && p.leader.unsynced() {
		p.syncing = true
		p.host.syncers.Go(func() { p.sync(l) })
	}
	if p.leader.highWatermark != before {
		p.committed(l, w)
	}
}

// wakeups is who is to be woken once no lock is held. It lives on its function's stack; the usual few watchers need no allocation.
type wakeups struct {
	readable int64 // by how many bytes the readable end moved; 0: look
	waiters  []*commitWaiter
	n        int
	few      [4]Watcher
	more     []Watcher
}

func (w *wakeups) add(x Watcher) {
	if w.n < len(w.few) {
		w.few[w.n] = x
		w.n++
		return
	}
	w.more = append(w.more, x)
}

// committed publishes the core's high watermark and collects who waits for it. mu is held.
func (p *Partition) committed(l *storage.Log, w *wakeups) {
	p.highWatermark.Store(p.leader.highWatermark)
	if l != nil {
		l.SetHighWatermark(p.leader.highWatermark)
	}
	if p.waiters.first != nil {
		w.waiters = p.waiters.take(w.waiters, p.leader.highWatermark)
	}
	for x := range p.watchers {
		w.add(x)
	}
}

// wake wakes who was collected, after a commit. No lock is held.
func (p *Partition) wake(w *wakeups) {
	if len(w.waiters) > 0 {
		err := p.afterCommit()
		for _, waiter := range w.waiters {
			waiter.done(err)
		}
	}
	for _, x := range w.few[:w.n] {
		x.Wake(w.readable)
	}
	for _, x := range w.more {
		x.Wake(w.readable)
	}
}

// afterCommit is the error of a record that is committed by now: that too few replicas are in sync for what it was promised (PROD-23).
func (p *Partition) afterCommit() error {
	if s := p.state.Load(); s.err == nil && len(s.info.ISR) < s.minISR {
		return ErrNotEnoughReplicasAfterAppend
	}
	return nil
}

// sync makes durable what is appended, again and again while there is more: appends that come during one sync share the next.
func (p *Partition) sync(l *storage.Log) {
	for {
		err := l.Sync()
		p.mu.Lock()
		if err != nil {
			p.syncing = false
			p.mu.Unlock()
			p.fail(l, err)
			return
		}
		var w wakeups
		before := p.leader.highWatermark
		w.readable = p.leader.synced(l.DurableEndOffset())
		again := p.leader.unsynced()
		p.syncing = again
		if p.leader.highWatermark != before {
			p.committed(l, &w)
		}
		p.mu.Unlock()
		p.wake(&w)
		if !again {
			return
		}
	}
}

// configure applies the topic's settings to the log, now or when it is opened.
func (p *Partition) configure(cfg storage.LogConfig, producerExpiryMillis int64) {
	p.openMu.Lock()
	defer p.openMu.Unlock()
	p.setFlush(cfg)
	if l := p.opened.Load(); l != nil {
		l.SetConfig(cfg)
		l.SetProducerExpiry(producerExpiryMillis)
	}
}

// setFlush takes over what of the settings this partition itself honours.
func (p *Partition) setFlush(cfg storage.LogConfig) { p.flushMillis.Store(cfg.FlushMillis) }

// flushLater has the log flushed when flush.ms is over, where that isn't never. (flush.messages is the log's.)
func (p *Partition) flushLater() {
	if after := p.flushMillis.Load(); after < maxFlushMillis && !p.host.fsync && p.flushQueued.CompareAndSwap(false, true) {
		p.host.flushLater(p, after)
	}
}

// flush is what was asked for by flushLater.
func (p *Partition) flush() {
	p.flushQueued.Store(false)
	if l := p.opened.Load(); l != nil && l.DurableEndOffset() < l.LogEndOffset() {
		if err := l.Sync(); err != nil {
			p.fail(l, err)
		}
	}
}

// reason is what a call that failed with err is answered: where the log was closed below it, why that was. The first
// failure of a log ends all waiting for it.
func (p *Partition) reason(l *storage.Log, err error) error {
	if errors.Is(err, storage.ErrClosed) {
		if s := p.state.Load(); s.err != nil {
			return s.err
		}
	}
	if errors.Is(err, storage.ErrStorage) {
		p.fail(l, err)
	}
	return err
}

// fail ends all waiting after the log's failure.
func (p *Partition) fail(l *storage.Log, err error) {
	if s := p.state.Load(); s.err != nil {
		err = s.err
	} else {
		if cause := l.Err(); cause != nil {
			err = cause
		}
		if !errors.Is(err, storage.ErrStorage) {
			err = fmt.Errorf("%w: %w", storage.ErrStorage, err)
		}
	}
	p.end(err)
}

// end has all who wait for a commit get err, and wakes all watchers.
func (p *Partition) end(err error) {
	p.mu.Lock()
	waiters := p.waiters.takeAll(nil)
	p.mu.Unlock()
	for _, w := range waiters {
		w.done(err)
	}
	p.wakeAll()
}

// AwaitCommitted calls done once the high watermark is beyond offset, with an error where it can't get there any more or where
// too few replicas are in sync by then. It returns true, without calling done, where the record is committed already. done may be
// called before AwaitCommitted returns. The returned function withdraws done.
func (p *Partition) AwaitCommitted(offset int64, done func(error)) (already bool, withdraw func()) {
	if p.highWatermark.Load() > offset && p.afterCommit() == nil {
		return true, func() {}
	}
	w := &commitWaiter{offset: offset, done: done}
	l, err := p.log()
	p.mu.Lock()
	if err == nil {
		err = l.Err()
	}
	if s := p.state.Load(); s.err != nil {
		err = s.err
	}
	if err == nil && p.leader.highWatermark <= offset {
		p.waiters.add(w)
		p.mu.Unlock()
		return false, func() {
			p.mu.Lock()
			p.waiters.remove(w)
			p.mu.Unlock()
		}
	}
	passed := p.leader.highWatermark > offset
	p.mu.Unlock()
	if passed {
		if err = p.afterCommit(); err == nil {
			return true, func() {}
		}
	}
	done(err)
	return false, func() {}
}

// Watch has w woken when there may be more to read, until Unwatch. Watching twice is watching once.
func (p *Partition) Watch(w Watcher) {
	p.mu.Lock()
	if p.watchers == nil {
		p.watchers = map[Watcher]struct{}{}
	}
	p.watchers[w] = struct{}{}
	p.mu.Unlock()
}

// Unwatch ends Watch. A call of Wake may still be under way when it returns.
func (p *Partition) Unwatch(w Watcher) {
	p.mu.Lock()
	delete(p.watchers, w)
	if len(p.watchers) == 0 {
		p.watchers = nil
	}
	p.mu.Unlock()
}

// update takes over what the metadata say about the partition now. A log that can't note its new epoch has failed: it takes
// no appends any more.
func (p *Partition) update(info *PartitionInfo, minInSyncReplicas int) {
	p.leadership.Lock()
	defer p.leadership.Unlock()
	p.openMu.Lock()
	defer p.openMu.Unlock()
	old := p.state.Load()
	if old.err != nil {
		return
	}
	if l := p.opened.Load(); l != nil && info.Leader == p.host.nodeID && info.LeaderEpoch > old.info.LeaderEpoch {
		_ = l.AssignEpoch(info.LeaderEpoch)
	}
	p.state.Store(&partitionState{info: info, minISR: effectiveMinISR(minInSyncReplicas, len(info.Replicas))})
}

// updated tells those who wait that the metadata changed. It is called after update, without locks.
func (p *Partition) updated() {
	p.mu.Lock()
	p.leader.setISR(p.state.Load().info.ISR)
	var w wakeups
	p.committed(p.opened.Load(), &w)
	p.mu.Unlock()
	p.wake(&w)
}

// wakeAll has every watcher look at the partition again.
func (p *Partition) wakeAll() {
	p.mu.Lock()
	watchers := slices.Collect(maps.Keys(p.watchers))
	p.mu.Unlock()
	for _, w := range watchers {
		w.Wake(0)
	}
}

// stop has every call from now on give err; appends under way are done when it returns, and those who waited have got err.
func (p *Partition) stop(err error) {
	p.leadership.Lock()
	if old := p.state.Load(); old.err == nil {
		p.state.Store(&partitionState{info: old.info, minISR: old.minISR, err: err})
	}
	p.leadership.Unlock()
	p.openMu.Lock()   // nobody is opening it any more
	p.openMu.Unlock() //nolint:staticcheck // waiting is all that is wanted
	p.end(err)
}
