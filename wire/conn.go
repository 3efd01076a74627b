package wire

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is one connection. Its reader, the one goroutine that it has, owns the input, calls the handler, and tears the connection down.
type Conn struct {
	id       uint64
	srv      *Server
	nc       net.Conn
	raw      syscall.RawConn // nil where bytes can only be read and written through nc
	listener string
	ip       netip.Addr

	in       input
	clientID string // the last one, so that the same needn't be made again
	readFn   func(fd uintptr) bool
	writeFn  func(fd uintptr) bool
	readErr  error // why reading ended, from readFn to its caller

	// What the sweeper looks at. Times are nanoseconds, 0 for not now.
	lastRead   atomic.Int64
	frameSince atomic.Int64 // a frame has begun and isn't whole
	writeSince atomic.Int64 // a write has been waiting for the peer
	quiet      atomic.Bool  // the reader was told that nothing comes
	holding    atomic.Bool  // holds back reading, for want of room
	holdsShare atomic.Bool  // an unfinished frame holds budget

	// much: more than flushBytes are ready.
	much atomic.Bool
	// deaf: whatever comes from now on is thrown away.
	deaf atomic.Bool

	mu          sync.Mutex
	room        sync.Cond // on mu: fewer requests or bytes are queued than were
	head, tail  *Request
	current     *Request // the reader is in its handler, or flushes soon
	queued      int
	queuedBytes int64
	kept        int64 // of queuedBytes, those of frames
	out         *batch
	writing     bool
	draining    bool // ends once all was answered
	last        bool // nothing is answered any more: ends once all was sent
	dead        bool
	cause       error
	waiter      *budgetWaiter
	onClose     map[uint64]func()
	onCloseNext uint64
	software    [2]string

	// Owned by whoever has writing.
	writeBatch *batch
	writeWaits bool
	writeErr   error
}

// Reasons for which a connection ends.
var (
	errIdle         = errors.New("idle for too long")
	errSlowFrame    = errors.New("a request took too long to arrive")
	errStalledFrame = errors.New("a request stood still while others waited for its memory")
	errSlowPeer     = errors.New("the peer takes no answers")
	errShutdown     = errors.New("the server ends")
	errDone         = errors.New("all was answered")
	errPeerGone     = errors.New("the peer is gone")
)

// ID is unique among all connections of the process's server.
func (c *Conn) ID() uint64 { return c.id }

// Listener is the name of the listener that the connection came in on.
func (c *Conn) Listener() string { return c.listener }

// LocalAddr is the address at which the peer reached us.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// OnClose has f called once, when the connection has ended: at once where it has already. The function that it returns withdraws f.
func (c *Conn) OnClose(f func()) (cancel func()) {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		f()
		return func() {}
	}
	if c.onClose == nil {
		c.onClose = map[uint64]func(){}
	}
	n := c.onCloseNext
	c.onCloseNext++
	c.onClose[n] = f
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		delete(c.onClose, n)
		c.mu.Unlock()
	}
}

// SetClientSoftware keeps what the client said of itself in ApiVersions.
func (c *Conn) SetClientSoftware(name, version string) {
	c.mu.Lock()
	c.software = [2]string{name, version}
	c.mu.Unlock()
}

// ClientSoftware is what SetClientSoftware kept, "" before.
func (c *Conn) ClientSoftware() (name, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.software[0], c.software[1]
}

// run reads until the connection ends. After a quiet time it goes on in a new goroutine: that has a small stack again.
func (c *Conn) run() {
	var err error
	if c.raw != nil {
		c.readErr = nil
		if err = c.raw.Read(c.readFn); err == nil {
			err = c.readErr
		}
	} else {
		err = c.readPlain()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = c.nc.SetReadDeadline(time.Time{}); err == nil && !c.isDead() {
			c.shrink()
			go c.run()
			return
		}
	}
	c.kill(err)
	c.teardown()
}

// readPlain is the reader of connections that have no file descriptor of their own (TLS, in-memory pipes).
func (c *Conn) readPlain() error {
	for {
		space, err := c.space()
		if err != nil {
			return err
		}
		n, err := c.nc.Read(space)
		if n > 0 {
			if !c.received(n, n == len(space)) {
				return c.readErr
			}
		}
		if err != nil {
			return err
		}
	}
}

