package cases

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// rolled is a topic whose every batch has a segment of its own: six records, at base, base+1000 and so on.
func rolled(t *diff.T, c *diff.Conn, configs ...string) kit.Topic {
	topic := kit.NewTopic(t, c, "t", 1, append(configs, "internal.segment.bytes=200")...)
	for i := range 6 {
		kit.Fill(t, c, topic, 0, kit.Values(t, strings.Repeat(fmt.Sprint(i), 90)).At(int64(i)*1000))
	}
	return topic
}

// fetchSegments covers reads that cross segments, lists of several partitions, and long polls over them.
func fetchSegments(l *diff.List) {
	l.Each("FETCH/segments/whole", "FETCH-06", diff.Versions(4, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := rolled(t, c)
		for offset := int64(0); offset < 6; {
			resp := diff.Do(c, fmt.Sprintf("from %d", offset), v, kit.Fetch(topic, 0, offset))
			n := int64(strings.Count(string(resp.Topics[0].Partitions[0].RecordBatches), strings.Repeat(fmt.Sprint(offset), 90)))
			offset += max(n, 1)
		}
	})
	for _, bytes := range []int32{1, 100, 170, 330, 400} {
		l.Add(fmt.Sprintf("FETCH/segments/limit_%d", bytes), "FETCH-06 FETCH-02", func(t *diff.T) {
			c := t.Dial()
			topic := rolled(t, c)
			req := kit.Fetch(topic, 0, 1)
			req.Topics[0].Partitions[0].PartitionMaxBytes = bytes
			diff.Do(c, "partition", 12, req)
			req = kit.Fetch(topic, 0, 1)
			req.MaxBytes = bytes
			diff.Do(c, "request", 12, req)
		})
	}
	l.Add("FETCH/segments/min_bytes_beyond_a_segment", "FETCH-08 FETCH-10", func(t *diff.T) {
		c := t.Dial()
		topic := rolled(t, c)
		req := kit.Fetch(topic, 0, 0)
		req.MaxWaitMillis, req.MinBytes = 700, 100_000
		diff.Do(c, "older segment", 12, req, diff.Waits(700*time.Millisecond))
		req = kit.Fetch(topic, 0, 5)
		req.MaxWaitMillis, req.MinBytes = 700, 100_000
		diff.Do(c, "last segment", 12, req, diff.Waits(700*time.Millisecond))
	})
	l.Each("FETCH/segments/after_delete_records", "FETCH-13 DREC-04", diff.Versions(4, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := rolled(t, c)
		diff.Do(c, "delete", 2, kit.DeleteRecords(topic, 0, 3))
		diff.Do(c, "before", v, kit.Fetch(topic, 0, 2))
		diff.Do(c, "at", v, kit.Fetch(topic, 0, 3))
		for _, at := range []int64{-1, 0, 1500, 3000, 4500, 9000} {
			diff.Do(c, fmt.Sprintf("base%+d", at), 7, kit.ListOffsets(topic, 0, t.Base()+at))
		}
		for _, special := range []int64{-1, -2, -3, -4} {
			diff.Do(c, fmt.Sprintf("special %d", special), 8, kit.ListOffsets(topic, 0, special))
		}
		diff.Do(c, "delete all", 2, kit.DeleteRecords(topic, 0, -1))
		diff.Do(c, "end", v, kit.Fetch(topic, 0, 6))
		kit.Fill(t, c, topic, 0, kit.Values(t, "new"))
		diff.Do(c, "new", v, kit.Fetch(topic, 0, 6))
	})
	l.Each("LOFF/segments", "LOFF-03", diff.Versions(1, 7, 11), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := rolled(t, c)
		for _, at := range []int64{-5, 0, 1, 999, 1000, 2500, 5000, 5001} {
			diff.Do(c, fmt.Sprintf("base%+d", at), v, kit.ListOffsets(topic, 0, t.Base()+at))
		}
	})
	l.Add("LOFF/several_partitions", "LOFF-03 LOFF-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 3)
		for p := range int32(3) {
			kit.Fill(t, c, topic, p, kit.Values(t, "a", "b").At(int64(p)*10))
		}
		req := kit.ListOffsets(topic, 0, -1)
		for _, other := range []struct {
			partition int32
			at        int64
		}{{1, -2}, {2, t.Base() + 21}, {7, -1}} {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, kit.ListOffsets(topic, other.partition, other.at).Topics[0].Partitions[0])
		}
		req.Topics = append(req.Topics, kit.ListOffsets(kit.Topic{Name: t.Name("missing")}, 0, -1).Topics[0])
		for _, v := range []int16{1, 2, 4, 7, 10, 11} {
			diff.Do(c, fmt.Sprintf("list v%d", v), v, req)
		}
	})
	l.Each("LOFF/isolation", "LOFF-02", diff.Versions(2, 6, 11), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b"))
		req := kit.ListOffsets(topic, 0, -1)
		req.IsolationLevel = 1
		diff.Do(c, "committed", v, req)
		req.IsolationLevel = 7
		diff.Try(c, "unknown level", v, req)
	})
	l.Add("LOFF/replica_ids", "LOFF-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b"))
		for _, id := range []int32{-2, -3, 0, 4711} {
			req := kit.ListOffsets(topic, 0, -1)
			req.ReplicaID = id
			diff.Try(t.Dial(), fmt.Sprintf("replica %d", id), 5, req)
		}
	})
	l.Add("LOFF/nothing_asked", "LOFF-09", func(t *diff.T) {
		c := t.Dial()
		req := kit.ListOffsets(kit.NewTopic(t, c, "t", 1), 0, -1)
		req.Topics[0].Partitions = nil
		diff.Do(c, "no partitions", 6, req)
		req.Topics = nil
		diff.Do(c, "no topics", 6, req)
	})
	l.Each("LOFF/epoch_end_of_several", "LOFF-13", diff.Range(2, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		kit.Fill(t, c, topic, 1, kit.Values(t, "a"))
		req := kit.EpochEnd(topic, 0, 0)
		for _, epoch := range []int32{0, 1, -5} {
			p := kit.EpochEnd(topic, 1, epoch).Topics[0].Partitions[0]
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
		}
		req.Topics[0].Partitions = req.Topics[0].Partitions[:2]
		req.Topics = append(req.Topics, kit.EpochEnd(kit.Topic{Name: t.Name("missing")}, 0, 0).Topics[0])
		diff.Do(c, "several", v, req)
		diff.Do(c, "negative", v, kit.EpochEnd(topic, 1, -5))
		fenced := kit.EpochEnd(topic, 1, 0)
		fenced.Topics[0].Partitions[0].CurrentLeaderEpoch = -3
		diff.Do(c, "negative current", v, fenced)
		diff.Do(c, "partition -1", v, kit.EpochEnd(topic, -1, 0))
	})
	fetchLists(l)
	fetchPolls(l)
}

