package cases

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// fetch covers reading: limits, long polls and errors.
func fetch(l *diff.List) {
	l.Each("FETCH/one_partition", "FETCH-04 FETCH-15 FETCH-17 FETCH-26", diff.Range(4, 18), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b", "c"), kit.Values(t, "d"))
		diff.Do(c, "from 0", v, kit.Fetch(topic, 0, 0))
		diff.Do(c, "from 1, inside a batch", v, kit.Fetch(topic, 0, 1))
		diff.Do(c, "from 4, the end", v, kit.Fetch(topic, 0, 4))
	})
	l.Each("FETCH/out_of_range", "FETCH-13 FETCH-14", diff.Versions(4, 8, 12, 17), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b", "c"))
		diff.Do(c, "past the end", v, kit.Fetch(topic, 0, 4))
		diff.Do(c, "negative", v, kit.Fetch(topic, 0, -5))
		diff.Do(c, "delete records", 2, kit.DeleteRecords(topic, 0, 2))
		diff.Do(c, "before the start", v, kit.Fetch(topic, 0, 1))
		diff.Do(c, "at the start", v, kit.Fetch(topic, 0, 2))
	})
	l.Each("FETCH/missing", "FETCH-22 FETCH-14 FETCH-23", diff.Versions(4, 11, 12, 13, 18), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Fetch(topic, 0, 0)
		kit.AddFetch(req, topic, 7, 0)
		kit.AddFetch(req, kit.Topic{Name: t.Name("missing"), ID: t.RawUUID("nobody")}, 0, 0)
		diff.Do(c, "fetch", v, req)
	})
	l.Add("FETCH/nothing_asked", "FETCH-07", func(t *diff.T) {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.SessionEpoch = 3000, 1, -1
		diff.Do(t.Dial(), "fetch", 12, req, diff.Waits(3*time.Second))
	})
	for name, epoch := range map[string]int32{"older": -2, "newer": 100} {
		l.Each("FETCH/leader_epoch_"+name, "FETCH-24 FETCH-25", diff.Versions(9, 12, 16), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			req := kit.Fetch(topic, 0, 0)
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = kit.LeaderEpoch(t, c, topic, 0) + epoch
			diff.Do(c, "fetch", v, req)
		})
	}
	l.Add("FETCH/leader_epoch_current", "FETCH-24", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kit.Fetch(topic, 0, 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = kit.LeaderEpoch(t, c, topic, 0)
		diff.Do(c, "fetch", 12, req)
	})
	l.Add("FETCH/diverging_epoch", "FETCH-29", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a", "b"))
		req := kit.Fetch(topic, 0, 1)
		req.Topics[0].Partitions[0].LastFetchedEpoch = kit.LeaderEpoch(t, c, topic, 0)
		diff.Do(c, "same epoch", 12, req)
		req = kit.Fetch(topic, 0, 9)
		req.Topics[0].Partitions[0].LastFetchedEpoch = kit.LeaderEpoch(t, c, topic, 0)
		diff.Do(c, "beyond its end", 12, req)
	})
	fetchLimits(l)
	fetchWaits(l)
	l.Add("FETCH/replica_id_of_a_follower", "FETCH-31 REPL-16", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kit.Fetch(topic, 0, 0)
		req.ReplicaID = 4711
		diff.Try(c, "fetch", 11, req)
	})
	l.Add("FETCH/rack", "FETCH-26 FETCH-27", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kit.Fetch(topic, 0, 0)
		req.Rack = "somewhere"
		diff.Do(c, "fetch", 11, req)
	})
	l.Each("FETCH/zstd_topic", "FETCH-30", diff.Versions(4, 9, 10), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1, "compression.type=zstd")
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		diff.Do(c, "fetch", v, kit.Fetch(topic, 0, 0))
	})
	l.Add("FETCH/zstd_batch_in_plain_topic_at_v4", "FETCH-30", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a").Compressed(kit.Zstd))
		diff.Do(c, "fetch", 4, kit.Fetch(topic, 0, 0))
	})
}

