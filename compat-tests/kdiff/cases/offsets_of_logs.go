package cases

import (
	"fmt"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// offsetsOfLogs covers ListOffsets, OffsetForLeaderEpoch and DeleteRecords.
func offsetsOfLogs(l *diff.List) {
	l.Each("LOFF/special_timestamps", "LOFF-01 LOFF-02 LOFF-05 LOFF-06 LOFF-07", diff.Range(1, 11), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b"), kit.Values(t, "c").At(-500))
		for timestamp := int64(-1); timestamp >= -7; timestamp-- {
			diff.Try(c, fmt.Sprintf("timestamp %d", timestamp), v, kit.ListOffsets(topic, 0, timestamp))
		}
	})
	l.Each("LOFF/empty_log", "LOFF-04 LOFF-05", diff.Versions(1, 7, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		for _, timestamp := range []int64{-1, -2, 0, t.Base()} {
			diff.Do(c, fmt.Sprintf("timestamp of %d digits", len(fmt.Sprint(timestamp))), v, kit.ListOffsets(topic, 0, timestamp))
		}
	})
	l.Each("LOFF/by_timestamp", "LOFF-03 LOFF-04", diff.Versions(1, 4, 7, 11), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0,
			kit.Values(t, "a", "b", "c"),
			kit.Values(t, "d", "e").At(1000).Compressed(kit.Gzip),
			kit.Values(t, "early").At(-1000),
			kit.Values(t, "late").At(5000))
		for _, at := range []int64{-2000, -1000, 0, 1, 3, 1000, 1001, 1002, 5000, 5001} {
			diff.Do(c, fmt.Sprintf("base%+d", at), v, kit.ListOffsets(topic, 0, t.Base()+at))
		}
	})
	l.Add("LOFF/max_timestamp_picks_the_first", "LOFF-05", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a").At(10), kit.Values(t, "b").At(90), kit.Values(t, "c").At(90), kit.Values(t, "d").At(20))
		diff.Do(c, "max timestamp", 7, kit.ListOffsets(topic, 0, -3))
	})
	l.Each("LOFF/missing", "LOFF-09", diff.Versions(1, 5, 9), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Do(c, "topic", v, kit.ListOffsets(kit.Topic{Name: t.Name("missing")}, 0, -1))
		diff.Do(c, "partition", v, kit.ListOffsets(topic, 3, -1))
	})
	l.Add("LOFF/partition_twice", "LOFF-08", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		req := kit.ListOffsets(topic, 0, -1)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions,
			kit.ListOffsets(topic, 0, -2).Topics[0].Partitions[0], kit.ListOffsets(topic, 1, -2).Topics[0].Partitions[0])
		diff.Do(c, "list", 6, req)
	})
	for name, offset := range map[string]int32{"older": -2, "current": 0, "newer": 4} {
		l.Add("LOFF/leader_epoch/"+name, "LOFF-10", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
			req := kit.ListOffsets(topic, 0, -1)
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = kit.LeaderEpoch(t, c, topic, 0) + offset
			diff.Do(c, "list", 5, req)
		})
	}
	l.Each("LOFF/epoch_end", "LOFF-13 LOFF-14 LOFF-15", diff.Range(2, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		epoch := kit.LeaderEpoch(t, c, topic, 0)
		diff.Do(c, "empty log", v, kit.EpochEnd(topic, 0, epoch))
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b"))
		diff.Do(c, "current", v, kit.EpochEnd(topic, 0, epoch))
		diff.Do(c, "newer", v, kit.EpochEnd(topic, 0, epoch+10))
		diff.Do(c, "undefined", v, kit.EpochEnd(topic, 0, -1))
		diff.Do(c, "no such partition", v, kit.EpochEnd(topic, 6, epoch))
	})
	l.Add("LOFF/epoch_end_fenced", "LOFF-10 LOFF-13", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.EpochEnd(topic, 0, kit.LeaderEpoch(t, c, topic, 0))
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = 50
		diff.Do(c, "unknown current epoch", 3, req)
	})
	deleteRecords(l)
}

func deleteRecords(l *diff.List) {
	l.Each("DREC/delete", "DREC-01 DREC-02 DREC-04", diff.Range(0, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b", "c"), kit.Values(t, "d"))
		for _, offset := range []int64{2, 1, 2, 9, -2, -1} {
			diff.Do(c, fmt.Sprintf("before %d", offset), v, kit.DeleteRecords(topic, 0, offset))
			diff.Do(c, fmt.Sprintf("earliest after %d", offset), 5, kit.ListOffsets(topic, 0, -2))
		}
		diff.Do(c, "latest", 5, kit.ListOffsets(topic, 0, -1))
	})
	l.Add("DREC/inside_a_batch", "DREC-04", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b", "c"))
		diff.Do(c, "delete", 2, kit.DeleteRecords(topic, 0, 1))
		diff.Do(c, "fetch at the start", 12, kit.Fetch(topic, 0, 1))
		diff.Do(c, "fetch before it", 12, kit.Fetch(topic, 0, 0))
		diff.Do(c, "by timestamp before it", 7, kit.ListOffsets(topic, 0, t.Base()))
	})
	l.Add("DREC/missing", "DREC-02", func(t *diff.T) {
		c := t.Dial()
		diff.Do(c, "topic", 2, kit.DeleteRecords(kit.Topic{Name: t.Name("missing")}, 0, 0))
		diff.Do(c, "partition", 2, kit.DeleteRecords(kit.NewTopic(t, c, "t", 1), 4, 0))
	})
	l.Add("DREC/compacted_topic", "DREC-03", func(t *diff.T) {
		c := t.Dial()
		diff.Do(c, "compact", 2, kit.DeleteRecords(kit.NewTopic(t, c, "c", 1, "cleanup.policy=compact"), 0, 0))
		diff.Do(c, "compact and delete", 2, kit.DeleteRecords(kit.NewTopic(t, c, "b", 1, "cleanup.policy=compact,delete"), 0, 0))
	})
	l.Add("DREC/internal_topic", "DREC-03", func(t *diff.T) {
		diff.Do(t.Dial(), "delete", 2, kit.DeleteRecords(kit.Topic{Name: "__consumer_offsets"}, 0, 0))
	})
}
