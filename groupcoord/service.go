package groupcoord

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetsTopic is the internal topic that the groups are kept in.
const OffsetsTopic = "__consumer_offsets"

// Topics looks up the cluster's topics.
type Topics interface {
	// TopicByName gives a topic's id and how many partitions it has.
	TopicByName(name string) (id [16]byte, partitions int32, ok bool)
	TopicByID(id [16]byte) (name string, ok bool)
}

// Service is the group coordinator of a broker: it finds the shard that a request is for and takes it there. All methods are safe for
// concurrent use. A done function is called exactly once, possibly before the method returns, never with locks held.
type Service struct {
	cfg     Config
	topics  Topics
	runtime *coord.Runtime[*Shard]
}

// New makes a coordinator that has no shards yet.
func New(cfg Config, log *slog.Logger, topics Topics) *Service {
	return &Service{
		cfg: cfg, topics: topics,
		runtime: coord.New(coord.Config{Logger: log, CommitTimeout: time.Duration(cfg.CommitTimeoutMillis) * time.Millisecond},
			func(int32) *Shard { return NewShard(cfg, log, newUUID) }),
	}
}

// Runtime gives the shards, to be loaded and unloaded as this broker becomes and ceases to be the leader of their partitions.
func (s *Service) Runtime() *coord.Runtime[*Shard] { return s.runtime }

// Close fails what is parked. Requests get NOT_COORDINATOR from then on.
func (s *Service) Close() { s.runtime.Close() }

// newUUID is a random uuid in text form.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// PartitionFor is the partition of __consumer_offsets that is responsible for a group (CGRP-38).
func (s *Service) PartitionFor(group string) int32 {
	n := s.cfg.NumPartitions
	if _, has, ok := s.topics.TopicByName(OffsetsTopic); ok && has > 0 {
		n = has
	}
	return coord.PartitionFor(group, n)
}

// JoinGroup answers when the group's next generation begins.
func (s *Service) JoinGroup(c Caller, r *kmsg.JoinGroupRequest, done func(*kmsg.JoinGroupResponse)) {
	fail := func(memberID string, code int16) {
		resp := joinResponse(memberID)
		resp.ErrorCode = code
		done(forVersion(resp, r.Version))
	}
	switch {
	case r.Group == "":
		fail(r.MemberID, kerr.InvalidGroupID.Code) // CGRP-06
		return
	case r.SessionTimeoutMillis < s.cfg.MinSessionTimeoutMillis, r.SessionTimeoutMillis > s.cfg.MaxSessionTimeoutMillis:
		fail(r.MemberID, kerr.InvalidSessionTimeout.Code) // CGRP-05
		return
	}
	if err := s.runtime.Do(s.PartitionFor(r.Group), func(m *Shard, out *coord.Output) { m.Join(out, c, r, done) }); err != nil {
		fail("", responseCode(err))
	}
}

// SyncGroup answers when the generation's assignment is there.
func (s *Service) SyncGroup(_ Caller, r *kmsg.SyncGroupRequest, done func(*kmsg.SyncGroupResponse)) {
	fail := func(code int16) {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.Version, resp.ErrorCode, resp.MemberAssignment = r.Version, code, []byte{}
		done(resp)
	}
	switch {
	case r.Version >= 5 && (r.ProtocolType == nil || r.Protocol == nil):
		fail(kerr.InconsistentGroupProtocol.Code) // CGRP-36
		return
	case r.Group == "":
		fail(kerr.InvalidGroupID.Code)
		return
	}
	if err := s.runtime.Do(s.PartitionFor(r.Group), func(m *Shard, out *coord.Output) { m.Sync(out, r, done) }); err != nil {
		fail(responseCode(err))
	}
}

// Heartbeat renews a member's session. While the shard loads all is well, so that nobody joins again for nothing.
func (s *Service) Heartbeat(_ Caller, r *kmsg.HeartbeatRequest, done func(*kmsg.HeartbeatResponse)) {
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = r.Version
	if r.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		done(resp)
		return
	}
	err := s.runtime.Do(s.PartitionFor(r.Group), func(m *Shard, out *coord.Output) {
		resp.ErrorCode = errorCode(m.Heartbeat(out, r))
		out.Reply(func() { done(resp) })
	})
	if err != nil {
		if resp.ErrorCode = responseCode(err); resp.ErrorCode == kerr.CoordinatorLoadInProgress.Code {
			resp.ErrorCode = 0
		}
		done(resp)
	}
}

// LeaveGroup removes members.
func (s *Service) LeaveGroup(_ Caller, r *kmsg.LeaveGroupRequest, done func(*kmsg.LeaveGroupResponse)) {
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.Version = r.Version
	resp.Members = []kmsg.LeaveGroupResponseMember{}
	if r.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		done(resp)
		return
	}
	err := s.runtime.Do(s.PartitionFor(r.Group), func(m *Shard, out *coord.Output) {
		answers := m.Leave(out, r)
		if r.Version < 3 {
			resp.ErrorCode = answers[0].ErrorCode
		} else {
			resp.Members = answers
		}
		out.Reply(func() { done(resp) })
	})
	if err != nil {
		resp.ErrorCode = responseCode(err)
		done(resp)
	}
}

