package handlers

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// parkedProduce is a produce with acks -1 whose appends aren't all committed yet. It is answered once: by the last commit, by its timeout (the
// data stay, PROD-25), or when the broker stops. The end of its connection ends it without an answer.
type parkedProduce struct {
	producing

	mu       sync.Mutex
	left     int
	answered bool
	timer    *time.Timer
	withdraw []func()
	stop     func() bool
}

// minCommitWait is how long a commit is waited for at least. Kafka appends, and flushes where it is told to, before it looks at a request's timeout,
// so that a timeout of 0 doesn't fail there for the time that the broker's own disk takes.
const minCommitWait = time.Second

// park registers with every partition. Commits that come meanwhile count as any other.
func (p *parkedProduce) park(timeout time.Duration) {
	p.mu.Lock()
	p.timer = time.AfterFunc(max(timeout, minCommitWait), p.timedOut)
	p.stop = context.AfterFunc(p.h.Context, p.timedOut)
	p.mu.Unlock()
	p.r.OnGone(p.gone)
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
	if p.give(kerr.RequestTimedOut) {
		p.finish()
	}
}

// gone forgets the request of a connection that ended. What was appended stays.
func (p *parkedProduce) gone() {
	if p.give(nil) {
		p.timer.Stop()
		p.stop()
	}
}

// give ends the waiting, with err in the rows that still wait. What is committed by now, though its turn to be told so hasn't come, is a success. It says
// whether this call ended the waiting.
func (p *parkedProduce) give(err error) bool {
	p.mu.Lock()
	if p.answered {
		p.mu.Unlock()
		return false
	}
	p.answered = true // the rows are ours from here on
	withdraw := p.withdraw
	p.withdraw = nil
	p.mu.Unlock()
	for _, w := range withdraw {
		w()
	}
	if err == nil {
		return true
	}
	for _, a := range p.pending {
		if a.p == nil {
			continue
		}
		already, withdraw := a.p.AwaitCommitted(a.offset, func(error) {})
		if !already {
			withdraw()
			p.fail(&p.topics[a.topic].rows[a.row], err)
		}
	}
	return true
}

func (p *parkedProduce) finish() {
	p.timer.Stop()
	p.stop()
	p.answer()
}
