package storage

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/kbroker/kbroker/storage/vfs"
)

// dataDir is one data directory.
type dataDir struct {
	path  string
	lock  io.Closer
	meta  metaProperties
	clean bool
	// The rest is the Manager's, under mu. The maps are what the checkpoint files say; they are replaced, not changed.
	recoveryPoints, logStarts, highWatermarks map[TopicPartition]int64
	stored                                    map[TopicPartition]TopicID
	logs                                      int

	folders *sharedSync
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
	d := &dataDir{path: p, lock: lock, stored: map[TopicPartition]TopicID{}, folders: newSharedSync(fsys, p)}
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
