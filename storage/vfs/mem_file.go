package vfs

import (
	"errors"
	"io/fs"
	"sync/atomic"
)

// memFile is an open file.
type memFile struct {
	fs       *Mem
	node     *memNode
	name     string
	readOnly bool
	closed   atomic.Bool
}

// check is what every use of a file begins with.
func (f *memFile) check() error {
	if f.closed.Load() {
		return fs.ErrClosed
	}
	if f.fs.dead.Load() {
		return ErrCrashed
	}
	return nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Size() (int64, error) {
	if err := f.check(); err != nil {
		return 0, failed("size", f.name, err)
	}
	return f.node.content.size.Load(), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.check()
	if err == nil && off < 0 {
		err = fs.ErrInvalid
	}
	if err == nil {
		err = f.fs.beforeRead(f.name, off, int64(len(p)))
	}
	if err != nil {
		return 0, failed("read", f.name, err)
	}
	return f.node.content.readAt(p, off)
}

func (f *memFile) Chunks(dst []Chunk, off, n int64) ([]Chunk, error) {
	err := f.check()
	if err == nil && (off < 0 || n < 0 || n > f.node.content.size.Load()-off) {
		err = fs.ErrInvalid
	}
	if err == nil {
		err = f.fs.beforeRead(f.name, off, n)
	}
	if err != nil {
		return dst, failed("chunks", f.name, err)
	}
	return f.node.content.chunks(dst, off, n), nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.check()
	switch {
	case err != nil:
	case f.readOnly:
		err = errReadOnly
	case off < 0:
		err = fs.ErrInvalid
	}
	if err != nil {
		return 0, failed("write", f.name, err)
	}
	n := f.node
	n.write.Lock()
	defer n.write.Unlock()
	if err := f.fs.before(Op{Kind: OpWrite, Name: f.name, Off: off, Len: int64(len(p))}); err != nil {
		done := 0
		if short := (*PartialWrite)(nil); errors.As(err, &short) {
			if done = min(max(short.N, 0), len(p)); f.put(p[:done], off) != nil {
				done = 0
			}
		}
		return done, failed("write", f.name, err)
	}
	if err := f.put(p, off); err != nil {
		return 0, failed("write", f.name, err)
	}
	return len(p), nil
}

// put writes; the node's write mutex is held.
func (f *memFile) put(p []byte, off int64) error {
	n := f.node
	if len(p) == 0 {
		return nil
	}
	if err := n.content.writeAt(p, off, &f.fs.budget); err != nil {
		return err
	}
	if n.durable != nil {
		n.pending = append(n.pending, memWrite{off: off, data: append([]byte(nil), p...)})
	}
	n.modified.Store(f.fs.opts.Now().UnixNano())
	return nil
}

func (f *memFile) Truncate(size int64) error {
	err := f.check()
	switch {
	case err != nil:
	case f.readOnly:
		err = errReadOnly
	case size < 0:
		err = fs.ErrInvalid
	}
	n := f.node
	n.write.Lock()
	defer n.write.Unlock()
	if err == nil {
		err = f.fs.before(Op{Kind: OpTruncate, Name: f.name, Off: size})
	}
	if err != nil {
		return failed("truncate", f.name, err)
	}
	n.content.truncate(size, &f.fs.budget)
	if n.durable != nil {
		n.pending = append(n.pending, memWrite{size: size})
	}
	n.modified.Store(f.fs.opts.Now().UnixNano())
	return nil
}

// Sync makes the file's bytes durable. Where it is made to fail, what was not durable stays so even if a later Sync succeeds: that
// is what kernels do.
func (f *memFile) Sync() error {
	if err := f.check(); err != nil {
		return failed("sync", f.name, err)
	}
	n := f.node
	n.write.Lock()
	defer n.write.Unlock()
	err := f.fs.before(Op{Kind: OpSync, Name: f.name})
	if err == nil && n.durable != nil {
		for _, w := range n.pending {
			w.apply(n.durable)
		}
	}
	if !errors.Is(err, ErrCrashed) {
		n.pending = nil
	}
	if err != nil {
		return failed("sync", f.name, err)
	}
	return nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed.Load() {
		return failed("close", f.name, fs.ErrClosed)
	}
	f.closeLocked()
	return nil
}

func (f *memFile) closeLocked() {
	f.closed.Store(true)
	f.node.handles--
	f.fs.reclaim(f.node)
}
