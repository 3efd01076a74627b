package cases

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// groupAdmin covers FindCoordinator, DescribeGroups, ListGroups, DeleteGroups
// and OffsetDelete in the states that a group can have.
func groupAdmin(l *diff.List) {
	l.Each("GADM/find_coordinator", "CGRP-38", diff.Range(0, 6), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "group", v, kit.FindCoordinator(0, t.Name("g")))
		if v >= 1 {
			diff.Do(c, "transaction", v, kit.FindCoordinator(1, t.Name("x")))
		}
	})
	for name, kind := range map[string]int8{"share_with_plain_key": 2, "unknown_type": 3, "negative_type": -1} {
		l.Each("GADM/find_coordinator_"+name, "SHARE-01", diff.Versions(3, 4, 6), func(t *diff.T, v int16) {
			diff.Try(t.Dial(), "find", v, kit.FindCoordinator(kind, t.Name("g")))
		})
	}
	l.Add("GADM/find_coordinator_share_key", "SHARE-01", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		key := t.Name("g") + ":" + base64ID(topic.ID) + ":0"
		diff.Do(c, "find", 6, kit.FindCoordinator(2, key), diff.Ignore("the key holds the broker's topic id", "Coordinators[].Key"))
	})
	l.Add("GADM/find_coordinator_no_keys", "CGRP-38", func(t *diff.T) {
		diff.Do(t.Dial(), "find", 4, kit.FindCoordinator(0))
	})
	l.Add("GADM/find_coordinator_empty_key", "CGRP-38", func(t *diff.T) {
		diff.Do(t.Dial(), "group", 4, kit.FindCoordinator(0, "", t.Name("g")))
		diff.Do(t.Dial(), "transaction", 4, kit.FindCoordinator(1, ""))
	})
	// A group that has nothing but a pending member is not among the states:
	// Kafka shows it or not, depending on what else its coordinator has written.
	states := map[string]func(*diff.T, *diff.Conn) string{
		"missing": func(t *diff.T, _ *diff.Conn) string { return t.Name("g") },
		"stable": func(t *diff.T, c *diff.Conn) string {
			return kit.JoinAlone(t, c, t.Name("g"), "range", kit.Subscription(t.Name("t"))).Group
		},
		"completing": func(t *diff.T, c *diff.Conn) string { return kit.JoinOnly(t, c, t.Name("g")).Group },
		"empty": func(t *diff.T, c *diff.Conn) string {
			m := kit.JoinAlone(t, c, t.Name("g"))
			t.Quiet(func() { diff.Do(c, "leave", 3, kit.Leave(m)) })
			return m.Group
		},
		"offsets_only": func(t *diff.T, c *diff.Conn) string {
			topic := kit.NewTopic(t, c, "t", 1)
			t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), topic, 0, 3)) })
			return t.Name("g")
		},
	}
	for name, group := range states {
		l.Each("GADM/describe/"+name, "CGRP-43 CGRP-45 CGRP-01", diff.Versions(0, 3, 5, 6), func(t *diff.T, v int16) {
			c := t.Dial()
			diff.Do(c, "describe", v, kit.DescribeGroup(group(t, c)))
		})
		l.Add("GADM/list/"+name, "CGRP-42 CGRP-45", func(t *diff.T) {
			c := t.Dial()
			group(t, c)
			diff.Do(c, "list", 5, kmsg.NewPtrListGroupsRequest(), diff.Own("Groups"))
		})
		l.Each("GADM/delete/"+name, "CGRP-44", diff.Versions(0, 2), func(t *diff.T, v int16) {
			c := t.Dial()
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Groups = []string{group(t, c)}
			diff.Do(c, "delete", v, req)
			diff.Do(c, "describe", 5, kit.DescribeGroup(t.Name("g")))
		})
		l.Add("GADM/offset_delete/"+name, "OFFS-17", func(t *diff.T) {
			c := t.Dial()
			g := group(t, c)
			topic := kit.Topic{Name: t.Name("t")}
			if name != "offsets_only" {
				topic = kit.NewTopic(t, c, "t", 1)
			}
			diff.Do(c, "delete", 0, offsetDelete(g, topic.Name, 0, 7))
			diff.Do(c, "fetch", 7, kit.Committed(g, topic, 0))
		})
	}
	l.Each("GADM/list_filters", "CGRP-42", diff.Versions(4, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.JoinAlone(t, c, t.Name("stable"))
		kit.JoinOnly(t, c, t.Name("completing"))
		for _, state := range []string{"Stable", "sTABLE", "CompletingRebalance", "Nonsense"} {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter = []string{state}
			diff.Do(c, state, v, req, diff.Own("Groups"))
		}
		for _, kind := range []string{"classic", "Consumer", "nonsense"} {
			req := kmsg.NewPtrListGroupsRequest()
			req.TypesFilter = []string{kind}
			diff.Do(c, kind, 5, req, diff.Own("Groups"))
		}
	})
	l.Each("GADM/list_old_versions", "CGRP-42", diff.Range(0, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		kit.JoinAlone(t, c, t.Name("g"))
		diff.Do(c, "list", v, kmsg.NewPtrListGroupsRequest(), diff.Own("Groups"))
	})
	l.Add("GADM/offset_delete_subscribed_topic", "OFFS-17", func(t *diff.T) {
		c := t.Dial()
		subscribed, other := kit.NewTopic(t, c, "t", 1), kit.NewTopic(t, c, "u", 1)
		m := kit.JoinAlone(t, c, t.Name("g"), "range", kit.Subscription(subscribed.Name))
		t.Quiet(func() {
			diff.Do(c, "commit", 7, kit.CommitAs(m, subscribed, 0, 3))
			diff.Do(c, "commit", 7, kit.CommitAs(m, other, 0, 4))
		})
		diff.Do(c, "subscribed", 0, offsetDelete(m.Group, subscribed.Name, 0))
		diff.Do(c, "other", 0, offsetDelete(m.Group, other.Name, 0))
		diff.Do(c, "left", 7, kit.Committed(m.Group, kit.Topic{}), diff.Unordered("Topics"))
	})
	l.Each("GADM/describe_authorized_operations", "META-17", diff.Versions(3, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		req := kit.DescribeGroup(kit.JoinAlone(t, c, t.Name("g")).Group, t.Name("missing"))
		req.IncludeAuthorizedOperations = true
		diff.Do(c, "describe", v, req)
	})
}

func offsetDelete(group, topic string, partitions ...int32) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	tp := kmsg.NewOffsetDeleteRequestTopic()
	tp.Topic = topic
	for _, p := range partitions {
		part := kmsg.NewOffsetDeleteRequestTopicPartition()
		part.Partition = p
		tp.Partitions = append(tp.Partitions, part)
	}
	req.Topics = append(req.Topics, tp)
	return req
}
