package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attach readies a connection's input and output. TCP connections are read and written on their file descriptor.
func (c *Conn) attach() {
	tc, ok := c.nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return
	}
	c.raw, c.readFn, c.writeFn = raw, c.readable, c.writable
}

// readable reads and handles what has come, and says whether reading has ended. It runs inside RawConn.Read, which calls it again when there is
// more. Inside of one such call no readiness gets lost, so that after a read that didn't fill its room another one, which would find
// nothing, needn't be tried: a tenth of the cost of a small request. But the end of the connection can have come along with those
// last bytes, and is then noticed only when the sweeper wakes the reader; so this is left to connections that have been busy for a while.
func (c *Conn) readable(fd uintptr) bool {
	for {
		space, err := c.space()
		if err != nil {
			c.readErr = err
			return true
		}
		n, err := syscall.Read(int(fd), space)
		switch {
		case n > 0:
			full := n == len(space)
			if !c.received(n, full) {
				return true
			}
			if c.in.reads++; c.in.reads > steadyReads && !full && c.in.r == c.in.w {
				c.rest()
				return false
			}
		case n == 0 && err == nil:
			c.readErr = io.EOF
			return true
		case errors.Is(err, syscall.EAGAIN):
			c.rest()
			return false
		case errors.Is(err, syscall.EINTR):
		default:
			c.readErr = os.NewSyscallError("read", err)
			return true
		}
	}
}

// write sends a batch. It says done, or not done and no error where wait isn't allowed and the peer takes no more for now.
func (c *Conn) write(b *batch, wait bool) (done bool, err error) {
	if c.raw == nil {
		return true, c.writePlain(b)
	}
	b.mark()
	c.writeBatch, c.writeWaits, c.writeErr = b, wait, nil
	err = c.raw.Write(c.writeFn)
	c.writeBatch = nil
	if err == nil {
		err = c.writeErr
	}
	if c.writeSince.Load() != 0 {
		c.writeSince.Store(0)
	}
	if err == nil && b.sent < len(b.runs) {
		return false, nil
	}
	return true, err
}

func (c *Conn) writable(fd uintptr) bool {
	b := c.writeBatch
	progress := false
	for b.sent < len(b.runs) {
		n, err := b.sendSome(int(fd))
		if n > 0 {
			progress = true
			b.advance(n)
		}
		switch {
		case err == nil, errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			if !c.writeWaits {
				return true
			}
			if progress || c.writeSince.Load() == 0 {
				c.writeSince.Store(c.srv.nanos())
			}
			return false
		default:
			c.writeErr = os.NewSyscallError("write", err)
			return true
		}
	}
	return true
}

// maxVectors is how many runs of memory go into one call.
const maxVectors = 64

// sendSome sends what one system call takes of the batch's next runs.
func (b *batch) sendSome(fd int) (int, error) {
	if run := b.runs[b.sent]; run.Bytes == nil && run.N > smallFileBytes {
		off := run.Off
		n, err := unix.Sendfile(fd, int(run.File.Fd()), &off, int(min(run.N, 1<<30)))
		if n == 0 && err == nil {
			err = unix.EIO // the file is shorter than it was
		}
		return n, err
	}
	vectors := b.vectors[:0]
	i := b.sent
	for ; i < len(b.runs) && len(vectors) < maxVectors; i++ {
		run := &b.runs[i]
		if run.Bytes == nil {
			if run.N > smallFileBytes {
				break
			}
			if err := b.load(run); err != nil {
				return 0, unix.EIO
			}
		}
		vectors = append(vectors, run.Bytes)
	}
	b.vectors = vectors
	flags := 0
	if i < len(b.runs) {
		flags = unix.MSG_MORE
	}
	switch {
	case len(vectors) == 1 && flags == 0:
		return syscall.Write(fd, vectors[0])
	case flags == 0:
		return unix.Writev(fd, vectors)
	default:
		return unix.SendmsgBuffers(fd, vectors, nil, nil, flags)
	}
}

// peerGone says whether the peer has ended the connection, though there are bytes to be read before its end.
func (c *Conn) peerGone() bool {
	if c.raw == nil {
		return false
	}
	const closeWait, closed = 8, 7
	gone := false
	_ = c.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		gone = err == nil && (info.State == closeWait || info.State == closed)
	})
	return gone
}
