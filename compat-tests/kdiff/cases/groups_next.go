package cases

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// nextGroups covers KIP-848 consumer groups.
func nextGroups(l *diff.List) {
	l.Each("NGRP/lone_member", "NGRP-01 NGRP-02 NGRP-03 NGRP-04 NGRP-05 NGRP-13 NGRP-26", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 3)
		id := t.UUID("m1")
		if v == 0 {
			id = ""
		}
		resp := diff.Do(c, "join", v, kit.Join848(t.Name("g"), id, topic.Name))
		if resp.MemberID != nil {
			id = *resp.MemberID
		}
		diff.Do(c, "heartbeat", v, kit.Beat848(t.Name("g"), id, resp.MemberEpoch))
		full := kit.Owns(kit.Join848(t.Name("g"), id, topic.Name), topic, 0, 1, 2)
		full.MemberEpoch = resp.MemberEpoch
		diff.Do(c, "full heartbeat", v, full)
		diff.Do(c, "describe", v, describe848(t.Name("g")))
		diff.Do(c, "leave", v, kit.Beat848(t.Name("g"), id, -1))
		diff.Do(c, "describe the empty group", v, describe848(t.Name("g")))
		diff.Do(c, "heartbeat after leaving", v, kit.Beat848(t.Name("g"), id, resp.MemberEpoch))
	})
	joins := map[string]func(*diff.T, *kmsg.ConsumerGroupHeartbeatRequest){
		"empty_group":          func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" },
		"no_rebalance_timeout": func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 },
		"no_subscription":      func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil },
		"owned_null":           func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil },
		"owned_not_empty":      func(t *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { kit.Owns(r, kit.Topic{ID: t.RawUUID("x")}, 0) },
		"empty_member":         func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" },
		"unknown_assignor":     func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = new("chance") },
		"empty_instance":       func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = new("") },
		"epoch_of_nobody":      func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 5 },
		"epoch_minus_three":    func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 },
		"leave_of_nobody":      func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 },
		"static_leave_no_id":   func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 },
		"missing_topic": func(t *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.SubscribedTopicNames = []string{t.Name("none")}
		},
		"bad_regex":             func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = new("(unclosed") },
		"empty_subscription":    func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{} },
		"assignor_range":        func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = new("range") },
		"rebalance_timeout_min": func(_ *diff.T, r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = 1 },
	}
	for name, change := range joins {
		l.Add("NGRP/join/"+name, "NGRP-01 NGRP-02 NGRP-12 NGRP-16 NGRP-19", func(t *diff.T) {
			c := t.Dial()
			req := kit.Join848(t.Name("g"), t.UUID("m1"), kit.SettledTopic(t, c, "t", 1).Name)
			change(t, req)
			diff.Try(c, "join", 1, req)
		})
	}
	reconciling(l)
	epochs848(l)
	l.Add("NGRP/regex", "NGRP-19 NGRP-20", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "rx-one", 1)
		kit.SettledTopic(t, c, "other", 1)
		req := kit.Join848(t.Name("g"), t.UUID("m1"))
		req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, new("rx-.*"+t.Tag())
		resp := diff.Do(c, "join", 1, req, diff.Ignore("the regex is resolved in the background", "Assignment", "MemberEpoch"))
		awaitAssigned(t, c, t.Name("g"), t.UUID("m1"), resp.MemberEpoch, topic, 0)
		diff.Do(c, "describe", 1, describe848(t.Name("g")), ignoreEpochs)
	})
	l.Add("NGRP/static/leave_and_return", "NGRP-14 NGRP-15", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 2)
		join := kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name)
		join.InstanceID = new("i1")
		first := diff.Do(c, "join", 1, join)
		again := kit.Join848(t.Name("g"), t.UUID("m2"), topic.Name)
		again.InstanceID = new("i1")
		diff.Do(c, "instance in use", 1, again)
		away := kit.Beat848(t.Name("g"), t.UUID("m1"), -2)
		away.InstanceID = new("i1")
		diff.Do(c, "leaves for a while", 1, away)
		diff.Do(c, "describe meanwhile", 1, describe848(t.Name("g")))
		diff.Do(c, "returns with a new id", 1, again)
		stale := kit.Beat848(t.Name("g"), t.UUID("m1"), first.MemberEpoch)
		stale.InstanceID = new("i1")
		diff.Do(c, "the old id", 1, stale)
		diff.Do(c, "describe", 1, describe848(t.Name("g")))
	})
	l.Each("NGRP/describe/others", "NGRP-27 CGRP-43", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		classic := kit.JoinAlone(t, c, t.Name("classic"))
		diff.Do(c, "describe", v, describe848(t.Name("missing"), classic.Group))
	})
	l.Each("NGRP/seen_by_classic_apis", "CGRP-43 CGRP-42 NGRP-27", diff.Versions(4, 5, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name))
		diff.Do(c, "describe", v, kit.DescribeGroup(t.Name("g")))
		diff.Do(c, "list", min(v, 5), kmsg.NewPtrListGroupsRequest(), diff.Own("Groups"))
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{t.Name("g")}
		diff.Do(c, "delete", 2, req)
	})
	migration(l)
}

