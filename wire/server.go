// Package wire speaks Kafka's framing: it accepts connections, reads frames, decodes requests with kmsg, hands them to the one
// handler it is given, and sends the answers in the order of the requests. It knows no Kafka semantics beyond the header, but for
// ApiVersions, of which unknown versions are let through.
//
// # Reading
//
// A connection has one goroutine, its reader. It waits for bytes without a buffer, takes one from a pool once there are some, and calls the
// handler for each whole frame in it, in order. Frames are views into that buffer. The answers that are ready when no whole frame is left leave in
// one write. A large frame's buffer grows as its bytes arrive, never by the size that was declared, and comes out of a budget that all connections
// share; small frames need none. After a second of silence the reader gives back its stack (it goes on in a new goroutine).
//
// # Answering
//
// Any goroutine may answer, at any time, without waiting for the peer: what can't be written at once is written by a goroutine that exists
// only for this. The queue of a connection's requests is bounded by number and bytes; when it is full, the connection isn't read.
//
// # Ending
//
// Connections are closed by their reader alone. Others mark the connection dead and wake the reader by a deadline in the past. A peer's
// error, Request.Close and Shutdown let the answers that come first leave before. One goroutine (sweep) looks after all timeouts, so that
// requests cost no timers.
//
// Nothing that a peer sends ends the process: bodies are judged by wire/guard before they are decoded, and a handler's panic ends only the
// connection.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Server needs. Handle is called on the connection's reader, in the order of the requests; it must not wait for other
// requests of the same connection, nor for its answers to be sent.
type Config struct {
	APIs    []API
	Handle  func(*Request)
	Limits  Limits
	Logger  *slog.Logger // nil: none
	Observe func(Observation)
}

// Server serves the Kafka protocol on any number of listeners.
type Server struct {
	apis     []*servedAPI // by key, nil where not served
	handler  func(*Request)
	observe  func(Observation)
	log      *slog.Logger
	limits   atomic.Pointer[Limits]
	budget   *budget
	buffers  buffers
	batches  sync.Pool
	clock    func() time.Time
	start    time.Time
	flexible func(key, version int16) bool
	ctx      context.Context // for the logger

	mu        sync.Mutex
	changed   sync.Cond // on mu: a connection has gone, limits have changed, or the end has come
	conns     map[*Conn]struct{}
	perIP     map[netip.Addr]int
	listeners []net.Listener
	nextID    uint64
	stopping  bool
	served    bool

	accepted, refused atomic.Uint64
	stop              chan struct{} // closed when stopping is set
	goroutines        sync.WaitGroup
}

// ErrServed is returned by Serve when it is called again.
var ErrServed = errors.New("the server was started before")

// New makes a server; it starts nothing. It panics on a table of APIs that kmsg has no types for: that is a mistake in the program.
func New(cfg Config) *Server {
	s := &Server{
		handler: cfg.Handle, observe: cfg.Observe, log: cfg.Logger, batches: newBatchPool(), clock: time.Now,
		conns: map[*Conn]struct{}{}, perIP: map[netip.Addr]int{}, stop: make(chan struct{}), ctx: context.Background(),
	}
	s.changed.L = &s.mu
	s.flexible = s.flexibleRequest
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, a := range cfg.APIs {
		served, err := newServedAPI(a)
		if err != nil {
			panic(fmt.Sprintf("wire: %v", err))
		}
		for int(a.Key) >= len(s.apis) {
			s.apis = append(s.apis, nil)
		}
		s.apis[a.Key] = served
	}
	limits := cfg.Limits.normal()
	s.limits.Store(limits)
	s.budget = newBudget(limits.FrameMemory)
	return s
}

// SetLimits changes the limits from now on. Living connections stay.
func (s *Server) SetLimits(l Limits) {
	limits := l.normal()
	s.limits.Store(limits)
	s.budget.setMax(limits.FrameMemory)
	s.mu.Lock()
	s.changed.Broadcast()
	s.mu.Unlock()
}

// Stats are a server's counters.
type Stats struct {
	Connections        int
	ConnectionsTotal   uint64
	ConnectionsRefused uint64
	// FrameMemoryInUse and FrameMemory are bytes of the budget; FramesWaiting is how many frames wait for some.
	FrameMemoryInUse, FrameMemory int64
	FramesWaiting                 int
	// Parked counts the requests that wait for their answer, or behind one that does.
	Parked int
}

// Stats gives the counters as they are now.
func (s *Server) Stats() Stats {
	st := Stats{ConnectionsTotal: s.accepted.Load(), ConnectionsRefused: s.refused.Load()}
	st.FrameMemoryInUse, st.FrameMemory, st.FramesWaiting = s.budget.state()
	s.mu.Lock()
	st.Connections = len(s.conns)
	for c := range s.conns {
		c.mu.Lock()
		st.Parked += c.queued
		c.mu.Unlock()
	}
	s.mu.Unlock()
	return st
}

// ConnectionsOf counts the living connections of a listener.
func (s *Server) ConnectionsOf(listener string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if c.listener == listener {
			n++
		}
	}
	return n
}

// Serve accepts and serves connections until ctx ends, which closes all of them at once, or Shutdown is called. It returns when nothing of it runs any
// more: nil, or a listener's error. It closes the listeners.
func (s *Server) Serve(ctx context.Context, listeners []Listener) error {
	s.mu.Lock()
	if s.served || s.stopping {
		s.mu.Unlock()
		for _, l := range listeners {
			_ = l.Net.Close()
		}
		return ErrServed
	}
	s.served = true
	s.start = s.clock()
	for _, l := range listeners {
		s.listeners = append(s.listeners, l.Net)
	}
	s.mu.Unlock()

	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		s.goroutines.Add(1)
		go func() {
			defer s.goroutines.Done()
			if err := s.accept(l); err != nil {
				failed <- fmt.Errorf("listener %s: %w", l.Name, err)
			}
		}()
	}
	done, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		s.sweep(done)
	}()
	var err error
	select {
	case <-ctx.Done():
		s.stopAccepting()
		s.killAll()
	case err = <-failed:
		s.stopAccepting()
		s.killAll()
	case <-s.stop:
	}
	s.goroutines.Wait()
	close(done)
	<-swept
	return err
}

func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.stop)
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.changed.Broadcast()
}

func (s *Server) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.kill(errShutdown)
	}
}

// Drain stops accepting and reading for good. When it returns no handler is at work any more, but for those that may wait for others, or ctx has ended:
// what they have appended is appended. Requests may still wait for their answers; Shutdown waits for those.
func (s *Server) Drain(ctx context.Context) {
	s.stopAccepting()
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.drain()
	}
	end := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.mu.Lock()
			c.room.Broadcast()
			c.mu.Unlock()
		}
	})
	defer end()
	for _, c := range conns {
		c.awaitHandled(func() bool { return ctx.Err() != nil })
	}
}

// Shutdown stops accepting and reading, lets what is in flight be answered, and closes each connection when its answers have been sent. When ctx ends
// first, the rest is closed as it is, and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	s.mu.Lock()
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()
	end := context.AfterFunc(ctx, func() {
		s.killAll()
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	defer end()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.changed.Wait()
	}
	return nil
}

// nanos is the time since the start, as the sweeper counts it: never 0.
func (s *Server) nanos() int64 { return s.nanosOf(s.clock()) }

func (s *Server) nanosOf(t time.Time) int64 { return int64(t.Sub(s.start)) + 1 }

// remove forgets a connection that is closed.
func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] <= 0 {
		delete(s.perIP, c.ip)
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	s.goroutines.Done()
}
