package groupcoord

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/coord/coordtest"
	"github.com/kbroker/kbroker/storage"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// topicTable is Topics for tests: by name, how many partitions.
type topicTable map[string]int32

func (t topicTable) id(name string) (id [16]byte) { copy(id[:], name); return id }

func (t topicTable) TopicByName(name string) ([16]byte, int32, bool) {
	n, ok := t[name]
	return t.id(name), n, ok
}

func (t topicTable) TopicByID(id [16]byte) (string, bool) {
	for name := range t {
		if t.id(name) == id {
			return name, true
		}
	}
	return "", false
}

// world is a coordinator with the logs that survive it.
type world struct {
	*Service
	cfg    Config
	topics topicTable
	logs   []*coordtest.Log
}

func newWorld(partitions int32) *world {
	w := &world{cfg: DefaultConfig(), topics: topicTable{"t": 3, "u": 1}}
	w.cfg.NumPartitions, w.cfg.InitialRebalanceDelayMillis = partitions, 0
	for range partitions {
		w.logs = append(w.logs, &coordtest.Log{})
	}
	w.start(func(p int32, l *coordtest.Log) { w.Runtime().LoadEmpty(p, l) })
	return w
}

func (w *world) start(load func(int32, *coordtest.Log)) {
	w.Service = New(w.cfg, slog.New(slog.DiscardHandler), w.topics)
	for p, l := range w.logs {
		load(int32(p), l)
	}
}

func (w *world) restart() {
	w.Close()
	w.start(func(p int32, l *coordtest.Log) { w.Runtime().Load(p, l) })
	w.Runtime().AwaitLoads()
}

// call asks and waits for the answer.
func call[Req any, Resp any](ask func(Caller, Req, func(Resp)), r Req) Resp {
	answer := make(chan Resp, 2)
	ask(Caller{"c", "/127.0.0.1"}, r, func(resp Resp) { answer <- resp })
	return <-answer
}

func joinRequest(group, member string, version int16) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.ProtocolType = version, group, member, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 10000, 60000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("m")}}
	return r
}

// alone makes a stable group of one.
func (w *world) alone(t *testing.T, group string) *kmsg.JoinGroupResponse {
	t.Helper()
	j := call(w.JoinGroup, joinRequest(group, "", 3))
	if j.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(j.ErrorCode))
	}
	s := kmsg.NewPtrSyncGroupRequest()
	s.Group, s.MemberID, s.Generation = group, j.MemberID, j.Generation
	s.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: j.MemberID, MemberAssignment: []byte("all")}}
	if resp := call(w.SyncGroup, s); resp.ErrorCode != 0 || string(resp.MemberAssignment) != "all" {
		t.Fatal(resp)
	}
	return j
}

func commitRequest(group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation, r.RetentionTimeMillis = 8, group, -1, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return r
}

func (w *world) commit(t *testing.T, group, topic string, partition int32, offset int64) {
	t.Helper()
	resp := call(w.OffsetCommit, commitRequest(group, topic, partition, offset))
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
}

func (w *world) committed(group, topic string, partition int32) int64 {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.Group = 7, group
	r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	return call(w.OffsetFetch, r).Topics[0].Partitions[0].Offset
}

func inBubble(t *testing.T, partitions int32, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(partitions)
		defer func() { w.Close() }()
		test(t, w)
	})
}

func TestJoinGroup_a_group_of_ten_forms_at_once(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		const members = 10
		start := time.Now()
		var done sync.WaitGroup
		assigned := make([]string, members)
		for i := range members {
			done.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond) // they don't start quite together
				id := call(w.JoinGroup, joinRequest("g", "", 9)).MemberID
				time.Sleep(2 * time.Millisecond) // there and back
				j := call(w.JoinGroup, joinRequest("g", id, 9))
				s := kmsg.NewPtrSyncGroupRequest()
				s.Version, s.Group, s.MemberID, s.Generation, s.ProtocolType, s.Protocol = 5, "g", id, j.Generation, j.ProtocolType, j.Protocol
				for n, m := range j.Members {
					s.GroupAssignment = append(s.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: fmt.Append(nil, n)})
				}
				if r := call(w.SyncGroup, s); r.ErrorCode == 0 && j.Generation == 1 {
					assigned[i] = string(r.MemberAssignment)
				}
			})
		}
		done.Wait()
		seen := map[string]bool{}
		for _, a := range assigned {
			seen[a] = true
		}
		if took := time.Since(start); len(seen) != members || took > 100*time.Millisecond {
			t.Errorf("%d distinct assignments in the first generation after %v: %q", len(seen), took, assigned)
		}
	})
}

