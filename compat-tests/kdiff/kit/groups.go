package kit

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

// Member is a member of a classic group.
type Member struct {
	Group      string
	ID         string
	Generation int32
	Instance   *string
}

// Join asks to join a classic group of type "consumer" with protocols written
// as pairs of name and metadata; none means one named "range".
func Join(group, member string, protocols ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30000, 10000
	if len(protocols) == 0 {
		protocols = []string{"range", "m0"}
	}
	for i := 0; i+1 < len(protocols); i += 2 {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = protocols[i], []byte(protocols[i+1])
		req.Protocols = append(req.Protocols, p)
	}
	return req
}

// JoinStatic is Join with an instance id.
func JoinStatic(group, member, instance string, protocols ...string) *kmsg.JoinGroupRequest {
	req := Join(group, member, protocols...)
	req.InstanceID = &instance
	return req
}

// Subscription is the metadata of a consumer that subscribes to topics.
func Subscription(topics ...string) string {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version = 1
	m.Topics = topics
	return string(m.AppendTo(nil))
}

// Assignment is what a leader assigns to a consumer: partitions of one topic.
func Assignment(topic string, partitions ...int32) string {
	a := kmsg.NewConsumerMemberAssignment()
	tp := kmsg.NewConsumerMemberAssignmentTopic()
	tp.Topic, tp.Partitions = topic, partitions
	a.Topics = append(a.Topics, tp)
	return string(a.AppendTo(nil))
}

// Sync sends a follower's SyncGroup, or a leader's with assignments written as
// pairs of member and assignment.
func Sync(m Member, assignments ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.Group, m.Generation, m.ID, m.Instance
	req.ProtocolType, req.Protocol = new("consumer"), new("range")
	for i := 0; i+1 < len(assignments); i += 2 {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = assignments[i], []byte(assignments[i+1])
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

// Beat sends a heartbeat.
func Beat(m Member) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.Group, m.Generation, m.ID, m.Instance
	return req
}

// Leave leaves, in the form of versions below and from 3.
func Leave(m Member) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.Group, m.ID
	one := kmsg.NewLeaveGroupRequestMember()
	one.MemberID, one.InstanceID = m.ID, m.Instance
	req.Members = append(req.Members, one)
	return req
}

// DescribeGroup describes groups.
func DescribeGroup(groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = groups
	return req
}

// JoinAlone makes a stable group of one member, unrecorded: both steps of the
// join and the leader's sync.
func JoinAlone(t *diff.T, c *diff.Conn, group string, protocols ...string) Member {
	m := Member{Group: group}
	t.Quiet(func() {
		m = joinTwice(t, c, Join(group, "", protocols...))
		sync := diff.Do(c, "sync", 3, Sync(m, m.ID, "all of it"))
		if sync.ErrorCode != 0 {
			t.Fail("set-up: cannot sync: %s", diff.ErrorName(sync.ErrorCode))
		}
	})
	return m
}

// JoinOnly is JoinAlone without the sync: the group stays in CompletingRebalance.
func JoinOnly(t *diff.T, c *diff.Conn, group string, protocols ...string) (m Member) {
	t.Quiet(func() { m = joinTwice(t, c, Join(group, "", protocols...)) })
	return m
}

// JoinStaticAlone is JoinAlone for a static member.
func JoinStaticAlone(t *diff.T, c *diff.Conn, group, instance string, protocols ...string) (m Member) {
	t.Quiet(func() {
		m = joinTwice(t, c, JoinStatic(group, "", instance, protocols...))
		sync := diff.Do(c, "sync", 3, Sync(m, m.ID, "all of it"))
		if sync.ErrorCode != 0 {
			t.Fail("set-up: cannot sync: %s", diff.ErrorName(sync.ErrorCode))
		}
	})
	return m
}

// NewMemberID asks for a member id by the first step of a join, unrecorded.
func NewMemberID(t *diff.T, c *diff.Conn, group string) (id string) {
	t.Quiet(func() { id = diff.Do(c, "member id", 5, Join(group, "")).MemberID })
	return id
}

func joinTwice(t *diff.T, c *diff.Conn, req *kmsg.JoinGroupRequest) Member {
	const memberIDRequired = 79
	resp := diff.Do(c, "join", 5, req)
	if resp.ErrorCode == memberIDRequired {
		req.MemberID = resp.MemberID
		resp = diff.Do(c, "join again", 5, req)
	}
	if resp.ErrorCode != 0 {
		t.Fail("set-up: cannot join: %s", diff.ErrorName(resp.ErrorCode))
	}
	return Member{Group: req.Group, ID: resp.MemberID, Generation: resp.Generation, Instance: req.InstanceID}
}

// Commit commits one offset as nobody, in the form of every version.
func Commit(group string, topic Topic, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.RetentionTimeMillis = group, -1, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	p.Metadata = new("")
	tp := kmsg.NewOffsetCommitRequestTopic()
	tp.Topic, tp.TopicID = topic.Name, topic.ID
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return req
}

// CommitAs is Commit as a member.
func CommitAs(m Member, topic Topic, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := Commit(m.Group, topic, partition, offset)
	req.MemberID, req.Generation, req.InstanceID = m.ID, m.Generation, m.Instance
	return req
}

// Committed asks for a group's offsets, in the form of versions below and from
// 8; without partitions it asks for all.
func Committed(group string, topic Topic, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if len(partitions) > 0 {
		tp := kmsg.NewOffsetFetchRequestTopic()
		tp.Topic, tp.Partitions = topic.Name, partitions
		req.Topics = append(req.Topics, tp)
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.TopicID, gt.Partitions = topic.Name, topic.ID, partitions
		g.Topics = append(g.Topics, gt)
	}
	req.Groups = append(req.Groups, g)
	return req
}

// FindCoordinator asks for coordinators, in the form of versions below and from 4.
func FindCoordinator(kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKeys = kind, keys
	if len(keys) > 0 {
		req.CoordinatorKey = keys[0]
	}
	return req
}

// Beat848 is a heartbeat of a KIP-848 consumer that changes nothing.
func Beat848(group, member string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = group, member, epoch
	return req
}

// Join848 is a first heartbeat that subscribes to topics by name.
func Join848(group, member string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := Beat848(group, member, 0)
	req.RebalanceTimeoutMillis = 30000
	req.SubscribedTopicNames = topics
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// Owns sets the partitions of one topic that a KIP-848 member reports.
func Owns(req *kmsg.ConsumerGroupHeartbeatRequest, topic Topic, partitions ...int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(partitions) > 0 {
		tp := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		tp.TopicID, tp.Partitions = topic.ID, partitions
		req.Topics = append(req.Topics, tp)
	}
	return req
}
