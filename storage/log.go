package storage

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"os"
	"path"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/kbroker/kbroker/storage/vfs"
)

// Log is the log of one partition. See the package comment for who may call what when.
type Log struct {
	fs     vfs.FS
	dir    string
	tp     TopicPartition
	id     TopicID // the topic's, zero where it has none
	name   string  // of tp, for messages
	logger *slog.Logger
	files  *fileCache
	// saveLogStart makes a moved log start durable; nil where nobody keeps it.
	saveLogStart func(offset int64) error
	// saveRecoveryPoint makes a recovery point durable that went down.
	saveRecoveryPoint func(offset int64) error

	cfg       atomic.Pointer[LogConfig]
	view      atomic.Pointer[view]
	epochs    leaderEpochs
	durable   atomic.Int64
	failure   atomic.Pointer[error]
	highWater atomic.Int64
	// hasAborted says that some segment has a transaction index.
	hasAborted atomic.Bool
	// shutDown says that no file is opened any more.
	shutDown atomic.Bool
	// clean says that the log was closed and all of it is durable.
	clean atomic.Bool

	// syncMu orders syncs and truncations; it is taken before mu and held across the sync itself.
	syncMu sync.Mutex
	// mu is the append side.
	mu     sync.Mutex
	closed bool
	// nowMillis is the newest time that the log was told.
	nowMillis int64
	producers producerState
	// dirUnsynced says that files came or went since the folder was synced, and folderMade, where it isn't 0, that the folder
	// itself may be new, which parent makes durable.
	dirUnsynced bool
	folderMade  int64
	parent      *sharedSync
	// views, newests and indexes are where the appender takes from what it publishes.
	views   slab[view]
	newests slab[timeEntry]
	indexes slab[segmentIndex]
	// unflushed counts the records since the last sync.
	unflushed int64
	// doomed are segments whose files wait for their removal.
	doomed []doomedSegment
}

type doomedSegment struct {
	handle    *handle  // its files where they were open, as readers may still hold them
	files     []string // as they are named now
	dueMillis int64
}

// view is what readers see: replaced as a whole, never changed.
type view struct {
	segments []*segment // by base offset, never empty; the last one is active
	start    int64      // log start offset
	leo      int64      // log end offset
	size     int64      // bytes of the active segment
	closed   int64      // bytes of all other segments
}

func (v *view) active() *segment { return v.segments[len(v.segments)-1] }

// sizeOf is how many bytes segment i has in this view.
func (v *view) sizeOf(i int) int64 {
	if i == len(v.segments)-1 {
		return v.size
	}
	return v.segments[i].size.Load()
}

// endOf is the offset after segment i.
func (v *view) endOf(i int) int64 {
	if i == len(v.segments)-1 {
		return v.leo
	}
	return v.segments[i+1].base
}

// floor is the segment that holds offset, or the first one.
func (v *view) floor(offset int64) int {
	n := len(v.segments)
	if v.segments[n-1].base <= offset {
		return n - 1
	}
	return max(sort.Search(n, func(i int) bool { return v.segments[i].base > offset })-1, 0)
}

// TopicID is a topic's id; the zero value is none.
type TopicID = [16]byte

// OpenOptions say how a log is opened.
type OpenOptions struct {
	NowMillis int64
	// CleanShutdown says that the log was closed before: then nothing but checkpoints is read.
	CleanShutdown bool
	// RecoveryPoint is the offset up to which the log was durable, LogStart where it began; -1 is unknown.
	RecoveryPoint, LogStart int64
	// ProducerExpiryMillis is producer.id.expiration.ms, 0 the default; MaxProducers bounds the producer ids, 0 is the default.
	ProducerExpiryMillis int64
	MaxProducers         int
	// SaveLogStart makes a new log start offset durable before AdvanceLogStart returns. It may be nil.
	SaveLogStart func(offset int64) error
	// SaveRecoveryPoint makes the recovery point durable before a truncation below it. It may be nil where each open is told 0.
	SaveRecoveryPoint func(offset int64) error
	Logger            *slog.Logger

	files *fileCache
	// parent syncs the folder that dir is in, for all logs there.
	parent *sharedSync
	// storedID is what partition.metadata says, zero where the caller doesn't know.
	storedID TopicID
}

