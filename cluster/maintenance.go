package cluster

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"time"
)

// maxFlushMillis stands for never, as Kafka's default of flush.ms does.
const maxFlushMillis = math.MaxInt64

// Intervals that Kafka has as internal settings, with its defaults.
const (
	initialTaskDelay = 30 * time.Second
	// deletionInterval is how often is looked for files whose file.delete.delay.ms is over.
	deletionInterval = 15 * time.Second
)

// maintain does for all logs what time brings: retention and rolling, checkpoints, forgetting of producers, flushing by
// flush.ms. It is one goroutine, whatever the number of logs.
func (n *Node) maintain(ctx context.Context) {
	millis := func(name string) time.Duration { return saturatedMillis(n.cfg.Static.Long(name)) }
	retain := newTask(initialTaskDelay, millis("log.retention.check.interval.ms"))
	checkpoint := newTask(initialTaskDelay, min(millis("log.flush.offset.checkpoint.interval.ms"), millis("log.flush.start.offset.checkpoint.interval.ms")))
	expiry := millis("producer.id.expiration.check.interval.ms")
	producers := newTask(expiry, expiry)
	deleted := newTask(deletionInterval, deletionInterval)
	flush := time.NewTimer(math.MaxInt64)
	defer func() {
		for _, t := range []*time.Timer{retain.timer, checkpoint.timer, producers.timer, deleted.timer, flush} {
			t.Stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retain.timer.C:
			n.retain(ctx)
			retain.again()
		case <-checkpoint.timer.C:
			if err := n.cfg.Manager.Checkpoint(); err != nil {
				n.log.Error("recovery points can't be written; a start after a crash will take longer", "error", err)
			}
			checkpoint.again()
		case <-producers.timer.C:
			now := nowMillis()
			n.eachOpen(ctx, func(p *Partition) { p.opened.Load().ExpireProducers(now) })
			producers.again()
		case <-deleted.timer.C:
			if err := n.cfg.Manager.RemoveDeleted(nowMillis()); err != nil {
				n.log.Error("files of deleted logs can't be removed", "error", err)
			}
			deleted.again()
		case <-n.flushes.changed:
		case <-flush.C:
		}
		due, next, any := n.flushes.due(nowMillis())
		for _, p := range due {
			p.flush()
		}
		if any {
			flush.Reset(saturatedMillis(max(0, next-nowMillis())))
		}
	}
}

// task is something to be done at intervals, counted from its end.
type task struct {
	timer    *time.Timer
	interval time.Duration
}

// newTask begins first from now, or sooner where the interval is shorter than that.
func newTask(first, interval time.Duration) task {
	interval = max(interval, time.Millisecond)
	return task{time.NewTimer(min(first, interval)), interval}
}

func (t task) again() { t.timer.Reset(t.interval) }

func saturatedMillis(ms int64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

func (n *Node) eachOpen(ctx context.Context, fn func(*Partition)) {
	n.Partitions(func(p *Partition) bool {
		if p.opened.Load() != nil && p.state.Load().err == nil {
			fn(p)
		}
		return ctx.Err() == nil
	})
}

// Retain applies retention to every log now, without waiting for its interval.
func (n *Node) Retain(ctx context.Context) { n.retain(ctx) }

// retain applies retention to every log.
func (n *Node) retain(ctx context.Context) {
	now := nowMillis()
	n.eachOpen(ctx, func(p *Partition) { p.retain(now) })
}

// retain deletes what has outlived its time or its room, never above the high watermark.
func (p *Partition) retain(now int64) {
	l := p.opened.Load()
	if l.Err() != nil {
		return
	}
	before := l.LogStartOffset()
	_, err := l.Retain(now, p.highWatermark.Load())
	if l.LogStartOffset() != before {
		p.wakeAll()
	}
	if err != nil && p.state.Load().err == nil {
		p.fail(l, err) // the log has reported it
	}
}

// flushQueue has the partitions that wait for their flush.ms, the next one first.
type flushQueue struct {
	mu      sync.Mutex
	heap    flushHeap
	changed chan struct{}
}

type queuedFlush struct {
	due int64
	p   *Partition
}

func (q *flushQueue) add(p *Partition, afterMillis int64) {
	q.mu.Lock()
	due := nowMillis()
	due += min(afterMillis, math.MaxInt64-due)
	heap.Push(&q.heap, queuedFlush{due, p})
	first := q.heap[0].p == p
	q.mu.Unlock()
	if first {
		select {
		case q.changed <- struct{}{}:
		default:
		}
	}
}

// due takes out what is due and says when the next one is.
func (q *flushQueue) due(now int64) (ps []*Partition, next int64, any bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.heap) > 0 && q.heap[0].due <= now {
		ps = append(ps, heap.Pop(&q.heap).(queuedFlush).p)
	}
	if len(q.heap) == 0 {
		return ps, 0, false
	}
	return ps, q.heap[0].due, true
}

type flushHeap []queuedFlush

func (h flushHeap) Len() int           { return len(h) }
func (h flushHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h flushHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *flushHeap) Push(x any)        { *h = append(*h, x.(queuedFlush)) }
func (h *flushHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = queuedFlush{}
	*h = old[:len(old)-1]
	return x
}
