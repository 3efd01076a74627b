package wire

import (
	"encoding/binary"
	"errors"
	"sync"
)

// Classes of read buffers. Those up to freeBufferBytes are outside of the budget: with them small requests always get through.
var bufferClasses = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

const freeBufferBytes = 16 << 10

// freeKeptBytes is how many bytes of requests a connection may have parked outside of the budget.
const freeKeptBytes = 64 << 10

// buffers are pools of read buffers, one per class.
type buffers struct {
	pools [len(bufferClasses)]sync.Pool
}

// buffer is a read buffer; class is -1 where no pool has its size.
type buffer struct {
	b     []byte
	class int
}

func (p *buffers) get(class int) *buffer {
	if b, ok := p.pools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, bufferClasses[class]), class: class}
}

func (p *buffers) put(b *buffer) {
	if b != nil && b.class >= 0 {
		p.pools[b.class].Put(b)
	}
}

// classFor is the smallest class of at least n bytes, or one more than the last class.
func classFor(n int) int {
	for i, size := range bufferClasses {
		if n <= size {
			return i
		}
	}
	return len(bufferClasses)
}

// input is the read side of a connection: what has come and isn't handled yet, in a buffer that is there only while it
// holds something. It belongs to the reader.
type input struct {
	buf  *buffer
	r, w int // buf.b[r:w] is to be handled
	// need is the size of the frame at r with its size prefix, where that frame is known and not yet whole.
	need int
	// class is the buffer to begin with, learned from what came lately. It never comes from a size that a peer only declared.
	class int
	share share
	// reads counts the reads since the connection was quiet.
	reads int
}

var (
	errFrameSize  = errors.New("invalid frame size")
	errGaveUp     = errors.New("the connection ended while it waited for memory")
	errNoProgress = errors.New("no progress")
)

