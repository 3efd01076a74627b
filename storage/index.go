package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"sync"

	"github.com/kbroker/kbroker/storage/vfs"
)

const (
	offsetEntrySize = 8
	timeEntrySize   = 12

	// maxIndexTail is how many index entries the active segment keeps in memory before they are written.
	maxIndexTail = 128
	// indexBlock is how many bytes of an index file a search reads at once.
	indexBlock = 4096
)

// errIndexDamaged says that an index doesn't fit its .log file. The index is then rebuilt: the .log is the truth.
var errIndexDamaged = errors.New("index doesn't fit the log")

// offsetEntry says that the batch whose last offset is base+rel begins at pos.
type offsetEntry struct{ rel, pos int32 }

// timeEntry says that no record up to the batch whose last offset is base+rel has a larger timestamp, and that batch has it.
type timeEntry struct {
	timestamp int64
	rel       int32
}

// segmentIndex is an immutable view of a segment's offset and time indexes: so many entries in the files, and behind them
// those that are still in memory. The arrays of the tails may grow behind what a view sees.
type segmentIndex struct {
	offsets  int // entries in the .index file
	times    int // entries in the .timeindex file
	offTail  []offsetEntry
	timeTail []timeEntry
	lastTime int64 // timestamp of the last time entry; noTimestamp where there is none
	onDisk   bool  // both files are there
}

func (x *segmentIndex) numOffsets() int { return x.offsets + len(x.offTail) }
func (x *segmentIndex) numTimes() int   { return x.times + len(x.timeTail) }

// written is the view once all entries are in the files.
func (x *segmentIndex) written() *segmentIndex {
	return &segmentIndex{offsets: x.numOffsets(), times: x.numTimes(), lastTime: x.lastTime, onDisk: true}
}

var indexBlocks = sync.Pool{New: func() any { return new([indexBlock / offsetEntrySize / 3 * 3 * offsetEntrySize]byte) }}

// searchFile finds among n entries of size bytes in a file the last for which ok holds; ok holds for a beginning of them. It
// returns -1 where it holds for none. The entry is left in out.
func searchFile(f vfs.File, n, size int, out []byte, ok func(entry []byte) bool) (int, error) {
	lo, hi := 0, n // ok holds for all below lo, and for none from hi on
	perBlock := indexBlock / size / 2
	for hi-lo > perBlock {
		mid := lo + (hi-lo)/2
		if err := readFull(f, out[:size], int64(mid)*int64(size)); err != nil {
			return -1, err
		}
		if ok(out[:size]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	from := max(lo-1, 0)
	count := hi - from
	if count == 0 {
		return -1, nil
	}
	block := indexBlocks.Get().(*[indexBlock / offsetEntrySize / 3 * 3 * offsetEntrySize]byte)
	defer indexBlocks.Put(block)
	b := block[:count*size]
	if err := readFull(f, b, int64(from)*int64(size)); err != nil {
		return -1, err
	}
	i := sort.Search(count, func(i int) bool { return !ok(b[i*size : (i+1)*size]) }) - 1
	if i < 0 {
		return -1, nil
	}
	copy(out[:size], b[i*size:])
	return from + i, nil
}

func decodeOffsetEntry(b []byte) offsetEntry {
	return offsetEntry{rel: int32(binary.BigEndian.Uint32(b)), pos: int32(binary.BigEndian.Uint32(b[4:]))}
}

func decodeTimeEntry(b []byte) timeEntry {
	return timeEntry{timestamp: int64(binary.BigEndian.Uint64(b)), rel: int32(binary.BigEndian.Uint32(b[8:]))}
}

func appendOffsetEntries(dst []byte, entries []offsetEntry) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.rel))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.pos))
	}
	return dst
}

func appendTimeEntries(dst []byte, entries []timeEntry) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.timestamp))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.rel))
	}
	return dst
}