func TestJoinGroup_is_refused_before_any_group(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			change func(*kmsg.JoinGroupRequest)
			want   *kerr.Error
		}{
			"CGRP_06_no_group_id":       {func(r *kmsg.JoinGroupRequest) { r.Group = "" }, kerr.InvalidGroupID},
			"CGRP_05_session_too_short": {func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 }, kerr.InvalidSessionTimeout},
			"CGRP_05_session_too_long":  {func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1800001 }, kerr.InvalidSessionTimeout},
		} {
			r := joinRequest("g", "me", 6)
			c.change(r)
			resp := call(w.JoinGroup, r)
			if resp.ErrorCode != c.want.Code || resp.MemberID != "me" || resp.Generation != -1 || resp.Protocol == nil {
				t.Errorf("%s: %+v", name, resp)
			}
		}
	})
}

func TestSyncGroup_CGRP_36_version_5_names_the_protocol(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		j := call(w.JoinGroup, joinRequest("g", "", 3))
		ask := func(kind, protocol *string) *kmsg.SyncGroupResponse {
			s := kmsg.NewPtrSyncGroupRequest()
			s.Version, s.Group, s.MemberID, s.Generation, s.ProtocolType, s.Protocol = 5, "g", j.MemberID, 1, kind, protocol
			return call(w.SyncGroup, s)
		}
		for _, wrong := range [][2]*string{{nil, nil}, {new("consumer"), nil}, {new("connect"), new("range")}, {new("consumer"), new("sticky")}} {
			if r := ask(wrong[0], wrong[1]); r.ErrorCode != kerr.InconsistentGroupProtocol.Code || r.Protocol != nil {
				t.Errorf("%v: %+v", wrong, r)
			}
		}
		if r := ask(new("consumer"), new("range")); r.ErrorCode != 0 || *r.ProtocolType != "consumer" || *r.Protocol != "range" {
			t.Errorf("%+v", r)
		}
	})
}

func TestLeaveGroup_CGRP_37_reasons_are_never_required(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		j := w.alone(t, "g")
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Version, r.Group = 5, "g"
		r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "x", Reason: new("because")}, {MemberID: j.MemberID}}
		resp := call(w.LeaveGroup, r)
		if resp.ErrorCode != 0 || resp.Members[0].ErrorCode != kerr.UnknownMemberID.Code || resp.Members[1].ErrorCode != 0 {
			t.Errorf("%+v", resp)
		}
		r = kmsg.NewPtrLeaveGroupRequest() // before version 3 the one error is the response's
		r.Version, r.Group, r.MemberID = 2, "g", j.MemberID
		if resp := call(w.LeaveGroup, r); resp.ErrorCode != kerr.UnknownMemberID.Code {
			t.Errorf("%+v", resp)
		}
	})
}