func fetchLimits(l *diff.List) {
	big := strings.Repeat("x", 2000)
	l.Each("FETCH/first_batch_larger_than_every_limit", "FETCH-01", diff.Versions(4, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, big), kit.Values(t, big))
		req := kit.Fetch(topic, 0, 0)
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 10, 10
		diff.Do(c, "fetch", v, req)
	})
	for _, limits := range [][2]int32{{1 << 20, 2500}, {2500, 1 << 20}, {5000, 5000}, {0, 1 << 20}} {
		l.Add(fmt.Sprintf("FETCH/limits/max_%d_partition_%d", limits[0], limits[1]), "FETCH-01 FETCH-02", func(t *diff.T) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 3)
			for p := range int32(3) {
				kit.Fill(t, c, topic, p, kit.Values(t, big), kit.Values(t, big))
			}
			req := kit.Fetch(topic, 2, 0)
			kit.AddFetch(req, topic, 0, 0)
			kit.AddFetch(req, topic, 1, 1)
			req.MaxBytes = limits[0]
			for i := range req.Topics[0].Partitions {
				req.Topics[0].Partitions[i].PartitionMaxBytes = limits[1]
			}
			diff.Do(c, "fetch", 12, req)
		})
	}
	l.Add("FETCH/empty_partition_before_a_full_one", "FETCH-01 FETCH-02", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		kit.Fill(t, c, topic, 1, kit.Values(t, big))
		req := kit.Fetch(topic, 0, 0)
		kit.AddFetch(req, topic, 1, 0)
		req.MaxBytes = 1
		diff.Do(c, "fetch", 12, req)
	})
}

func fetchWaits(l *diff.List) {
	l.Add("FETCH/waits/max_wait_without_data", "FETCH-08", func(t *diff.T) {
		c := t.Dial()
		req := kit.Fetch(kit.NewTopic(t, c, "t", 1), 0, 0)
		req.MaxWaitMillis = 700
		diff.Do(c, "fetch", 12, req, diff.Waits(700*time.Millisecond))
	})
	l.Add("FETCH/waits/min_bytes_zero", "FETCH-07", func(t *diff.T) {
		c := t.Dial()
		req := kit.Fetch(kit.NewTopic(t, c, "t", 1), 0, 0)
		req.MaxWaitMillis, req.MinBytes = 3000, 0
		diff.Do(c, "fetch", 12, req, diff.Waits(3*time.Second))
	})
	l.Add("FETCH/waits/woken_by_produce", "FETCH-08", func(t *diff.T) {
		c, other := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Fetch(topic, 0, 0)
		req.MaxWaitMillis = 8000
		parked := diff.Start(c, "parked", 12, req)
		c.Silent("before the produce", 300*time.Millisecond)
		diff.Do(other, "produce", 9, kit.Produce(topic, 0, kit.Values(t, "a").Bytes()))
		parked.Wait(diff.Waits(8 * time.Second))
	})
	l.Add("FETCH/waits/min_bytes_not_reached", "FETCH-08 FETCH-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, "a"))
		req := kit.Fetch(topic, 0, 0)
		req.MaxWaitMillis, req.MinBytes = 800, 50000
		diff.Do(c, "fetch", 12, req, diff.Waits(800*time.Millisecond))
	})
	l.Add("FETCH/waits/min_bytes_above_max_bytes", "FETCH-12", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		kit.Fill(t, c, topic, 0, kit.Values(t, strings.Repeat("x", 1000)))
		req := kit.Fetch(topic, 0, 0)
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 3000, 50000, 500
		diff.Do(c, "fetch", 12, req, diff.Waits(3*time.Second))
	})
	l.Add("FETCH/waits/error_answers_at_once", "FETCH-07", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		req := kit.Fetch(topic, 0, 0)
		kit.AddFetch(req, topic, 9, 0)
		req.MaxWaitMillis = 3000
		diff.Do(c, "fetch", 12, req, diff.Waits(3*time.Second))
	})
}
