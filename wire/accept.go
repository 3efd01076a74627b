package wire

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// accept accepts the connections of a listener until the server stops. Running out of descriptors or memory is waited out.
func (s *Server) accept(l Listener) error {
	const longestPause = time.Second
	pause := time.Duration(0)
	rate := creationRate{}
	for s.awaitSlot() {
		nc, err := l.Net.Accept()
		if err != nil {
			if s.isStopping() {
				return nil
			}
			if !temporary(err) {
				return err
			}
			if pause == 0 {
				s.log.Warn("can't accept connections", "listener", l.Name, "error", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			if !s.sleep(pause) {
				return nil
			}
			continue
		}
		pause = 0
		if wait := rate.take(s.clock(), s.limits.Load().ConnectionsPerSecond); wait > 0 && !s.sleep(wait) {
			_ = nc.Close()
			return nil
		}
		s.open(l.Name, nc)
	}
	return nil
}

func temporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// awaitSlot waits until there may be one more connection. It says false where the server stops.
func (s *Server) awaitSlot() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopping && len(s.conns) >= s.limits.Load().MaxConnections {
		s.changed.Wait()
	}
	return !s.stopping
}

func (s *Server) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}

// open begins to serve a connection, or closes it where its address has too many. Where there are too many in all it waits: the limit was lowered, or
// another listener was faster, while this one accepted.
func (s *Server) open(listener string, nc net.Conn) {
	c := &Conn{srv: s, nc: nc, listener: listener, ip: addressOf(nc)}
	c.room.L = &c.mu
	c.attach()
	s.mu.Lock()
	for !s.stopping && len(s.conns) >= s.limits.Load().MaxConnections {
		s.changed.Wait()
	}
	limits := s.limits.Load()
	most, ok := limits.MaxConnectionsOfIP[c.ip]
	if !ok {
		most = limits.MaxConnectionsPerIP
	}
	if s.stopping || s.perIP[c.ip] >= most {
		s.mu.Unlock()
		_ = nc.Close()
		s.refused.Add(1)
		return
	}
	s.nextID++
	c.id = s.nextID
	s.conns[c] = struct{}{}
	s.perIP[c.ip]++
	s.goroutines.Add(1)
	s.mu.Unlock()
	s.accepted.Add(1)
	c.lastRead.Store(s.nanos())
	go c.run()
}

func addressOf(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// creationRate spaces out new connections, with a burst of one second's worth.
type creationRate struct {
	next time.Time // when the connection after this one would be due, without the burst
}

// take counts a new connection and says how long it has to wait. perSecond <= 0 doesn't count.
func (r *creationRate) take(now time.Time, perSecond int) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	if earliest := now.Add(-time.Second); r.next.Before(earliest) {
		r.next = earliest
	}
	r.next = r.next.Add(time.Second / time.Duration(perSecond))
	return max(r.next.Sub(now), 0)
}
