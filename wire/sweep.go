package wire

import "time"

// sweep looks after the timeouts of all connections until done is closed.
func (s *Server) sweep(done <-chan struct{}) {
	every := s.limits.Load().sweepEvery()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-done:
			return
		}
		if now := s.limits.Load().sweepEvery(); now != every {
			every = now
			ticker.Reset(every)
		}
		s.sweepOnce()
	}
}

func (s *Server) sweepOnce() {
	limits := s.limits.Load()
	now := s.nanos()
	_, _, waiting := s.budget.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.sweep(now, limits, waiting > 0)
	}
}

// sweep ends a connection whose time is up, and tells a reader that its connection is quiet.
func (c *Conn) sweep(now int64, limits *Limits, pressed bool) {
	silent := time.Duration(now - c.lastRead.Load())
	if since := c.writeSince.Load(); since != 0 && time.Duration(now-since) > limits.WriteTimeout {
		c.kill(errSlowPeer)
		return
	}
	if since := c.frameSince.Load(); since != 0 {
		if time.Duration(now-since) > limits.FrameTimeout {
			c.kill(errSlowFrame)
			return
		}
		if pressed && silent > stalledAfter && c.holdsShare.Load() {
			c.kill(errStalledFrame)
			return
		}
	}
	if c.holding.Load() {
		if c.peerGone() {
			c.kill(errPeerGone)
		}
		return
	}
	if silent > limits.IdleTimeout && c.isIdle() {
		c.kill(errIdle)
		return
	}
	if silent > quietAfter && !c.quiet.Load() {
		c.quiet.Store(true)
		c.wakeReader()
	}
}

// isIdle says whether nothing is asked of us or waits to be sent.
func (c *Conn) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head == nil && c.out == nil && !c.writing
}

// wakeReader has the reader's wait end. It must not undo the deadline of a connection that is dead.
func (c *Conn) wakeReader() { _ = c.nc.SetReadDeadline(past) }
