package cases

import (
	"encoding/base64"
	"strings"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// committedOffsets covers OffsetCommit and OffsetFetch.
func committedOffsets(l *diff.List) {
	l.Each("OFFS/commit", "OFFS-02 OFFS-05", diff.Range(2, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		req := kit.Commit(t.Name("g"), topic, 0, 42)
		req.Topics[0].Partitions[0].Metadata = new("some words")
		req.Topics[0].Partitions[0].LeaderEpoch = 5
		diff.Do(c, "commit", v, req)
		diff.Do(c, "fetch", 6, kit.Committed(t.Name("g"), topic, 0, 1))
	})
	l.Each("OFFS/fetch", "OFFS-05 OFFS-07 OFFS-08 OFFS-10", diff.Range(1, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 3)
		t.Quiet(func() {
			diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), topic, 0, 7))
			diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), topic, 2, 9))
		})
		diff.Do(c, "fetch", v, kit.Committed(t.Name("g"), topic, 0, 1, 2))
		if v >= 2 {
			diff.Do(c, "fetch all", v, kit.Committed(t.Name("g"), topic))
		}
		diff.Do(c, "unknown partition", v, kit.Committed(t.Name("g"), topic, 17))
	})
	l.Each("OFFS/fetch_of_missing_group", "OFFS-09", diff.Versions(1, 5, 8, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "fetch", v, kit.Committed(t.Name("nobody"), topic, 0))
		if v >= 2 {
			diff.Do(c, "fetch all", v, kit.Committed(t.Name("nobody"), topic))
		}
	})
	l.Each("OFFS/fetch_of_missing_topic", "OFFS-07", diff.Versions(5, 8, 10), func(t *diff.T, v int16) {
		diff.Do(t.Dial(), "fetch", v, kit.Committed(t.Name("g"), kit.Topic{Name: t.Name("missing"), ID: t.RawUUID("nobody")}, 0))
	})
	l.Each("OFFS/fetch_several_groups", "OFFS-10", diff.Range(8, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("a"), topic, 0, 1)) })
		req := kit.Committed(t.Name("a"), topic, 0)
		req.Groups = append(req.Groups, kit.Committed(t.Name("b"), topic, 0).Groups[0], kit.Committed("", topic, 0).Groups[0])
		diff.Do(c, "fetch", v, req)
	})
	l.Each("OFFS/commit_to_missing_topic", "OFFS-06", diff.Versions(2, 8, 9, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Commit(t.Name("g"), topic, 0, 1)
		req.Topics = append(req.Topics, kit.Commit("", kit.Topic{Name: t.Name("missing"), ID: t.RawUUID("nobody")}, 0, 2).Topics[0])
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, kit.Commit("", topic, 12, 3).Topics[0].Partitions[0])
		diff.Do(c, "commit", v, req)
		diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic))
	})
	l.Add("OFFS/metadata_too_large", "OFFS-04", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		req := kit.Commit(t.Name("g"), topic, 0, 1)
		req.Topics[0].Partitions[0].Metadata = new(strings.Repeat("m", 4097))
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, kit.Commit("", topic, 1, 2).Topics[0].Partitions[0])
		req.Topics[0].Partitions[1].Metadata = new(strings.Repeat("m", 4096))
		diff.Do(c, "commit", 8, req)
		diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic, 0, 1))
	})
	l.Add("OFFS/metadata_null", "OFFS-07", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Commit(t.Name("g"), topic, 0, 1)
		req.Topics[0].Partitions[0].Metadata = nil
		diff.Do(c, "commit", 8, req)
		diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic, 0))
	})
	l.Add("OFFS/negative_offset", "OFFS-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "commit", 8, kit.Commit(t.Name("g"), topic, 0, -5))
		diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic, 0))
	})
	l.Add("OFFS/nobody_commits_to_a_group_with_members", "OFFS-02 OFFS-20", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		m := kit.JoinAlone(t, c, t.Name("g"))
		diff.Do(c, "as nobody", 8, kit.Commit(m.Group, topic, 0, 1))
		diff.Do(c, "as a member", 8, kit.CommitAs(m, topic, 0, 2))
		t.Quiet(func() { diff.Do(c, "leave", 3, kit.Leave(m)) })
		diff.Do(c, "as nobody when empty", 8, kit.Commit(m.Group, topic, 0, 3))
		diff.Do(c, "as the member that left", 8, kit.CommitAs(m, topic, 0, 4))
		diff.Do(c, "fetch", 7, kit.Committed(m.Group, topic, 0))
	})
	l.Add("OFFS/commit_while_completing", "OFFS-03", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "commit", 8, kit.CommitAs(kit.JoinOnly(t, c, t.Name("g")), topic, 0, 1))
	})
	l.Add("OFFS/commit_with_generation_to_no_group", "OFFS-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "commit", 8, kit.CommitAs(kit.Member{Group: t.Name("g"), ID: "me", Generation: 4}, topic, 0, 1))
		diff.Do(c, "empty group id", 8, kit.Commit("", topic, 0, 1))
	})
	l.Add("OFFS/deleted_with_the_topic", "OFFS-18 META-34", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		t.Quiet(func() { diff.Do(c, "commit", 7, kit.Commit(t.Name("g"), topic, 0, 1)) })
		diff.Do(c, "delete", 6, kit.DeleteTopic(topic.Name))
		t.Until("offsets gone", 10e9, func() bool {
			return len(diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic)).Topics) == 0
		})
		diff.Do(c, "fetch", 7, kit.Committed(t.Name("g"), topic, 0))
	})
	l.Add("OFFS/fetch_as_a_stale_member", "NGRP-23", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		m := kit.JoinAlone(t, c, t.Name("g"))
		req := kit.Committed(m.Group, topic, 0)
		req.Groups[0].MemberID, req.Groups[0].MemberEpoch = new("stranger"), 4
		diff.Do(c, "classic group", 9, req)
	})
}

// base64ID is an id as Kafka writes it.
func base64ID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
