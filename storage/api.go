package storage

import (
	"errors"

	"github.com/kbroker/kbroker/storage/vfs"
)

// Errors of a log. They are sentinels: wrapped with detail, tested with errors.Is.
var (
	ErrOffsetOutOfRange     = errors.New("offset out of range")
	ErrCorruptMessage       = errors.New("corrupt message")
	ErrInvalidRecord        = errors.New("invalid record")
	ErrInvalidTimestamp     = errors.New("invalid timestamp")
	ErrMessageTooLarge      = errors.New("message too large")
	ErrRecordListTooLarge   = errors.New("record list too large")
	ErrUnsupportedCodec     = errors.New("unsupported compression type")
	ErrOutOfOrderSequence   = errors.New("out of order sequence number")
	ErrInvalidProducerEpoch = errors.New("invalid producer epoch")
	ErrInvalidTxnState      = errors.New("invalid transaction state")
	ErrTooManyProducers     = errors.New("too many producer ids")
	// ErrCoordinatorFenced refuses the marker of a transaction coordinator that another one has followed.
	ErrCoordinatorFenced = errors.New("transaction coordinator fenced")
	// ErrUnexpectedOffset refuses a follower's append that doesn't follow the log's end.
	ErrUnexpectedOffset = errors.New("unexpected append offset")
	// ErrInconsistentTopicID says that a folder holds a partition of another topic of the same name.
	ErrInconsistentTopicID = errors.New("inconsistent topic id")
	// ErrStorage marks a log that stopped for good after its first failed write or sync; the cause is wrapped too.
	ErrStorage = errors.New("storage failure")
	// ErrMemoryBudget is the in-memory file system's budget being spent; it does not stop the log.
	ErrMemoryBudget = errors.New("memory budget exceeded")
	ErrClosed       = errors.New("log closed")
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Origin says who appends; the rules differ.
type Origin int8

const (
	// OriginClient is a produce request: every rule holds.
	OriginClient Origin = iota
	// OriginCoordinator is a coordinator writing to its internal topic: control batches are allowed.
	OriginCoordinator
)

// AppendInfo is what an append did.
type AppendInfo struct {
	FirstOffset, LastOffset int64
	// LogAppendTimeMillis is -1 on a CreateTime topic, except for a duplicate: then it is the stored batch's timestamp (Kafka answers so).
	LogAppendTimeMillis int64
	LogStartOffset      int64
	// Duplicate says that the batch was found among the producer's last five and nothing was appended.
	Duplicate bool
	// Bytes is how many bytes the log grew.
	Bytes int
}

// RecordError is one record that was refused (KIP-467).
type RecordError struct {
	BatchIndex int32
	Message    string
}

// AppendError is a refused batch: Unwrap gives the sentinel.
type AppendError struct {
	Err            error
	Message        string
	RecordErrors   []RecordError
	LogStartOffset int64 // the real one where the validator refused the batch, else -1 (checklist PROD-16)
}

func (e *AppendError) Error() string { return e.Err.Error() + ": " + e.Message }
func (e *AppendError) Unwrap() error { return e.Err }

// Records is what a read found: whole batches, as stored. Release must be called exactly once, when the bytes were sent or dropped.
type Records struct {
	Chunks []vfs.Chunk
	Bytes  int64
	// Next is the offset after the last batch of the read; the requested offset where nothing was read.
	Next    int64
	Release func()
}

// TimestampOffset is the answer to a lookup by time. Offset is -1 where nothing was found.
type TimestampOffset struct {
	Offset, TimestampMillis int64
	LeaderEpoch             int32
}

// EpochEnd is an epoch and the offset after its last record; -1 and -1 where it is unknown.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// AbortedTxn is one entry of a transaction index.
type AbortedTxn struct {
	ProducerID, FirstOffset, LastOffset, LastStableOffset int64
}

// ProducerInfo describes an active producer of a log, as DescribeProducers shows it.
type ProducerInfo struct {
	ProducerID            int64
	ProducerEpoch         int16
	LastSequence          int32
	LastTimestampMillis   int64
	CoordinatorEpoch      int32
	CurrentTxnStartOffset int64 // -1 where no transaction is open
}