func TestService_CGRP_39_while_its_shard_loads(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		j := w.alone(t, "g")
		w.commit(t, "simple", "t", 0, 5)
		w.Close()
		open := w.logs[0].GateReads()
		w.start(func(p int32, l *coordtest.Log) { w.Runtime().Load(p, l) })
		loading := kerr.CoordinatorLoadInProgress.Code
		if code := call(w.JoinGroup, joinRequest("g", "", 9)).ErrorCode; code != loading {
			t.Errorf("JoinGroup: %v", kerr.ErrorForCode(code))
		}
		b := kmsg.NewPtrHeartbeatRequest()
		b.Group, b.MemberID, b.Generation = "g", j.MemberID, 1
		if code := call(w.Heartbeat, b).ErrorCode; code != 0 { // so that nobody joins again for nothing
			t.Errorf("Heartbeat: %v", kerr.ErrorForCode(code))
		}
		if code := call(w.ListGroups, kmsg.NewPtrListGroupsRequest()).ErrorCode; code != loading {
			t.Errorf("ListGroups: %v", kerr.ErrorForCode(code))
		}
		if code := call(w.OffsetCommit, commitRequest("simple", "t", 0, 6)).Topics[0].Partitions[0].ErrorCode; code != loading {
			t.Errorf("OffsetCommit: %v", kerr.ErrorForCode(code))
		}
		f := kmsg.NewPtrOffsetFetchRequest()
		f.Version, f.Group = 1, "simple"
		f.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		if p := call(w.OffsetFetch, f).Topics[0].Partitions[0]; p.ErrorCode != loading || p.Offset != -1 {
			t.Errorf("OffsetFetch v1: %+v", p)
		}
		f.Version = 2
		if r := call(w.OffsetFetch, f); r.ErrorCode != loading || len(r.Topics) != 0 {
			t.Errorf("OffsetFetch v2: %+v", r)
		}
		open()
		w.Runtime().AwaitLoads()
		if code := call(w.Heartbeat, b).ErrorCode; code != 0 {
			t.Errorf("after the load: %v", kerr.ErrorForCode(code))
		}
		if got := w.committed("simple", "t", 0); got != 5 {
			t.Errorf("offset %d, want 5", got)
		}
	})
}

func TestService_CGRP_38_other_shards_are_not_here(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, w *world) {
		var here, there string
		for i := 0; here == "" || there == ""; i++ {
			if g := fmt.Sprint("g", i); w.PartitionFor(g) == 0 {
				here = g
			} else {
				there = g
			}
		}
		w.Runtime().Unload(1)
		if r := call(w.JoinGroup, joinRequest(there, "", 3)); r.ErrorCode != kerr.NotCoordinator.Code {
			t.Errorf("there: %v", kerr.ErrorForCode(r.ErrorCode))
		}
		w.alone(t, here)
		d := kmsg.NewPtrDescribeGroupsRequest()
		d.Groups = []string{there, here}
		r := call(w.DescribeGroups, d)
		if r.Groups[0].ErrorCode != kerr.NotCoordinator.Code || r.Groups[0].Group != there || r.Groups[1].State != "Stable" {
			t.Errorf("DescribeGroups: %+v", r.Groups)
		}
		// the topic's own number of partitions counts once it exists
		w.topics[OffsetsTopic] = 1
		if p := w.PartitionFor(there); p != 0 {
			t.Errorf("partition %d of 1", p)
		}
	})
}

func TestService_CGRP_40_goes_on_after_a_restart(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, w *world) {
		type member struct {
			id         string
			generation int32
		}
		groups := map[string]member{}
		for i := range 12 {
			g := fmt.Sprint("group-", i)
			j := w.alone(t, g)
			groups[g] = member{j.MemberID, j.Generation}
			r := commitRequest(g, "t", 1, int64(100+i))
			r.MemberID, r.Generation = j.MemberID, j.Generation
			if resp := call(w.OffsetCommit, r); resp.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Fatal(resp)
			}
		}
		time.Sleep(9 * time.Second)
		w.restart()
		time.Sleep(9 * time.Second) // the clocks began anew
		for g, m := range groups {
			b := kmsg.NewPtrHeartbeatRequest()
			b.Group, b.MemberID, b.Generation = g, m.id, m.generation
			if code := call(w.Heartbeat, b).ErrorCode; code != 0 {
				t.Errorf("%s: heartbeat %v", g, kerr.ErrorForCode(code))
			}
			s := kmsg.NewPtrSyncGroupRequest()
			s.Group, s.MemberID, s.Generation = g, m.id, m.generation
			if r := call(w.SyncGroup, s); r.ErrorCode != 0 || string(r.MemberAssignment) != "all" {
				t.Errorf("%s: sync %+v", g, r)
			}
			if got, want := w.committed(g, "t", 1), int64(100); got < want {
				t.Errorf("%s: offset %d", g, got)
			}
		}
		time.Sleep(10*time.Second + time.Millisecond) // and end
		d := kmsg.NewPtrDescribeGroupsRequest()
		d.Groups = []string{"group-3"}
		if g := call(w.DescribeGroups, d).Groups[0]; g.State != "Empty" {
			t.Errorf("state %s, want Empty", g.State)
		}
		if got := w.committed("group-3", "t", 1); got != 103 {
			t.Errorf("offset %d, want 103", got)
		}
	})
}

