package cases

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// shareGroups covers KIP-932.
func shareGroups(l *diff.List) {
	l.Add("SHARE/lone_member", "SHARE-01 SHARE-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 2)
		g, m := t.Name("g"), t.UUID("m1")
		e := diff.Do(c, "join", 1, kit.JoinShare(g, m, topic.Name), diff.Ignore("partitions follow once the share state exists", "Assignment", "MemberEpoch")).MemberEpoch
		e = awaitShare(t, c, g, m, e, 2)
		diff.Do(c, "describe", 1, describeShare(g), diff.Ignore("epochs count background work", "Groups[].GroupEpoch", "Groups[].AssignmentEpoch", "Groups[].Members[].MemberEpoch"))
		diff.Do(c, "list", 5, kmsg.NewPtrListGroupsRequest(), diff.Own("Groups"))
		diff.Do(c, "epoch ahead", 1, kit.BeatShare(g, m, e+5))
		diff.Do(c, "unknown member", 1, kit.BeatShare(g, t.UUID("m2"), e))
		diff.Do(c, "leave", 1, kit.BeatShare(g, m, -1))
		diff.Do(c, "after leaving", 1, kit.BeatShare(g, m, e))
	})
	joins := map[string]func(*diff.T, *kmsg.ShareGroupHeartbeatRequest){
		"empty_group":   func(_ *diff.T, r *kmsg.ShareGroupHeartbeatRequest) { r.GroupID = "" },
		"empty_member":  func(_ *diff.T, r *kmsg.ShareGroupHeartbeatRequest) { r.MemberID = "" },
		"null_topics":   func(_ *diff.T, r *kmsg.ShareGroupHeartbeatRequest) { r.SubscribedTopicNames = nil },
		"epoch_unknown": func(_ *diff.T, r *kmsg.ShareGroupHeartbeatRequest) { r.MemberEpoch = 3 },
		"epoch_bad":     func(_ *diff.T, r *kmsg.ShareGroupHeartbeatRequest) { r.MemberEpoch = -2 },
		"empty_rack":    func(_ *diff.T, r *kmsg.ShareGroupHeartbeatRequest) { r.RackID = new("") },
	}
	for name, change := range joins {
		l.Add("SHARE/join/"+name, "SHARE-01", func(t *diff.T) {
			req := kit.JoinShare(t.Name("g"), t.UUID("m1"), t.Name("none"))
			change(t, req)
			diff.Do(t.Dial(), "join", 1, req)
		})
	}
	l.Add("SHARE/other_group_types", "SHARE-03", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		classic := kit.JoinAlone(t, c, t.Name("classic"))
		diff.Do(c, "share into classic", 1, kit.JoinShare(classic.Group, t.UUID("m1"), topic.Name))
		t.Quiet(func() { diff.Do(c, "share", 1, kit.JoinShare(t.Name("share"), t.UUID("m1"), topic.Name)) })
		diff.Do(c, "classic into share", 5, kit.Join(t.Name("share"), ""))
		diff.Do(c, "consumer into share", 1, kit.Join848(t.Name("share"), t.UUID("m2"), topic.Name))
		diff.Do(c, "commit into share", 8, kit.Commit(t.Name("share"), topic, 0, 1))
		diff.Do(c, "describe share by classic", 6, kit.DescribeGroup(t.Name("share")))
		diff.Do(c, "describe others by share", 1, describeShare(classic.Group, t.Name("missing")))
	})
	shareFetching(l)
	l.Each("SHARE/describe_offsets", "SHARE-22", diff.Range(0, 1), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		g.GroupID = t.Name("missing")
		req.Groups = append(req.Groups, g)
		diff.Do(c, "missing group", v, req)
	})
}

func describeShare(groups ...string) *kmsg.ShareGroupDescribeRequest {
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.GroupIDs = groups
	return req
}

