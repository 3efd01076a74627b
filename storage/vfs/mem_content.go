package vfs

import (
	"io"
	"math/bits"
	"sync/atomic"
)

const (
	// memFirstBlock is the size of a file's first block; the later ones double the file until blocks are memBlockMax, so that
	// thousands of small files cost little and large ones few blocks.
	memFirstBlock = 4 << 10
	memBlockMax   = 1 << 20
	memDoublings  = 8 // memFirstBlock << memDoublings == memBlockMax

	// memFileCost is what a file or folder takes off the budget besides its blocks.
	memFileCost = 512
)

// zeroes is what holes read as; it is never written.
var zeroes [64 << 10]byte

// memBlock never moves once it is in a table. What lies below a file's published size changes only by a WriteAt there.
type memBlock struct{ b []byte }

type memTable = []atomic.Pointer[memBlock]

// memContent is a file's bytes. Reading takes no lock: a reader loads the size and then the table, which is published before a
// size that needs it. Changes are serialised by the owner.
type memContent struct {
	size  atomic.Int64
	table atomic.Pointer[memTable] // nil entries are holes
}

// blockAt says in which block off lies, where the block begins and how long it is.
func blockAt(off int64) (index int, start, length int64) {
	if off < memFirstBlock {
		return 0, 0, memFirstBlock
	}
	if off < memBlockMax {
		n := bits.Len64(uint64(off) / memFirstBlock) // 1 to memDoublings
		start = memFirstBlock << (n - 1)
		return n, start, start
	}
	n := off / memBlockMax
	return memDoublings + int(n), n * memBlockMax, memBlockMax
}

func (c *memContent) block(index int) *memBlock {
	t := c.table.Load()
	if t == nil || index >= len(*t) {
		return nil
	}
	return (*t)[index].Load()
}

// each calls fn for every run of bytes of [off, off+n), which lie within one block each; b is nil in a hole.
func (c *memContent) each(off, n int64, fn func(b []byte, n int64)) {
	for n > 0 {
		index, start, length := blockAt(off)
		run := min(n, start+length-off)
		if blk := c.block(index); blk != nil {
			fn(blk.b[off-start:off-start+run:off-start+run], run)
		} else {
			fn(nil, run)
		}
		off += run
		n -= run
	}
}

func (c *memContent) readAt(p []byte, off int64) (int, error) {
	size := c.size.Load()
	if off >= size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	want := min(int64(len(p)), size-off)
	done := 0
	for want > int64(done) {
		at := off + int64(done)
		index, start, length := blockAt(at)
		run := int(min(want-int64(done), start+length-at))
		dst := p[done : done+run]
		if blk := c.block(index); blk != nil {
			copy(dst, blk.b[at-start:])
		} else {
			clear(dst)
		}
		done += run
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (c *memContent) chunks(dst []Chunk, off, n int64) []Chunk {
	c.each(off, n, func(b []byte, n int64) {
		if b != nil {
			dst = append(dst, Chunk{Bytes: b})
			return
		}
		for n > 0 {
			run := min(n, int64(len(zeroes)))
			dst = append(dst, Chunk{Bytes: zeroes[:run:run]})
			n -= run
		}
	})
	return dst
}

// reserve makes blocks for [off, off+n), all or none of them.
func (c *memContent) reserve(off, n int64, budget *memBudget) error {
	if n == 0 {
		return nil
	}
	first, _, _ := blockAt(off)
	last, _, _ := blockAt(off + n - 1)
	var need int64
	for i, at := first, off; i <= last; i++ {
		_, start, length := blockAt(at)
		if c.block(i) == nil {
			need += length
		}
		at = start + length
	}
	if need == 0 {
		return nil
	}
	if err := budget.take(need); err != nil {
		return err
	}
	t := c.grow(last + 1)
	for i, at := first, off; i <= last; i++ {
		_, start, length := blockAt(at)
		if t[i].Load() == nil {
			t[i].Store(&memBlock{make([]byte, length)})
		}
		at = start + length
	}
	return nil
}

// grow gives the table at least n entries. A reader may go on with the old one: what it looks for is in both.
func (c *memContent) grow(n int) memTable {
	old := c.table.Load()
	if old != nil && len(*old) >= n {
		return *old
	}
	size := max(n, 2)
	if old != nil {
		size = max(size, len(*old)+len(*old)/2)
	}
	t := make(memTable, size)
	if old != nil {
		for i := range *old {
			t[i].Store((*old)[i].Load())
		}
	}
	c.table.Store(&t)
	return t
}

func (c *memContent) writeAt(p []byte, off int64, budget *memBudget) error {
	if err := c.reserve(off, int64(len(p)), budget); err != nil {
		return err
	}
	end := off + int64(len(p))
	c.each(off, int64(len(p)), func(b []byte, n int64) {
		copy(b, p[:n])
		p = p[n:]
	})
	if end > c.size.Load() {
		c.size.Store(end)
	}
	return nil
}

// truncate sets the size. Growing leaves a hole. Shrinking drops blocks, and replaces the one that is cut by a copy, so that who
// still holds chunks of it sees the old bytes whatever is written there later.
func (c *memContent) truncate(size int64, budget *memBudget) {
	old := c.size.Load()
	if size >= old {
		c.size.Store(size)
		return
	}
	t := c.table.Load()
	if t == nil {
		c.size.Store(size)
		return
	}
	keep, start, length := blockAt(size)
	var cut *memBlock
	if keep < len(*t) && size > start {
		if blk := (*t)[keep].Load(); blk != nil {
			cut = &memBlock{make([]byte, length)}
			copy(cut.b[:size-start], blk.b)
		}
	}
	c.size.Store(size)
	var freed int64
	for i, at := keep, start; i < len(*t); i++ {
		_, start, length := blockAt(at)
		if (*t)[i].Load() != nil {
			if i == keep && cut != nil {
				(*t)[i].Store(cut)
			} else {
				(*t)[i].Store(nil)
				freed += length
			}
		}
		at = start + length
	}
	budget.give(freed)
}

// held is how many bytes of blocks the file has.
func (c *memContent) held() int64 {
	t := c.table.Load()
	if t == nil {
		return 0
	}
	var n, at int64
	for i := range *t {
		_, start, length := blockAt(at)
		if (*t)[i].Load() != nil {
			n += length
		}
		at = start + length
	}
	return n
}

// clone copies the bytes; holes stay holes.
func (c *memContent) clone() *memContent {
	out := new(memContent)
	if t := c.table.Load(); t != nil {
		nt := make(memTable, len(*t))
		for i := range *t {
			if blk := (*t)[i].Load(); blk != nil {
				nt[i].Store(&memBlock{append([]byte(nil), blk.b...)})
			}
		}
		out.table.Store(&nt)
	}
	out.size.Store(c.size.Load())
	return out
}

// memBudget counts bytes over all files of a file system.
type memBudget struct {
	limit   int64 // 0: none
	used    atomic.Int64
	refused func() // told of takes that failed; may be nil
}

func (b *memBudget) take(n int64) error {
	if used := b.used.Add(n); b.limit > 0 && used > b.limit {
		b.used.Add(-n)
		if b.refused != nil {
			b.refused()
		}
		return ErrBudget
	}
	return nil
}

func (b *memBudget) give(n int64) { b.used.Add(-n) }