// received handles what n more bytes made whole, and lets the answers leave. It says whether to go on; where not, readErr has the reason.
func (c *Conn) received(n int, full bool) bool {
	in := &c.in
	in.w += n
	if full && in.class < 2 && len(in.buf.b) >= bufferClasses[in.class] {
		in.class++
	}
	now := c.srv.clock()
	c.lastRead.Store(c.srv.nanosOf(now))
	if c.quiet.Load() {
		c.quiet.Store(false)
	}
	handled, flushed := false, now
	for !c.deaf.Load() {
		frame, err := c.next()
		if err == nil && frame == nil {
			break
		}
		if handled { // there is one more: don't let the answers before it wait for slow handlers
			if t := c.srv.clock(); t.Sub(flushed) > flushAfter {
				c.flush()
				flushed = t
			}
		}
		handled = true
		if err == nil {
			err = c.handle(frame, now)
		}
		if err != nil {
			c.refuse(err)
		}
	}
	if c.deaf.Load() {
		in.r, in.w, in.need = 0, 0, 0
	}
	switch partial := in.r < in.w; {
	case !partial:
		if c.frameSince.Load() != 0 {
			c.frameSince.Store(0)
			c.holdsShare.Store(false)
		}
	case handled || c.frameSince.Load() == 0:
		c.frameSince.Store(c.srv.nanosOf(now))
		fallthrough
	default:
		c.holdsShare.Store(in.share.n > 0)
	}
	c.flush()
	if c.isDead() {
		c.readErr = errDone
		return false
	}
	return true
}

// refuse ends the connection after what came before has been answered, for a peer's error. What comes behind it is thrown away: closing
// with bytes unread would have the kernel drop answers that are still on their way.
func (c *Conn) refuse(err error) {
	r := &Request{Conn: c}
	c.enqueue(r)
	r.Close(err)
}

func (c *Conn) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// kill ends the connection now. The reader notices and tears it down; nothing here waits.
func (c *Conn) kill(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killLocked(cause)
}

func (c *Conn) killLocked(cause error) {
	if c.dead {
		return
	}
	c.dead = true
	if c.cause == nil {
		c.cause = cause
	}
	c.deaf.Store(true)
	if c.waiter != nil {
		c.srv.budget.giveUp(c.waiter)
	}
	c.room.Broadcast()
	// Wakes the reader, and a writer that waits for the peer. Closing is the reader's alone: it would wait here for the reader.
	_ = c.nc.SetDeadline(past)
}

var past = time.Unix(1, 0)

// drain ends the connection once what has come of requests was answered and sent.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.deaf.Store(true)
	c.endIfDone()
}

// awaitHandled waits until no handler of the connection runs, but for one that may wait for others, or until stop says so. The one who has stop
// say so wakes room.
func (c *Conn) awaitHandled(stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.current != nil && !c.dead && !stop() {
		c.room.Wait()
	}
}

// endIfDone ends a connection that was to end after its answers, if these are all sent. c.mu is held.
func (c *Conn) endIfDone() {
	if (c.last || c.draining && c.head == nil) && c.current == nil && !c.writing && c.out == nil {
		c.killLocked(errShutdown)
	}
}

// teardown closes the connection and gives back all that it has. Only the reader calls it, at its end.
func (c *Conn) teardown() {
	c.mu.Lock()
	head, out, callbacks, cause := c.head, c.out, c.onClose, c.cause
	c.head, c.tail, c.out, c.onClose = nil, nil, nil, nil
	var gone []func()
	for r := head; r != nil; r = r.state.next {
		if !r.state.answered && r.state.onGone != nil {
			gone = append(gone, r.state.onGone)
		}
		r.state.onGone = nil
	}
	c.mu.Unlock()
	_ = c.nc.Close()
	c.mu.Lock()
	c.holding.Store(true)
	for c.writing { // the deadline has woken it
		c.room.Wait()
	}
	c.mu.Unlock()
	for r := head; r != nil; {
		next := r.state.next
		r.drop()
		r = next
	}
	if out != nil {
		out.release(c.srv)
	}
	c.dropBuffer()
	for _, f := range gone {
		c.guarded(f)
	}
	for _, f := range callbacks {
		c.guarded(f)
	}
	level := slog.LevelDebug
	if errors.Is(cause, io.EOF) || errors.Is(cause, errDone) {
		cause = nil
	}
	if cause != nil && c.srv.log.Enabled(c.srv.ctx, level) {
		c.srv.log.Log(c.srv.ctx, level, "connection closed", "remote", c.nc.RemoteAddr(), "listener", c.listener, "reason", cause)
	}
	c.srv.remove(c)
}