// awaitShare beats until a member has n partitions and returns its epoch.
func awaitShare(t *diff.T, c *diff.Conn, group, member string, epoch int32, n int) int32 {
	t.Until("assigned", 15*time.Second, func() bool {
		resp := diff.Do(c, "beat", 1, kit.BeatShare(group, member, epoch))
		epoch = max(epoch, resp.MemberEpoch)
		d := diff.Do(c, "describe", 1, describeShare(group))
		for _, m := range d.Groups[0].Members {
			got := 0
			for _, tp := range m.Assignment.TopicPartitions {
				got += len(tp.Partitions)
			}
			if m.MemberID == member && got == n {
				return true
			}
		}
		return false
	})
	return epoch
}

// sharing is a share group with one member that reads from the earliest offset.
func sharing(t *diff.T, c *diff.Conn, topic kit.Topic, member string) string {
	g := t.Name("g")
	t.Quiet(func() {
		diff.Do(c, "earliest", 1, alter(32, g, opSet, "share.auto.offset.reset=earliest"))
		settle(t)
		e := diff.Do(c, "join", 1, kit.JoinShare(g, member, topic.Name)).MemberEpoch
		awaitShare(t, c, g, member, e, 1)
	})
	return g
}

func shareFetching(l *diff.List) {
	l.Each("SHARE/fetch_and_acknowledge", "SHARE-04 SHARE-05 SHARE-08 SHARE-10 SHARE-14 SHARE-18", diff.Range(1, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b", "c"), kit.Values(t, "d"))
		m := t.UUID("m1")
		g := sharing(t, c, topic, m)
		first := kit.FetchShare(g, m, 0, topic, 0)
		first.MaxWaitMillis = 5000
		diff.Do(c, "first fetch", v, first)
		diff.Do(c, "nothing more", v, kit.FetchShare(g, m, 1, kit.Topic{}, 0))
		diff.Do(c, "accept, release, reject", v, kit.Acknowledge(g, m, 2, topic, 0, 0, 2, 1, 2, 3))
		again := kit.FetchShare(g, m, 3, kit.Topic{}, 0)
		again.MaxWaitMillis = 5000
		diff.Do(c, "the released one again", v, again)
		diff.Do(c, "accept what was accepted", v, kit.Acknowledge(g, m, 4, topic, 0, 0, 0, 1))
		diff.Do(c, "close", v, kit.Acknowledge(g, m, -1, topic, 0, 1, 1, 1))
		diff.Do(c, "after the close", v, kit.Acknowledge(g, m, 5, topic, 0, 3, 3, 1))
	})
	l.Each("SHARE/session_errors", "SHARE-10 SHARE-11 SHARE-12", diff.Range(1, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		m := t.UUID("m1")
		g := sharing(t, c, topic, m)
		diff.Do(c, "fetch without a session", v, kit.FetchShare(g, m, 7, topic, 0))
		diff.Do(c, "acknowledge without a session", v, kit.Acknowledge(g, m, 7, topic, 0, 0, 0, 1))
		diff.Do(c, "acknowledge at epoch 0", v, kit.Acknowledge(g, m, 0, topic, 0, 0, 0, 1))
		diff.Do(c, "close without a session", v, kit.FetchShare(g, m, -1, kit.Topic{}, 0))
		t.Quiet(func() { diff.Do(c, "open", v, kit.FetchShare(g, m, 0, topic, 0)) })
		diff.Do(c, "epoch 5 for 1", v, kit.FetchShare(g, m, 5, kit.Topic{}, 0))
	})
	l.Add("SHARE/fetch_errors", "SHARE-03 SHARE-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.SettledTopic(t, c, "t", 1)
		m := t.UUID("m1")
		diff.Do(c, "unknown group", 1, kit.FetchShare(t.Name("nobody"), m, 0, topic, 0))
		g := sharing(t, c, topic, m)
		diff.Do(c, "unknown topic id", 1, kit.FetchShare(g, m, 0, kit.Topic{ID: t.RawUUID("none")}, 0))
		empty := kit.FetchShare(g, m, 0, topic, 0)
		empty.GroupID = nil
		diff.Try(c, "null group", 1, empty)
	})
}
