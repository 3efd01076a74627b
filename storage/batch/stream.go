package batch

import (
	"errors"
	"io"
	"sync"
)

// streamWindow is how much of a batch's decompressed records is in memory at a time while they are checked.
const streamWindow = 64 << 10

// recordStream reads records one after the other out of a decompressor, in a window of fixed size however large they are. Each
// is read by head and then body.
type recordStream struct {
	src   io.Reader
	limit int // bytes that may come out of src in all
	total int // bytes that came
	err   error

	buf        []byte
	start, end int // what of buf wasn't consumed

	prefix []byte // scratch for the head of a record that is written anew
}

// streams holds nothing but memory.
var streams = sync.Pool{New: func() any {
	return &recordStream{buf: make([]byte, streamWindow), prefix: make([]byte, 0, maxHeadSize)}
}}

func openStream(src io.Reader, limit int) *recordStream {
	s := streams.Get().(*recordStream)
	s.src, s.limit, s.total, s.err, s.start, s.end = src, limit, 0, nil, 0, 0
	return s
}

func (s *recordStream) release() {
	s.src, s.err = nil, nil
	streams.Put(s)
}

// ensure tries to have n bytes, at most streamWindow, in the window; fewer are there only where s.err says why.
func (s *recordStream) ensure(n int) {
	if s.end-s.start >= n {
		return
	}
	if s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	for s.end < n && s.err == nil {
		var got int
		got, s.err = s.src.Read(s.buf[s.end:])
		s.end += got
		s.total += got
		if s.total > s.limit {
			s.err = tooManyBytes(s.limit)
			s.end = s.start
		}
	}
}

// window is what is there of the next n bytes.
func (s *recordStream) window(n int) []byte {
	s.ensure(n)
	return s.buf[s.start:min(s.end, s.start+n)]
}

// cause is why the stream ended: what the decompressor said, or that records are missing.
func (s *recordStream) cause(missing error) error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return missing
	}
	return s.err
}

// head reads a record's length, which may be at most maxRecord, and into sp its attributes and deltas. left is what remains of
// the record.
func (s *recordStream) head(maxRecord int, sp *span) (left int, err error) {
	b := s.window(maxHeadSize)
	size, n := varint32(b)
	switch {
	case n == 0 && len(b) < 5:
		return 0, s.cause(errRecordsEnd)
	case n == 0, size < 0:
		return 0, errRecordSize
	case int(size) > maxRecord:
		return 0, malformed("a record of %d bytes exceeds the configured maximum record size of %d", size, maxRecord)
	}
	if len(b)-n > int(size) {
		b = b[:n+int(size)]
	}
	pos, err := scanDeltas(b, n, sp)
	if err != nil {
		if len(b)-n < int(size) {
			err = s.cause(err)
		}
		return 0, err
	}
	s.start += pos
	return n + int(size) - pos, nil
}

// body reads the left bytes that remain of a record, into sp the lengths of key and value (keyEnd - keyStart; -1 as a start is
// null), and writes the bytes to w, where there is one.
func (s *recordStream) body(left int, sp *span, w io.Writer) error {
	if left <= streamWindow {
		b := s.window(left)
		if len(b) < left {
			return s.cause(errRecordsEnd)
		}
		if err := scanBody(b, 0, sp); err != nil {
			return err
		}
		s.start += left
		return write(w, b)
	}
	c := bodyCursor{s: s, left: left, w: w}
	sp.keyStart, sp.keyEnd = c.bytes()
	sp.valueStart, sp.valueEnd = c.bytes()
	num := c.varint()
	if c.err == nil && (num < 0 || int(num) > c.left) {
		return errHeaderCount
	}
	for i := int32(0); i < num && c.err == nil; i++ {
		if start, _ := c.bytes(); c.err == nil && start < 0 {
			return errHeaderKey
		}
		c.bytes()
	}
	if c.err == nil && c.left != 0 {
		return errRecordSize
	}
	return c.err
}

// atEnd errs unless the records end here.
func (s *recordStream) atEnd() error {
	if len(s.window(1)) > 0 {
		return errRecordsRemain
	}
	return s.cause(nil)
}

func write(w io.Writer, b []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(b)
	return err
}

// bodyCursor walks through a body that is larger than the window.
type bodyCursor struct {
	s    *recordStream
	left int
	w    io.Writer
	err  error
}

func (c *bodyCursor) varint() int32 {
	if c.err != nil {
		return 0
	}
	want := min(5, c.left)
	b := c.s.window(want)
	v, n := varint32(b)
	if n == 0 {
		c.err = errRecordStructure
		if len(b) < want {
			c.err = c.s.cause(errRecordsEnd)
		}
		return 0
	}
	c.take(b[:n])
	return v
}

func (c *bodyCursor) bytes() (start, end int) {
	size := int(c.varint())
	if c.err != nil || size < 0 {
		return -1, -1
	}
	if size > c.left {
		c.err = errRecordStructure
		return -1, -1
	}
	for left := size; left > 0 && c.err == nil; {
		want := min(left, streamWindow)
		if have := c.s.end - c.s.start; have > 0 {
			want = min(want, have) // no need to move what is there
		}
		b := c.s.window(want)
		if len(b) == 0 {
			c.err = c.s.cause(errRecordsEnd)
			break
		}
		left -= len(b)
		c.take(b)
	}
	return 0, size
}

func (c *bodyCursor) take(b []byte) {
	c.s.start += len(b)
	c.left -= len(b)
	if err := write(c.w, b); err != nil {
		c.err = err
	}
}
