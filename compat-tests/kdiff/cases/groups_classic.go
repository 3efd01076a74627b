package cases

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// classicGroups covers JoinGroup, SyncGroup, Heartbeat and LeaveGroup. Metadata
// that is not a subscription has two bytes: Kafka parses that of type
// "consumer", and longer garbage may break a join.
func classicGroups(l *diff.List) {
	l.Each("CGRP/lone_member", "CGRP-02 CGRP-03 CGRP-04 CGRP-12 CGRP-14 CGRP-36", diff.Range(0, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.Join(t.Name("g"), "")
		resp := diff.Do(c, "join", v, req)
		if resp.ErrorCode == 79 {
			req.MemberID = resp.MemberID
			resp = diff.Do(c, "join with the id", v, req)
		}
		m := kit.Member{Group: req.Group, ID: resp.MemberID, Generation: resp.Generation}
		diff.Do(c, "heartbeat before sync", min(v, 4), kit.Beat(m))
		diff.Do(c, "sync", min(v, 5), kit.Sync(m, m.ID, "assigned"))
		diff.Do(c, "sync again", min(v, 5), kit.Sync(m))
		diff.Do(c, "heartbeat", min(v, 4), kit.Beat(m))
		diff.Do(c, "leave", min(v, 5), kit.Leave(m))
		diff.Do(c, "heartbeat after leaving", min(v, 4), kit.Beat(m))
	})
	twoMembers(l)
	joinErrors(l)
	staleMembers(l)
	staticMembers(l)
	leaving(l)
	l.Add("CGRP/find_coordinator_then_use", "CGRP-38", func(t *diff.T) {
		c := t.Dial()
		diff.Do(c, "find", 4, kit.FindCoordinator(0, t.Name("g"), t.Name("h")))
	})
}

// pair is a group of two members in a new generation that nobody has synced.
func pair(t *diff.T, leaderConn, followerConn *diff.Conn, v int16, group string) (leader, follower kit.Member) {
	leader = kit.JoinAlone(t, leaderConn, group)
	id := kit.NewMemberID(t, followerConn, group)
	second := diff.Start(followerConn, "second joins", v, kit.Join(group, id))
	t.Until("rebalance begins", 5*time.Second, func() bool {
		return diff.Do(leaderConn, "heartbeat", 3, kit.Beat(leader)).ErrorCode == 27
	})
	first := diff.Start(leaderConn, "first rejoins", v, kit.Join(group, leader.ID))
	r1, r2 := first.Wait(), second.Wait()
	leader.Generation = r1.Generation
	return leader, kit.Member{Group: group, ID: r2.MemberID, Generation: r2.Generation}
}