func TestOffsetCommit_OFFS_06_unknown_topics_and_partitions(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		part := func(n int32) kmsg.OffsetCommitRequestTopicPartition {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset = n, int64(n)
			return p
		}
		for version, want := range map[int16]map[string]int16{
			8:  {"t/2": 0, "t/3": kerr.UnknownTopicOrPartition.Code, "t/-1": kerr.UnknownTopicOrPartition.Code, "nope/0": kerr.UnknownTopicOrPartition.Code},
			10: {"t/2": 0, "t/3": kerr.UnknownTopicOrPartition.Code, "t/-1": kerr.UnknownTopicOrPartition.Code, "nope/0": kerr.UnknownTopicID.Code},
		} {
			r := kmsg.NewPtrOffsetCommitRequest()
			r.Version, r.Group, r.Generation = version, "g", -1
			for topic, partitions := range map[string][]int32{"t": {2, 3, -1}, "nope": {0}} {
				rt := kmsg.OffsetCommitRequestTopic{Topic: topic}
				if version >= 10 {
					rt = kmsg.OffsetCommitRequestTopic{TopicID: w.topics.id(topic)}
				}
				for _, p := range partitions {
					rt.Partitions = append(rt.Partitions, part(p))
				}
				r.Topics = append(r.Topics, rt)
			}
			got := map[string]int16{}
			resp := call(w.OffsetCommit, r)
			for _, rt := range resp.Topics {
				name := rt.Topic
				if version >= 10 {
					if name, _ = w.topics.TopicByID(rt.TopicID); name == "" && rt.TopicID == w.topics.id("nope") {
						name = "nope"
					}
				}
				for _, p := range rt.Partitions {
					got[fmt.Sprint(name, "/", p.Partition)] = p.ErrorCode
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || len(resp.Topics) != 2 {
				t.Errorf("v%d: got %v in %d topics, want %v", version, got, len(resp.Topics), want)
			}
		}
	})
}

func TestOffsetFetch_OFFS_10_errors_are_per_group(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, w *world) {
		groups := map[int32]string{}
		for i := 0; len(groups) < 2; i++ {
			g := fmt.Sprint("g", i)
			groups[w.PartitionFor(g)] = g
		}
		w.commit(t, groups[0], "t", 0, 7)
		w.commit(t, groups[0], "u", 0, 8)
		w.Runtime().Unload(1)
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Version = 10
		unknown := w.topics.id("nope")
		r.Groups = []kmsg.OffsetFetchRequestGroup{
			{Group: groups[1], Topics: []kmsg.OffsetFetchRequestGroupTopic{{TopicID: w.topics.id("t"), Partitions: []int32{0}}}},
			{Group: groups[0], Topics: []kmsg.OffsetFetchRequestGroupTopic{{TopicID: unknown, Partitions: []int32{4}}, {TopicID: w.topics.id("t"), Partitions: []int32{0, 1}}}},
			{Group: groups[0]},
		}
		resp := call(w.OffsetFetch, r)
		if g := resp.Groups[0]; g.ErrorCode != kerr.NotCoordinator.Code || len(g.Topics) != 0 || g.Group != groups[1] {
			t.Errorf("a group that isn't here: %+v", g)
		}
		g := resp.Groups[1]
		if g.ErrorCode != 0 || len(g.Topics) != 2 || g.Topics[0].Partitions[0].Offset != 7 || g.Topics[0].Partitions[1].Offset != -1 {
			t.Errorf("by topic: %+v", g)
		}
		if last := g.Topics[1]; last.TopicID != unknown || last.Partitions[0].ErrorCode != kerr.UnknownTopicID.Code {
			t.Errorf("OFFS-07, an unknown id: %+v", last)
		}
		if all := resp.Groups[2]; len(all.Topics) != 2 || all.Topics[0].TopicID != w.topics.id("t") {
			t.Errorf("all: %+v", all)
		}
		delete(w.topics, "u") // it is gone, the tombstone is on its way
		if all := call(w.OffsetFetch, r).Groups[2]; len(all.Topics) != 1 {
			t.Errorf("all without the deleted topic: %+v", all)
		}
	})
}

