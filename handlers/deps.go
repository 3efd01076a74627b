package handlers

import (
	"context"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/groupcoord"
	"github.com/kbroker/kbroker/storage"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata gives the newest image and carries operations to the controller.
type Metadata interface {
	Image() *cluster.Image
	// Do has the controller decide and commit an operation, and returns its result once this node has applied it: partitions
	// that it made are open by then.
	Do(ctx context.Context, op cluster.Operation) (any, error)
}

// Partitions finds the partitions that this broker hosts.
type Partitions interface {
	// Partition gives a hosted partition; ErrUnknownTopicOrPartition where the cluster has none, ErrNotLeader where another
	// broker hosts it.
	Partition(topic string, partition int32) (Partition, error)
}

// Partition is a partition as a leader serves it (*cluster.Partition).
type Partition interface {
	TopicID() cluster.TopicID
	LeaderEpoch() int32
	// Append appends one batch. With Acks -1 the record is committed only once Committed says so for info.LastOffset.
	Append(r cluster.AppendRequest) (info storage.AppendInfo, err error)
	// AwaitCommitted calls done once the high watermark is beyond offset (with the error where it can't get there any more). It returns
	// true, without calling done, where that is so already. The returned function withdraws done.
	AwaitCommitted(offset int64, done func(error)) (already bool, withdraw func())
	Read(r cluster.ReadRequest) (cluster.ReadResult, error)
	// Serving says why this broker can't answer for the partition as its leader: ErrNotLeader, or what became of it or its log.
	Serving() error
	// CountSent notes that a reader was sent bytes of records.
	CountSent(bytes int64)
	// Watch has w woken until Unwatch.
	Watch(w cluster.Watcher)
	Unwatch(w cluster.Watcher)
	// Offsets gives one consistent view of the three.
	Offsets() (logStart, highWatermark, lastStable int64)
	LogEndOffset() int64
	// CheckEpoch gives ErrFencedLeaderEpoch or ErrUnknownLeaderEpoch; negative epochs pass.
	CheckEpoch(currentLeaderEpoch int32) error
	// OffsetForTimestamp gives the first record at or after the time; Offset -1 where there is none below the isolation's bound.
	OffsetForTimestamp(timestampMillis int64, iso cluster.Isolation) (storage.TimestampOffset, error)
	MaxTimestamp() (storage.TimestampOffset, error)
	// EpochOf gives the leader epoch of the record at offset (of the latest one for the log's end), -1 where unknown.
	EpochOf(offset int64) int32
	EndOffsetForEpoch(epoch int32) storage.EpochEnd
	// DeleteRecords moves the log start; -1 is the high watermark. It returns the new low watermark.
	DeleteRecords(before int64) (int64, error)
	Producers() []storage.ProducerInfo
	// Size is the log's size in bytes.
	Size() int64
	Dir() string
}

// ProducerIDs gives out producer ids that are never given out again, by any broker, in any life of the cluster.
type ProducerIDs interface {
	NextProducerID(ctx context.Context) (int64, error)
}

// GroupCaller is who asks the group coordinator.
type GroupCaller = groupcoord.Caller

// Groups is the group coordinator. done is called exactly once, from any goroutine, possibly before the call returns.
// Requests' byte slices may be kept.
type Groups interface {
	// Coordinator says which partition of __consumer_offsets is responsible for a group.
	PartitionFor(group string) int32
	JoinGroup(c GroupCaller, r *kmsg.JoinGroupRequest, done func(*kmsg.JoinGroupResponse))
	SyncGroup(c GroupCaller, r *kmsg.SyncGroupRequest, done func(*kmsg.SyncGroupResponse))
	Heartbeat(c GroupCaller, r *kmsg.HeartbeatRequest, done func(*kmsg.HeartbeatResponse))
	LeaveGroup(c GroupCaller, r *kmsg.LeaveGroupRequest, done func(*kmsg.LeaveGroupResponse))
	OffsetCommit(c GroupCaller, r *kmsg.OffsetCommitRequest, done func(*kmsg.OffsetCommitResponse))
	OffsetFetch(c GroupCaller, r *kmsg.OffsetFetchRequest, done func(*kmsg.OffsetFetchResponse))
	OffsetDelete(c GroupCaller, r *kmsg.OffsetDeleteRequest, done func(*kmsg.OffsetDeleteResponse))
	DescribeGroups(c GroupCaller, r *kmsg.DescribeGroupsRequest, done func(*kmsg.DescribeGroupsResponse))
	ListGroups(c GroupCaller, r *kmsg.ListGroupsRequest, done func(*kmsg.ListGroupsResponse))
	DeleteGroups(c GroupCaller, r *kmsg.DeleteGroupsRequest, done func(*kmsg.DeleteGroupsResponse))
}