// floorOffset gives the last offset entry for which ok holds; ok holds for a beginning of the entries.
func (s *segment) floorOffset(h *handle, x *segmentIndex, ok func(offsetEntry) bool) (offsetEntry, bool, error) {
	if len(x.offTail) > 0 && ok(x.offTail[0]) {
		i := sort.Search(len(x.offTail), func(i int) bool { return !ok(x.offTail[i]) })
		return x.offTail[i-1], true, nil
	}
	if x.offsets == 0 {
		return offsetEntry{}, false, nil
	}
	f, err := s.indexFile(h, suffixIndex)
	if err != nil {
		return offsetEntry{}, false, err
	}
	var b [offsetEntrySize]byte
	i, err := searchFile(f, x.offsets, offsetEntrySize, b[:], func(b []byte) bool { return ok(decodeOffsetEntry(b)) })
	if err != nil || i < 0 {
		return offsetEntry{}, false, err
	}
	return decodeOffsetEntry(b[:]), true, nil
}

// floorTime gives the last time entry with a timestamp below the given one.
func (s *segment) floorTime(h *handle, x *segmentIndex, timestamp int64) (timeEntry, bool, error) {
	ok := func(e timeEntry) bool { return e.timestamp < timestamp }
	if len(x.timeTail) > 0 && ok(x.timeTail[0]) {
		i := sort.Search(len(x.timeTail), func(i int) bool { return !ok(x.timeTail[i]) })
		return x.timeTail[i-1], true, nil
	}
	if x.times == 0 {
		return timeEntry{}, false, nil
	}
	f, err := s.indexFile(h, suffixTimes)
	if err != nil {
		return timeEntry{}, false, err
	}
	var b [timeEntrySize]byte
	i, err := searchFile(f, x.times, timeEntrySize, b[:], func(b []byte) bool { return ok(decodeTimeEntry(b)) })
	if err != nil || i < 0 {
		return timeEntry{}, false, err
	}
	return decodeTimeEntry(b[:]), true, nil
}

// readIndexes reads both index files whole and checks every entry: they rise, and lie within size bytes of log. The error is
// errIndexDamaged where a file is missing (but for logs too small to have an entry), torn, zeroed or beyond the log.
func (s *segment) readIndexes(size int64) ([]offsetEntry, []timeEntry, error) {
	ob, err := readIndexFile(s.log.fs, s.path(suffixIndex), s.log.cfg.Load().SegmentIndexBytes)
	if err != nil {
		return nil, nil, err
	}
	tb, err := readIndexFile(s.log.fs, s.path(suffixTimes), s.log.cfg.Load().SegmentIndexBytes/2*3)
	if err != nil {
		return nil, nil, err
	}
	if len(ob)%offsetEntrySize != 0 || len(tb)%timeEntrySize != 0 {
		return nil, nil, fmt.Errorf("%w: torn entry in segment %d", errIndexDamaged, s.base)
	}
	offsets := make([]offsetEntry, 0, len(ob)/offsetEntrySize)
	last := offsetEntry{rel: -1, pos: 0}
	for ; len(ob) > 0; ob = ob[offsetEntrySize:] {
		e := decodeOffsetEntry(ob)
		if e.rel <= last.rel || e.pos <= last.pos || int64(e.pos) >= size {
			return nil, nil, fmt.Errorf("%w: offset entry %d of segment %d", errIndexDamaged, len(offsets), s.base)
		}
		offsets, last = append(offsets, e), e
	}
	times := make([]timeEntry, 0, len(tb)/timeEntrySize)
	lastTime := timeEntry{timestamp: noTimestamp, rel: -1}
	for ; len(tb) > 0; tb = tb[timeEntrySize:] {
		e := decodeTimeEntry(tb)
		if e.timestamp <= lastTime.timestamp || e.rel <= lastTime.rel {
			return nil, nil, fmt.Errorf("%w: time entry %d of segment %d", errIndexDamaged, len(times), s.base)
		}
		times, lastTime = append(times, e), e
	}
	return offsets, times, nil
}

// readIndexFile reads an index file whole, up to slack more than its configured limit.
func readIndexFile(fsys vfs.FS, path string, limit int) ([]byte, error) {
	b, err := readFile(fsys, path, int64(limit)+indexSlack)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errFileTooLarge) {
		return nil, fmt.Errorf("%w: %w", errIndexDamaged, err)
	}
	return b, err
}