var ignoreEpochs = diff.Ignore("epochs count how often the background looked", "Groups[].Epoch", "Groups[].AssignmentEpoch", "Groups[].Members[].MemberEpoch")

// awaitAssigned beats until a member's target is the given partitions and it
// has acknowledged them; it returns the member's epoch.
func awaitAssigned(t *diff.T, c *diff.Conn, group, member string, epoch int32, topic kit.Topic, partitions ...int32) int32 {
	t.Until(member+" assigned", 15*time.Second, func() bool {
		resp := diff.Do(c, "beat", 1, kit.Owns(kit.Beat848(group, member, epoch), topic, partitions...))
		epoch = max(epoch, resp.MemberEpoch)
		d := diff.Do(c, "describe", 1, describe848(group))
		for _, m := range d.Groups[0].Members {
			if m.MemberID == member {
				return m.MemberEpoch == d.Groups[0].Epoch && assigned848(m.Assignment) == len(partitions)
			}
		}
		return false
	})
	return epoch
}

func assigned848(a kmsg.Assignment) (n int) {
	for _, tp := range a.TopicPartitions {
		n += len(tp.Partitions)
	}
	return n
}

func describe848(groups ...string) *kmsg.ConsumerGroupDescribeRequest {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = groups
	return req
}

// reconciling lets a second member take partitions from the first.
func reconciling(l *diff.List) {
	l.Add("NGRP/second_member_waits_for_revocation", "NGRP-07 NGRP-09 NGRP-10 NGRP-18 NGRP-28", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 2)
		g, m1, m2 := t.Name("g"), t.UUID("m1"), t.UUID("m2")
		e1 := diff.Do(c, "first joins", 1, kit.Join848(g, m1, topic.Name)).MemberEpoch
		diff.Do(c, "first owns both", 1, kit.Owns(kit.Beat848(g, m1, e1), topic, 0, 1))
		e2 := diff.Do(c, "second joins", 1, kit.Join848(g, m2, topic.Name), diff.Ignore("the new target may come later", "MemberEpoch", "Assignment")).MemberEpoch
		t.Until("first must revoke", 10*time.Second, func() bool {
			resp := diff.Do(c, "beat", 1, kit.Owns(kit.Beat848(g, m1, e1), topic, 0, 1))
			return resp.Assignment != nil && len(resp.Assignment.Topics) == 1 && len(resp.Assignment.Topics[0].Partitions) == 1
		})
		diff.Do(c, "second gets nothing yet", 1, kit.Owns(kit.Beat848(g, m2, e2), topic), diff.Ignore("the new target may come later", "MemberEpoch"))
		diff.Do(c, "describe", 1, describe848(g), diff.Ignore("which partition moves is the assignor's choice", "Groups[].Members[].Assignment", "Groups[].Members[].TargetAssignment"), ignoreEpochs)
	})
}

