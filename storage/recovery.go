package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/kbroker/kbroker/storage/vfs"
)

// recoverBuffer is how many bytes recovery reads at once to verify checksums.
const recoverBuffer = 256 << 10

// OpenLog opens the log in dir, or begins one there. After a clean stop it reads the folder, the leader epochs, a producer
// snapshot and the end of the active segment; after a crash, also what lies behind the recovery point. id is the topic's, zero
// where it has none; ErrInconsistentTopicID says that the folder belongs to another one.
func OpenLog(fsys vfs.FS, dir string, tp TopicPartition, id TopicID, cfg LogConfig, o OpenOptions) (*Log, error) {
	l := &Log{fs: fsys, dir: dir, tp: tp, id: id, name: tp.String(), logger: o.Logger, files: o.files, saveLogStart: o.SaveLogStart,
		saveRecoveryPoint: o.SaveRecoveryPoint}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if l.files == nil {
		l.files = newFileCache(maxOpenSegments)
	}
	if l.parent = o.parent; l.parent == nil {
		l.parent = newSharedSync(fsys, parentOf(dir))
	}
	l.cfg.Store(&cfg)
	l.epochs.path = dir + "/" + leaderEpochFile
	l.nowMillis = o.NowMillis
	l.producers = producerState{tp: tp, maxProducers: DefaultMaxProducers, expiryMillis: DefaultProducerExpiryMillis}
	if o.MaxProducers > 0 {
		l.producers.maxProducers = o.MaxProducers
	}
	if o.ProducerExpiryMillis > 0 {
		l.producers.expiryMillis = o.ProducerExpiryMillis
	}
	l.producers.firstUnstable.Store(-1)
	if err := l.load(id, &o); err != nil {
		l.files.drop(l)
		if errors.Is(err, vfs.ErrBudget) {
			err = fmt.Errorf("%w: %w", ErrMemoryBudget, err)
		}
		if notABatch(err) {
			// Cutting here would drop what was durable. Somebody has to decide that.
			err = fmt.Errorf("%w: damage below the recovery point: %w", ErrCorruptMessage, err)
		}
		return nil, fmt.Errorf("opening the log of %v in %s: %w", tp, dir, err)
	}
	return l, nil
}

// folder is what a partition's folder holds.
type folder struct {
	segments                        []int64
	snapshots                       []int64
	indexed                         []int64 // what has an index file; may have duplicates
	hasEpochs, hasMetadata, hasTxns bool
}