func fetchLists(l *diff.List) {
	l.Each("FETCH/several/order", "FETCH-35 FETCH-02", diff.Range(4, 18), func(t *diff.T, v int16) {
		c := t.Dial()
		a, b := kit.NewTopic(t, c, "a", 3), kit.NewTopic(t, c, "b", 2)
		kit.Fill(t, c, a, 2, kit.Values(t, "a2"))
		kit.Fill(t, c, b, 0, kit.Values(t, "b0"))
		req := kit.Fetch(b, 1, 0)
		kit.AddFetch(req, a, 2, 0)
		kit.AddFetch(req, a, 0, 0)
		kit.AddFetch(req, b, 0, 0)
		kit.AddFetch(req, a, 1, 5)
		diff.Do(c, "fetch", v, req)
	})
	l.Each("FETCH/several/same_partition_twice", "FETCH-35", diff.Versions(4, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"), kit.Values(t, "b"))
		req := kit.Fetch(topic, 0, 0)
		kit.AddFetch(req, topic, 0, 1)
		diff.Try(c, "fetch", v, req)
	})
	l.Each("FETCH/several/negative_partition", "FETCH-22", diff.Versions(4, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Try(c, "fetch", v, kit.Fetch(topic, -1, 0))
	})
	l.Each("FETCH/several/zero_id", "FETCH-23", diff.Versions(13, 18), func(t *diff.T, v int16) {
		diff.Try(t.Dial(), "fetch", v, kit.Fetch(kit.Topic{}, 0, 0))
	})
	l.Each("FETCH/limits/odd", "FETCH-12 FETCH-01", diff.Versions(4, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"), kit.Values(t, "b"))
		for _, n := range []int32{0, -1, -1 << 31} {
			req := kit.Fetch(topic, 0, 0)
			req.Topics[0].Partitions[0].PartitionMaxBytes = n
			diff.Try(c, fmt.Sprintf("partition %d", n), v, req)
			req = kit.Fetch(topic, 0, 0)
			req.MaxBytes = n
			diff.Try(c, fmt.Sprintf("request %d", n), v, req)
			req = kit.Fetch(topic, 0, 0)
			req.MinBytes = n
			diff.Try(c, fmt.Sprintf("min %d", n), v, req)
			req = kit.Fetch(topic, 0, 0)
			req.MaxWaitMillis = n
			diff.Try(c, fmt.Sprintf("wait %d", n), v, req)
		}
	})
	l.Each("FETCH/isolation", "FETCH-16 FETCH-17", diff.Range(4, 18), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kit.Fetch(topic, 0, 0)
		req.IsolationLevel = 1
		diff.Do(c, "committed", v, req)
		req.Topics[0].Partitions[0].FetchOffset = 9
		diff.Do(c, "out of range", v, req)
	})
	l.Each("FETCH/debug_replica", "FETCH-31", diff.Versions(4, 12, 15, 18), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kit.Fetch(topic, 0, 0)
		req.ReplicaID = -2
		if v >= 15 {
			req.ReplicaState.ID = -2
		}
		diff.Try(c, "fetch", v, req)
	})
}

