package wire

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"

	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// replyState is the place of a request in its connection's queue. Conn.mu guards it.
type replyState struct {
	next     *Request
	answered bool
	flexible bool // the response's header has tags
	closes   bool // the answer is the end of the connection
	silent   bool // no bytes are the answer
	err      error
	result   int16
	head     []byte // an answer that has to wait for others: size, header, and an encoded response
	body     Body
	hasBody  bool
	onGone   func()
	share    share // of the budget, for a frame that the handler keeps
	kept     int64 // size of such a frame
}

// Reply answers with a response, which is encoded before Reply returns. Its version is set here.
func (r *Request) Reply(resp kmsg.Response) {
	if r.UnsupportedVersion {
		resp.SetVersion(0)
	} else {
		resp.SetVersion(r.Version)
	}
	r.answer(resp, Body{})
}

// ReplyBody answers with an encoded body. b.Release is called once the last byte has been handed to the kernel, or the connection
// has ended; its runs must stay as they are until then.
func (r *Request) ReplyBody(b Body) { r.answer(nil, b) }

// NoReply answers with no bytes at all (a Produce with acks 0).
func (r *Request) NoReply() {
	c := r.Conn
	c.mu.Lock()
	if !r.claim() {
		c.mu.Unlock()
		return
	}
	r.state.silent = true
	c.answered(r)
}

// Close ends the connection once the answers to earlier requests have left. Requests behind this one are dropped.
func (r *Request) Close(err error) {
	c := r.Conn
	c.mu.Lock()
	if !r.claim() {
		c.mu.Unlock()
		return
	}
	c.deaf.Store(true)
	r.state.closes, r.state.err = true, err
	c.answered(r)
}

// SetResult says for the metrics with which error code the request is answered. It comes before the answer.
func (r *Request) SetResult(code int16) { r.state.result = code }

// OnGone has f called once if the connection ends before the request was answered: at once where it has ended already. An
// answer withdraws it, so that nothing piles up on a connection that lives long.
func (r *Request) OnGone(f func()) {
	c := r.Conn
	c.mu.Lock()
	if c.dead && !r.state.answered {
		c.mu.Unlock()
		f()
		return
	}
	if !r.state.answered {
		r.state.onGone = f
	}
	c.mu.Unlock()
}

// claim makes the caller the one who answers. Conn.mu is held.
func (r *Request) claim() bool {
	if r.state.answered {
		return false
	}
	r.state.answered = true
	r.state.onGone = nil
	return true
}

func (r *Request) answer(resp kmsg.Response, b Body) {
	c := r.Conn
	c.mu.Lock()
	if !r.claim() || c.dead {
		c.mu.Unlock()
		if b.Release != nil {
			b.Release()
		}
		return
	}
	if resp == nil {
		r.state.body, r.state.hasBody = b, true
		c.answered(r)
		return
	}
	if c.head == r {
		out := c.output()
		start := len(out.buf)
		out.buf = r.appendHead(out.buf, 0)
		out.buf = resp.AppendTo(out.buf)
		if err := checkStrings(resp, len(out.buf)-start); err != nil {
			out.buf = out.buf[:start]
			r.state.closes, r.state.err = true, err
			c.deaf.Store(true)
		} else {
			binary.BigEndian.PutUint32(out.buf[start:], uint32(len(out.buf)-start-4))
			r.observe(len(out.buf) - start - 4)
			c.pop()
		}
		c.answered(r)
		return
	}
	head := resp.AppendTo(r.appendHead(nil, 0))
	if err := checkStrings(resp, len(head)); err != nil {
		r.state.closes, r.state.err = true, err
		c.deaf.Store(true)
	} else {
		binary.BigEndian.PutUint32(head, uint32(len(head)-4))
		r.state.head = head
		c.queuedBytes += int64(len(head))
	}
	c.answered(r)
}

// appendHead appends a response's size, with bodyBytes of body, and header.
func (r *Request) appendHead(dst []byte, bodyBytes int64) []byte {
	size := 4 + bodyBytes
	if r.state.flexible {
		size++
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.CorrelationID))
	if r.state.flexible {
		dst = append(dst, 0)
	}
	return dst
}

func (r *Request) observe(bytesOut int) {
	s := r.Conn.srv
	if s.observe == nil || r.Received.IsZero() {
		return
	}
	s.observe(Observation{
		Key: r.Key, Version: r.Version, Result: r.state.result, Duration: s.clock().Sub(r.Received),
		BytesIn: int64(r.Bytes), BytesOut: int64(bytesOut),
	})
}

