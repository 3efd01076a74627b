package cluster

import "sync/atomic"

// TopicStats counts what went into and out of a topic since this process began to host it. All partitions of a topic share one.
type TopicStats struct {
	// MessagesIn and BytesIn count appended records and the bytes their batches take in the log.
	MessagesIn, BytesIn atomic.Int64
	// BytesOut counts the bytes of records that readers were sent.
	BytesOut atomic.Int64
}
