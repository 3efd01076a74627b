package cluster

import "sync/atomic"

// TopicStats counts what went into and out of a topic since this process began to host it. All partitions of a topic share one.
type TopicStats struct {
	// MessagesIn and BytesIn count appended records and the bytes their batches take in the log.
	MessagesIn, BytesIn atomic.Int64
	// BytesOut counts the bytes that reads found; a long poll that looks again counts again what it sees again.
	BytesOut atomic.Int64
}