func TestOffsetFetch_OFFS_07_offsets_of_a_topic_that_was_made_again(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		w.commit(t, "g", "t", 0, 7)
		err := w.Runtime().Do(0, func(s *Shard, out *coord.Output) {
			asked := []fetchTopic{{name: "t", id: [16]byte{9}, partitions: []int32{0}}}
			s.FetchOffsets(out, "g", asked, false, func(topics []offsetTopic, _ int16) {
				if got := topics[0].rows[0].offset; got != -1 {
					t.Errorf("offset %d of another topic id", got)
				}
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestOffsetDelete_OFFS_17_unknown_topics_come_first(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = "g"
		r.Topics = []kmsg.OffsetDeleteRequestTopic{
			{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 99}}},
			{Topic: "nope", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
		}
		if resp := call(w.OffsetDelete, r); resp.ErrorCode != kerr.GroupIDNotFound.Code || len(resp.Topics) != 0 {
			t.Errorf("no group: %+v", resp)
		}
		w.commit(t, "g", "t", 0, 7)
		resp := call(w.OffsetDelete, r)
		unknown := kerr.UnknownTopicOrPartition.Code
		if resp.ErrorCode != 0 || len(resp.Topics) != 2 || resp.Topics[0].Partitions[0].ErrorCode != unknown || resp.Topics[0].Partitions[1].ErrorCode != 0 || resp.Topics[1].Partitions[0].ErrorCode != unknown {
			t.Errorf("%+v", resp)
		}
		if got := w.committed("g", "t", 0); got != -1 {
			t.Errorf("offset %d is still there", got)
		}
		r.Group = ""
		if resp := call(w.OffsetDelete, r); resp.ErrorCode != kerr.InvalidGroupID.Code {
			t.Errorf("no group id: %+v", resp)
		}
	})
}

func TestDeleteGroups_CGRP_44_answers_in_the_request_s_order(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, w *world) {
		r := kmsg.NewPtrDeleteGroupsRequest()
		for i := range 8 {
			g := fmt.Sprint("g", i)
			if i%2 == 0 {
				w.commit(t, g, "t", 0, 1)
			}
			r.Groups = append(r.Groups, g, g) // twice is once
		}
		resp := call(w.DeleteGroups, r)
		if len(resp.Groups) != 8 {
			t.Fatalf("%d answers", len(resp.Groups))
		}
		for i, g := range resp.Groups {
			want := int16(0)
			if i%2 == 1 {
				want = kerr.GroupIDNotFound.Code
			}
			if g.Group != fmt.Sprint("g", i) || g.ErrorCode != want {
				t.Errorf("%d: %+v", i, g)
			}
		}
		if len(w.Snapshot()) != 0 {
			t.Errorf("left: %+v", w.Snapshot())
		}
	})
}

func TestService_OFFS_18_deleted_topics(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, w *world) {
		for i := range 6 {
			w.commit(t, fmt.Sprint("g", i), "t", 0, 1)
			w.commit(t, fmt.Sprint("g", i), "u", 0, 2)
		}
		w.DeletedTopics([]string{"t"})
		w.restart()
		for _, g := range w.Snapshot() {
			if len(g.Offsets) != 1 || g.Offsets[0].Topic != "u" {
				t.Errorf("%s: %v", g.ID, g.Offsets)
			}
		}
	})
}

