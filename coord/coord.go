// Package coord is the runtime that coordinators share. A coordinator's state is split into shards; a shard is a state
// machine (Machine) that is rebuilt from one partition of an internal topic, on the broker that leads that partition.
//
// An operation is a function that is given the machine and an Output. It decides and says there what is to be done: records to be
// written, replies to be given. The runtime appends the records, has the machine replay them, and calls the write's Done once the
// high watermark has passed them. So an append that fails leaves nothing to undo, and nobody is told of a change that could
// still be lost.
//
// Invariants:
//   - All calls into a machine happen with its shard's mutex held, one after the other. The mutex is the shard's loop: an idle shard
//     costs no goroutine. Replies are delivered after it was given up.
//   - Every Write's Done is called exactly once: committed, failed, timed out, or the shard unloaded.
//   - A machine sees a record at the latest before the next operation, and only records that are in the log.
//   - One timer per shard, for the earliest of the machine's deadlines and those of writes that wait for their commit.
//
// A shard that is loading answers ErrLoading; one that isn't here, failed to load, or was unloaded, ErrNotCoordinator.
package coord

import "errors"

var (
	// ErrNotCoordinator says that this broker doesn't coordinate the shard, or no longer.
	ErrNotCoordinator = errors.New("not the coordinator")
	// ErrLoading says that the shard's log is still being replayed.
	ErrLoading = errors.New("the coordinator is loading")
	// ErrTimeout says that a write wasn't committed in time. It may be later.
	ErrTimeout = errors.New("the write was not committed in time")
	// ErrTooLarge says that the records of one write don't fit into a batch.
	ErrTooLarge = errors.New("the records are too large for one batch")
)

// Record is one record for a shard's log. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Position says where in the log a replayed record stands.
type Position struct {
	Offset int64
	// ProducerID is -1 where the record isn't part of a transaction.
	ProducerID int64
}

// Machine is the state of one shard. It has no goroutine and no clock; its time comes with the Output.
type Machine interface {
	// Replay applies a record that is in the log. Key and value must not be kept. An error ends the load.
	Replay(at Position, key, value []byte) error
	// EndTransaction applies a transaction marker.
	EndTransaction(producerID int64, committed bool)
	// Loaded is called once, after the log was replayed and before the first operation.
	Loaded(out *Output)
	// Unloaded is called once, after the last operation: what is parked is to be answered.
	Unloaded(out *Output)
	// Deadline is the Output.Now at which Tick wants to be called; not ok where there is nothing to wait for.
	Deadline() (nowMillis int64, ok bool)
	// Tick does what is due.
	Tick(out *Output)
}

// Log is the partition that a shard lives in.
type Log interface {
	LogStartOffset() (int64, error)
	LogEndOffset() (int64, error)
	HighWatermark() int64
	// Read gives whole batches from the one that holds offset on, up to the log's end: as many as fit into maxBytes, at least one where there is one.
	Read(offset int64, maxBytes int) ([]byte, error)
	// Append appends a batch and gives its last record's offset.
	Append(batch []byte) (lastOffset int64, err error)
	// AwaitCommitted calls done once the high watermark is beyond offset, or with the error why it never will. It returns true, without
	// calling done, where it is already. withdraw takes the wish back.
	AwaitCommitted(offset int64, done func(error)) (already bool, withdraw func())
	// MaxBatchBytes is the largest batch that the log takes.
	MaxBatchBytes() int
}

// Write is what an operation wants in the log.
type Write struct {
	// Records are written as one batch, or in several where Splits is set. None: Done is called when everything that was written before is committed.
	Records []Record
	// Splits allows several batches, of which some may be written and others not.
	Splits bool
	// NoReplay is for records of a state that the machine keeps by itself: they are replayed only by a load.
	NoReplay bool
	// Appended is called right after the append and the replay, before the next operation. May be nil.
	Appended func(out *Output)
	// Done is called with nil once the records are committed, else with the reason. May be nil.
	Done func(out *Output, err error)
}

// Output collects what an operation wants to be done.
type Output struct {
	// Now is in milliseconds on a clock that never jumps, for deadlines.
	Now int64
	// Wall is in milliseconds since 1970, for timestamps.
	Wall int64

	writes  []Write
	replies []func()
}

// Write has records written once the operation has returned, in the order of the calls.
func (o *Output) Write(w Write) { o.writes = append(o.writes, w) }

// Reply has f called once the shard's mutex is free.
func (o *Output) Reply(f func()) { o.replies = append(o.replies, f) }

// Writes takes the writes collected so far. It is for the runtime, and for whoever drives a machine by hand.
func (o *Output) Writes() []Write {
	w := o.writes
	o.writes = nil
	return w
}

// Deliver calls the replies collected so far, in order.
func (o *Output) Deliver() {
	for len(o.replies) > 0 {
		replies := o.replies
		o.replies = nil
		for _, f := range replies {
			f()
		}
	}
}
