package storage

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync/atomic"

	"github.com/kbroker/kbroker/storage/vfs"
)

// epochEntry says that the records from start on, up to the next entry's, were written under that leader epoch.
type epochEntry struct {
	epoch int32
	start int64
}

// leaderEpochs is the history of a log's leader epochs (KIP-101). Epochs and offsets both rise. Changes are the append side's
// and make a new slice; readers load it. The file is written before the recovery point passes what it says, so that what a
// crash takes from it is found again in the batches that recovery reads.
type leaderEpochs struct {
	entries atomic.Pointer[[]epochEntry]
	path    string
	// unsaved says that the file is older than the entries, unsynced that no sync has covered it.
	unsaved, unsynced bool
	// idle says that what is unsaved is an epoch without a batch, at the log's end, as a new leader notes it. It is given again by the next
	// leader, so the file needn't have it: a log that nobody writes to costs no write at a start.
	idle bool
}

func (c *leaderEpochs) load() []epochEntry {
	if p := c.entries.Load(); p != nil {
		return *p
	}
	return nil
}

func (c *leaderEpochs) set(entries []epochEntry) {
	c.entries.Store(&entries)
	c.unsaved, c.idle = true, false
}

// owed says that the file has to be made durable before the recovery point may pass.
func (c *leaderEpochs) owed() bool { return c.unsaved && !c.idle || c.unsynced }

// assignIdle is assign for an epoch that has no batch yet and begins at the log's end.
func (c *leaderEpochs) assignIdle(epoch int32, end int64) {
	before, idle := c.load(), c.idle || !c.unsaved
	if !c.assign(epoch, end) {
		return
	}
	kept := len(c.load()) - 1
	c.idle = idle && (kept == len(before) || before[kept].start >= end)
}

// maxEpochFile bounds the checkpoint file, and maxEpochs its entries.
const (
	maxEpochFile = 16 << 20
	maxEpochs    = 1 << 18
)

var errBadCheckpoint = errors.New("malformed checkpoint file")

// read replaces the entries by the file's.
func (c *leaderEpochs) read(fsys vfs.FS) error {
	b, err := readFile(fsys, c.path, maxEpochFile)
	if err != nil {
		return err
	}
	lines, err := checkpointLines(b, maxEpochs)
	if err != nil {
		return err
	}
	entries := make([]epochEntry, 0, len(lines))
	for _, line := range lines {
		e, s, ok := bytes.Cut(line, []byte(" "))
		epoch, err1 := strconv.ParseInt(string(e), 10, 32)
		start, err2 := strconv.ParseInt(string(s), 10, 64)
		if !ok || err1 != nil || err2 != nil || epoch < 0 || start < 0 {
			return fmt.Errorf("%w: %q", errBadCheckpoint, line)
		}
		if n := len(entries); n > 0 && (entries[n-1].epoch >= int32(epoch) || entries[n-1].start > start) {
			return fmt.Errorf("%w: epochs don't rise at %q", errBadCheckpoint, line)
		}
		entries = append(entries, epochEntry{epoch: int32(epoch), start: start})
	}
	c.entries.Store(&entries)
	return nil
}

// save writes the file if it is older than the entries.
func (c *leaderEpochs) save(fsys vfs.FS) error {
	if !c.unsaved {
		return nil
	}
	entries := c.load()
	b := fmt.Appendf(nil, "0\n%d\n", len(entries))
	for _, e := range entries {
		b = fmt.Appendf(b, "%d %d\n", e.epoch, e.start)
	}
	if err := writeFile(fsys, c.path, b, false); err != nil {
		return err
	}
	c.unsaved, c.idle, c.unsynced = false, false, true
	return nil
}

// sync makes the file durable; the folder is the caller's to sync.
func (c *leaderEpochs) sync(fsys vfs.FS) error {
	if err := c.save(fsys); err != nil || !c.unsynced {
		return err
	}
	if err := syncFile(fsys, c.path); err != nil {
		return err
	}
	c.unsynced = false
	return nil
}

// assign says that epoch begins at start. Entries that contradict it go. It says whether anything changed.
func (c *leaderEpochs) assign(epoch int32, start int64) bool {
	entries := c.load()
	if n := len(entries); n > 0 && entries[n-1].epoch == epoch && entries[n-1].start <= start {
		return false
	}
	keep := len(entries)
	for keep > 0 && (entries[keep-1].epoch >= epoch || entries[keep-1].start >= start) {
		keep--
	}
	c.set(append(slices.Clip(slices.Clone(entries[:keep])), epochEntry{epoch: epoch, start: start}))
	return true
}

// needs says whether assign would change anything; it allocates nothing.
func (c *leaderEpochs) needs(epoch int32) bool {
	entries := c.load()
	return len(entries) == 0 || entries[len(entries)-1].epoch != epoch
}

// truncateEnd drops the entries from offset end on.
func (c *leaderEpochs) truncateEnd(end int64) {
	entries := c.load()
	keep := len(entries)
	for keep > 0 && entries[keep-1].start >= end {
		keep--
	}
	if keep < len(entries) {
		c.set(slices.Clone(entries[:keep]))
	}
}

// truncateStart moves the first entry up to the log start.
func (c *leaderEpochs) truncateStart(start int64) {
	entries := c.load()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].start > start })
	if i == 0 || entries[i-1].start == start && i == 1 {
		return
	}
	kept := slices.Clone(entries[i-1:])
	kept[0].start = start
	c.set(kept)
}

func (c *leaderEpochs) latest() int32 {
	entries := c.load()
	if len(entries) == 0 {
		return -1
	}
	return entries[len(entries)-1].epoch
}

func (c *leaderEpochs) of(offset int64) int32 {
	entries := c.load()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].start > offset })
	if i == 0 {
		return -1
	}
	return entries[i-1].epoch
}

// endOffset is Kafka's LeaderEpochFileCache.endOffsetFor: the largest epoch that isn't larger than the asked one, and where
// it ends (LOFF-13, LOFF-14, KIP-279).
func (c *leaderEpochs) endOffset(epoch int32, leo int64) EpochEnd {
	unknown := EpochEnd{Epoch: -1, EndOffset: -1}
	entries := c.load()
	if epoch == -1 || len(entries) == 0 {
		return unknown
	}
	last := entries[len(entries)-1]
	if epoch == last.epoch {
		return EpochEnd{Epoch: epoch, EndOffset: leo}
	}
	if epoch > last.epoch {
		return unknown
	}
	i := sort.Search(len(entries), func(i int) bool { return entries[i].epoch > epoch })
	if i == 0 {
		return EpochEnd{Epoch: epoch, EndOffset: entries[0].start}
	}
	return EpochEnd{Epoch: entries[i-1].epoch, EndOffset: entries[i].start}
}
