package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kbroker/kbroker/storage/vfs"
)

// Errors of a data directory.
var (
	ErrDirLocked      = errors.New("data directory is in use by another process")
	ErrForeignCluster = errors.New("data directory belongs to another cluster")
	ErrForeignNode    = errors.New("data directory belongs to another node")
)

const (
	lockFile          = ".lock"
	cleanShutdownFile = ".kafka_cleanshutdown"
	deleteSuffix      = "-delete"
	// metadataTopic is the controller's log, which is opened without the Manager and looks after itself.
	metadataTopic = "__cluster_metadata"

	defaultRecoveryThreads  = 2
	defaultMaxOpenFiles     = 1024
	defaultFileDeleteMillis = 60_000
)

// ManagerConfig is what a Manager needs.
type ManagerConfig struct {
	FS vfs.FS
	// Dirs are the data directories (log.dirs), at least one. They are made where they are missing.
	Dirs []string
	// ClusterID is the cluster's id; empty takes the one that the directories have, or none.
	ClusterID string
	NodeID    int32
	Logger    *slog.Logger
	// NowMillis is the clock.
	NowMillis func() int64
	// RecoveryThreads is how many logs OpenAll opens at once (num.recovery.threads.per.data.dir).
	RecoveryThreads int
	// MaxOpenFiles bounds the .log files that stay open though nobody uses them.
	MaxOpenFiles int
	// ProducerExpiryMillis is producer.id.expiration.ms, MaxProducers the bound of producer ids in one log; 0 is the default.
	ProducerExpiryMillis int64
	MaxProducers         int
}

// Manager owns the data directories and the logs in them. Its methods may be called from any goroutine; no lock of its own is held
// while a log is opened or closed.
type Manager struct {
	cfg   ManagerConfig
	files *fileCache
	dirs  []*dataDir

	// checkpointMu orders the writing of checkpoint files; it is taken before mu.
	checkpointMu sync.Mutex
	mu           sync.Mutex
	clusterID    string
	logs         map[TopicPartition]*managedLog
	deleted      []deletedDir
	closed       bool
}

type managedLog struct {
	dir *dataDir
	log *Log          // nil while it is being opened
	up  chan struct{} // closed once it is open or has failed to
	err error
}

type deletedDir struct {
	path      string
	dueMillis int64
}

// dataDir is one data directory.
type dataDir struct {
	path  string
	id    TopicID
	lock  io.Closer
	meta  metaProperties
	clean bool
	// The rest is the Manager's, under mu. The maps are what the checkpoint files say; they are replaced, not changed.
	recoveryPoints, logStarts, highWatermarks map[TopicPartition]int64
	stored                                    map[TopicPartition]TopicID
	logs                                      int
}

// StoredLog is a partition that a data directory holds.
type StoredLog struct {
	TP      TopicPartition
	TopicID TopicID // zero where the folder has none
	Dir     string  // the data directory
}