// list reads the folder and removes what an earlier life left to be removed.
func (l *Log) list() (folder, error) {
	var f folder
	entries, err := l.fs.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.fs.MkdirAll(l.dir); err != nil {
			return f, err
		}
		return f, nil
	}
	if err != nil {
		return f, err
	}
	var orphans []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == leaderEpochFile:
			f.hasEpochs = true
			continue
		case name == partitionMetadataFile:
			f.hasMetadata = true
			continue
		case strings.HasSuffix(name, suffixDeleted), strings.HasSuffix(name, suffixTemp), strings.HasSuffix(name, suffixCleaned):
			if err := l.fs.Remove(l.dir + "/" + name); err != nil {
				return f, err
			}
			continue
		}
		base, suffix, ok := parseOffsetFile(name)
		if !ok {
			continue
		}
		switch suffix {
		case suffixLog:
			f.segments = append(f.segments, base)
		case suffixSnapshot:
			f.snapshots = append(f.snapshots, base)
		case suffixTxns:
			f.hasTxns = true
			orphans = append(orphans, name)
		case suffixIndex, suffixTimes:
			f.indexed = append(f.indexed, base)
			orphans = append(orphans, name)
		}
	}
	slices.Sort(f.segments)
	slices.Sort(f.snapshots)
	for _, name := range orphans {
		base, _, _ := parseOffsetFile(name)
		if _, ok := slices.BinarySearch(f.segments, base); !ok {
			if err := l.fs.Remove(l.dir + "/" + name); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func (l *Log) load(id TopicID, o *OpenOptions) error {
	f, err := l.list()
	if err != nil {
		return err
	}
	if err := l.checkTopicID(id, o.storedID, f.hasMetadata); err != nil {
		return err
	}
	l.producers.snapshots = f.snapshots
	l.hasAborted.Store(f.hasTxns)

	v := &view{}
	for _, base := range f.segments {
		s := newSegment(l, base)
		info, err := l.fs.Stat(s.path(suffixLog))
		if err != nil {
			return err
		}
		s.size.Store(info.Size())
		s.createdMillis = min(o.NowMillis, info.ModTime().UnixMilli())
		v.segments = append(v.segments, s)
	}
	recoveryPoint := o.RecoveryPoint
	if len(v.segments) == 0 {
		return l.begin(f, o)
	}
	clean := o.CleanShutdown
	if clean {
		if err := l.findEnd(v); err != nil {
			l.logger.Warn("the log's end isn't as a clean stop leaves it; recovering", "partition", l.name, "cause", err)
			clean = false
		} else {
			recoveryPoint = v.leo
			if v.leo == 0 { // see sync: nothing was made durable
				l.dirUnsynced, l.folderMade = true, l.parent.changed()
			}
		}
	}
	replayFrom := int64(-1) // from where on epochs are read from batches
	if !clean {
		if replayFrom, err = l.recover(v, recoveryPoint, f.indexed); err != nil {
			return err
		}
	}
	for _, s := range v.segments[:len(v.segments)-1] {
		v.closed += s.size.Load()
	}
	v.size = v.active().size.Load()
	v.start = max(o.LogStart, v.segments[0].base)
	if v.start > v.leo {
		// The log start is durable, what stood before it is not: offsets that were given out are not given out again.
		l.logger.Warn("the log ends before its start; it begins anew there", "partition", l.name, "end", v.leo, "start", v.start)
		l.view.Store(v)
		if err := l.restart(v.start, o.NowMillis); err != nil {
			return err
		}
		l.durable.Store(v.start)
		return nil
	}
	l.view.Store(v)
	l.durable.Store(min(max(recoveryPoint, v.segments[0].base), v.leo))
	if err := l.loadEpochs(f.hasEpochs, replayFrom); err != nil {
		return err
	}
	return l.loadProducers(clean, recoveryPoint, o.NowMillis)
}

// begin makes the first segment of an empty folder.
func (l *Log) begin(f folder, o *OpenOptions) error {
	base := max(o.LogStart, 0)
	s, err := l.createSegment(base, o.NowMillis)
	if err != nil {
		return err
	}
	if err := l.producers.dropSnapshotsAbove(l.fs, l.dir, -1); err != nil {
		return err
	}
	l.producers.reset(base)
	l.view.Store(&view{segments: []*segment{s}, start: base, leo: base})
	l.durable.Store(base)
	l.folderMade = l.parent.changed()
	if f.hasEpochs {
		if err := l.epochs.read(l.fs); err != nil && !errors.Is(err, errBadCheckpoint) {
			return err
		}
		l.epochs.truncateEnd(base)
		return l.epochs.save(l.fs)
	}
	return nil
}

// findEnd finds the log's end after a clean stop: from the last index entry on, header by header.
func (l *Log) findEnd(v *view) error {
	s := v.active()
	size := s.size.Load()
	v.leo = s.base
	if size == 0 {
		s.setEmpty()
		return nil
	}
	h, err := s.acquire()
	if err != nil {
		return err
	}
	defer h.unref()
	x, err := s.loadIndex(h)
	if err != nil {
		return err
	}
	var e offsetEntry
	if x.offsets > 0 {
		var ok bool
		if e, ok, err = s.floorOffset(h, x, func(offsetEntry) bool { return true }); err != nil || !ok {
			return errors.Join(errIndexDamaged, err)
		}
	}
	newest := timeEntry{timestamp: noTimestamp, rel: -1}
	if n := s.newest.Load(); n != nil {
		newest = *n
	}
	w := newWalker(h.log, int64(e.pos), size)
	defer w.close()
	for first := x.offsets > 0; w.next(); first = false {
		if first && w.header.LastOffset() != s.base+int64(e.rel) {
			return errIndexDamaged
		}
		if w.header.MaxTimestamp > newest.timestamp {
			newest = timeEntry{timestamp: w.header.MaxTimestamp, rel: int32(w.header.LastOffset() - s.base)}
		}
		v.leo = w.header.NextOffset()
		s.sinceIndex += int(w.size)
	}
	if w.err != nil {
		return w.err
	}
	s.newest.Store(&newest)
	return nil
}

// recover reads what lies behind the recovery point again: it cuts the log at the first batch that isn't good, and makes the
// indexes anew. It gives the offset from which on it read.
func (l *Log) recover(v *view, recoveryPoint int64, indexed []int64) (from int64, err error) {
	known := recoveryPoint >= 0
	recoveryPoint = max(recoveryPoint, v.segments[0].base)
	from = -1
	for i := 0; i < len(v.segments); i++ {
		s := v.segments[i]
		last := i == len(v.segments)-1
		if !last && v.segments[i+1].base <= recoveryPoint {
			continue
		}
		var next, first int64
		var cut bool
		if s.size.Load() == 0 && !slices.Contains(indexed, s.base) {
			next, first = s.base, s.base // as it was made: there is nothing to read and nothing to mend
			s.setEmpty()
		} else if next, first, cut, err = l.recoverSegment(s, recoveryPoint); err != nil {
			return 0, err
		}
		if from < 0 {
			from = first
		}
		v.leo = next
		if last {
			break
		}
		// What was compacted may have gaps between its segments, which count only where somebody says where the log was durable; and
		// a segment begins behind a gap that its predecessor's offsets can't reach over.
		gap := next != v.segments[i+1].base && (known || !l.cfg.Load().Compact) && v.segments[i+1].base-s.base <= maxRelativeOffset
		if !cut && !gap {
			continue
		}
		l.logger.Warn("dropping segments behind a cut or missing end", "partition", l.name, "end", next, "segments", len(v.segments)-i-1,
			"first", v.segments[i+1].base)
		for _, lost := range slices.Backward(v.segments[i+1:]) { // a crash in between leaves no hole
			if err := l.removeFiles(lost); err != nil {
				return 0, err
			}
		}
		v.segments = v.segments[:i+1]
		if err := l.syncRemovals(); err != nil {
			return 0, err
		}
	}
	// Nobody knows what an earlier life synced.
	l.dirUnsynced, l.folderMade = true, l.parent.changed()
	return from, nil
}

func (l *Log) removeFiles(s *segment) error {
	s.gone.Store(true)
	s.release()
	for _, suffix := range []string{suffixLog, suffixIndex, suffixTimes, suffixTxns} {
		if err := l.fs.Remove(s.path(suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// recoverSegment verifies a segment's batches from the recovery point on, or from the beginning where the indexes can't say
// where that is. first is the offset that it began at, next the one behind the last good batch; cut says that bytes were cut off.
func (l *Log) recoverSegment(s *segment, recoveryPoint int64) (next, first int64, cut bool, err error) {
	h, err := s.acquire()
	if err != nil {
		return 0, 0, false, err
	}
	defer h.unref()
	size := s.size.Load()
	b := indexBuilder{interval: l.cfg.Load().IndexIntervalBytes, base: s.base, newest: timeEntry{timestamp: noTimestamp, rel: -1}}
	from, lastTrusted := l.trustedStart(s, h, size, recoveryPoint, &b)
	next, first = s.base, s.base
	if lastTrusted >= 0 {
		next, first = lastTrusted, lastTrusted
	}

	buf := make([]byte, min(recoverBuffer, max(size-from, 1)))
	w := newWalker(h.log, from, size)
	defer w.close()
	for w.next() {
		bad := error(nil)
		switch ok, err := w.validCRC(buf); {
		case err != nil && !errors.Is(err, errShortRead):
			return 0, 0, false, err
		case !ok:
			bad = fmt.Errorf("%w: wrong checksum", errInvalidBatch)
		case w.header.BaseOffset < next:
			bad = fmt.Errorf("%w: offset %d after %d", errInvalidBatch, w.header.BaseOffset, next-1)
		case w.header.LastOffset()-s.base > maxRelativeOffset:
			bad = fmt.Errorf("%w: offset %d is too far from the segment's base", errInvalidBatch, w.header.LastOffset())
		}
		if bad != nil {
			w.err = bad
			break
		}
		b.add(w.header.LastOffset(), w.header.MaxTimestamp, int32(w.pos), w.header.Size())
		next = w.header.NextOffset()
	}
	if err := w.err; err != nil && !notABatch(err) {
		return 0, 0, false, err
	}
	if w.err != nil {
		cut = true
		l.logger.Warn("cutting off the end of a log at its last good batch", "partition", l.name, "segment", s.base, "position", w.pos,
			"offset", next, "bytes", size-w.pos, "cause", w.err)
		if err := truncateDurably(h.log, w.pos); err != nil {
			return 0, 0, false, err
		}
		size = w.pos
		s.size.Store(size)
	}
	s.dirty.Store(true) // it may be in the system's memory only
	s.newest.Store(&b.newest)
	s.sinceIndex = b.sinceIndex
	b.seal()
	x := b.index()
	if err := s.writeIndexes(x); err != nil {
		return 0, 0, false, err
	}
	s.forgetIndexFiles()
	s.index.Store(x.written())
	return next, first, cut, nil
}

const maxRelativeOffset = 1<<31 - 1

// trustedStart finds where in a segment recovery begins: at the last indexed batch below the recovery point, if the indexes are
// whole and that batch is where they say. What the indexes say up to there goes into b. lastTrusted is that batch's base offset, -1
// where recovery begins at the segment's beginning.
func (l *Log) trustedStart(s *segment, h *handle, size, recoveryPoint int64, b *indexBuilder) (from, lastTrusted int64) {
	if recoveryPoint <= s.base || size == 0 {
		return 0, -1
	}
	offsets, times, err := s.readIndexes(size)
	if err != nil {
		return 0, -1
	}
	n := len(offsets)
	for n > 0 && s.base+int64(offsets[n-1].rel) >= recoveryPoint {
		n--
	}
	if n == 0 {
		return 0, -1
	}
	e := offsets[n-1]
	w := newWalker(h.log, int64(e.pos), size)
	defer w.close()
	if !w.next() || w.header.LastOffset() != s.base+int64(e.rel) {
		return 0, -1
	}
	m := len(times)
	for m > 0 && times[m-1].rel >= e.rel {
		m--
	}
	b.offsets, b.times = offsets[:n-1], times[:m]
	if m > 0 {
		b.newest = times[m-1]
	}
	// The batch at e is added again by the walk, with its index entry.
	b.sinceIndex = b.interval + 1
	return int64(e.pos), w.header.BaseOffset
}

// loadEpochs reads the leader epoch checkpoint, and from the batches what is newer than from, or all where the file can't be
// used.
func (l *Log) loadEpochs(has bool, from int64) error {
	v := l.view.Load()
	err := fs.ErrNotExist
	if has {
		err = l.epochs.read(l.fs)
	}
	if err == nil && len(l.epochs.load()) == 0 && v.leo > v.segments[0].base {
		err = fmt.Errorf("%w: no entries", errBadCheckpoint)
	}
	if err != nil {
		if !errors.Is(err, errBadCheckpoint) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errFileTooLarge) {
			return err
		}
		if v.leo == v.segments[0].base {
			return nil
		}
		// Of a log of which nothing was durable yet the file wasn't either.
		if !errors.Is(err, fs.ErrNotExist) || l.durable.Load() > v.segments[0].base {
			l.logger.Warn("rebuilding the leader epochs from the log", "partition", l.name, "cause", err)
		}
		l.epochs.set(nil)
		from = v.segments[0].base
	}
	l.epochs.truncateEnd(v.leo)
	l.epochs.truncateStart(v.start)
	if l.epochs.unsaved {
		// What is appended now mustn't find epochs of lost records in the file after the next crash.
		if err := l.epochs.save(l.fs); err != nil {
			return err
		}
		l.dirUnsynced = true
	}
	if from < 0 {
		return nil
	}
	return l.walk(v, from, func(w *walker) error {
		h := &w.header
		if h.LastOffset() >= v.start && h.LeaderEpoch > l.epochs.latest() {
			l.epochs.assign(h.LeaderEpoch, max(h.BaseOffset, v.start))
		}
		return nil
	})
}

// walk calls fn for each batch header from the one that holds from on. The walker's current batch is the header's.
func (l *Log) walk(v *view, from int64, fn func(w *walker) error) error {
	for i := v.floor(from); i < len(v.segments); i++ {
		if err := l.walkSegment(v, i, from, fn); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) walkSegment(v *view, i int, from int64, fn func(w *walker) error) error {
	s, size := v.segments[i], v.sizeOf(i)
	if size == 0 {
		return nil
	}
	h, err := s.acquire()
	if err != nil {
		return err
	}
	defer h.unref()
	pos, err := s.position(h, size, from)
	if err != nil {
		return err
	}
	w := newWalker(h.log, pos, size)
	defer w.close()
	for w.next() {
		if err := fn(&w); err != nil {
			return err
		}
	}
	return w.err
}