func fetchPolls(l *diff.List) {
	l.Each("FETCH/waits/several_woken_by_one", "FETCH-08", diff.Versions(4, 13), func(t *diff.T, v int16) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 3)
		req := kit.Fetch(topic, 0, 0)
		kit.AddFetch(req, topic, 1, 0)
		kit.AddFetch(req, topic, 2, 0)
		req.MaxWaitMillis = 8000
		parked := diff.Start(c, "parked", v, req)
		c.Silent("before the produce", 300*time.Millisecond)
		diff.Do(other, "produce", 9, kit.Produce(topic, 1, kit.Values(t, "a").Bytes()))
		parked.Wait(diff.Waits(8 * time.Second))
	})
	l.Add("FETCH/waits/min_bytes_by_two_produces", "FETCH-08 FETCH-09", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		req := kit.Fetch(topic, 0, 0)
		kit.AddFetch(req, topic, 1, 0)
		req.MaxWaitMillis, req.MinBytes = 8000, 300
		parked := diff.Start(c, "parked", 12, req)
		value := strings.Repeat("x", 150)
		diff.Do(other, "first", 9, kit.Produce(topic, 0, kit.Values(t, value).Bytes()))
		c.Silent("after the first", 300*time.Millisecond)
		diff.Do(other, "second", 9, kit.Produce(topic, 1, kit.Values(t, value).Bytes()))
		parked.Wait(diff.Waits(8 * time.Second))
	})
	l.Add("FETCH/waits/roll_wakes", "FETCH-10", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := rolled(t, c)
		req := kit.Fetch(topic, 0, 6)
		req.MaxWaitMillis, req.MinBytes = 3000, 100_000
		parked := diff.Start(c, "parked", 12, req)
		c.Silent("before", 200*time.Millisecond)
		diff.Do(other, "produce", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("y", 90)).Bytes()))
		diff.Do(other, "produce more", 9, kit.Produce(topic, 0, kit.Values(t, strings.Repeat("z", 90)).Bytes()))
		parked.Wait(diff.Waits(3 * time.Second))
	})
	l.Add("FETCH/waits/delete_records_while_parked", "FETCH-08 DREC-02", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b"))
		req := kit.Fetch(topic, 0, 2)
		req.MaxWaitMillis = 1200
		parked := diff.Start(c, "parked", 12, req)
		c.Silent("before", 200*time.Millisecond)
		diff.Do(other, "delete", 2, kit.DeleteRecords(topic, 0, -1))
		parked.Wait(diff.Waits(1200 * time.Millisecond))
	})
	l.Add("FETCH/waits/pipelined_behind_a_parked_fetch", "FETCH-08 CONN-08", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Fetch(topic, 0, 0)
		req.MaxWaitMillis = 800
		parked := diff.Start(c, "parked", 12, req)
		meta := diff.Start(c, "metadata", 9, kit.Metadata(topic.Name))
		parked.Wait(diff.Waits(800 * time.Millisecond))
		meta.Wait()
	})
	l.Add("FETCH/waits/only_errors", "FETCH-07", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		for _, f := range []*kmsg.FetchRequest{kit.Fetch(topic, 0, 77), kit.Fetch(topic, 8, 0)} {
			f.MaxWaitMillis = 2000
			diff.Do(c, "fetch", 12, f, diff.Waits(2*time.Second))
		}
	})
}
