package cluster

import (
	"errors"

	"github.com/kbroker/kbroker/storage"
)

// Errors of partitions and of the controller.
var (
	ErrUnknownTopicOrPartition      = errors.New("unknown topic or partition")
	ErrNotLeader                    = errors.New("not the leader of the partition")
	ErrFencedLeaderEpoch            = errors.New("fenced leader epoch")
	ErrUnknownLeaderEpoch           = errors.New("unknown leader epoch")
	ErrNotEnoughReplicas            = errors.New("not enough in-sync replicas")
	ErrNotEnoughReplicasAfterAppend = errors.New("not enough in-sync replicas after the append")
	ErrShuttingDown                 = errors.New("the broker is shutting down")
)

// Isolation is a reader's isolation level, with Kafka's numbers.
type Isolation int8

const (
	ReadUncommitted Isolation = 0
	ReadCommitted   Isolation = 1
)

// AppendRequest is one batch to be appended by the partition's leader.
type AppendRequest struct {
	// Records is exactly one batch. Its base offset and leader epoch are overwritten in place; no byte is kept after the call.
	Records []byte
	Acks    int16 // -1, 0 or 1
	Origin  storage.Origin
	// AllowZstd is false for produce versions below 7.
	AllowZstd bool
}

// ReadRequest asks for records of a partition.
type ReadRequest struct {
	Offset   int64
	MaxBytes int64
	// AtLeastOne returns the first batch even if it is larger than MaxBytes.
	AtLeastOne         bool
	Isolation          Isolation
	CurrentLeaderEpoch int32 // negative: not checked
	LastFetchedEpoch   int32 // negative: not checked
	// ToLogEnd reads to the log's end and from any replica (replica id -2, a debugging consumer).
	ToLogEnd bool
}

// ReadResult is what a read of a partition found. The offsets are one consistent view: records never reach beyond them.
type ReadResult struct {
	Records                                         storage.Records
	HighWatermark, LastStableOffset, LogStartOffset int64
	// Aborted lists, for ReadCommitted, the aborted transactions that overlap the records (never nil then).
	Aborted []storage.AbortedTxn
	// Diverging is set where LastFetchedEpoch and Offset don't belong to this log's history.
	Diverging *storage.EpochEnd
	// OlderSegment says that Offset lies in a segment before the one that holds the readable end: such a fetch answers at once (FETCH-10).
	OlderSegment bool
	// EndSegment is the base offset of the segment that holds the readable end: who waits there looks again when it moves.
	EndSegment int64
}

// Watcher is told when a partition may have more for a reader. Wake is called without locks held, must be quick and
// must not block; calls may be spurious. more is by how many bytes the readable end moved, 0 where something else
// happened (error, deletion, leadership, log start): then the partition has to be looked at.
type Watcher interface{ Wake(more int64) }