func TestOffsetCommit_OFFS_01_fails_after_the_commit_timeout(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, w *world) {
		w.commit(t, "g", "t", 0, 1)
		w.logs[0].Hold()
		start := time.Now()
		code := call(w.OffsetCommit, commitRequest("g", "t", 0, 2)).Topics[0].Partitions[0].ErrorCode
		if took := time.Since(start); code != kerr.CoordinatorNotAvailable.Code || took != 5*time.Second {
			t.Errorf("%v after %v", kerr.ErrorForCode(code), took)
		}
		w.logs[0].FailAppends(storage.ErrStorage)
		if code := call(w.OffsetCommit, commitRequest("g", "t", 0, 3)).Topics[0].Partitions[0].ErrorCode; code != kerr.NotCoordinator.Code {
			t.Errorf("a log that failed: %v", kerr.ErrorForCode(code))
		}
	})
}

// TestOffsetCommit_register checks that a fetch gives the newest acknowledged commit or one that is under way, while a coordinator comes
// and goes (mistake 9; the Commit register and No reset invariants).
func TestOffsetCommit_register(t *testing.T) {
	w := newWorld(1)
	defer func() { w.Close() }()
	var mu sync.RWMutex // restarts swap the service
	var wg sync.WaitGroup
	const commits = 300
	for client := range 4 {
		wg.Go(func() {
			group, acked := fmt.Sprint("g", client), int64(-1)
			for offset := int64(0); offset < commits; offset++ {
				mu.RLock()
				resp := call(w.OffsetCommit, commitRequest(group, "t", 0, offset))
				r := kmsg.NewPtrOffsetFetchRequest()
				r.Version, r.Group, r.Topics = 7, group, []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
				fetched := call(w.OffsetFetch, r)
				mu.RUnlock()
				if resp.Topics[0].Partitions[0].ErrorCode == 0 {
					acked = offset
				}
				if fetched.ErrorCode != 0 {
					continue
				}
				if got := fetched.Topics[0].Partitions[0].Offset; got < acked || got > offset {
					t.Errorf("%s: offset %d, acknowledged %d, sent %d", group, got, acked, offset)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			w.logs[0].Hold()
			w.logs[0].Advance()
			w.logs[0].Release()
			mu.Lock()
			w.restart()
			mu.Unlock()
		}
	})
	wg.Wait()
}

func FuzzDecodeRecord(f *testing.F) {
	o := offsetRecord("g", "t", 1, &offset{offset: 5, leaderEpoch: 2, metadata: "m", commitWall: 1, expireWall: -1, topicID: [16]byte{1}})
	f.Add(o.Key, o.Value)
	e := offsetRecord("g", "t", 1, &offset{offset: 5, leaderEpoch: -1, commitWall: 1, expireWall: 7})
	f.Add(e.Key, e.Value)
	m := &member{id: "m", clientID: "c", protocols: []protocol{{"range", []byte("x")}}, instanceID: new("i")}
	g := groupRecord("g", groupImage{protocolType: "consumer", protocol: new("range"), generation: 3, leader: "m", members: []*member{m}, assignment: func(*member) []byte { return []byte("a") }})
	f.Add(g.Key, g.Value)
	f.Add([]byte{0, 3, 0, 1}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := NewShard(DefaultConfig(), slog.New(slog.DiscardHandler), func() string { return "" })
		if err := s.Replay(coord.Position{ProducerID: -1}, key, value); err != nil {
			t.Fatal(err)
		}
		s.Loaded(&coord.Output{})
		s.Snapshot()
	})
}

func FuzzSubscription(f *testing.F) {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 3, []string{"a", "b"}
	f.Add(m.AppendTo(nil))
	f.Add([]byte("neither version nor topics"))
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]struct{}{}
		if addSubscription(topics, b) && len(topics) > len(b)/2 {
			t.Errorf("%d topics of %d bytes", len(topics), len(b))
		}
	})
}

