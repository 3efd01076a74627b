package groupcoord

import (
	"container/heap"

	"github.com/kbroker/kbroker/coord"
)

// timer is one deadline of a shard. Moving it back, which every heartbeat does, costs nothing: it is found out when its old place in
// the heap comes up.
type timer struct {
	at    int64 // when it is due
	place int64 // where it stands in the heap; never later than at
	seq   uint64
	index int // in the heap, -1 where it isn't set
	fire  func(out *coord.Output)
}

func newTimer(fire func(out *coord.Output)) *timer { return &timer{index: -1, fire: fire} }

// timers is a heap of deadlines; what is due at the same time fires in the order in which it was set.
type timers struct {
	heap timerHeap
	seq  uint64
}

// set has t fire at a time, instead of the one that it had.
func (t *timers) set(x *timer, at int64) {
	x.at = at
	switch {
	case x.index < 0:
		t.seq++
		x.place, x.seq = at, t.seq
		heap.Push(&t.heap, x)
	case at < x.place:
		x.place = at
		heap.Fix(&t.heap, x.index)
	}
}

// cancel takes t out.
func (t *timers) cancel(x *timer) {
	if x != nil && x.index >= 0 {
		heap.Remove(&t.heap, x.index)
	}
}

// earliest is when something may be due.
func (t *timers) earliest() (int64, bool) {
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].place, true
}

// tick fires what is due.
func (t *timers) tick(out *coord.Output) {
	for len(t.heap) > 0 && t.heap[0].place <= out.Now {
		x := t.heap[0]
		if x.at > out.Now {
			x.place = x.at
			heap.Fix(&t.heap, 0)
			continue
		}
		heap.Pop(&t.heap)
		x.fire(out)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].place != h[j].place {
		return h[i].place < h[j].place
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	n := len(old) - 1
	t := old[n]
	old[n] = nil
	t.index = -1
	*h = old[:n]
	return t
}