func twoMembers(l *diff.List) {
	l.Each("CGRP/second_member_rebalances", "CGRP-09 CGRP-12 CGRP-14 CGRP-15 CGRP-18 CGRP-22", diff.Versions(2, 5, 7, 9), func(t *diff.T, v int16) {
		c1, c2 := t.Dial(), t.Dial()
		leader, follower := pair(t, c1, c2, v, t.Name("g"))
		waiting := diff.Start(c2, "follower syncs", min(v, 5), kit.Sync(follower))
		c2.Silent("parked", 200*time.Millisecond)
		diff.Do(c1, "leader syncs", min(v, 5), kit.Sync(leader, leader.ID, "one", follower.ID, "two"))
		waiting.Wait()
		diff.Do(c2, "describe", 5, kit.DescribeGroup(t.Name("g")))
	})
	l.Add("CGRP/follower_left_out_of_assignment", "CGRP-19", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader, follower := pair(t, c1, c2, 5, t.Name("g"))
		diff.Do(c1, "leader syncs", 3, kit.Sync(leader, leader.ID, "everything"))
		diff.Do(c2, "follower syncs", 3, kit.Sync(follower))
	})
	l.Add("CGRP/follower_rejoins_unchanged", "CGRP-16", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader, follower := pair(t, c1, c2, 5, t.Name("g"))
		t.Quiet(func() { diff.Do(c1, "leader syncs", 3, kit.Sync(leader, leader.ID, "1", follower.ID, "2")) })
		diff.Do(c2, "rejoin unchanged", 5, kit.Join(follower.Group, follower.ID))
		diff.Do(c1, "heartbeat", 3, kit.Beat(leader))
	})
	l.Add("CGRP/leave_in_the_middle_of_a_join", "CGRP-09 CGRP-26", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader := kit.JoinAlone(t, c1, t.Name("g"))
		joining := diff.Start(c2, "second joins", 5, kit.Join(leader.Group, kit.NewMemberID(t, c2, leader.Group)))
		c2.Silent("parked", 300*time.Millisecond)
		diff.Do(c1, "first leaves", 3, kit.Leave(leader))
		joining.Wait()
	})
	l.Add("CGRP/sync_during_rebalance", "CGRP-18 CGRP-22", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader := kit.JoinAlone(t, c1, t.Name("g"))
		diff.Start(c2, "second joins", 5, kit.Join(leader.Group, kit.NewMemberID(t, c2, leader.Group)))
		c2.Silent("parked", 300*time.Millisecond)
		diff.Do(c1, "sync", 3, kit.Sync(leader))
		diff.Do(c1, "heartbeat", 3, kit.Beat(leader))
		diff.Do(c1, "commit", 7, kit.CommitAs(leader, kit.NewTopic(t, c1, "t", 1), 0, 5))
		diff.Do(c1, "describe", 5, kit.DescribeGroup(leader.Group))
	})
	l.Add("CGRP/protocol_both_support_wins", "CGRP-13", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		group := t.Name("g")
		leader := kit.JoinAlone(t, c1, group, "range", "r1", "sticky", "s1", "extra", "e1")
		id := kit.NewMemberID(t, c2, group)
		second := diff.Start(c2, "second joins", 7, kit.Join(group, id, "sticky", "s2", "other", "o2"))
		c2.Silent("parked", 300*time.Millisecond)
		first := diff.Start(c1, "first rejoins", 7, kit.Join(group, leader.ID, "range", "r1", "sticky", "s1"))
		first.Wait()
		second.Wait()
	})
	l.Add("CGRP/no_common_protocol", "CGRP-07", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader := kit.JoinAlone(t, c1, t.Name("g"))
		diff.Do(c2, "other protocol", 5, kit.Join(leader.Group, "", "other", "x"))
		diff.Do(c1, "undisturbed", 3, kit.Beat(leader))
	})
}

func joinErrors(l *diff.List) {
	changes := map[string]func(*kmsg.JoinGroupRequest){
		"empty_group":            func(r *kmsg.JoinGroupRequest) { r.Group = "" },
		"session_too_short":      func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 },
		"session_too_long":       func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1800001 },
		"no_protocols":           func(r *kmsg.JoinGroupRequest) { r.Protocols = nil },
		"empty_type":             func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" },
		"unknown_member":         func(r *kmsg.JoinGroupRequest) { r.MemberID = "somebody-else" },
		"rebalance_timeout_zero": func(r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = 0 },
		"garbage_metadata":       func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte("neither version nor topics") },
	}
	for name, change := range changes {
		l.Each("CGRP/join/"+name, "CGRP-02 CGRP-05 CGRP-06 CGRP-07", diff.Versions(3, 6), func(t *diff.T, v int16) {
			req := kit.Join(t.Name("g"), "")
			change(req)
			diff.Do(t.Dial(), "join", v, req)
		})
	}
	l.Add("CGRP/join/other_protocol_type", "CGRP-07 CGRP-35", func(t *diff.T) {
		c := t.Dial()
		m := kit.JoinAlone(t, c, t.Name("g"))
		req := kit.Join(m.Group, "")
		req.ProtocolType = "connect"
		diff.Do(c, "join", 5, req)
	})
	l.Add("CGRP/sync/wrong_protocol", "CGRP-36", func(t *diff.T) {
		c := t.Dial()
		m := kit.JoinOnly(t, c, t.Name("g"))
		req := kit.Sync(m, m.ID, "x")
		req.Protocol = new("sticky")
		diff.Do(c, "name", 5, req)
		req = kit.Sync(m, m.ID, "x")
		req.ProtocolType = new("connect")
		diff.Do(c, "type", 5, req)
		req.ProtocolType, req.Protocol = nil, nil
		diff.Do(c, "neither", 5, req)
	})
}