func epochs848(l *diff.List) {
	l.Add("NGRP/epochs", "NGRP-11 NGRP-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		g, m := t.Name("g"), t.UUID("m1")
		e := diff.Do(c, "join", 1, kit.Join848(g, m, topic.Name)).MemberEpoch
		diff.Do(c, "epoch ahead", 1, kit.Beat848(g, m, e+1))
		diff.Do(c, "epoch behind", 1, kit.Beat848(g, m, e-1))
		diff.Do(c, "unknown member", 1, kit.Beat848(g, t.UUID("m2"), e))
		diff.Do(c, "unknown group", 1, kit.Beat848(t.Name("h"), m, e))
		diff.Do(c, "join again", 1, kit.Join848(g, m, topic.Name))
	})
	l.Each("NGRP/commit", "NGRP-23", diff.Versions(8, 9, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		e := diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name)).MemberEpoch
		m := kit.Member{Group: t.Name("g"), ID: t.UUID("m1"), Generation: e}
		diff.Do(c, "current epoch", v, kit.CommitAs(m, topic, 0, 1))
		m.Generation = e + 1
		diff.Do(c, "epoch ahead", v, kit.CommitAs(m, topic, 0, 2))
		m.Generation = e - 1
		diff.Do(c, "epoch behind", v, kit.CommitAs(m, topic, 0, 3))
		m.Generation, m.ID = e, t.UUID("m2")
		diff.Do(c, "unknown member", v, kit.CommitAs(m, topic, 0, 4))
		diff.Do(c, "as nobody", v, kit.Commit(m.Group, topic, 0, 5))
		diff.Do(c, "fetch", 7, kit.Committed(m.Group, topic, 0))
	})
	l.Each("NGRP/fetch_offsets", "NGRP-23", diff.Versions(8, 9, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		e := diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name)).MemberEpoch
		for _, ahead := range []int32{0, 3} {
			req := kit.Committed(t.Name("g"), topic, 0)
			req.Groups[0].MemberID, req.Groups[0].MemberEpoch = new(t.UUID("m1")), e+ahead
			diff.Do(c, fmt.Sprintf("%d epochs ahead", ahead), v, req)
		}
	})
}

// migration mixes classic and KIP-848 members.
func migration(l *diff.List) {
	l.Add("NGRP/classic_join_into_consumer_group", "MIGR-04", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name))
		diff.Do(c, "classic join, own metadata", 5, kit.Join(t.Name("g"), "", "other", "not a subscription"))
		diff.Do(c, "classic join", 5, kit.Join(t.Name("g"), "", "range", kit.Subscription(topic.Name)))
		diff.Do(c, "other type", 5, func() *kmsg.JoinGroupRequest {
			req := kit.Join(t.Name("g"), "")
			req.ProtocolType = "connect"
			return req
		}())
	})
	l.Add("NGRP/consumer_join_into_empty_classic_group", "MIGR-01 MIGR-07", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		m := kit.JoinAlone(t, c, t.Name("g"))
		diff.Do(c, "commit", 7, kit.CommitAs(m, topic, 0, 11))
		t.Quiet(func() { diff.Do(c, "leave", 3, kit.Leave(m)) })
		diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name))
		diff.Do(c, "describe", 1, describe848(t.Name("g")))
		diff.Do(c, "offsets survive", 8, kit.Committed(t.Name("g"), topic, 0))
	})
	l.Add("NGRP/consumer_join_into_connect_group", "MIGR-02", func(t *diff.T) {
		c := t.Dial()
		req := kit.Join(t.Name("g"), "")
		req.ProtocolType = "connect"
		t.Quiet(func() {
			req.MemberID = diff.Do(c, "id", 5, req).MemberID
			diff.Do(c, "join", 5, req)
		})
		diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), kit.SettledTopic(t, c, "t", 1).Name))
	})
	l.Add("NGRP/consumer_join_into_unreadable_classic_group", "MIGR-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		kit.JoinAlone(t, c, t.Name("g"), "range", kit.Subscription(topic.Name)) // its assignment is no assignment
		diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name))
	})
	l.Add("NGRP/consumer_join_into_live_classic_group", "MIGR-02 MIGR-03", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 2)
		classic := kit.JoinOnly(t, c, t.Name("g"), "range", kit.Subscription(topic.Name))
		diff.Do(c, "classic sync", 5, kit.Sync(classic, classic.ID, kit.Assignment(topic.Name, 0, 1)))
		diff.Do(c, "join", 1, kit.Join848(t.Name("g"), t.UUID("m1"), topic.Name), diff.Ignore("the new target may come later", "MemberEpoch", "Assignment"))
		diff.Do(c, "describe by the classic API", 6, kit.DescribeGroup(t.Name("g")))
		diff.Do(c, "classic heartbeat with a wrong generation", 4, kit.Beat(kit.Member{Group: classic.Group, ID: classic.ID, Generation: 77}))
	})
}