// indexSlack is how much longer than segment.index.bytes says an index file may be: the setting may have been lowered since.
const indexSlack = 64 << 20

// loadIndex looks at the index files of a segment that is closed, or that a clean stop left, without reading them whole; what
// doesn't fit is rebuilt from the .log.
func (s *segment) loadIndex(h *handle) (*segmentIndex, error) {
	if x := s.index.Load(); x != nil {
		return x, nil
	}
	s.openMu.Lock()
	defer s.openMu.Unlock()
	if x := s.index.Load(); x != nil {
		return x, nil
	}
	x, err := s.statIndexes(h)
	if errors.Is(err, errIndexDamaged) {
		x, err = s.rebuildIndexes(h, err)
	}
	if err != nil {
		return nil, err
	}
	s.index.Store(x)
	return x, nil
}

// statIndexes checks the index files by their sizes and last entries.
func (s *segment) statIndexes(h *handle) (*segmentIndex, error) {
	size := s.size.Load()
	x := &segmentIndex{lastTime: noTimestamp, onDisk: true}
	for _, suffix := range []string{suffixIndex, suffixTimes} {
		f, err := s.indexFile(h, suffix)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", errIndexDamaged, err)
		}
		if err != nil {
			return nil, err
		}
		n, err := f.Size()
		if err != nil {
			return nil, err
		}
		entry := int64(offsetEntrySize)
		if suffix == suffixTimes {
			entry = timeEntrySize
		}
		if n%entry != 0 {
			return nil, fmt.Errorf("%w: torn entry in segment %d", errIndexDamaged, s.base)
		}
		if n == 0 {
			continue
		}
		var b [timeEntrySize]byte
		if err := readFull(f, b[:entry], n-entry); err != nil {
			return nil, err
		}
		if suffix == suffixIndex {
			e := decodeOffsetEntry(b[:])
			if e.rel < 0 || e.pos <= 0 || int64(e.pos) >= size {
				return nil, fmt.Errorf("%w: last offset entry of segment %d", errIndexDamaged, s.base)
			}
			x.offsets = int(n / entry)
			continue
		}
		e := decodeTimeEntry(b[:])
		if n > entry && e.timestamp <= 0 && e.rel == 0 { // zeros that were never trimmed
			return nil, fmt.Errorf("%w: last time entry of segment %d", errIndexDamaged, s.base)
		}
		x.times, x.lastTime = int(n/entry), e.timestamp
		s.newest.CompareAndSwap(nil, &e)
	}
	return x, nil
}

// rebuildIndexes makes both indexes anew from the batch headers. They go to their files where these can be written, and stay
// in memory else. The caller holds openMu, or is the only one to know the segment.
func (s *segment) rebuildIndexes(h *handle, cause error) (*segmentIndex, error) {
	s.log.logger.Warn("rebuilding the index of a segment", "partition", s.log.tp.String(), "segment", s.base, "cause", cause)
	b := indexBuilder{interval: s.log.cfg.Load().IndexIntervalBytes, base: s.base, newest: timeEntry{timestamp: noTimestamp}}
	w := newWalker(h.log, 0, s.size.Load())
	defer w.close()
	for w.next() {
		b.add(w.header.LastOffset(), w.header.MaxTimestamp, int32(w.pos), w.header.Size())
	}
	if w.err != nil {
		return nil, fmt.Errorf("%w: segment %d: %w", ErrCorruptMessage, s.base, w.err)
	}
	b.seal()
	x := b.index()
	if b.newest.timestamp != noTimestamp {
		newest := b.newest
		s.newest.Store(&newest)
	}
	if err := s.writeIndexes(x); err != nil {
		s.log.logger.Warn("writing a rebuilt index failed", "partition", s.log.tp.String(), "segment", s.base, "err", err)
		return x, nil
	}
	s.forgetIndexFiles()
	return x.written(), nil
}

// writeIndexes replaces both index files by the entries in x's tails.
func (s *segment) writeIndexes(x *segmentIndex) error {
	if err := writeFile(s.log.fs, s.path(suffixIndex), appendOffsetEntries(nil, x.offTail), false); err != nil {
		return err
	}
	return writeFile(s.log.fs, s.path(suffixTimes), appendTimeEntries(nil, x.timeTail), false)
}