// OpenManager locks the data directories and reads what they hold, but opens no log. ErrDirLocked, ErrForeignCluster and ErrForeignNode
// name the directory; nothing stays locked then.
func OpenManager(ctx context.Context, cfg ManagerConfig) (*Manager, error) {
	if len(cfg.Dirs) == 0 {
		return nil, errors.New("no data directory")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.NowMillis == nil {
		cfg.NowMillis = func() int64 { return time.Now().UnixMilli() }
	}
	if cfg.RecoveryThreads <= 0 {
		cfg.RecoveryThreads = defaultRecoveryThreads
	}
	if cfg.MaxOpenFiles <= 0 {
		cfg.MaxOpenFiles = defaultMaxOpenFiles
	}
	m := &Manager{cfg: cfg, files: newFileCache(cfg.MaxOpenFiles), logs: map[TopicPartition]*managedLog{}, clusterID: cfg.ClusterID}
	for _, p := range cfg.Dirs {
		if err := ctx.Err(); err != nil {
			m.unlock()
			return nil, context.Cause(ctx)
		}
		d, err := m.openDir(path.Clean(p))
		if d != nil {
			m.dirs = append(m.dirs, d)
		}
		if err != nil {
			m.unlock()
			return nil, fmt.Errorf("data directory %s: %w", p, err)
		}
	}
	if err := m.settleIdentity(); err != nil {
		m.unlock()
		return nil, err
	}
	return m, nil
}

func (m *Manager) unlock() {
	for _, d := range m.dirs {
		if d.lock != nil {
			_ = d.lock.Close() // the lock goes with the process at the latest
			d.lock = nil
		}
	}
}

// openDir locks one data directory and reads its files. The result isn't nil once the lock is taken.
func (m *Manager) openDir(p string) (*dataDir, error) {
	fsys := m.cfg.FS
	if err := makeDurableDir(fsys, p); err != nil {
		return nil, err
	}
	lock, err := fsys.Lock(p + "/" + lockFile)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w: %w", ErrDirLocked, err)
	}
	if err != nil {
		return nil, err
	}
	d := &dataDir{path: p, lock: lock, stored: map[TopicPartition]TopicID{}}
	if d.meta, err = readMeta(fsys, p); err != nil {
		return d, err
	}
	if d.meta.nodeID >= 0 && d.meta.nodeID != m.cfg.NodeID {
		return d, fmt.Errorf("%w: it is node %d's, this is node %d", ErrForeignNode, d.meta.nodeID, m.cfg.NodeID)
	}
	if c := d.meta.clusterID; c != "" {
		if m.clusterID != "" && m.clusterID != c {
			return d, fmt.Errorf("%w: it is cluster %s's, this is cluster %s", ErrForeignCluster, c, m.clusterID)
		}
		m.clusterID = c
	}
	return d, m.readDir(d)
}

// makeDurableDir makes a directory and those above it that are missing, durably.
func makeDurableDir(fsys vfs.FS, p string) error {
	var made []string
	for at := p; ; at = parentOf(at) {
		if _, err := fsys.Stat(at); err == nil || at == parentOf(at) {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		made = append(made, at)
	}
	if err := fsys.MkdirAll(p); err != nil {
		return err
	}
	for _, at := range made {
		if err := fsys.SyncDir(parentOf(at)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) readDir(d *dataDir) error {
	fsys := m.cfg.FS
	entries, err := fsys.ReadDir(d.path)
	if err != nil {
		return err
	}
	present := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() {
			present[name] = true
			continue
		}
		if strings.HasSuffix(name, deleteSuffix) {
			if err := fsys.RemoveAll(d.path + "/" + name); err != nil {
				return err
			}
			continue
		}
		tp, ok := parsePartitionDir(name)
		if !ok {
			continue
		}
		id, err := readTopicID(fsys, d.path+"/"+name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBadCheckpoint) {
			return err
		}
		d.stored[tp] = id
	}
	d.logs = len(d.stored)
	for _, c := range []struct {
		name string
		to   *map[TopicPartition]int64
	}{{recoveryPointFile, &d.recoveryPoints}, {logStartFile, &d.logStarts}, {highWatermarkFile, &d.highWatermarks}} {
		*c.to = map[TopicPartition]int64{}
		if !present[c.name] {
			continue
		}
		offsets, err := readOffsets(fsys, d.path+"/"+c.name)
		if err != nil {
			if !errors.Is(err, errBadCheckpoint) && !errors.Is(err, errFileTooLarge) {
				return err
			}
			m.cfg.Logger.Warn("a checkpoint file is damaged; it is made anew", "file", d.path+"/"+c.name, "cause", err)
			continue
		}
		*c.to = offsets
	}
	if present[cleanShutdownFile] {
		d.clean = true
		// From now on a crash is a crash.
		if err := fsys.Remove(d.path + "/" + cleanShutdownFile); err != nil {
			return err
		}
		return fsys.SyncDir(d.path)
	}
	return nil
}

// settleIdentity writes meta.properties where it is missing or doesn't name the cluster yet.
func (m *Manager) settleIdentity() error {
	for _, d := range m.dirs {
		if d.meta.clusterID == "" && m.clusterID == "" {
			if d.meta.directoryID == (TopicID{}) {
				d.meta.directoryID = newUUID()
			}
			continue // written once the cluster has a name
		}
		if err := m.writeIdentity(d); err != nil {
			return fmt.Errorf("data directory %s: %w", d.path, err)
		}
	}
	return nil
}

func (m *Manager) writeIdentity(d *dataDir) error {
	want := metaProperties{clusterID: m.clusterID, nodeID: m.cfg.NodeID, directoryID: d.meta.directoryID}
	if want.directoryID == (TopicID{}) {
		want.directoryID = newUUID()
	}
	if want == d.meta {
		return nil
	}
	if err := writeMeta(m.cfg.FS, d.path, want); err != nil {
		return err
	}
	d.meta = want
	return nil
}

// newUUID makes a random id as Kafka's Uuid.randomUuid: version 4, and its text doesn't begin with a dash.
func newUUID() (id TopicID) {
	for {
		_, _ = rand.Read(id[:]) // it never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if encodeUUID(id)[0] != '-' {
			return id
		}
	}
}

// ClusterID is the cluster that the directories belong to; empty while they belong to none.
func (m *Manager) ClusterID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clusterID
}