// enqueue puts a request at the end of the queue, when there is room. It says false where the connection has ended or is to end: then the request
// counts as not read.
func (c *Conn) enqueue(r *Request) bool {
	limits := c.srv.limits.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued >= limits.MaxParked || c.queuedBytes >= limits.MaxQueuedBytes {
		c.holding.Store(true)
		for !c.dead && (c.queued >= limits.MaxParked || c.queuedBytes >= limits.MaxQueuedBytes) {
			c.mu.Unlock()
			c.flush()
			c.mu.Lock()
			if c.dead || c.queued < limits.MaxParked && c.queuedBytes < limits.MaxQueuedBytes {
				break
			}
			c.room.Wait()
		}
		c.holding.Store(false)
		c.lastRead.Store(c.srv.nanos())
	}
	if c.dead || c.draining {
		return false
	}
	if c.tail == nil {
		c.head = r
	} else {
		c.tail.state.next = r
	}
	c.tail = r
	c.queued++
	c.kept += r.state.kept
	c.queuedBytes += r.state.kept
	c.current = r
	return true
}

// pop takes the head from the queue. c.mu is held.
func (c *Conn) pop() {
	r := c.head
	c.head = r.state.next
	if c.head == nil {
		c.tail = nil
	}
	r.state.next = nil
	c.queued--
	c.kept -= r.state.kept
	c.queuedBytes -= r.state.kept + int64(len(r.state.head))
	c.srv.budget.release(&r.state.share)
	if c.holding.Load() {
		c.room.Broadcast()
	}
}

// answered moves all answers at the head of the queue to the output, and has them sent where the reader doesn't do so soon. It is
// called with c.mu, and unlocks it.
func (c *Conn) answered(r *Request) {
	for c.head != nil && c.head.state.answered && !c.last {
		h := c.head
		switch {
		case h.state.closes:
			c.last, c.cause = true, h.state.err
			if c.cause == nil {
				c.cause = errDone
			}
			h.observe(0)
			c.pop()
		case h.state.silent:
			h.observe(0)
			c.pop()
		case h.state.hasBody:
			out := c.output()
			n := int64(0)
			for _, chunk := range h.state.body.Chunks {
				n += chunk.Len()
			}
			start := len(out.buf)
			out.buf = h.appendHead(out.buf, n)
			h.observe(len(out.buf) - start - 4 + int(n))
			out.add(h.state.body)
			h.state.body = Body{}
			c.pop()
		default:
			out := c.output()
			h.observe(len(h.state.head) - 4)
			head := h.state.head
			c.pop()
			out.addBytes(head)
		}
	}
	soon := c.current != nil && (c.current == r)
	if soon || c.writing || c.dead || c.out == nil {
		if !soon {
			c.endIfDone()
		} else if c.out.pending() > flushBytes && !c.much.Load() {
			c.much.Store(true)
		}
		c.mu.Unlock()
		return
	}
	c.send(false)
}

// flush sends what is ready, waiting for the peer if it must. Only the reader calls it.
func (c *Conn) flush() {
	c.mu.Lock()
	c.current = nil
	if c.draining {
		c.room.Broadcast()
	}
	if c.writing && c.out != nil && !c.dead {
		// The peer is slower than its answers are made: don't read on, but let it catch up.
		c.holding.Store(true)
		for c.writing && c.out != nil && !c.dead {
			c.room.Wait()
		}
		c.holding.Store(false)
	}
	if c.writing || c.out == nil || c.dead {
		c.endIfDone()
		c.mu.Unlock()
		return
	}
	c.send(true)
}

// send sends the output until there is none. It is called with c.mu, and unlocks it. Where it may not wait for the peer, a goroutine for
// the rest of it does.
func (c *Conn) send(wait bool) {
	c.writing = true
	for !c.dead && c.out != nil {
		b := c.out
		c.out = nil
		if c.holding.Load() {
			c.room.Broadcast()
		}
		c.mu.Unlock()
		var done bool
		var err error
		if !wait && c.raw == nil {
			done = false // another goroutine has to wait for the peer
		} else {
			done, err = c.write(b, wait)
		}
		if !done && err == nil {
			go c.sendRest(b)
			return
		}
		b.release(c.srv)
		c.mu.Lock()
		if err != nil {
			c.killLocked(fmt.Errorf("writing: %w", err))
		}
	}
	c.writing = false
	if c.holding.Load() {
		c.room.Broadcast()
	}
	c.endIfDone()
	c.mu.Unlock()
}