// space gives room for bytes to come: the free end of the buffer, which grows once it is full of the frame that is arriving. Never more than
// this frame where it is a large one, so that the next one starts a buffer, and needs no moving.
func (c *Conn) space() ([]byte, error) {
	in := &c.in
	if in.buf == nil {
		c.takeBuffer(in.class)
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.r > 0 && (in.w == len(in.buf.b) || in.r+in.need > len(in.buf.b)) {
		copy(in.buf.b, in.buf.b[in.r:in.w])
		in.r, in.w = 0, in.w-in.r
	}
	if in.w == len(in.buf.b) {
		if err := c.grow(); err != nil {
			return nil, err
		}
	}
	end := len(in.buf.b)
	if in.need > keepFrameBytes {
		end = min(end, in.r+in.need)
	}
	return in.buf.b[in.w:end], nil
}

// takeBuffer takes a buffer of a class, or of a smaller one where the budget hasn't so much to spare.
func (c *Conn) takeBuffer(class int) {
	for ; bufferClasses[class] > freeBufferBytes; class-- {
		if c.srv.budget.try(&c.in.share, int64(bufferClasses[class])) {
			break
		}
	}
	c.in.buf = c.srv.buffers.get(class)
}

// grow makes a full buffer larger, waiting for its memory if need be.
func (c *Conn) grow() error {
	in := &c.in
	old := in.buf
	size := min(max(in.need, 1), 4*len(old.b))
	class := classFor(size)
	if class < len(bufferClasses) {
		size = bufferClasses[class]
	} else {
		class, size = -1, min(in.need, 2*len(old.b))
	}
	if size <= len(old.b) {
		return errNoProgress // can't be: a full buffer holds less than the frame
	}
	had := in.share.n
	if size > freeBufferBytes {
		if err := c.await(&in.share, int64(size)); err != nil {
			return err
		}
	}
	var grown *buffer
	if class >= 0 {
		grown = c.srv.buffers.get(class)
	} else {
		grown = &buffer{b: make([]byte, size), class: -1}
	}
	in.w = copy(grown.b, old.b[in.r:in.w])
	in.r = 0
	in.buf = grown
	c.srv.buffers.put(old)
	if had > 0 {
		c.srv.budget.releasePart(&in.share, had)
	}
	return nil
}

// await adds n more bytes of the budget to s. Answers that are ready leave before it waits.
func (c *Conn) await(s *share, n int64) error {
	w := c.srv.budget.wait(s, n)
	if w == nil {
		return nil
	}
	c.flush()
	c.mu.Lock()
	dead := c.dead
	c.waiter = w
	c.mu.Unlock()
	if dead {
		c.srv.budget.giveUp(w)
	}
	c.frameSince.Store(0) // it isn't the peer who is slow
	granted := <-w.ready
	c.mu.Lock()
	c.waiter = nil
	c.mu.Unlock()
	if !granted {
		return errGaveUp
	}
	now := c.srv.nanos()
	c.lastRead.Store(now)
	c.frameSince.Store(now)
	return nil
}

// rest gives the buffer back if nothing is in it.
func (c *Conn) rest() {
	in := &c.in
	if in.buf == nil || in.r < in.w {
		return
	}
	c.dropBuffer()
}

func (c *Conn) dropBuffer() {
	in := &c.in
	c.srv.buffers.put(in.buf)
	in.buf, in.r, in.w = nil, 0, 0
	c.srv.budget.release(&in.share)
}

// shrink moves what is left of a frame to a buffer that is no larger than it has to be: its peer has gone quiet.
func (c *Conn) shrink() {
	in := &c.in
	in.class, in.reads = 0, 0
	if in.buf == nil {
		return
	}
	n := in.w - in.r
	if n == 0 {
		c.dropBuffer()
		return
	}
	class := classFor(n + 1)
	if class >= len(bufferClasses) || bufferClasses[class] >= len(in.buf.b) {
		return
	}
	small := &buffer{b: make([]byte, bufferClasses[class]), class: class}
	copy(small.b, in.buf.b[in.r:in.w])
	old := in.share.n
	c.srv.buffers.put(in.buf)
	in.buf, in.r, in.w = small, 0, n
	if bufferClasses[class] > freeBufferBytes {
		c.srv.budget.releasePart(&in.share, old-int64(bufferClasses[class]))
	} else {
		c.srv.budget.release(&in.share)
	}
}

// next gives the next whole frame in the buffer, without its size, or nil.
func (c *Conn) next() ([]byte, error) {
	in := &c.in
	have := in.w - in.r
	in.need = 0
	if have < 4 {
		return nil, nil
	}
	b := in.buf.b[in.r:in.w]
	size := int(int32(binary.BigEndian.Uint32(b)))
	if size < 0 || size > c.srv.limits.Load().MaxRequestBytes {
		return nil, errFrameSize
	}
	if have < 4+size {
		in.need = 4 + size
		return nil, nil
	}
	in.r += 4 + size
	if class := classFor(4 + size); class > in.class {
		in.class = min(class, len(bufferClasses)-1)
	}
	return b[4 : 4+size : 4+size], nil
}

// keep makes the frame, which was just given by next, the handler's: by handing the buffer over with its share of the budget,
// where the frame is most of it, or by copying. What a connection has kept beyond freeKeptBytes is in the budget, too.
func (c *Conn) keep(frame []byte) (kept []byte, s share, err error) {
	in := &c.in
	if len(frame) < keepFrameBytes || 2*len(frame) < len(in.buf.b) {
		c.mu.Lock()
		all := c.kept + int64(len(frame))
		c.mu.Unlock()
		if all > freeKeptBytes {
			if err := c.await(&s, int64(len(frame))); err != nil {
				return nil, s, err
			}
		}
		return append([]byte(nil), frame...), s, nil
	}
	old, taken := in.buf, in.share
	left := old.b[in.r:in.w]
	in.buf, in.share, in.r, in.w = nil, share{}, 0, 0
	if len(left) > 0 {
		class := classFor(len(left))
		in.buf = &buffer{b: make([]byte, max(len(left), bufferClasses[min(class, 1)])), class: -1}
		in.w = copy(in.buf.b, left)
	}
	return frame, taken, nil
}
