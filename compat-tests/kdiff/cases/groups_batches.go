package cases

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// groupBatches covers requests about several groups, members or topics, and longer lives of groups.
func groupBatches(l *diff.List) {
	l.Each("GADM/describe_several", "CGRP-43 CGRP-45", diff.Range(0, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.JoinAlone(t, c, t.Name("a"), "range", kit.Subscription(t.Name("t")))
		kit.JoinStaticAlone(t, c, t.Name("b"), "i1", "range", kit.Subscription(t.Name("t")))
		diff.Do(c, "describe", v, kit.DescribeGroup(t.Name("a"), t.Name("missing"), t.Name("b"), t.Name("a")))
		diff.Do(c, "none", v, kit.DescribeGroup())
	})
	l.Each("GADM/delete_several", "CGRP-44", diff.Range(0, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.JoinAlone(t, c, t.Name("busy"))
		t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), topic, 0, 3)) })
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{t.Name("g"), t.Name("missing"), t.Name("busy")}
		diff.Do(c, "delete", v, req)
		diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic, 0))
		req.Groups = []string{t.Name("g"), t.Name("g")}
		diff.Try(c, "again, twice", v, req)
		req.Groups = nil
		diff.Do(c, "none", v, req)
	})
	l.Each("GADM/list_every_version", "CGRP-42", diff.Range(0, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.JoinAlone(t, c, t.Name("a"))
		kit.JoinOnly(t, c, t.Name("b"))
		topic := kit.NewTopic(t, c, "t", 1)
		t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("c"), topic, 0, 3)) })
		diff.Do(c, "list", v, kmsg.NewPtrListGroupsRequest(), diff.Own("Groups"))
	})
	l.Add("GADM/list_two_filters", "CGRP-42", func(t *diff.T) {
		c := t.Dial()
		kit.JoinAlone(t, c, t.Name("a"))
		topic := kit.NewTopic(t, c, "t", 1)
		t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("c"), topic, 0, 3)) })
		for _, f := range [][2][]string{{{"Empty", "Stable"}, {"classic"}}, {{"Empty"}, {"consumer", "classic"}}, {{""}, nil}, {nil, {""}}, {{"Dead"}, {"share"}}} {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter, req.TypesFilter = f[0], f[1]
			diff.Do(c, fmt.Sprint(f), 5, req, diff.Own("Groups"))
		}
	})
	l.Add("GADM/offset_delete_several", "OFFS-17", func(t *diff.T) {
		c := t.Dial()
		a, b := kit.NewTopic(t, c, "a", 3), kit.NewTopic(t, c, "b", 1)
		t.Quiet(func() {
			for _, p := range []int32{0, 2} {
				diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), a, p, 3))
			}
			diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), b, 0, 3))
		})
		req := offsetDelete(t.Name("g"), a.Name, 0, 1, 9)
		req.Topics = append(req.Topics, offsetDelete("", t.Name("missing"), 0).Topics[0], offsetDelete("", b.Name, 0).Topics[0])
		diff.Do(c, "delete", 0, req)
		diff.Do(c, "left", 7, kit.Committed(t.Name("g"), a))
		diff.Do(c, "no partitions", 0, offsetDelete(t.Name("g"), a.Name))
		req.Topics = nil
		diff.Do(c, "no topics", 0, req)
		diff.Do(c, "empty group", 0, offsetDelete("", a.Name, 0))
	})
	l.Each("GADM/find_several", "CGRP-38", diff.Range(4, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "groups", v, kit.FindCoordinator(0, t.Name("a"), t.Name("b"), t.Name("a"), "", strings.Repeat("x", 300)))
		diff.Do(c, "transactions", v, kit.FindCoordinator(1, t.Name("a"), "", t.Name("b")))
	})
	commitBatches(l)
	longLives(l)
}

