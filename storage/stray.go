package storage

import (
	"encoding/hex"
	"fmt"
)

// straySuffix ends the name of a folder that was set aside.
const straySuffix = "-stray"

// CleanStart says whether the last process closed all logs, or there were none: nothing that it acknowledged can be missing.
func (m *Manager) CleanStart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dirs {
		if !d.clean && d.logs > 0 {
			return false
		}
	}
	return true
}

// SetAside renames the folder of a stored partition that isn't open, so that it is neither opened nor deleted but its name is
// free, as Kafka does with a log that the metadata don't know.
func (m *Manager) SetAside(tp TopicPartition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs[tp] != nil {
		return fmt.Errorf("%v is open", tp)
	}
	for _, d := range m.dirs {
		if _, ok := d.stored[tp]; !ok {
			continue
		}
		id := newUUID()
		suffix := fmt.Sprintf("-%d.%s%s", tp.Partition, hex.EncodeToString(id[:]), straySuffix)
		const maxName = 255
		name := tp.Topic[:min(len(tp.Topic), maxName-len(suffix))] + suffix
		if err := m.cfg.FS.Rename(d.path+"/"+partitionDir(tp), d.path+"/"+name); err != nil {
			return fmt.Errorf("%w: setting %v aside: %w", ErrStorage, tp, err)
		}
		delete(d.stored, tp)
		delete(d.recoveryPoints, tp)
		delete(d.logStarts, tp)
		delete(d.highWatermarks, tp)
		d.logs--
		return m.cfg.FS.SyncDir(d.path)
	}
	return nil
}
