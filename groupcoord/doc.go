// Package groupcoord is the group coordinator: classic consumer groups (JoinGroup and SyncGroup) and committed offsets.
//
// A group belongs to the shard of __consumer_offsets that its id hashes to. Shard is the core: a coord.Machine without goroutine, clock
// or I/O, which is given requests and the time and says through a coord.Output what is to be written and answered. Service is
// the shell: it finds a request's shard, keeps the clock and the timers through coord.Runtime, and looks topics up.
//
// # What is in the log
//
// Kafka's own record schemas. Offsets: key OffsetCommitKey v1, value OffsetCommitValue v4 with the topic's id (v1 where the client
// asked for an expiry of its own). Groups: GroupMetadataKey v2, GroupMetadataValue v3, written when the leader's assignment arrives,
// when the last member has left, and when a static member takes over. Tombstones delete. Records of kinds this package doesn't know
// are skipped by a load, as Kafka does.
//
// # What is not
//
// Members between the join and the assignment, ids that were given out and not used yet, groups nobody ever completed a join in. A new
// coordinator knows the last generation that had an assignment; its members go on without joining again, their session clocks anew.
//
// # Invariants
//
//   - A generation is never older than one whose assignment was answered, also after a restart: the assignment is committed before
//     any SyncGroup is answered.
//   - Offsets are answered only when they, and all that was written before, are committed.
//   - A parked JoinGroup or SyncGroup is answered exactly once: by completion, by being superseded, or by the shard's unloading. A
//     member's session clock stands still meanwhile, except for a member that is new: it has newMemberJoinTimeout.
//   - Members are in the order in which they joined; nothing depends on a map's order.
package groupcoord