// indexBuilder decides which batches get index entries (Kafka's LogSegment.append): one that begins more than interval bytes
// after the last one that has one.
type indexBuilder struct {
	interval   int
	base       int64
	sinceIndex int
	offsets    []offsetEntry
	times      []timeEntry
	newest     timeEntry
}

func (b *indexBuilder) add(lastOffset, maxTimestamp int64, pos int32, size int) {
	rel := int32(lastOffset - b.base)
	if maxTimestamp > b.newest.timestamp {
		b.newest = timeEntry{timestamp: maxTimestamp, rel: rel}
	}
	if b.sinceIndex > b.interval {
		b.offsets = append(b.offsets, offsetEntry{rel: rel, pos: pos})
		b.addTime()
		b.sinceIndex = 0
	}
	b.sinceIndex += size
}

// addTime appends the newest timestamp to the time index unless it is there.
func (b *indexBuilder) addTime() {
	if b.newest.timestamp == noTimestamp {
		return
	}
	if n := len(b.times); n == 0 || b.times[n-1].timestamp < b.newest.timestamp {
		b.times = append(b.times, b.newest)
	}
}

// seal adds the last time entry, which a closed segment's time index always has.
func (b *indexBuilder) seal() { b.addTime() }

func (b *indexBuilder) index() *segmentIndex {
	x := &segmentIndex{offTail: b.offsets, timeTail: b.times, lastTime: noTimestamp}
	if n := len(b.times); n > 0 {
		x.lastTime = b.times[n-1].timestamp
	}
	return x
}

// noteBatch adds a batch that was just written at pos to the active segment's index. The append side's.
func (s *segment) noteBatch(lastOffset, maxTimestamp int64, pos int64, size, interval int) {
	rel := int32(lastOffset - s.base)
	if n := s.newest.Load(); n == nil || maxTimestamp > n.timestamp {
		n := s.log.newests.take()
		*n = timeEntry{timestamp: maxTimestamp, rel: rel}
		s.newest.Store(n)
	}
	if s.sinceIndex > interval {
		x := s.log.indexes.take()
		*x = *s.index.Load()
		x.offTail = append(x.offTail, offsetEntry{rel: rel, pos: int32(pos)})
		if n := s.newest.Load(); n.timestamp > x.lastTime {
			x.timeTail = append(x.timeTail, *n)
			x.lastTime = n.timestamp
		}
		s.index.Store(x)
		s.sinceIndex = 0
	}
	s.sinceIndex += size
}

// flushIndexes writes the index entries that are in memory only. With seal the last time entry is added first. The append side's.
func (s *segment) flushIndexes(seal bool) error {
	x := s.index.Load()
	if x == nil {
		return nil // nothing was appended since the start, so the files are as they should be
	}
	if n := s.newest.Load(); seal && n != nil && n.timestamp > x.lastTime {
		y := *x
		y.timeTail = append(y.timeTail, *n)
		y.lastTime = n.timestamp
		x = &y
	}
	if len(x.offTail) > 0 || seal && !x.onDisk {
		if err := appendToFile(s.log.fs, s.path(suffixIndex), int64(x.offsets)*offsetEntrySize, appendOffsetEntries(nil, x.offTail)); err != nil {
			return err
		}
	}
	if len(x.timeTail) > 0 || seal && !x.onDisk {
		if err := appendToFile(s.log.fs, s.path(suffixTimes), int64(x.times)*timeEntrySize, appendTimeEntries(nil, x.timeTail)); err != nil {
			return err
		}
	}
	y := x.written()
	y.onDisk = x.onDisk || seal
	s.index.Store(y)
	return nil
}

// appendToFile writes b at off, where the file must end, creating the file. What a failed attempt left is overwritten.
func appendToFile(fsys vfs.FS, path string, off int64, b []byte) error {
	f, err := fsys.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if len(b) > 0 {
		if _, err := f.WriteAt(b, off); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}