// SetClusterID makes the directories the cluster's. ErrForeignCluster: they are another's.
func (m *Manager) SetClusterID(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clusterID != "" && m.clusterID != id {
		return fmt.Errorf("%w: it is cluster %s's, this is cluster %s", ErrForeignCluster, m.clusterID, id)
	}
	m.clusterID = id
	return m.settleIdentity()
}

// NodeID is this node's id.
func (m *Manager) NodeID() int32 { return m.cfg.NodeID }

// DirectoryIDs are the ids of the data directories by their paths.
func (m *Manager) DirectoryIDs() map[string]TopicID {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make(map[string]TopicID, len(m.dirs))
	for _, d := range m.dirs {
		ids[d.path] = d.meta.directoryID
	}
	return ids
}

// Existing lists the partitions that the directories held when they were opened.
func (m *Manager) Existing() []StoredLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	var logs []StoredLog
	for _, d := range m.dirs {
		for tp, id := range d.stored {
			logs = append(logs, StoredLog{TP: tp, TopicID: id, Dir: d.path})
		}
	}
	sortStored(logs)
	return logs
}

// CheckpointedHighWatermark is what the high watermark checkpoint says of a partition.
func (m *Manager) CheckpointedHighWatermark(tp TopicPartition) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dirs {
		if hw, ok := d.highWatermarks[tp]; ok {
			return hw, true
		}
	}
	return 0, false
}