const (
	// DefaultProducerExpiryMillis is producer.id.expiration.ms's default.
	DefaultProducerExpiryMillis = 24 * 3600 * 1000
	// DefaultMaxProducers bounds the producer ids of one log (some 200 bytes each).
	DefaultMaxProducers = 100_000
)

// Err is the first I/O error; the log has stopped for good where it isn't nil. Reads go on.
func (l *Log) Err() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail stops the log with its first error and gives the error to return. A spent memory budget stops nothing.
func (l *Log) fail(op string, err error) error {
	if errors.Is(err, vfs.ErrBudget) {
		return fmt.Errorf("%w: %s: %w", ErrMemoryBudget, op, err)
	}
	wrapped := fmt.Errorf("%w: %v: %s: %w", ErrStorage, l.tp, op, err)
	if l.failure.CompareAndSwap(nil, &wrapped) {
		l.logger.Error("a log has stopped after an I/O error; restart the broker once the cause is mended",
			"partition", l.tp.String(), "dir", l.dir, "op", op, "err", err)
	}
	return wrapped
}

// writable says whether anything may be changed. The append side's.
func (l *Log) writable() error {
	if l.closed {
		return ErrClosed
	}
	return l.Err()
}

// Dir is the partition's folder.
func (l *Log) Dir() string { return l.dir }

// Partition is the partition whose log this is.
func (l *Log) Partition() TopicPartition { return l.tp }

// Config is the configuration as it is now.
func (l *Log) Config() LogConfig { return *l.cfg.Load() }

// SetConfig replaces the configuration; it holds from the next append, read or retention on.
func (l *Log) SetConfig(cfg LogConfig) { l.cfg.Store(&cfg) }

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.view.Load().start }

// LogEndOffset is the offset that the next record gets.
func (l *Log) LogEndOffset() int64 { return l.view.Load().leo }

// DurableEndOffset is the offset up to which a sync has covered the log.
func (l *Log) DurableEndOffset() int64 { return l.durable.Load() }

// Size is how many bytes the log's batches have.
func (l *Log) Size() int64 {
	v := l.view.Load()
	return v.closed + v.size
}

// SegmentBaseOf is the base offset of the segment that holds offset (FETCH-10).
func (l *Log) SegmentBaseOf(offset int64) int64 {
	v := l.view.Load()
	return v.segments[v.floor(offset)].base
}

// FirstUnstableOffset is where the first transaction begins that is open, or whose marker isn't below the high watermark yet.
func (l *Log) FirstUnstableOffset() (int64, bool) {
	first := l.producers.firstUnstable.Load()
	if first < 0 {
		return 0, false
	}
	return max(first, l.LogStartOffset()), true
}

// SetHighWatermark tells the log how far it is replicated: transactions whose markers are below no longer hold the last stable
// offset back (TXN-22). The value goes to the high watermark checkpoint too.
func (l *Log) SetHighWatermark(offset int64) {
	l.highWater.Store(offset)
	if !l.producers.hasUnstable.Load() {
		return
	}
	l.mu.Lock()
	l.producers.replicatedTo(offset)
	l.mu.Unlock()
}

// HighWatermark is what SetHighWatermark was given last.
func (l *Log) HighWatermark() int64 { return l.highWater.Load() }

// LatestEpoch is the newest leader epoch, -1 where there is none.
func (l *Log) LatestEpoch() int32 { return l.epochs.latest() }

// EpochOf is the leader epoch of the record at offset, the newest for the log's end, -1 where it is unknown.
func (l *Log) EpochOf(offset int64) int32 { return l.epochs.of(offset) }

// EndOffsetForEpoch gives the largest epoch that isn't above e, and where it ends (LOFF-13, LOFF-14).
func (l *Log) EndOffsetForEpoch(e int32) EpochEnd { return l.epochs.endOffset(e, l.LogEndOffset()) }

// AssignEpoch notes that the records from the log's end on have that leader epoch. A leader calls it when it becomes one. It
// writes nothing: the checkpoint is written and made durable before the recovery point passes the first record of that epoch.
func (l *Log) AssignEpoch(epoch int32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	l.epochs.assignIdle(epoch, l.view.Load().leo)
	return nil
}

// Producers lists the producers that the log remembers, by id.
func (l *Log) Producers() []ProducerInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.producers.list()
}

