package storage

import (
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

// segment is one .log file with its indexes. What the appender changes is published with atomics: readers take no lock.
// The last segment of a log is the active one; only it grows.
type segment struct {
	log  *Log
	base int64

	// size is how many bytes of the .log file are batches. The appender's until the segment is closed, then fixed. Readers
	// of the active segment use their view's.
	size atomic.Int64
	// handle is the open .log file, nil while nobody needs it.
	handle atomic.Pointer[handle]
	openMu sync.Mutex
	// index is what is known of the offset and time indexes; nil: not looked at since the start.
	index atomic.Pointer[segmentIndex]
	hints hints
	// newest is the largest timestamp with the last offset of its batch; nil: not known yet.
	newest atomic.Pointer[timeEntry]
	// dirty says that the .log file holds bytes that no sync has covered.
	dirty atomic.Bool
	// gone says that the files were renamed or removed.
	gone atomic.Bool
	// slot is where the file cache has the segment; the cache's.
	slot int

	// The rest belongs to the append side (the log's mutex).

	// firstMillis is the largest timestamp of the first batch, by which the segment's age is counted; noTimestamp: not read yet
	// or none. createdMillis counts where it has none.
	firstMillis   int64
	createdMillis int64
	// sinceIndex is how many bytes were appended since the last entry of the offset index.
	sinceIndex int
	// txns are the entries of the transaction index that aren't in its file yet.
	txns []AbortedTxn
	// txnsUnsynced says that the transaction index's file holds entries that no sync has covered.
	txnsUnsynced bool
}

// noTimestamp stands for a timestamp that isn't there, as in Kafka.
const noTimestamp = batch.NoTimestamp

func newSegment(l *Log, base int64) *segment {
	return &segment{log: l, base: base, firstMillis: noTimestamp, slot: noSlot}
}

func (s *segment) path(suffix string) string { return s.log.dir + "/" + offsetFile(s.base, suffix) }

// handle is a segment's open files, counted: one for the segment itself, one for each reader. The last one closes them.
type handle struct {
	log  vfs.File
	refs atomic.Int32
	used atomic.Bool

	mu           sync.Mutex
	index, times vfs.File
}

// ref takes one more reference; false where the files are closed already.
func (h *handle) ref() bool {
	for {
		n := h.refs.Load()
		if n <= 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			if !h.used.Load() {
				h.used.Store(true)
			}
			return true
		}
	}
}

func (h *handle) unref() {
	if h.refs.Add(-1) != 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.log.Close() // a sync reports what a close could
	if h.index != nil {
		_ = h.index.Close()
	}
	if h.times != nil {
		_ = h.times.Close()
	}
	h.index, h.times = nil, nil
}

// acquire gives the open files with a reference that the caller gives back with unref.
func (s *segment) acquire() (*handle, error) {
	for {
		h := s.handle.Load()
		if h == nil {
			var err error
			if h, err = s.open(os.O_RDWR); err != nil {
				return nil, err
			}
		}
		if h.ref() {
			return h, nil
		}
	}
}

// open opens the .log file unless it is open.
func (s *segment) open(flag int) (*handle, error) {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	if h := s.handle.Load(); h != nil {
		return h, nil
	}
	if s.log.shutDown.Load() {
		return nil, ErrClosed
	}
	if s.gone.Load() {
		return nil, fs.ErrNotExist
	}
	f, err := s.log.fs.Open(s.path(suffixLog), flag)
	if err != nil {
		return nil, err
	}
	h := &handle{log: f}
	h.refs.Store(1)
	s.handle.Store(h)
	s.log.files.add(s)
	return h, nil
}

// release closes the files once their readers are done. Nobody opens them again where the segment is gone or the log shut down.
func (s *segment) release() {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	s.log.files.remove(s)
	if h := s.handle.Swap(nil); h != nil {
		h.unref()
	}
}

// open says that somebody holds the files.
func (h *handle) open() bool { return h != nil && h.refs.Load() > 0 }