func commitBatches(l *diff.List) {
	l.Each("OFFS/commit_several", "OFFS-02 OFFS-04 OFFS-06", diff.Range(2, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		a, b := kit.NewTopic(t, c, "a", 2), kit.NewTopic(t, c, "b", 1)
		req := kit.Commit(t.Name("g"), a, 0, 1)
		for _, part := range []struct {
			partition int32
			offset    int64
			metadata  *string
		}{{1, 1 << 40, new("two")}, {5, 5, nil}, {-1, 5, new("")}, {1, 7, new("twice")}} {
			p := kit.Commit("", a, part.partition, part.offset).Topics[0].Partitions[0]
			p.Metadata = part.metadata
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
		}
		req.Topics = append(req.Topics, kit.Commit("", b, 0, 9).Topics[0])
		diff.Do(c, "commit", v, req)
		both := kit.Committed(t.Name("g"), a, 0, 1, 5, -1)
		both.Topics = append(both.Topics, kit.Committed("", b, 0).Topics[0])
		both.Groups[0].Topics = append(both.Groups[0].Topics, kit.Committed("", b, 0).Groups[0].Topics[0])
		for fetch := int16(1); fetch <= 10; fetch++ {
			diff.Do(c, fmt.Sprintf("fetch v%d", fetch), fetch, both)
		}
	})
	l.Each("OFFS/commit_nothing", "OFFS-02", diff.Versions(2, 7, 8, 9, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Commit(t.Name("g"), topic, 0, 1)
		req.Topics[0].Partitions = nil
		diff.Do(c, "no partitions", v, req)
		req.Topics = nil
		diff.Do(c, "no topics", v, req)
		diff.Do(c, "describe", 5, kit.DescribeGroup(t.Name("g")))
	})
	l.Each("OFFS/fetch_batches", "OFFS-10 OFFS-08", diff.Range(8, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		for _, g := range []string{"a", "b"} {
			t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name(g), topic, 1, 5)) })
		}
		req := kit.Committed(t.Name("a"), topic)
		req.Groups = append(req.Groups, kit.Committed(t.Name("b"), topic, 0, 1).Groups[0], kit.Committed(t.Name("missing"), topic).Groups[0], kit.Committed(t.Name("a"), topic, 1).Groups[0])
		req.Groups[1].Topics[0].Partitions = append(req.Groups[1].Topics[0].Partitions, 1)
		diff.Do(c, "several", v, req)
		req.RequireStable = true
		diff.Do(c, "stable", v, req)
		req.Groups = nil
		diff.Do(c, "no groups", v, req)
		empty := kit.Committed(t.Name("a"), topic, 0)
		empty.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{}
		diff.Do(c, "no topics", v, empty)
		none := kit.Committed(t.Name("a"), topic, 0)
		none.Groups[0].Topics[0].Partitions = nil
		diff.Do(c, "no partitions", v, none)
	})
	l.Each("OFFS/fetch_no_topics", "OFFS-08", diff.Range(1, 7), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), topic, 0, 5)) })
		req := kit.Committed(t.Name("g"), topic)
		req.Topics = []kmsg.OffsetFetchRequestTopic{}
		diff.Do(c, "no topics", v, req)
		if v >= 7 {
			req = kit.Committed(t.Name("g"), topic, 0)
			req.RequireStable = true
			diff.Do(c, "stable", v, req)
		}
	})
	l.Each("OFFS/fetch_as_a_member", "OFFS-10", diff.Versions(9, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		m := kit.JoinAlone(t, c, t.Name("g"))
		for _, epoch := range []int32{-1, 0, m.Generation, 99} {
			req := kit.Committed(m.Group, topic, 0)
			req.Groups[0].MemberID, req.Groups[0].MemberEpoch = &m.ID, epoch
			diff.Do(c, fmt.Sprintf("epoch %d", epoch), v, req)
		}
	})
	l.Add("OFFS/retention_time_and_leader_epoch", "OFFS-05", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		for v := int16(2); v <= 4; v++ {
			req := kit.Commit(t.Name("g"), topic, 0, int64(v))
			req.RetentionTimeMillis = 5
			diff.Do(c, "commit", v, req)
		}
		for _, epoch := range []int32{-1, 0, -7, 1 << 30} {
			req := kit.Commit(t.Name("g"), topic, 0, 5)
			req.Topics[0].Partitions[0].LeaderEpoch = epoch
			diff.Do(c, "commit with an epoch", 8, req)
			diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic, 0))
		}
	})
	l.Add("OFFS/odd_group_ids", "OFFS-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		for _, group := range []string{t.Name("a/b c"), t.Name("thé"), t.Name(strings.Repeat("g", 600))} {
			diff.Do(c, "commit", 8, kit.Commit(group, topic, 0, 1))
			diff.Do(c, "fetch", 7, kit.Committed(group, topic, 0))
			diff.Do(c, "join", 5, kit.Join(group, ""))
		}
	})
}