// gather collects answers that come from several shards, and calls done after the last one.
type gather struct {
	mu   sync.Mutex
	left int
	done func()
}

func newGather(n int, done func()) *gather {
	if n == 0 {
		done()
	}
	return &gather{left: n, done: done}
}

// add does what an answer says, and counts it.
func (g *gather) add(f func()) {
	g.mu.Lock()
	f()
	g.left--
	last := g.left == 0
	g.mu.Unlock()
	if last {
		g.done()
	}
}

// byPartition gives the places in groups of those that each partition is responsible for, in the order of the partitions' first ones.
func (s *Service) byPartition(groups []string) (partitions []int32, places map[int32][]int) {
	places = map[int32][]int{}
	for i, g := range groups {
		p := s.PartitionFor(g)
		if places[p] == nil {
			partitions = append(partitions, p)
		}
		places[p] = append(places[p], i)
	}
	return partitions, places
}

// DescribeGroups describes groups, in the order in which they were asked for.
func (s *Service) DescribeGroups(_ Caller, r *kmsg.DescribeGroupsRequest, done func(*kmsg.DescribeGroupsResponse)) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Version = r.Version
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(r.Groups))
	partitions, places := s.byPartition(r.Groups)
	for _, p := range partitions {
		err := s.runtime.Do(p, func(m *Shard, _ *coord.Output) {
			for _, i := range places[p] {
				resp.Groups[i] = m.Describe(r.Groups[i], r.Version)
			}
		})
		if err != nil {
			for _, i := range places[p] {
				d := kmsg.NewDescribeGroupsResponseGroup()
				d.Group, d.ErrorCode = r.Groups[i], responseCode(err)
				resp.Groups[i] = d
			}
		}
	}
	done(resp)
}

// ListGroups lists the groups of all shards that are here.
func (s *Service) ListGroups(_ Caller, r *kmsg.ListGroupsRequest, done func(*kmsg.ListGroupsResponse)) {
	resp := kmsg.NewPtrListGroupsResponse()
	resp.Version = r.Version
	resp.Groups = []kmsg.ListGroupsResponseGroup{}
	states, types := r.StatesFilter, r.TypesFilter
	if r.Version < 4 {
		states = nil
	}
	if r.Version < 5 {
		types = nil
	}
	for _, p := range s.runtime.Partitions() {
		err := s.runtime.Do(p, func(m *Shard, _ *coord.Output) { resp.Groups = append(resp.Groups, m.List(states, types)...) })
		if code := responseCode(err); err != nil && code != kerr.NotCoordinator.Code {
			resp.ErrorCode = code
			resp.Groups = []kmsg.ListGroupsResponseGroup{}
			break
		}
	}
	done(resp)
}

// DeleteGroups deletes groups and answers when that is committed.
func (s *Service) DeleteGroups(_ Caller, r *kmsg.DeleteGroupsRequest, done func(*kmsg.DeleteGroupsResponse)) {
	var groups []string
	seen := map[string]bool{}
	for _, g := range r.Groups {
		if !seen[g] {
			seen[g] = true
			groups = append(groups, g)
		}
	}
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Version = r.Version
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(groups))
	partitions, places := s.byPartition(groups)
	all := newGather(len(partitions), func() { done(resp) })
	for _, p := range partitions {
		ids := make([]string, 0, len(places[p]))
		for _, i := range places[p] {
			ids = append(ids, groups[i])
		}
		put := func(answers []kmsg.DeleteGroupsResponseGroup) {
			all.add(func() {
				for n, i := range places[p] {
					resp.Groups[i] = answers[n]
				}
			})
		}
		if err := s.runtime.Do(p, func(m *Shard, out *coord.Output) { m.Delete(out, ids, put) }); err != nil {
			answers := make([]kmsg.DeleteGroupsResponseGroup, len(ids))
			for n, id := range ids {
				answers[n] = kmsg.NewDeleteGroupsResponseGroup()
				answers[n].Group, answers[n].ErrorCode = id, responseCode(err)
			}
			put(answers)
		}
	}
}

// DeletedTopics deletes the offsets of topics that are gone, in all groups. Shards that are loading don't know their groups yet: what is
// left over there expires.
func (s *Service) DeletedTopics(names []string) {
	names = slices.Clone(names)
	for _, p := range s.runtime.Partitions() {
		_ = s.runtime.Do(p, func(m *Shard, out *coord.Output) { m.DeleteTopics(out, names) })
	}
}

// Snapshot describes the groups of all shards that are loaded, for metrics.
func (s *Service) Snapshot() []GroupSnapshot {
	var all []GroupSnapshot
	for _, p := range s.runtime.Partitions() {
		_ = s.runtime.Do(p, func(m *Shard, _ *coord.Output) { all = append(all, m.Snapshot()...) })
	}
	return all
}
