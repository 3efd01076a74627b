package storage

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/kbroker/kbroker/storage/vfs"
)

// checkTopicID compares partition.metadata with the topic's id, and writes it where it is missing. known is what it says, zero where that
// has to be read.
func (l *Log) checkTopicID(id, known TopicID, has bool) error {
	if has && known != (TopicID{}) && (id == known || id == (TopicID{})) {
		return nil
	}
	if has {
		stored, err := readTopicID(l.fs, l.dir)
		if err == nil && (id == TopicID{} || stored == id) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("%w: the folder's is %s, the topic's %s", ErrInconsistentTopicID, encodeUUID(stored), encodeUUID(id))
		}
		if !errors.Is(err, errBadCheckpoint) {
			return err
		}
		l.logger.Warn("partition.metadata is damaged; writing it anew", "partition", l.name, "cause", err)
	}
	if id == (TopicID{}) {
		return nil
	}
	l.dirUnsynced = true
	// Written in place: a torn one is no id, and is written anew as a missing one is.
	f, err := l.fs.Open(l.dir+"/"+partitionMetadataFile, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "version: 0\ntopic_id: %s", encodeUUID(id)), 0)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// readTopicID reads partition.metadata.
func readTopicID(fsys vfs.FS, dir string) (TopicID, error) {
	b, err := readFile(fsys, dir+"/"+partitionMetadataFile, 4096)
	if err != nil {
		if errors.Is(err, errFileTooLarge) {
			err = fmt.Errorf("%w: %w", errBadCheckpoint, err)
		}
		return TopicID{}, err
	}
	version, rest, _ := strings.Cut(strings.TrimRight(string(b), "\n"), "\n")
	text, ok := strings.CutPrefix(rest, "topic_id: ")
	if version != "version: 0" || !ok {
		return TopicID{}, fmt.Errorf("%w: %q", errBadCheckpoint, b)
	}
	return decodeUUID(text)
}

func encodeUUID(id TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func decodeUUID(s string) (id TopicID, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: %q is no id", errBadCheckpoint, s)
	}
	copy(id[:], b)
	return id, nil
}