// staleMembers asks with the wrong generation, member or group.
func staleMembers(l *diff.List) {
	ask := func(t *diff.T, c *diff.Conn, m kit.Member, topic kit.Topic, what string) {
		diff.Do(c, "heartbeat: "+what, 4, kit.Beat(m))
		diff.Do(c, "sync: "+what, 5, kit.Sync(m))
		if m.Group != "" { // other cases commit to the group "", so its state is not this case's
			diff.Do(c, "commit: "+what, 8, kit.CommitAs(m, topic, 0, 1))
		}
		diff.Do(c, "leave: "+what, 4, kit.Leave(m))
	}
	changes := map[string]func(*kit.Member){
		"older_generation":    func(m *kit.Member) { m.Generation-- },
		"newer_generation":    func(m *kit.Member) { m.Generation += 5 },
		"unknown_member":      func(m *kit.Member) { m.ID = "not-me" },
		"empty_member":        func(m *kit.Member) { m.ID = "" },
		"unknown_group":       func(m *kit.Member) { m.Group += "x" },
		"empty_group":         func(m *kit.Member) { m.Group = "" },
		"unexpected_instance": func(m *kit.Member) { m.Instance = new("nobody") },
	}
	for name, change := range changes {
		l.Add("CGRP/stale/"+name, "CGRP-22 CGRP-32 OFFS-03", func(t *diff.T) {
			c := t.Dial()
			m := kit.JoinAlone(t, c, t.Name("g"))
			topic := kit.NewTopic(t, c, "t", 1)
			wrong := m
			change(&wrong)
			ask(t, c, wrong, topic, name)
			diff.Do(c, "describe", 5, kit.DescribeGroup(m.Group))
		})
	}
}

func staticMembers(l *diff.List) {
	l.Each("CGRP/static/replaced", "CGRP-28 CGRP-29 CGRP-31 CGRP-32", diff.Versions(5, 8, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		old := kit.JoinStaticAlone(t, c, t.Name("g"), "i1")
		resp := diff.Do(c, "joins again", v, kit.JoinStatic(old.Group, "", "i1"))
		diff.Do(c, "the old one's heartbeat", 4, kit.Beat(old))
		diff.Do(c, "the old one's commit", 8, kit.CommitAs(old, kit.NewTopic(t, c, "t", 1), 0, 1))
		replaced := kit.Member{Group: old.Group, ID: resp.MemberID, Generation: resp.Generation, Instance: new("i1")}
		diff.Do(c, "the new one's sync", 4, kit.Sync(replaced))
		diff.Do(c, "the new one's heartbeat", 4, kit.Beat(replaced))
		diff.Do(c, "describe", 5, kit.DescribeGroup(old.Group))
	})
	l.Add("CGRP/static/changed_metadata", "CGRP-29", func(t *diff.T) {
		c := t.Dial()
		old := kit.JoinStaticAlone(t, c, t.Name("g"), "i1")
		diff.Do(c, "joins again", 7, kit.JoinStatic(old.Group, "", "i1", "range", "s9"))
		diff.Do(c, "describe", 5, kit.DescribeGroup(old.Group))
	})
	l.Add("CGRP/static/removed_by_instance", "CGRP-27", func(t *diff.T) {
		c := t.Dial()
		m := kit.JoinStaticAlone(t, c, t.Name("g"), "i1")
		diff.Do(c, "unknown instance", 3, kit.Leave(kit.Member{Group: m.Group, Instance: new("i2")}))
		diff.Do(c, "wrong member id", 3, kit.Leave(kit.Member{Group: m.Group, ID: "wrong", Instance: new("i1")}))
		diff.Do(c, "instance alone", 3, kit.Leave(kit.Member{Group: m.Group, Instance: new("i1")}))
		diff.Do(c, "describe", 5, kit.DescribeGroup(m.Group))
	})
	l.Add("CGRP/static/two_members", "CGRP-28", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		first := kit.JoinStaticAlone(t, c1, t.Name("g"), "i1")
		second := diff.Start(c2, "second joins", 5, kit.JoinStatic(first.Group, "", "i2"))
		c2.Silent("parked", 300*time.Millisecond)
		diff.Do(c1, "first rejoins", 5, kit.JoinStatic(first.Group, first.ID, "i1"), diff.Ignore("the id of the second is not known yet", "Members"))
		second.Wait()
	})
}