// ExpireProducers forgets producers that were silent for producer.id.expiration.ms (IDEM-11).
func (l *Log) ExpireProducers(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.expire(now)
}

// HasOngoingTransaction says whether the producer has an open transaction of that epoch here.
func (l *Log) HasOngoingTransaction(producerID int64, epoch int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.producers.producers[producerID]
	return p != nil && p.epoch == epoch && p.txnFirstOffset >= 0
}

// jitter spreads the rolls of logs that were made together: below segment.jitter.ms, and the same for a segment always.
func (l *Log) jitter(base, limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%v/%d", l.tp, base) // a hash takes all
	return int64(h.Sum64()>>1) % limit
}

// rollDue says whether the active segment has to be closed before size bytes up to lastOffset with that timestamp (Kafka's
// LogSegment.shouldRoll; LOG-05, LOG-07).
func (l *Log) rollDue(v *view, cfg *LogConfig, now, timestamp, lastOffset int64, size int) bool {
	s := v.active()
	if lastOffset-s.base > math.MaxInt32 {
		return true
	}
	if v.size == 0 {
		return false
	}
	if v.size+int64(size) > int64(cfg.SegmentBytes) {
		return true
	}
	if x := s.index.Load(); x != nil {
		if x.numOffsets() >= cfg.SegmentIndexBytes/offsetEntrySize || x.numTimes() >= cfg.SegmentIndexBytes/timeEntrySize-1 {
			return true
		}
	}
	return l.age(s, now, timestamp) > cfg.SegmentMillis-l.jitter(s.base, min(cfg.SegmentJitterMillis, cfg.SegmentMillis))
}

// age is how old a segment is for the roll by time: by the timestamps of its first batch and of the new one, or by the clock
// where batches have none.
func (l *Log) age(s *segment, now, timestamp int64) int64 {
	if s.firstMillis == noTimestamp {
		s.readFirstMillis()
	}
	if s.firstMillis >= 0 && timestamp >= 0 {
		return timestamp - s.firstMillis
	}
	return now - s.createdMillis
}

// readFirstMillis reads the timestamp by which the segment's age counts from its first batch.
func (s *segment) readFirstMillis() {
	h, err := s.acquire()
	if err != nil {
		return // the roll by time waits; a lasting error will stop the append itself
	}
	defer h.unref()
	w := newWalker(h.log, 0, s.size.Load())
	defer w.close()
	if w.next() {
		s.firstMillis = w.header.MaxTimestamp
	}
}

// roll closes the active segment and begins a new one at base, which is the log's end but where that is too far from the next batch. On
// an error nothing has changed. The append side's.
func (l *Log) roll(now, base int64) error {
	v := l.view.Load()
	old := v.active()
	if v.size == 0 && old.base == base {
		return nil
	}
	if _, err := l.indexOf(old); err != nil {
		return l.fail("closing a segment", err)
	}
	if err := old.flushIndexes(true); err != nil {
		return l.fail("closing a segment", err)
	}
	if err := old.flushTxns(); err != nil {
		return l.fail("closing a segment", err)
	}
	if err := l.saveSnapshot(); err != nil {
		return l.fail("writing a producer snapshot", err)
	}
	s, err := l.createSegment(base, now)
	if err != nil {
		return l.fail("creating a segment", err)
	}
	segments := make([]*segment, len(v.segments)+1)
	copy(segments, v.segments)
	segments[len(v.segments)] = s
	l.view.Store(&view{segments: segments, start: v.start, leo: v.leo, size: 0, closed: v.closed + v.size})
	return nil
}

// createSegment makes an empty segment with its .log file. The append side's.
func (l *Log) createSegment(base, now int64) (*segment, error) {
	s := newSegment(l, base)
	s.createdMillis = now
	s.setEmpty()
	if _, err := s.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC); err != nil {
		return nil, err
	}
	l.dirUnsynced = true
	return s, nil
}

// setEmpty says that the segment has no batch and no index entry.
func (s *segment) setEmpty() {
	s.index.Store(&segmentIndex{lastTime: noTimestamp})
	s.newest.Store(&timeEntry{timestamp: noTimestamp, rel: -1})
}

// indexOf loads a segment's index.
func (l *Log) indexOf(s *segment) (*segmentIndex, error) {
	if x := s.index.Load(); x != nil {
		return x, nil
	}
	h, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer h.unref()
	return s.loadIndex(h)
}

