package wire

import (
	"fmt"
	"io"

	"github.com/kbroker/kbroker/storage/vfs"
)

// writePlain sends a batch through net.Conn, files through a buffer.
func (c *Conn) writePlain(b *batch) error {
	b.mark()
	for _, run := range b.runs[b.sent:] {
		if run.Bytes != nil {
			if err := c.writeAll(run.Bytes); err != nil {
				return err
			}
			continue
		}
		if cap(b.scratch) < maxKeptBatch {
			b.scratch = make([]byte, maxKeptBatch)
		}
		for run.N > 0 {
			p := b.scratch[:min(run.N, maxKeptBatch)]
			if n, err := run.File.ReadAt(p, run.Off); n < len(p) {
				return fmt.Errorf("reading %d bytes of an answer: %w", len(p), err)
			}
			if err := c.writeAll(p); err != nil {
				return err
			}
			run.Off += int64(len(p))
			run.N -= int64(len(p))
		}
	}
	b.sent = len(b.runs)
	return nil
}

func (c *Conn) writeAll(p []byte) error {
	c.writeSince.Store(c.srv.nanos())
	n, err := c.nc.Write(p)
	c.writeSince.Store(0)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// load reads a small file range into memory.
func (b *batch) load(run *vfs.Chunk) error {
	n := int(run.N)
	if cap(b.scratch)-len(b.scratch) < n {
		b.scratch = make([]byte, 0, max(4*n, smallFileBytes))
	}
	at := len(b.scratch)
	p := b.scratch[at : at+n : at+n]
	if got, err := run.File.ReadAt(p, run.Off); got < n {
		return fmt.Errorf("reading %d bytes of an answer: %w", n, err)
	}
	b.scratch = b.scratch[:at+n]
	run.Bytes = p
	return nil
}

// advance counts n bytes as sent.
func (b *batch) advance(n int) {
	for n > 0 {
		run := &b.runs[b.sent]
		size := int(run.Len())
		if n < size {
			if run.Bytes != nil {
				run.Bytes = run.Bytes[n:]
			} else {
				run.Off += int64(n)
				run.N -= int64(n)
			}
			return
		}
		n -= size
		b.sent++
	}
}

// pending is how many bytes of memory wait in the batch; 0 for none.
func (b *batch) pending() int {
	if b == nil {
		return 0
	}
	return len(b.buf) + len(b.runs)*copyBytes
}
