package handlers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// parkedFetch is a fetch that waits for data. It watches its partitions and reads again only when as many bytes came as it wants, when
// something else happened to one of them, or when max_wait is over. It is answered once.
type parkedFetch struct {
	*fetching

	missing atomic.Int64 // bytes until it is worth looking again
	woken   atomic.Bool  // a look is under way or ordered

	mu    sync.Mutex // held while looking
	done  bool
	timer *time.Timer
	stop  func() bool
}

// park has the fetch wait. The partitions are read once more after they are watched, so that nothing that came in between is missed.
func (f *fetching) park() {
	p := &parkedFetch{fetching: f}
	p.mu.Lock()
	p.woken.Store(true)
	for i := range f.rows {
		f.rows[i].part.Watch(p)
	}
	p.stop = context.AfterFunc(f.h.Context, p.over)
	p.timer = time.AfterFunc(f.maxWait, p.over)
	p.mu.Unlock()
	f.r.OnGone(p.gone) // without the mutex: a connection that has ended already calls at once
	p.look(false)
}

// Wake is called by a partition that moved.
func (p *parkedFetch) Wake(more int64) {
	if more > 0 && p.missing.Add(-more) > 0 {
		return
	}
	if p.woken.CompareAndSwap(false, true) {
		go p.look(false)
	}
}

// over ends the wait, whatever there is (FETCH-08).
func (p *parkedFetch) over() { p.look(true) }

// look reads again and answers if that is enough, or in any case where last is set.
func (p *parkedFetch) look(last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	for {
		p.woken.Store(false) // what comes from here on orders another look
		p.release()
		// What moves while this is read counts towards the next look, not less.
		p.missing.Store(p.minBytes)
		p.read()
		if last || p.satisfied() {
			p.end()
			p.answer()
			return
		}
		found := int64(0)
		for i := range p.rows {
			found += p.rows[i].read.Records.Bytes
		}
		p.release()
		if p.missing.Add(-found) > 0 || p.woken.Load() || !p.woken.CompareAndSwap(false, true) {
			return
		}
	}
}

// gone drops the fetch of a connection that ended (CONN-19).
func (p *parkedFetch) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	p.end()
	p.release()
}

func (p *parkedFetch) end() {
	p.done = true
	p.timer.Stop()
	p.stop()
	for i := range p.rows {
		p.rows[i].part.Unwatch(p)
	}
}
