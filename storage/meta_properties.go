package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/kbroker/kbroker/storage/vfs"
)

const metaFile = "meta.properties"

// metaProperties is what meta.properties says of a data directory (Kafka's version 1).
type metaProperties struct {
	clusterID   string
	nodeID      int32 // -1: none
	directoryID TopicID
}

// readMeta reads a directory's meta.properties; a missing one says nothing.
func readMeta(fsys vfs.FS, dir string) (metaProperties, error) {
	meta := metaProperties{nodeID: -1}
	b, err := readFile(fsys, dir+"/"+metaFile, 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return meta, nil
	}
	if err != nil {
		return meta, err
	}
	version := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		value = strings.ReplaceAll(strings.TrimSpace(value), `\`, "")
		switch strings.TrimSpace(key) {
		case "version":
			version = value
		case "cluster.id":
			meta.clusterID = value
		case "node.id", "broker.id":
			id, err := strconv.ParseInt(value, 10, 32)
			if err != nil || id < 0 {
				return meta, fmt.Errorf("%s: node.id %q is no node id", metaFile, value)
			}
			meta.nodeID = int32(id)
		case "directory.id":
			if meta.directoryID, err = decodeUUID(value); err != nil {
				return meta, fmt.Errorf("%s: %w", metaFile, err)
			}
		}
	}
	if version != "1" && version != "0" {
		return meta, fmt.Errorf("%s: unknown version %q", metaFile, version)
	}
	return meta, nil
}

// writeMeta replaces a directory's meta.properties, durably.
func writeMeta(fsys vfs.FS, dir string, meta metaProperties) error {
	b := fmt.Appendf(nil, "#\n#\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=1\n", meta.clusterID, encodeUUID(meta.directoryID), meta.nodeID)
	if err := writeFile(fsys, dir+"/"+metaFile, b, true); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

func sortStored(logs []StoredLog) {
	slices.SortFunc(logs, func(a, b StoredLog) int { return comparePartitions(a.TP, b.TP) })
}

func sortLogs(logs []*Log) {
	slices.SortFunc(logs, func(a, b *Log) int { return comparePartitions(a.tp, b.tp) })
}

func comparePartitions(a, b TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}