// Open gives the log of a partition, opening it, or making it in the directory that has the fewest. Two callers of one partition get the
// same log; those of others don't wait.
func (m *Manager) Open(tp TopicPartition, id TopicID, cfg LogConfig) (*Log, error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	if ml := m.logs[tp]; ml != nil {
		m.mu.Unlock()
		<-ml.up
		if ml.err == nil && id != (TopicID{}) {
			ml.err = ml.log.checkTopicID(id, true)
		}
		return ml.log, ml.err
	}
	d := m.place(tp)
	_, had := d.stored[tp]
	ml := &managedLog{dir: d, up: make(chan struct{})}
	m.logs[tp] = ml
	if !had {
		d.logs++
	}
	o := OpenOptions{
		NowMillis:            m.cfg.NowMillis(),
		CleanShutdown:        d.clean,
		RecoveryPoint:        d.recoveryPoints[tp],
		LogStart:             d.logStarts[tp],
		ProducerExpiryMillis: m.cfg.ProducerExpiryMillis,
		MaxProducers:         m.cfg.MaxProducers,
		SaveLogStart:         func(offset int64) error { return m.saveLogStart(d, tp, offset) },
		SaveRecoveryPoint:    func(offset int64) error { return m.saveRecoveryPoint(d, tp, offset) },
		Logger:               m.cfg.Logger,
		files:                m.files,
	}
	if _, ok := d.recoveryPoints[tp]; !ok {
		o.RecoveryPoint = -1
	}
	if !had {
		o.CleanShutdown, o.RecoveryPoint, o.LogStart = false, 0, 0
	}
	m.mu.Unlock()

	var err error
	if !had {
		// An earlier partition of the name may have left its offsets.
		err = m.forget(d, tp)
	}
	var log *Log
	if err == nil {
		log, err = OpenLog(m.cfg.FS, d.path+"/"+partitionDir(tp), tp, id, cfg, o)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ml.log, ml.err = log, err
	if err != nil {
		delete(m.logs, tp)
		if !had {
			d.logs--
		}
	} else if !had {
		d.stored[tp] = id
	}
	close(ml.up)
	return log, err
}

// place is the directory that has the partition, or the one with the fewest.
func (m *Manager) place(tp TopicPartition) *dataDir {
	best := m.dirs[0]
	for _, d := range m.dirs {
		if _, ok := d.stored[tp]; ok {
			return d
		}
		if d.logs < best.logs {
			best = d
		}
	}
	return best
}

// OpenRequest is one log to be opened by OpenAll.
type OpenRequest struct {
	TP      TopicPartition
	TopicID TopicID
	Config  LogConfig
}

// OpenAll opens many logs, RecoveryThreads at once. The results are in the order of the requests, nil where the error says why; the
// error is the first one, and all are tried.
func (m *Manager) OpenAll(ctx context.Context, requests []OpenRequest) ([]*Log, []error) {
	logs, errs := make([]*Log, len(requests)), make([]error, len(requests))
	var g errgroup.Group
	g.SetLimit(m.cfg.RecoveryThreads)
	for i, r := range requests {
		g.Go(func() error {
			if ctx.Err() != nil {
				errs[i] = context.Cause(ctx)
				return nil
			}
			logs[i], errs[i] = m.Open(r.TP, r.TopicID, r.Config)
			return nil
		})
	}
	_ = g.Wait() // its functions give none
	return logs, errs
}

// Log gives an open log.
func (m *Manager) Log(tp TopicPartition) (*Log, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ml := m.logs[tp]
	if ml == nil || ml.log == nil {
		return nil, false
	}
	return ml.log, true
}

// Logs lists the open logs by partition.
func (m *Manager) Logs() []*Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.openLogs(nil)
}

// openLogs lists the open logs of one directory, or of all. The caller holds mu.
func (m *Manager) openLogs(d *dataDir) []*Log {
	logs := make([]*Log, 0, len(m.logs))
	for _, ml := range m.logs {
		if ml.log != nil && (d == nil || ml.dir == d) {
			logs = append(logs, ml.log)
		}
	}
	sortLogs(logs)
	return logs
}

// Delete closes a partition's log, open or only stored, and takes it out of sight; its files go after file.delete.delay.ms with
// RemoveDeleted, or at the next start. A partition that isn't there is no error.
func (m *Manager) Delete(tp TopicPartition) error {
	m.mu.Lock()
	ml := m.logs[tp]
	m.mu.Unlock()
	if ml != nil {
		<-ml.up
	}
	m.mu.Lock()
	if m.logs[tp] != ml {
		m.mu.Unlock()
		return m.Delete(tp)
	}
	delay := int64(defaultFileDeleteMillis)
	var d *dataDir
	if ml != nil && ml.log != nil {
		d = ml.dir
		delay = ml.log.cfg.Load().FileDeleteDelayMillis
	} else {
		for _, c := range m.dirs {
			if _, ok := c.stored[tp]; ok {
				d = c
			}
		}
	}
	if d == nil {
		m.mu.Unlock()
		return nil
	}
	delete(m.logs, tp)
	delete(d.stored, tp)
	d.logs--
	m.mu.Unlock()

	if ml != nil && ml.log != nil {
		ml.log.discard()
	}
	from := d.path + "/" + partitionDir(tp)
	to := d.path + "/" + deletedName(tp)
	if err := m.cfg.FS.Rename(from, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%w: deleting %v: %w", ErrStorage, tp, err)
	}
	m.mu.Lock()
	m.deleted = append(m.deleted, deletedDir{path: to, dueMillis: m.cfg.NowMillis() + delay})
	m.mu.Unlock()
	return nil
}

