package handlers

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// parkedProduce is a produce with acks -1 whose appends aren't all committed yet. It is answered once: by the last commit, by its timeout (the
// data stay, PROD-25), or when the broker stops.
type parkedProduce struct {
	producing

	mu       sync.Mutex
	left     int
	answered bool
	timer    *time.Timer
	withdraw []func()
	stop     func() bool
}

// park registers with every partition. Commits that come meanwhile count as any other.
func (p *parkedProduce) park(timeout time.Duration) {
	p.mu.Lock()
	if timeout > 0 {
		p.timer = time.AfterFunc(timeout, p.timedOut)
	}
	p.stop = context.AfterFunc(p.h.Context, p.timedOut)
	p.mu.Unlock()
	for i, a := range p.pending {
		already, withdraw := a.p.AwaitCommitted(a.offset, func(err error) { p.committed(i, err) })
		if already {
			p.committed(i, nil)
			continue
		}
		p.mu.Lock()
		answered := p.answered
		p.withdraw = append(p.withdraw, withdraw)
		p.mu.Unlock()
		if answered {
			withdraw()
		}
	}
	if timeout <= 0 {
		p.timedOut()
	}
}

func (p *parkedProduce) committed(i int, err error) {
	p.mu.Lock()
	if p.answered || p.pending[i].p == nil {
		p.mu.Unlock()
		return
	}
	a := p.pending[i]
	p.pending[i].p = nil // done
	if err != nil {
		p.fail(&p.topics[a.topic].rows[a.row], err)
	}
	p.left--
	last := p.left == 0
	p.answered = last
	p.mu.Unlock()
	if last {
		p.finish()
	}
}

func (p *parkedProduce) timedOut() {
	p.mu.Lock()
	if p.answered {
		p.mu.Unlock()
		return
	}
	p.answered = true
	for _, a := range p.pending {
		if a.p != nil {
			p.fail(&p.topics[a.topic].rows[a.row], kerr.RequestTimedOut)
		}
	}
	withdraw := p.withdraw
	p.mu.Unlock()
	for _, w := range withdraw {
		w()
	}
	p.finish()
}

func (p *parkedProduce) finish() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.stop()
	p.answer()
}
