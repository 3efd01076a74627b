package storage

import (
	"strconv"
	"strings"
)

// The ends of a partition folder's file names; before them stands the offset with 20 digits.
const (
	suffixLog      = ".log"
	suffixIndex    = ".index"
	suffixTimes    = ".timeindex"
	suffixTxns     = ".txnindex"
	suffixSnapshot = ".snapshot"
	suffixDeleted  = ".deleted" // comes after one of the above: waits for its removal
	suffixCleaned  = ".cleaned" // an unfinished result of compaction
	suffixTemp     = ".tmp"

	leaderEpochFile       = "leader-epoch-checkpoint"
	partitionMetadataFile = "partition.metadata"

	offsetDigits = 20
)

// offsetFile is the name of the file of base with that end.
func offsetFile(base int64, suffix string) string {
	var buf [offsetDigits + len(suffixTimes)]byte
	b := buf[:0]
	digits := strconv.AppendInt(make([]byte, 0, offsetDigits), base, 10)
	for range offsetDigits - len(digits) {
		b = append(b, '0')
	}
	b = append(b, digits...)
	return string(append(b, suffix...))
}

// parseOffsetFile splits a name that offsetFile makes.
func parseOffsetFile(name string) (base int64, suffix string, ok bool) {
	if len(name) <= offsetDigits || name[offsetDigits] != '.' {
		return 0, "", false
	}
	base, err := strconv.ParseInt(name[:offsetDigits], 10, 64)
	if err != nil || base < 0 {
		return 0, "", false
	}
	return base, name[offsetDigits:], true
}

// partitionDir is the name of a partition's folder.
func partitionDir(tp TopicPartition) string {
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition))
}

// parsePartitionDir splits a name that partitionDir makes; topics may hold dashes themselves.
func parsePartitionDir(name string) (TopicPartition, bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || i == len(name)-1 {
		return TopicPartition{}, false
	}
	p, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || p < 0 || strconv.FormatInt(p, 10) != name[i+1:] {
		return TopicPartition{}, false
	}
	return TopicPartition{Topic: name[:i], Partition: int32(p)}, true
}

// String is the partition's name as Kafka prints it.
func (tp TopicPartition) String() string { return partitionDir(tp) }