// deletedName is the folder name of a deleted partition, as Kafka's LocalLog.logDeleteDirName: at most 255 characters.
func deletedName(tp TopicPartition) string {
	id := newUUID()
	suffix := fmt.Sprintf("-%d.%s%s", tp.Partition, hex.EncodeToString(id[:]), deleteSuffix)
	const maxName = 255
	return tp.Topic[:min(len(tp.Topic), maxName-len(suffix))] + suffix
}

// RemoveDeleted removes the folders of deleted partitions and the files of deleted segments whose delay is over.
func (m *Manager) RemoveDeleted(now int64) error {
	m.mu.Lock()
	var due []deletedDir
	kept := m.deleted[:0]
	for _, d := range m.deleted {
		if now >= d.dueMillis {
			due = append(due, d)
		} else {
			kept = append(kept, d)
		}
	}
	m.deleted = kept
	m.mu.Unlock()
	var errs []error
	for _, d := range due {
		if err := m.cfg.FS.RemoveAll(d.path); err != nil {
			errs = append(errs, fmt.Errorf("removing a deleted partition: %w", err))
		}
	}
	for _, l := range m.Logs() {
		if err := l.RemoveDeleted(now); err != nil && l.Err() == nil && !errors.Is(err, ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Checkpoint makes the closed segments durable and writes recovery points, log starts and high watermarks. It is called from time
// to time; Close does it too.
func (m *Manager) Checkpoint() error {
	var errs []error
	for _, l := range m.Logs() {
		if l.Err() != nil {
			continue
		}
		err := l.SyncClosed()
		if err == nil {
			err = l.Snapshot()
		}
		if err != nil && !errors.Is(err, ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, m.writeCheckpoints())...)
}

func (m *Manager) writeCheckpoints() error {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	var errs []error
	for _, d := range m.dirs {
		if err := m.writeDirCheckpoints(d); err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrStorage, d.path, err))
		}
	}
	return errors.Join(errs...)
}

// checkpoint is what a checkpoint file is to say.
type checkpoint struct {
	file    string
	is      *map[TopicPartition]int64 // what it says now
	offsets map[TopicPartition]int64
}

// checkpoints gives what the three files of a directory should say. The caller holds mu.
func (m *Manager) checkpoints(d *dataDir) []checkpoint {
	stored := func(offsets map[TopicPartition]int64) map[TopicPartition]int64 {
		c := make(map[TopicPartition]int64, len(offsets)+1)
		for tp, offset := range offsets {
			if _, ok := d.stored[tp]; ok {
				c[tp] = offset
			}
		}
		return c
	}
	recovery, starts, high := stored(d.recoveryPoints), stored(d.logStarts), stored(d.highWatermarks)
	for _, l := range m.openLogs(d) {
		recovery[l.tp] = l.DurableEndOffset()
		high[l.tp] = l.HighWatermark()
		if v := l.view.Load(); v.start > v.segments[0].base {
			starts[l.tp] = v.start
		} else {
			delete(starts, l.tp)
		}
	}
	return []checkpoint{
		{recoveryPointFile, &d.recoveryPoints, recovery},
		{logStartFile, &d.logStarts, starts},
		{highWatermarkFile, &d.highWatermarks, high},
	}
}

// write writes the file if it doesn't say that already. The caller holds checkpointMu.
func (m *Manager) write(d *dataDir, c checkpoint) error {
	if maps.Equal(*c.is, c.offsets) { // checkpointMu keeps others from replacing it
		return nil
	}
	if err := writeOffsets(m.cfg.FS, d.path, c.file, c.offsets); err != nil {
		return err
	}
	m.mu.Lock()
	*c.is = c.offsets
	m.mu.Unlock()
	return nil
}