// indexFile opens one of the index files for reading, once per handle. It stays open as long as the handle.
func (s *segment) indexFile(h *handle, suffix string) (vfs.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.index
	if suffix == suffixTimes {
		p = &h.times
	}
	if *p == nil {
		f, err := s.log.fs.Open(s.path(suffix), os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		*p = f
	}
	return *p, nil
}

// forgetIndexFiles has the index files opened anew: they were replaced.
func (s *segment) forgetIndexFiles() {
	if h := s.handle.Load(); h != nil && h.ref() {
		h.mu.Lock()
		if h.index != nil {
			_ = h.index.Close()
		}
		if h.times != nil {
			_ = h.times.Close()
		}
		h.index, h.times = nil, nil
		h.mu.Unlock()
		h.unref()
	}
}

// fileCache bounds how many segments' files stay open although nobody uses them. Those with unsynced bytes, active ones that
// were written to among them, keep theirs. It is a clock: a segment that was used since the hand's last pass is spared once.
type fileCache struct {
	max  int
	mu   sync.Mutex
	open []*segment
	hand int
}

const (
	// maxOpenSegments is how many segments a log without a manager keeps open.
	maxOpenSegments = 64
	noSlot          = -1
)

func newFileCache(limit int) *fileCache { return &fileCache{max: limit} }

// add takes a segment in that was just opened, and closes another one's files where there are too many. If all are in use
// there have to be more.
func (c *fileCache) add(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range 2 * len(c.open) {
		if len(c.open) < c.max {
			break
		}
		c.hand = (c.hand + 1) % len(c.open)
		old := c.open[c.hand]
		h := old.handle.Load()
		if h == nil || old.dirty.Load() || h.refs.Load() > 1 || h.used.Swap(false) {
			continue
		}
		if old.handle.CompareAndSwap(h, nil) {
			h.unref()
			c.removeLocked(old)
		}
	}
	if s.slot == noSlot {
		s.slot = len(c.open)
		c.open = append(c.open, s)
	}
}

func (c *fileCache) remove(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(s)
}

func (c *fileCache) removeLocked(s *segment) {
	if s.slot == noSlot {
		return
	}
	last := len(c.open) - 1
	c.open[s.slot] = c.open[last]
	c.open[s.slot].slot = s.slot
	c.open[last] = nil
	c.open = c.open[:last]
	s.slot = noSlot
}

// drop closes all files of a log that couldn't be opened.
func (c *fileCache) drop(l *Log) {
	c.mu.Lock()
	var mine []*segment
	for _, s := range c.open {
		if s.log == l {
			mine = append(mine, s)
		}
	}
	c.mu.Unlock()
	for _, s := range mine {
		s.release()
	}
}

// hints remembers where the last few reads began and ended, so that a reader that goes on, and one that reads the same
// again, needs no index.
type hints struct {
	ring [4]atomic.Pointer[hint]
	next atomic.Uint32
}

// hint says that the first batch at or after offset is at pos, and that a read of maxBytes from there ended at end, where
// the batch at or after nextOffset begins. bounded says that maxBytes ended it and not the end of what there was.
type hint struct {
	offset, pos     int64
	nextOffset, end int64
	maxBytes        int64
	bounded         bool
}

func (hs *hints) add(h *hint) { hs.ring[hs.next.Add(1)%uint32(len(hs.ring))].Store(h) }

// position is where the batch that holds offset, or the first one after it, begins.
func (hs *hints) position(offset int64) (int64, bool) {
	for i := range hs.ring {
		if h := hs.ring[i].Load(); h != nil {
			if h.offset == offset {
				return h.pos, true
			}
			if h.nextOffset == offset {
				return h.end, true
			}
		}
	}
	return 0, false
}

func (hs *hints) bounded(pos, maxBytes int64) *hint {
	for i := range hs.ring {
		if h := hs.ring[i].Load(); h != nil && h.bounded && h.pos == pos && h.maxBytes == maxBytes {
			return h
		}
	}
	return nil
}
