package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
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

	defaultRecoveryThreads = 2
	// closingAtOnce is how many logs are closed at once: each waits for its syncs, which file systems commit together.
	closingAtOnce = 16

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
	// RecoveryThreads is how many logs a stop closes at once, but some at least (num.recovery.threads.per.data.dir).
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
		if ml.err != nil {
			return nil, ml.err
		}
		if stored := ml.log.id; id != stored && id != (TopicID{}) && stored != (TopicID{}) {
			return nil, fmt.Errorf("%w: the open log's is %s, the topic's %s", ErrInconsistentTopicID, encodeUUID(stored), encodeUUID(id))
		}
		return ml.log, nil
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
		parent:               d.folders,
		storedID:             d.stored[tp],
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
	g.SetLimit(max(m.cfg.RecoveryThreads, closingAtOnce))
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