// writeDirCheckpoints writes the three files of a directory where they changed. The caller holds checkpointMu.
func (m *Manager) writeDirCheckpoints(d *dataDir) error {
	m.mu.Lock()
	files := m.checkpoints(d)
	m.mu.Unlock()
	for _, c := range files {
		if err := m.write(d, c); err != nil {
			return err
		}
	}
	return nil
}

// saveLogStart makes a moved log start durable.
func (m *Manager) saveLogStart(d *dataDir, tp TopicPartition, offset int64) error {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	m.mu.Lock()
	c := checkpoint{logStartFile, &d.logStarts, maps.Clone(d.logStarts)}
	m.mu.Unlock()
	c.offsets[tp] = max(c.offsets[tp], offset)
	return m.write(d, c)
}

// saveRecoveryPoint makes a recovery point durable that went down.
func (m *Manager) saveRecoveryPoint(d *dataDir, tp TopicPartition, offset int64) error {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	m.mu.Lock()
	c := checkpoint{recoveryPointFile, &d.recoveryPoints, maps.Clone(d.recoveryPoints)}
	m.mu.Unlock()
	if was, ok := c.offsets[tp]; !ok || was <= offset {
		return nil
	}
	c.offsets[tp] = offset
	return m.write(d, c)
}

// forget takes a partition out of the checkpoint files.
func (m *Manager) forget(d *dataDir, tp TopicPartition) error {
	m.checkpointMu.Lock()
	defer m.checkpointMu.Unlock()
	m.mu.Lock()
	files := []checkpoint{
		{recoveryPointFile, &d.recoveryPoints, nil},
		{logStartFile, &d.logStarts, nil},
		{highWatermarkFile, &d.highWatermarks, nil},
	}
	var stale []checkpoint
	for _, c := range files {
		if _, ok := (*c.is)[tp]; ok {
			c.offsets = maps.Clone(*c.is)
			delete(c.offsets, tp)
			stale = append(stale, c)
		}
	}
	m.mu.Unlock()
	for _, c := range stale {
		if err := m.write(d, c); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	return nil
}

// Close closes all logs, writes the checkpoints, and the clean-shutdown mark in each directory whose logs all closed well, and gives the
// locks back. The first error of each kind is told; a log that had stopped is told too.
func (m *Manager) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	logs := m.openLogs(nil)
	pending := make([]*managedLog, 0)
	for _, ml := range m.logs {
		if ml.log == nil {
			pending = append(pending, ml)
		}
	}
	m.mu.Unlock()
	for _, ml := range pending {
		<-ml.up
		if ml.log != nil {
			logs = append(logs, ml.log)
		}
	}
	var g errgroup.Group
	g.SetLimit(m.cfg.RecoveryThreads)
	errs := make([]error, len(logs))
	for i, l := range logs {
		g.Go(func() error {
			errs[i] = l.Close(m.cfg.NowMillis())
			return nil
		})
	}
	_ = g.Wait() // its functions give none
	err := errors.Join(append(errs, m.writeCheckpoints())...)
	for _, d := range m.dirs {
		if err == nil {
			err = m.markClean(d)
		}
	}
	m.unlock()
	return err
}

// markClean writes the clean-shutdown mark, as Kafka's CleanShutdownFileHandler, if nothing in the directory was left half done.
func (m *Manager) markClean(d *dataDir) error {
	m.mu.Lock()
	unopened := false
	for tp := range d.stored {
		if m.logs[tp] == nil && !d.clean && tp.Topic != metadataTopic {
			unopened = true // it still waits for its recovery
		}
	}
	logs := m.openLogs(d)
	m.mu.Unlock()
	for _, l := range logs {
		if !l.clean.Load() {
			return nil
		}
	}
	if unopened {
		return nil
	}
	if err := writeFile(m.cfg.FS, d.path+"/"+cleanShutdownFile, []byte(`{"version":0,"brokerEpoch":-1}`), true); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrStorage, d.path, err)
	}
	return m.cfg.FS.SyncDir(d.path)
}