func leaving(l *diff.List) {
	l.Add("CGRP/leave/several", "CGRP-27", func(t *diff.T) {
		c1, c2 := t.Dial(), t.Dial()
		leader, follower := pair(t, c1, c2, 5, t.Name("g"))
		req := kit.Leave(follower)
		for _, id := range []string{"stranger", leader.ID, follower.ID} {
			one := kmsg.NewLeaveGroupRequestMember()
			one.MemberID, one.Reason = id, new("done")
			req.Members = append(req.Members, one)
		}
		diff.Do(c1, "leave", 5, req)
		diff.Do(c1, "describe", 5, kit.DescribeGroup(leader.Group))
	})
	l.Each("CGRP/leave/pending_member", "CGRP-26", diff.Versions(1, 3, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		id := kit.NewMemberID(t, c, t.Name("g"))
		diff.Do(c, "leave", v, kit.Leave(kit.Member{Group: t.Name("g"), ID: id}))
		diff.Do(c, "join with that id", 5, kit.Join(t.Name("g"), id))
	})
	l.Each("CGRP/leave/nobody", "CGRP-27", diff.Versions(3, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		m := kit.JoinAlone(t, c, t.Name("g"))
		req := kit.Leave(m)
		req.Members = nil
		diff.Do(c, "leave", v, req)
		diff.Do(c, "heartbeat", 4, kit.Beat(m))
	})
	l.Add("CGRP/member_that_never_syncs_is_removed", "CGRP-21", func(t *diff.T) {
		c := t.Dial()
		req := kit.Join(t.Name("g"), kit.NewMemberID(t, c, t.Name("g")))
		req.RebalanceTimeoutMillis = 1000
		diff.Do(c, "join", 5, req)
		t.Until("removed", 8*time.Second, func() bool {
			return len(diff.Do(c, "describe", 5, kit.DescribeGroup(req.Group)).Groups[0].Members) == 0
		})
		diff.Do(c, "describe", 5, kit.DescribeGroup(req.Group))
	})
	for _, v := range []int16{1, 4} {
		l.Add(fmt.Sprintf("CGRP/member_that_does_not_rejoin_is_removed/v%d", v), "CGRP-11 CGRP-15", func(t *diff.T) {
			c1, c2 := t.Dial(), t.Dial()
			group := t.Name("g")
			req := kit.Join(group, kit.NewMemberID(t, c1, group))
			req.RebalanceTimeoutMillis = 1500
			t.Quiet(func() {
				resp := diff.Do(c1, "first joins", 5, req)
				diff.Do(c1, "first syncs", 3, kit.Sync(kit.Member{Group: group, ID: resp.MemberID, Generation: resp.Generation}))
			})
			second := kit.Join(group, kit.NewMemberID(t, c2, group))
			second.RebalanceTimeoutMillis = 1500
			diff.Do(c2, "second joins alone in the end", v, second, diff.Waits(1500*time.Millisecond))
		})
	}
}