func TestSubscription_CGRP_34_reads_every_version_and_refuses_garbage(t *testing.T) {
	for v := int16(0); v <= 3; v++ {
		m := kmsg.NewConsumerMemberMetadata()
		m.Version, m.Topics = v, []string{"a", "b"}
		m.UserData = []byte("data")
		topics := map[string]struct{}{}
		if !addSubscription(topics, m.AppendTo(nil)) || len(topics) != 2 {
			t.Errorf("v%d: %v", v, topics)
		}
	}
	for name, b := range map[string]string{
		"nothing": "", "a version": "m0", "text": "neither version nor topics", "a huge count": "\x00\x01\x7f\xff\xff\xff\x00\x00",
		"a negative count": "\x00\x01\xff\xff\xff\xff", "a name too long": "\x00\x00\x00\x00\x00\x01\x00\x09abc", "no user data": "\x00\x00\x00\x00\x00\x01\x00\x01a",
		"user data too long": "\x00\x00\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x09x", "a null name": "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff",
	} {
		topics := map[string]struct{}{}
		if addSubscription(topics, []byte(b)) || len(topics) != 0 {
			t.Errorf("%s was taken for a subscription: %v", name, topics)
		}
	}
}

func TestRecords_OFFS_19_have_Kafka_s_versions(t *testing.T) {
	for name, c := range map[string]struct {
		r          coord.Record
		key, value int
	}{
		"offset":                {offsetRecord("g", "t", 0, &offset{expireWall: -1}), 1, 4},
		"offset with an expiry": {offsetRecord("g", "t", 0, &offset{expireWall: 5}), 1, 1},
		"group":                 {groupRecord("g", groupImage{}), 2, 3},
	} {
		if int(c.r.Key[1]) != c.key || int(c.r.Value[1]) != c.value {
			t.Errorf("%s: key %d, value %d", name, c.r.Key[1], c.r.Value[1])
		}
	}
	// What older brokers wrote is read: no leader epoch, no rebalance timeout, no time of the state.
	s := NewShard(DefaultConfig(), slog.New(slog.DiscardHandler), func() string { return "" })
	v := kmsg.NewOffsetCommitValue()
	v.Version, v.Offset, v.CommitTimestamp, v.ExpireTimestamp = 1, 4, 10, 20
	g := kmsg.GroupMetadataValue{Version: 0, ProtocolType: "consumer", Generation: 4, Protocol: new("range"), Leader: new("m")}
	g.Members = []kmsg.GroupMetadataValueMember{{MemberID: "m", SessionTimeoutMillis: 9000, Subscription: []byte("s"), Assignment: []byte("a")}}
	for _, r := range []coord.Record{{Key: groupKey("g"), Value: g.AppendTo(nil)}, {Key: offsetKey("g", "t", 0), Value: v.AppendTo(nil)}} {
		if err := s.Replay(coord.Position{ProducerID: -1}, r.Key, r.Value); err != nil {
			t.Fatal(err)
		}
	}
	is := s.groups["g"]
	if is.state != Stable || is.stateSinceWall != -1 || is.members[0].rebalanceTimeoutMillis != 9000 || is.leader != "m" {
		t.Errorf("%+v", is)
	}
	if o := s.offsets.committed["g"].get("t", 0); o.leaderEpoch != -1 || o.expireWall != 20 {
		t.Errorf("%+v", o)
	}
}

func TestSelectProtocol_CGRP_13_ties_go_as_in_Kafka(t *testing.T) {
	of := func(names ...string) *member {
		m := &member{}
		for _, n := range names {
			m.protocols = append(m.protocols, protocol{name: n})
		}
		return m
	}
	for _, c := range []struct {
		members []*member
		want    string
	}{
		{[]*member{of("a", "b"), of("b", "a"), of("b", "a")}, "b"},
		{[]*member{of("b", "a"), of("a", "b")}, "a"}, // the order of Java's hash buckets
		{[]*member{of("cooperative-sticky", "range"), of("range", "cooperative-sticky")}, "range"},
	} {
		if got, ok := selectProtocol(c.members); !ok || got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if _, ok := selectProtocol([]*member{of("a"), of("b")}); ok {
		t.Error("nothing in common, and yet something was chosen")
	}
}
