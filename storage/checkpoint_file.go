package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/kbroker/kbroker/storage/vfs"
)

// The checkpoint files of a data folder, as Kafka names them.
const (
	recoveryPointFile = "recovery-point-offset-checkpoint"
	logStartFile      = "log-start-offset-checkpoint"
	highWatermarkFile = "replication-offset-checkpoint"
	cleanerOffsetFile = "cleaner-offset-checkpoint"
)

// maxCheckpointFile bounds an offset checkpoint file in bytes, maxCheckpointEntries its lines.
const (
	maxCheckpointFile    = 256 << 20
	maxCheckpointEntries = 4 << 20
)

// checkpointLines gives the entries of a checkpoint file: a line with the version 0, a line with their number, and a line each.
func checkpointLines(b []byte, limit int) ([][]byte, error) {
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%w: no end of line at the end", errBadCheckpoint)
	}
	lines := bytes.Split(b[:len(b)-1], []byte("\n"))
	if len(lines) < 2 || string(lines[0]) != "0" {
		return nil, fmt.Errorf("%w: unknown version", errBadCheckpoint)
	}
	n, err := strconv.Atoi(string(lines[1]))
	if err != nil || n != len(lines)-2 || n > limit {
		return nil, fmt.Errorf("%w: %d entries where %q are declared", errBadCheckpoint, len(lines)-2, lines[1])
	}
	return lines[2:], nil
}

// readOffsets reads an offset checkpoint file. A missing one is empty.
func readOffsets(fsys vfs.FS, path string) (map[TopicPartition]int64, error) {
	b, err := readFile(fsys, path, maxCheckpointFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[TopicPartition]int64{}, nil
	}
	if err != nil {
		return nil, err
	}
	lines, err := checkpointLines(b, maxCheckpointEntries)
	if err != nil {
		return nil, err
	}
	m := make(map[TopicPartition]int64, len(lines))
	for _, line := range lines {
		fields := strings.Split(string(line), " ")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%w: %q", errBadCheckpoint, line)
		}
		p, err1 := strconv.ParseInt(fields[1], 10, 32)
		offset, err2 := strconv.ParseInt(fields[2], 10, 64)
		if err1 != nil || err2 != nil || p < 0 || offset < 0 {
			return nil, fmt.Errorf("%w: %q", errBadCheckpoint, line)
		}
		m[TopicPartition{Topic: fields[0], Partition: int32(p)}] = offset
	}
	return m, nil
}

// writeOffsets replaces an offset checkpoint file, durably.
func writeOffsets(fsys vfs.FS, dir, name string, m map[TopicPartition]int64) error {
	keys := make([]TopicPartition, 0, len(m))
	for tp := range m {
		keys = append(keys, tp)
	}
	slices.SortFunc(keys, comparePartitions)
	b := fmt.Appendf(nil, "0\n%d\n", len(keys))
	for _, tp := range keys {
		b = fmt.Appendf(b, "%s %d %d\n", tp.Topic, tp.Partition, m[tp])
	}
	if err := writeFile(fsys, dir+"/"+name, b, true); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