// Sync makes everything durable that was in the log when it began. It is one fsync in most cases, two where files came or went.
func (l *Log) Sync() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	return l.sync(true)
}

// SyncClosed makes the closed segments durable, as Kafka flushes a segment behind a roll.
func (l *Log) SyncClosed() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	return l.sync(false)
}

// sync syncs all, or all but the active segment. The caller holds syncMu.
func (l *Log) sync(all bool) error {
	l.mu.Lock()
	if err := l.writable(); err != nil {
		l.mu.Unlock()
		return err
	}
	v := l.view.Load()
	segments, end := v.segments, v.leo
	if !all {
		segments, end = segments[:len(segments)-1], v.active().base
	}
	// A log without a durable batch needs no folder either: it is made again.
	if l.durable.Load() >= end && !l.epochs.owed() && (end == 0 || !l.dirUnsynced && l.folderMade == 0) {
		l.mu.Unlock()
		return nil
	}
	var dirty []*segment
	for _, s := range segments {
		if s.dirty.Swap(false) {
			dirty = append(dirty, s)
		}
	}
	dir, folderMade := l.dirUnsynced, l.folderMade
	err := l.syncSmallFiles(segments, &dir)
	l.dirUnsynced, l.folderMade = false, 0
	l.unflushed = 0
	l.mu.Unlock()

	if err == nil && folderMade > 0 {
		err = l.parent.sync(folderMade)
	}
	if err == nil && dir {
		err = l.fs.SyncDir(l.dir)
	}
	for _, s := range dirty {
		if err != nil {
			break
		}
		err = s.sync()
	}
	if err != nil {
		return l.fail("syncing", err)
	}
	l.durable.Store(max(l.durable.Load(), end))
	return nil
}

// syncSmallFiles makes leader epochs and transaction indexes durable where they changed: the recovery point must not pass
// what they say. The append side's.
func (l *Log) syncSmallFiles(segments []*segment, dir *bool) error {
	if l.epochs.owed() {
		if err := l.epochs.sync(l.fs); err != nil {
			return err
		}
		*dir = true
	}
	for _, s := range segments {
		if err := s.flushTxns(); err != nil {
			return err
		}
		if s.txnsUnsynced {
			if err := syncFile(l.fs, s.path(suffixTxns)); err != nil {
				return err
			}
			s.txnsUnsynced = false
			*dir = true
		}
	}
	return nil
}

func (s *segment) sync() error {
	h, err := s.acquire()
	if err != nil {
		if s.gone.Load() {
			return nil
		}
		return err
	}
	defer h.unref()
	return h.log.Sync()
}

// Snapshot writes what is known of the producers, so that a start after a crash has less to read. It has effect only where
// the log is durable to its end.
func (l *Log) Snapshot() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if l.durable.Load() < l.view.Load().leo {
		return nil
	}
	if err := l.saveSnapshot(); err != nil {
		return l.fail("writing a producer snapshot", err)
	}
	return nil
}

// saveSnapshot writes a snapshot of the producers at the log's end. The append side's.
func (l *Log) saveSnapshot() error {
	segments := l.view.Load().segments
	return l.producers.save(l.fs, l.dir, func(offset int64) bool {
		_, ok := slices.BinarySearchFunc(segments, offset, func(s *segment, offset int64) int { return cmp.Compare(s.base, offset) })
		return ok
	})
}

// Close makes all durable, writes what a clean start reads, and closes the files once their readers are done. Closing again
// does nothing. A log that had stopped is closed too, with its first error.
func (l *Log) Close(now int64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	err := l.closeClean(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut()
	if err == nil {
		l.clean.Store(true)
	}
	return err
}

func (l *Log) closeClean(now int64) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	err := l.Err()
	if err == nil {
		v := l.view.Load()
		active := v.active()
		if err = active.flushIndexes(v.size > 0); err == nil {
			err = l.saveSnapshot()
		}
		if err != nil {
			err = l.fail("closing", err)
		}
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.sync(true)
}

// shut closes without writing. The append side's.
func (l *Log) shut() {
	l.closed = true
	l.shutDown.Store(true)
	for _, s := range l.view.Load().segments {
		s.release()
	}
}

// discard closes the log of a deleted partition.
func (l *Log) discard() {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut()
}

func parentOf(dir string) string { return path.Dir(dir) }
