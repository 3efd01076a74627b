package wire

import "sync"

// budget is the memory that all frames share. Who doesn't get his share at once waits in line, so that a large frame isn't
// starved by small ones. One holder at a time may overdraw: without that, frames that each hold a part and wait for the rest
// would wait for each other.
type budget struct {
	mu      sync.Mutex
	max     int64
	used    int64 // without the overdraft
	over    int64 // the overdraft's bytes
	waiters []*budgetWaiter
}

type budgetWaiter struct {
	share *share
	n     int64
	ready chan bool // true: granted, false: given up
}

// share is what one buffer holds of a budget.
type share struct {
	n    int64
	over bool // n is the overdraft
}

func newBudget(maxBytes int64) *budget { return &budget{max: maxBytes} }

// try adds n bytes to s if nobody waits and they fit.
func (b *budget) try(s *share, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiters) > 0 {
		return false
	}
	return b.grant(s, n, false)
}

func (b *budget) grant(s *share, n int64, overdraw bool) bool {
	switch {
	case s.over:
		b.over += n
	case b.used+n <= b.max:
		b.used += n
	case overdraw && b.over == 0:
		s.over = true
		b.used -= s.n
		b.over = s.n + n
	default:
		return false
	}
	s.n += n
	return true
}

// wait adds n bytes to s, or gives the waiter on whose channel the outcome comes.
func (b *budget) wait(s *share, n int64) *budgetWaiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.over || len(b.waiters) == 0 {
		if b.grant(s, n, true) {
			return nil
		}
	}
	w := &budgetWaiter{share: s, n: n, ready: make(chan bool, 1)}
	b.waiters = append(b.waiters, w)
	return w
}

// giveUp takes w out of the line. If it had its turn already, this does nothing.
func (b *budget) giveUp(w *budgetWaiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiters {
		if other == w {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			w.ready <- false
			b.serve()
			return
		}
	}
}

// release gives back all of s.
func (b *budget) release(s *share) {
	if s.n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.over {
		b.over -= s.n
	} else {
		b.used -= s.n
	}
	*s = share{}
	b.serve()
}

// releasePart gives back n bytes of s.
func (b *budget) releasePart(s *share, n int64) {
	if n >= s.n {
		b.release(s)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.n -= n
	if s.over {
		b.over -= n
	} else {
		b.used -= n
	}
	b.serve()
}

func (b *budget) serve() {
	for len(b.waiters) > 0 && b.grant(b.waiters[0].share, b.waiters[0].n, true) {
		b.waiters[0].ready <- true
		b.waiters[0] = nil
		b.waiters = b.waiters[1:]
	}
}

func (b *budget) setMax(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.max = n
	b.serve()
}

// state gives the bytes in use, the most there may be, and how many wait.
func (b *budget) state() (used, maxBytes int64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used + b.over, b.max, len(b.waiters)
}