// sendRest goes on with a write that has to wait for the peer.
func (c *Conn) sendRest(b *batch) {
	_, err := c.write(b, true)
	b.release(c.srv)
	c.mu.Lock()
	if err != nil {
		c.killLocked(fmt.Errorf("writing: %w", err))
	}
	c.send(true)
}

// drop releases what an answer that is never sent holds.
func (r *Request) drop() {
	c := r.Conn
	c.mu.Lock()
	b := r.state.body
	r.state.body = Body{}
	c.srv.budget.release(&r.state.share)
	c.mu.Unlock()
	if b.Release != nil {
		c.guarded(b.Release)
	}
}

// guarded calls f, whose panic is logged and goes no further.
func (c *Conn) guarded(f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.Error("a request made the broker panic; its connection is closed", "panic", fmt.Sprint(p), "remote", c.nc.RemoteAddr(), "stack", string(debug.Stack()))
			ok = false
		}
	}()
	f()
	return true
}

// output gives the batch that answers are added to. c.mu is held.
func (c *Conn) output() *batch {
	if c.out == nil {
		c.out = c.srv.batches.Get().(*batch)
	}
	return c.out
}

// batch is what one write sends: runs of memory and file ranges, then the end of buf. The runs may point into buf.
type batch struct {
	buf      []byte
	marked   int // buf up to here is among the runs
	runs     []vfs.Chunk
	sent     int // runs that are done
	releases []func()
	vectors  [][]byte
	scratch  []byte
}

// maxKeptBatch is the largest buffer that goes back to the pool.
const maxKeptBatch = 64 << 10

func newBatchPool() sync.Pool { return sync.Pool{New: func() any { return new(batch) }} }

func (b *batch) add(body Body) {
	for _, chunk := range body.Chunks {
		switch {
		case chunk.Len() == 0:
		case chunk.Bytes != nil && len(chunk.Bytes) <= copyBytes:
			b.buf = append(b.buf, chunk.Bytes...)
		default:
			b.mark()
			b.runs = append(b.runs, chunk)
		}
	}
	if body.Release != nil {
		b.releases = append(b.releases, body.Release)
	}
}

func (b *batch) addBytes(p []byte) {
	if len(p) <= copyBytes {
		b.buf = append(b.buf, p...)
		return
	}
	b.mark()
	b.runs = append(b.runs, vfs.Chunk{Bytes: p})
}

// mark makes a run of what was added to buf since.
func (b *batch) mark() {
	if len(b.buf) > b.marked {
		b.runs = append(b.runs, vfs.Chunk{Bytes: b.buf[b.marked:len(b.buf):len(b.buf)]})
		b.marked = len(b.buf)
	}
}

// release ends a batch, sent or not.
func (b *batch) release(s *Server) {
	for i, f := range b.releases {
		f()
		b.releases[i] = nil
	}
	clear(b.runs)
	clear(b.vectors)
	if cap(b.buf) > maxKeptBatch || cap(b.scratch) > maxKeptBatch {
		return
	}
	*b = batch{buf: b.buf[:0], runs: b.runs[:0], releases: b.releases[:0], vectors: b.vectors[:0], scratch: b.scratch[:0]}
	s.batches.Put(b)
}

// checkStrings finds strings that a non-compact encoding of size bytes can't hold (CONN-23): their lengths would wrap. Small
// encodings and flexible ones can't have any.
func checkStrings(resp kmsg.Response, size int) error {
	if size <= maxNonCompactString || resp.IsFlexible() {
		return nil
	}
	if n := longestString(reflect.ValueOf(resp)); n > maxNonCompactString {
		return fmt.Errorf("the answer has a string of %d bytes, which version %d can't carry", n, resp.GetVersion())
	}
	return nil
}

func longestString(v reflect.Value) int {
	n := 0
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Pointer:
		if !v.IsNil() {
			return longestString(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n = max(n, longestString(v.Field(i)))
		}
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.String, reflect.Pointer, reflect.Struct, reflect.Slice:
			for i := range v.Len() {
				n = max(n, longestString(v.Index(i)))
			}
		}
	}
	return n
}