// longLives follows groups through several generations.
func longLives(l *diff.List) {
	l.Each("CGRP/life/cooperative", "CGRP-13 CGRP-14 CGRP-15 CGRP-41", diff.Versions(5, 7, 9), func(t *diff.T, v int16) {
		c1, c2 := t.Dial(), t.Dial()
		group := t.Name("g")
		protocols := []string{"cooperative-sticky", kit.Subscription(t.Name("t")), "range", kit.Subscription(t.Name("t"))}
		leader := kit.JoinAlone(t, c1, group, protocols...)
		id := kit.NewMemberID(t, c2, group)
		req := kit.Join(group, id, protocols...)
		req.Reason = new("I am new")
		second := diff.Start(c2, "second joins", v, req)
		t.Until("rebalance begins", 5*time.Second, func() bool {
			return diff.Do(c1, "heartbeat", 3, kit.Beat(leader)).ErrorCode == 27
		})
		first := diff.Start(c1, "first rejoins", v, kit.Join(group, leader.ID, protocols...))
		r1, r2 := first.Wait(), second.Wait()
		leader.Generation = r1.Generation
		follower := kit.Member{Group: group, ID: r2.MemberID, Generation: r2.Generation}
		sync := func(m kit.Member, assignments ...string) *kmsg.SyncGroupRequest {
			req := kit.Sync(m, assignments...)
			req.Protocol = new("cooperative-sticky")
			return req
		}
		waiting := diff.Start(c2, "follower syncs", 5, sync(follower))
		diff.Do(c1, "leader syncs", 5, sync(leader, leader.ID, kit.Assignment(t.Name("t"), 0), follower.ID, kit.Assignment(t.Name("t"), 1)))
		waiting.Wait()
		diff.Do(c1, "describe", 6, kit.DescribeGroup(group))
		again := diff.Start(c2, "follower gives up a partition", v, kit.Join(group, follower.ID, "cooperative-sticky", kit.Subscription(t.Name("t"), t.Name("u")), "range", "xx"))
		t.Until("rebalance begins again", 5*time.Second, func() bool {
			return diff.Do(c1, "heartbeat", 3, kit.Beat(leader)).ErrorCode == 27
		})
		last := diff.Start(c1, "leader rejoins", v, kit.Join(group, leader.ID, protocols...))
		last.Wait()
		again.Wait()
		diff.Do(c1, "old generation", 4, kit.Beat(leader))
	})
	l.Each("CGRP/life/leader_rejoins", "CGRP-16 CGRP-17", diff.Versions(2, 5, 8, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		m := kit.JoinAlone(t, c, t.Name("g"))
		resp := diff.Do(c, "leader rejoins", v, kit.Join(m.Group, m.ID))
		m.Generation = resp.Generation
		diff.Do(c, "heartbeat before sync", 4, kit.Beat(m))
		diff.Do(c, "sync", 3, kit.Sync(m, m.ID, "second"))
		diff.Do(c, "changed metadata", v, kit.Join(m.Group, m.ID, "range", "m9"))
		diff.Do(c, "other protocol alone", v, kit.Join(m.Group, m.ID, "roundrobin", "m9"))
		diff.Do(c, "describe", 5, kit.DescribeGroup(m.Group))
	})
	l.Each("CGRP/life/static_comes_back", "CGRP-28 CGRP-29 CGRP-30", diff.Versions(5, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		old := kit.JoinStaticAlone(t, c, t.Name("g"), "i1", "range", kit.Subscription(t.Name("t")))
		diff.Do(c, "leaves without saying", 4, kit.Beat(old))
		resp := diff.Do(c, "same subscription", v, kit.JoinStatic(old.Group, "", "i1", "range", kit.Subscription(t.Name("t"))))
		m := kit.Member{Group: old.Group, ID: resp.MemberID, Generation: resp.Generation, Instance: new("i1")}
		diff.Do(c, "sync", 5, kit.Sync(m, m.ID, "other"))
		resp = diff.Do(c, "other subscription", v, kit.JoinStatic(old.Group, "", "i1", "range", kit.Subscription(t.Name("t"), t.Name("u"))))
		m.ID, m.Generation = resp.MemberID, resp.Generation
		diff.Do(c, "sync again", 5, kit.Sync(m, m.ID, "third"))
		diff.Do(c, "known id without instance", v, kit.Join(old.Group, m.ID, "range", kit.Subscription(t.Name("t"))))
		diff.Do(c, "describe", 5, kit.DescribeGroup(old.Group))
		diff.Do(c, "unknown id with the instance", v, kit.JoinStatic(old.Group, "stranger", "i1"))
		diff.Do(c, "unknown id with a new instance", v, kit.JoinStatic(old.Group, "stranger", "i2"))
	})
	l.Each("CGRP/life/leave_batches", "CGRP-26 CGRP-27", diff.Range(3, 5), func(t *diff.T, v int16) {
		c1, c2 := t.Dial(), t.Dial()
		first := kit.JoinStaticAlone(t, c1, t.Name("g"), "i1")
		second := diff.Start(c2, "second joins", 5, kit.JoinStatic(first.Group, "", "i2"))
		c2.Silent("parked", 300*time.Millisecond)
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = first.Group
		add := func(id string, instance *string) {
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID, m.InstanceID, m.Reason = id, instance, new("because")
			req.Members = append(req.Members, m)
		}
		add("", nil)
		add("", new("i9"))
		add(first.ID, nil)
		add("wrong", new("i2"))
		add(first.ID, new("i1"))
		diff.Do(c1, "leave", v, req)
		second.Wait()
		diff.Do(c1, "describe", 5, kit.DescribeGroup(first.Group))
	})
	l.Add("CGRP/life/empty_and_back", "CGRP-01 CGRP-02 CGRP-35", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		m := kit.JoinAlone(t, c, t.Name("g"))
		diff.Do(c, "commit", 8, kit.CommitAs(m, topic, 0, 4))
		diff.Do(c, "leave", 4, kit.Leave(m))
		diff.Do(c, "describe", 5, kit.DescribeGroup(m.Group))
		other := kit.Join(m.Group, "", "other", "m0")
		other.ProtocolType = "connect"
		diff.Do(c, "as another type", 3, other)
		diff.Do(c, "describe again", 5, kit.DescribeGroup(m.Group))
		diff.Do(c, "offsets", 7, kit.Committed(m.Group, topic, 0))
	})
	l.Add("CGRP/life/session_expires", "CGRP-23 CGRP-24", func(t *diff.T) {
		c := t.Dial()
		req := kit.Join(t.Name("g"), kit.NewMemberID(t, c, t.Name("g")))
		req.SessionTimeoutMillis = 6000
		resp := diff.Do(c, "join", 5, req)
		m := kit.Member{Group: req.Group, ID: resp.MemberID, Generation: resp.Generation}
		diff.Do(c, "sync", 3, kit.Sync(m, m.ID, "x"))
		t.Sleep(4 * time.Second)
		diff.Do(c, "in time", 4, kit.Beat(m))
		t.Sleep(4 * time.Second)
		diff.Do(c, "still in time", 4, kit.Beat(m))
		t.Sleep(7 * time.Second)
		diff.Do(c, "too late", 4, kit.Beat(m))
		diff.Do(c, "describe", 5, kit.DescribeGroup(m.Group))
	})
	l.Each("CGRP/life/follower_syncs_first_and_leader_leaves", "CGRP-18 CGRP-26", diff.Versions(3, 5), func(t *diff.T, v int16) {
		c1, c2 := t.Dial(), t.Dial()
		leader, follower := pair(t, c1, c2, 5, t.Name("g"))
		waiting := diff.Start(c2, "follower syncs", v, kit.Sync(follower))
		c2.Silent("parked", 200*time.Millisecond)
		diff.Do(c1, "leader leaves", 4, kit.Leave(leader))
		waiting.Wait()
		diff.Do(c2, "rejoin", 5, kit.Join(follower.Group, follower.ID))
	})
	l.Add("CGRP/life/join_twice_while_parked", "CGRP-09", func(t *diff.T) {
		c1, c2, c3 := t.Dial(), t.Dial(), t.Dial()
		leader := kit.JoinAlone(t, c1, t.Name("g"))
		id := kit.NewMemberID(t, c2, leader.Group)
		one := diff.Start(c2, "joins", 5, kit.Join(leader.Group, id))
		c2.Silent("parked", 200*time.Millisecond)
		two := diff.Start(c3, "joins again elsewhere", 5, kit.Join(leader.Group, id))
		c3.Silent("parked too", 200*time.Millisecond)
		diff.Do(c1, "first leaves", 4, kit.Leave(leader))
		two.Wait()
		one.Wait()
	})
	l.Add("CGRP/life/sync_twice_while_parked", "CGRP-18", func(t *diff.T) {
		c1, c2, c3 := t.Dial(), t.Dial(), t.Dial()
		leader, follower := pair(t, c1, c2, 5, t.Name("g"))
		one := diff.Start(c2, "syncs", 3, kit.Sync(follower))
		c2.Silent("parked", 200*time.Millisecond)
		two := diff.Start(c3, "syncs again elsewhere", 3, kit.Sync(follower))
		c3.Silent("parked too", 200*time.Millisecond)
		diff.Do(c1, "leader syncs", 3, kit.Sync(leader, leader.ID, "1", follower.ID, "2"))
		two.Wait()
		one.Try()
	})
	l.Add("CGRP/life/pending_member_holds_the_join", "CGRP-03 CGRP-09", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader := kit.JoinAlone(t, c1, t.Name("g"))
		kit.NewMemberID(t, c2, leader.Group)
		req := kit.Join(leader.Group, leader.ID, "range", "m7")
		rejoining := diff.Start(c1, "leader rejoins", 5, req)
		c1.Silent("waits for the pending one", 400*time.Millisecond)
		_ = rejoining
	})
}
