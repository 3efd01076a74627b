package storage

import (
	"errors"
	"fmt"
	"maps"
)

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
