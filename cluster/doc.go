// Package cluster knows what the cluster consists of and hosts this node's partitions.
//
// The metadata (topics, partitions, leaders, settings, brokers, features, producer id blocks) are a Raft state machine. An
// Operation is decided by the leader on the newest Image and becomes records; one committed batch of records makes the next Image,
// an immutable value that shares what did not change, and a Delta. One node is a Raft group of one, and leads at once.
//
//	controller     the core of the quorum: etcd's Raft and the image; no I/O, clock or goroutine
//	metadataLog    where the core's work is stored: a storage log, the quorum's state, snapshots (format: see there)
//	Node           the shell: one loop drives the core, carries changes out, calls subscribers; another does what time brings
//	Partition      a hosted partition; leader is its core: who is in sync, and the high watermark
//
// Invariants
//   - An image never names what this node can't use yet: partitions are open, or their calls say why not, before it shows.
//   - Operations are decided one at a time, each on an image that holds all before it. What can't be applied is never committed.
//   - Leader epochs and high watermarks never fall; an epoch that a log may have seen, and a producer id that was given out, are
//     never given again, whatever the durability.
//   - Nothing above the high watermark is read by consumers, and no record above the last stable offset by read_committed ones;
//     a read looks at each of these offsets once.
//   - With DurabilityFsync nothing is committed before it is synced. The first failure of a log ends all waiting for it.
//   - Watchers and waiters are called without locks.
//
// What it leaves to others: what a record batch must be (storage), Kafka's wire and error codes (handlers), coordinators.
package cluster
