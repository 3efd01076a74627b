package handlers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const fetchMin, fetchMax = 4, 18

// offsets gives, for each row, the partition and the base offsets of its batches.
func offsets(t testing.TB, resp *kmsg.FetchResponse) string {
	t.Helper()
	s := ""
	for _, topic := range resp.Topics {
		for _, row := range topic.Partitions {
			s += fmt.Sprintf("%d:%v ", row.Partition, batches(t, row.RecordBatches))
		}
	}
	return s
}

// wantFetchError checks an error row (FETCH-14).
func wantFetchError(t testing.TB, what string, row kmsg.FetchResponseTopicPartition, code int16) {
	t.Helper()
	if row.ErrorCode != code || row.HighWatermark != -1 || row.LastStableOffset != -1 || row.LogStartOffset != -1 || len(row.RecordBatches) != 0 || row.RecordBatches == nil {
		t.Errorf("%s: error %d with %d, %d, %d and %d bytes of records (null: %v); want error %d, -1, -1, -1 and none",
			what, row.ErrorCode, row.HighWatermark, row.LastStableOffset, row.LogStartOffset, len(row.RecordBatches), row.RecordBatches == nil, code)
	}
}

func TestFetch_FETCH_04_15_17_18_26_27_33_34_in_every_version(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		first, second := values([]byte("a"), []byte("b"), []byte("c")), values([]byte("d"))
		b.client.produced(9, "t", slices.Clone(first))
		b.client.produced(9, "t", slices.Clone(second))
		for v := int16(fetchMin); v <= fetchMax; v++ {
			for _, iso := range []int8{0, 1} {
				for from, want := range map[int64][]int64{0: {0, 3}, 1: {0, 3}, 2: {0, 3}, 3: {3}, 4: nil} {
					req := fetchOf(0, byID(fetchTopicOf("t", 0, from), id))
					req.IsolationLevel, req.Rack = iso, "somewhere"
					resp := do[*kmsg.FetchResponse](b.client, v, req)
					row := resp.Topics[0].Partitions[0]
					if got := batches(t, row.RecordBatches); row.ErrorCode != 0 || !slices.Equal(got, want) {
						t.Errorf("v%d from %d: error %d, batches %v", v, from, row.ErrorCode, got)
					}
					if v < 13 && resp.Topics[0].Topic != "t" || v >= 13 && resp.Topics[0].TopicID != id {
						t.Errorf("v%d: topic %+v", v, resp.Topics[0])
					}
					start := int64(0)
					if v < 5 {
						start = -1 // kmsg's default: it isn't on the wire
					}
					if row.HighWatermark != 4 || row.LastStableOffset != 4 || row.LogStartOffset != start || row.PreferredReadReplica != -1 || row.RecordBatches == nil {
						t.Errorf("v%d from %d: %+v", v, from, row)
					}
					if (row.AbortedTransactions == nil) != (iso == 0) || len(row.AbortedTransactions) != 0 {
						t.Errorf("v%d isolation %d: aborted %v (null: %v)", v, iso, row.AbortedTransactions, row.AbortedTransactions == nil)
					}
					if resp.ErrorCode != 0 || resp.SessionID != 0 || row.DivergingEpoch.EndOffset != -1 || row.CurrentLeader.LeaderID != -1 || len(resp.Brokers) != 0 {
						t.Errorf("v%d: %+v", v, resp)
					}
				}
			}
		}
		got := b.client.fetched(12, fetchOf(0, fetchTopicOf("t", 0, 0))).RecordBatches
		if !bytes.Equal(got[16:len(first)], first[16:]) || !bytes.Equal(got[len(first)+16:], second[16:]) {
			t.Error("FETCH-33: the records aren't those that were sent")
		}
	})
}

func TestFetch_FETCH_01_02_12_limits(t *testing.T) {
	size := func(n int) int32 { return int32(len(values(make([]byte, n)))) }
	one := size(1000)
	for name, c := range map[string]struct {
		maxBytes, partitionMaxBytes int32
		setting                     string
		want                        string
	}{
		"no limit in the way":            {1 << 20, 1 << 20, "", "1:[0 1 2] 0:[] 2:[0 1 2] 3:[0 1 2] "},
		"the first batch always":         {1, 1, "", "1:[0] 0:[] 2:[] 3:[] "},
		"nothing at all still one batch": {0, 0, "", "1:[0] 0:[] 2:[] 3:[] "},
		"per partition":                  {1 << 20, 2*one + 5, "", "1:[0 1] 0:[] 2:[0 1] 3:[0 1] "},
		"per partition less than one":    {1 << 20, one - 1, "", "1:[0] 0:[] 2:[] 3:[] "},
		"in all":                         {4*one + 9, 1 << 20, "", "1:[0 1 2] 0:[] 2:[0] 3:[] "},
		"in all, exactly":                {4 * one, 3 * one, "", "1:[0 1 2] 0:[] 2:[0] 3:[] "},
		"the broker's own":               {1 << 20, 1 << 20, fmt.Sprint(2 * one), "1:[0 1] 0:[] 2:[] 3:[] "},
	} {
		t.Run(name, func(t *testing.T) {
			setting := c.setting
			if setting == "" {
				setting = "57671680"
			}
			bubble(t, func(b *dataBroker) {
				b.create("t", 4)
				for p := int32(1); p < 4; p++ {
					b.fill("t", p, 1000, 1000, 1000)
				}
				req := fetchOf(0, fetchTopicOf("t", 1, 0, 0, 0, 2, 0, 3, 0))
				req.MaxBytes = c.maxBytes
				for i := range req.Topics[0].Partitions {
					req.Topics[0].Partitions[i].PartitionMaxBytes = c.partitionMaxBytes
				}
				for _, v := range []int16{4, 12} {
					if got := offsets(t, do[*kmsg.FetchResponse](b.client, v, req)); got != c.want {
						t.Errorf("v%d: %s, want %s", v, got, c.want)
					}
				}
			}, "fetch.max.bytes", setting)
		})
	}
	bubble(t, func(b *dataBroker) { // Kafka answers UNKNOWN_SERVER_ERROR to these
		b.create("t", 1)
		b.fill("t", 0, 10)
		req := fetchOf(0, fetchTopicOf("t", 0, 0))
		req.MaxBytes = -1
		wantFetchError(t, "negative limit", b.client.fetched(12, req), kerr.InvalidRequest.Code)
		req = fetchOf(0, fetchTopicOf("t", 0, 0))
		req.Topics[0].Partitions[0].PartitionMaxBytes = -1
		wantFetchError(t, "negative limit of the partition", b.client.fetched(12, req), kerr.InvalidRequest.Code)
	})
}

func TestFetch_FETCH_13_14_22_24_31_errors_are_their_rows_alone(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 3)
		b.fill("t", 0, 10, 10, 10)
		b.deleteRecords("t", 0, 1)
		b.faults.broken("t", 2, cluster.ErrNotLeader)
		row := func(partition int32, offset int64, epoch, last int32) kmsg.FetchRequestTopic {
			topic := fetchTopicOf("t", int64(partition), offset)
			topic.Partitions[0].CurrentLeaderEpoch, topic.Partitions[0].LastFetchedEpoch = epoch, last
			return topic
		}
		for name, c := range map[string]struct {
			topic kmsg.FetchRequestTopic
			code  *kerr.Error
		}{
			"FETCH-13 before the start":        {row(0, 0, -1, -1), kerr.OffsetOutOfRange},
			"FETCH-13 negative":                {row(0, -1, -1, -1), kerr.OffsetOutOfRange},
			"FETCH-13 beyond the end":          {row(0, 4, -1, -1), kerr.OffsetOutOfRange},
			"FETCH-22 no such partition":       {row(7, 0, -1, -1), kerr.UnknownTopicOrPartition},
			"FETCH-22 negative partition":      {row(-1, 0, -1, -1), kerr.UnknownTopicOrPartition},
			"FETCH-22 no such topic":           {fetchTopicOf("missing", 0, 0), kerr.UnknownTopicOrPartition},
			"FETCH-22 led elsewhere":           {row(2, 0, -1, -1), kerr.NotLeaderForPartition},
			"FETCH-24 newer epoch":             {row(0, 1, 5, -1), kerr.UnknownLeaderEpoch},
			"FETCH-29 last epoch is newer":     {row(0, 1, -1, 5), kerr.OffsetOutOfRange},
			"FETCH-24 a negative epoch passes": {row(0, 1, -7, -1), nil},
			"FETCH-13 the end":                 {row(0, 3, -1, -1), nil},
		} {
			for v := int16(12); v >= 9; v -= 3 {
				if v < 12 && c.topic.Partitions[0].LastFetchedEpoch >= 0 {
					continue // only known from v12 on
				}
				req := fetchOf(0, c.topic, fetchTopicOf("t", 1, 0))
				resp := do[*kmsg.FetchResponse](b.client, v, req)
				n := 0
				for _, topic := range resp.Topics {
					for _, got := range topic.Partitions {
						n++
						if topic.Topic == c.topic.Topic && got.Partition == c.topic.Partitions[0].Partition {
							if c.code != nil {
								wantFetchError(t, name, got, c.code.Code)
							} else {
								wantCode(t, name, got.ErrorCode, 0)
							}
						} else {
							wantCode(t, name+": the partition beside it", got.ErrorCode, 0)
						}
					}
				}
				if n != 2 || resp.ErrorCode != 0 {
					t.Errorf("%s: %d rows, error %d", name, n, resp.ErrorCode)
				}
			}
		}
	})
}

func TestFetch_FETCH_24_25_fenced_and_moved_name_the_leader_from_v16_on(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		for _, err := range []error{cluster.ErrNotLeader, cluster.ErrFencedLeaderEpoch} {
			b.faults.broken("t", 0, err)
			for v := int16(9); v <= fetchMax; v++ {
				resp := do[*kmsg.FetchResponse](b.client, v, fetchOf(5000, byID(fetchTopicOf("t", 0, 0), id)))
				row := resp.Topics[0].Partitions[0]
				wantFetchError(t, fmt.Sprint("v", v), row, b.h.code(err))
				switch {
				case v < 16 && (row.CurrentLeader.LeaderID != -1 || len(resp.Brokers) != 0):
					t.Errorf("v%d names a leader: %+v", v, row.CurrentLeader)
				case v >= 16 && (row.CurrentLeader.LeaderID != 1 || row.CurrentLeader.LeaderEpoch != 0 || len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 1 ||
					resp.Brokers[0].Host != "host-of-PLAINTEXT" || resp.Brokers[0].Port != 9001 || *resp.Brokers[0].Rack != "r1"):
					t.Errorf("v%d: leader %+v, brokers %+v", v, row.CurrentLeader, resp.Brokers)
				}
			}
		}
	})
}

func TestFetch_FETCH_23_META_14_topic_ids(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		old := b.create("t", 1)
		b.delete("t")
		id := b.create("t", 1)
		b.fill("t", 0, 10)
		for name, c := range map[string]struct {
			id   cluster.TopicID
			code int16
		}{"living": {id, 0}, "deleted": {old, kerr.UnknownTopicID.Code}, "nobody's": {cluster.TopicID{1}, kerr.UnknownTopicID.Code}, "zero": {cluster.TopicID{}, kerr.UnknownTopicID.Code}} {
			for _, v := range []int16{13, 18} {
				resp := do[*kmsg.FetchResponse](b.client, v, fetchOf(0, byID(fetchTopicOf("", 0, 0), c.id)))
				if row := resp.Topics[0].Partitions[0]; resp.Topics[0].TopicID != c.id || row.ErrorCode != c.code || (len(row.RecordBatches) > 0) != (c.code == 0) {
					t.Errorf("v%d %s: %+v", v, name, row)
				}
			}
		}
	})
}

func TestFetch_FETCH_29_diverging_epoch(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fill("t", 0, 10, 10)
		req := fetchOf(5000, fetchTopicOf("t", 0, 9))
		req.Topics[0].Partitions[0].LastFetchedEpoch = 0
		resp, took := send[*kmsg.FetchResponse](b.client, 12, req).get()
		row := resp.Topics[0].Partitions[0]
		if row.ErrorCode != 0 || row.DivergingEpoch.Epoch != 0 || row.DivergingEpoch.EndOffset != 2 || len(row.RecordBatches) != 0 || row.HighWatermark != 2 || took != 0 {
			t.Errorf("after %v %+v", took, row)
		}
		req.Topics[0].Partitions[0].FetchOffset = 1
		if row = b.client.fetched(12, req); row.DivergingEpoch.EndOffset != -1 || len(row.RecordBatches) == 0 {
			t.Errorf("a history that fits: %+v", row)
		}
	})
}

func TestFetch_FETCH_16_isolation(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fill("t", 0, 10)
		p, err := b.node.Partition("t", 0)
		if err != nil {
			t.Fatal(err)
		}
		open := batch.NewBuilder().SetProducer(9, 0, 0).SetTransactional().Append(now(), nil, []byte("open")).Build()
		if _, err := p.Append(cluster.AppendRequest{Records: open, Acks: 1}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			isolation int8
			replica   int32
			want      []int64
		}{{0, -1, []int64{0, 1}}, {1, -1, []int64{0}}, {0, -2, []int64{0, 1}}, {1, -2, []int64{0}}} {
			req := fetchOf(0, fetchTopicOf("t", 0, 0))
			req.IsolationLevel, req.ReplicaID = c.isolation, c.replica
			row := b.client.fetched(11, req)
			if got := batches(t, row.RecordBatches); !slices.Equal(got, c.want) || row.HighWatermark != 2 || row.LastStableOffset != 1 {
				t.Errorf("isolation %d, replica %d: %v, %+v", c.isolation, c.replica, got, row)
			}
		}
		req := fetchOf(0, fetchTopicOf("t", 0, 1)) // FETCH-19, FETCH-20: at the last stable offset there is nothing, and no error
		req.IsolationLevel = 1
		if row := b.client.fetched(11, req); row.ErrorCode != 0 || len(row.RecordBatches) != 0 {
			t.Errorf("at the last stable offset: %+v", row)
		}
		for v := int16(fetchMin); v <= 12; v += 4 {
			req.IsolationLevel = 9
			resp := do[*kmsg.FetchResponse](b.client, v, req)
			if v >= 7 {
				wantCode(t, "isolation 9", resp.ErrorCode, kerr.InvalidRequest.Code)
			}
			wantFetchError(t, "isolation 9", resp.Topics[0].Partitions[0], kerr.InvalidRequest.Code)
		}
	})
}

func TestFetch_FETCH_31_who_says_to_be_a_follower(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		b.fill("t", 0, 10)
		for v := int16(fetchMin); v <= fetchMax; v++ {
			c := b.dial()
			req := fetchOf(5000, byID(fetchTopicOf("t", 0, 0), id))
			req.ReplicaID = 5
			if v >= 15 {
				req.ReplicaState.ID, req.ReplicaID = 5, -1
			}
			if v >= 13 {
				send[*kmsg.FetchResponse](c, v, req)
				c.closed()
				continue
			}
			wantFetchError(t, fmt.Sprint("v", v), c.fetched(v, req), kerr.NotLeaderForPartition.Code)
		}
	})
}

func TestFetch_FETCH_35_CONN_15_rows_come_in_the_order_of_the_request_and_one_for_each_partition(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("a", 40)
		b.create("b", 1)
		for _, p := range []int32{0, 1, 3} {
			b.fill("a", p, 10, 10)
		}
		b.fill("b", 0, 10)
		resp := do[*kmsg.FetchResponse](b.client, 12, fetchOf(0, fetchTopicOf("a", 3, 0, 50, 0, 0, 0), fetchTopicOf("b", 0, 0), fetchTopicOf("a", 1, 1)))
		s := ""
		for _, topic := range resp.Topics {
			for _, row := range topic.Partitions {
				s += fmt.Sprintf("%s%d%v ", topic.Topic, row.Partition, batches(t, row.RecordBatches))
			}
		}
		if want := "a3[0 1] a0[0 1] b0[0] a1[1] a50[] "; s != want { // Kafka tells unknown ones last
			t.Errorf("%s, want %s", s, want)
		}
		if n := len(resp.Topics); n != 3 {
			t.Errorf("%d topic entries, want 3: neighbours share one", n)
		}
		twice := fetchTopicOf("a", 0, 0, 1, 0, 0, 1)
		if got := offsets(t, do[*kmsg.FetchResponse](b.client, 12, fetchOf(0, twice))); got != "0:[1] 1:[0 1] " {
			t.Errorf("a partition asked for twice: %s", got)
		}
		for p := int64(4); p < 4+2*fewPartitions; p++ {
			twice.Partitions = append(twice.Partitions, fetchTopicOf("a", p, 0).Partitions[0])
		}
		resp = do[*kmsg.FetchResponse](b.client, 12, fetchOf(0, twice))
		if rows := resp.Topics[0].Partitions; len(rows) != 2+2*fewPartitions || !slices.Equal(batches(t, rows[0].RecordBatches), []int64{1}) {
			t.Errorf("%d rows among many", len(rows))
		}
	})
}

func TestFetch_storage_errors_by_version(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fails("t", 0, fmt.Errorf("read: %w", storage.ErrStorage))
		for v, code := range map[int16]int16{4: kerr.NotLeaderForPartition.Code, 5: kerr.NotLeaderForPartition.Code, 6: kerr.KafkaStorageError.Code, 12: kerr.KafkaStorageError.Code} {
			wantFetchError(t, fmt.Sprint("v", v), b.client.fetched(v, fetchOf(0, fetchTopicOf("t", 0, 0))), code)
		}
	})
}

// Long polls.

func TestFetch_FETCH_07_what_is_answered_at_once(t *testing.T) {
	const long = 5000
	for name, c := range map[string]struct {
		req   func(b *dataBroker) *kmsg.FetchRequest
		waits bool
	}{
		"no wait wanted":  {req: func(*dataBroker) *kmsg.FetchRequest { return fetchOf(0, fetchTopicOf("t", 0, 0)) }},
		"a negative wait": {req: func(*dataBroker) *kmsg.FetchRequest { return fetchOf(-1, fetchTopicOf("t", 0, 0)) }},
		"no partitions":   {req: func(*dataBroker) *kmsg.FetchRequest { return fetchOf(long) }},
		"min_bytes 0": {req: func(*dataBroker) *kmsg.FetchRequest {
			r := fetchOf(long, fetchTopicOf("t", 0, 0))
			r.MinBytes = 0
			return r
		}},
		"out of range": {req: func(*dataBroker) *kmsg.FetchRequest { return fetchOf(long, fetchTopicOf("t", 0, 0, 1, 50)) }},
		"enough data": {req: func(b *dataBroker) *kmsg.FetchRequest {
			b.fill("t", 1, 10)
			return fetchOf(long, fetchTopicOf("t", 0, 0, 1, 0))
		}},
		"unknown alone": {req: func(*dataBroker) *kmsg.FetchRequest { return fetchOf(long, fetchTopicOf("missing", 0, 0)) }},
		"unknown beside a parked": {req: func(*dataBroker) *kmsg.FetchRequest {
			return fetchOf(long, fetchTopicOf("missing", 0, 0), fetchTopicOf("t", 0, 0))
		}, waits: true},
		"nothing there": {req: func(*dataBroker) *kmsg.FetchRequest { return fetchOf(long, fetchTopicOf("t", 0, 0)) }, waits: true},
		"FETCH-08 too little": {req: func(b *dataBroker) *kmsg.FetchRequest {
			b.fill("t", 0, 100)
			r := fetchOf(long, fetchTopicOf("t", 0, 0))
			r.MinBytes = 1000
			return r
		}, waits: true},
		"FETCH-12 min_bytes beyond max_bytes": {req: func(b *dataBroker) *kmsg.FetchRequest {
			b.fill("t", 0, 1000)
			r := fetchOf(long, fetchTopicOf("t", 0, 0))
			r.MinBytes, r.MaxBytes = 5000, 500
			return r
		}},
		"FETCH-11 a partition is full": {req: func(b *dataBroker) *kmsg.FetchRequest {
			b.fill("t", 0, 1000, 1000, 1000)
			r := fetchOf(long, fetchTopicOf("t", 0, 0))
			r.MinBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 50_000, 1500
			return r
		}},
		"FETCH-10 an older segment": {req: func(b *dataBroker) *kmsg.FetchRequest {
			b.create("s", 1, "segment.bytes", "1048576")
			b.fill("s", 0, 700_000, 700_000)
			r := fetchOf(long, fetchTopicOf("s", 0, 0))
			r.MinBytes, r.MaxBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 1<<25, 1<<25, 1<<25
			return r
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				b.create("t", 2)
				_, took := send[*kmsg.FetchResponse](b.client, 12, c.req(b)).get()
				want := time.Duration(0)
				if c.waits {
					want = long * time.Millisecond
				}
				if took != want {
					t.Errorf("answered after %v, want %v", took, want)
				}
			})
		})
	}
}

func TestFetch_FETCH_08_09_a_parked_fetch_is_woken_when_enough_is_there(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 2)
		one := len(values(make([]byte, 100)))
		req := fetchOf(60_000, fetchTopicOf("t", 0, 0, 1, 0))
		req.MinBytes = int32(3 * one)
		w := send[*kmsg.FetchResponse](b.client, 12, req)
		for _, p := range []int32{0, 1} {
			b.client.silent(time.Second)
			b.fill("t", p, 100)
		}
		b.client.silent(time.Second)
		b.fill("t", 1, 100)
		resp, took := w.get()
		if got := offsets(t, resp); took != 3*time.Second || got != "0:[0] 1:[0 1] " {
			t.Errorf("after %v %s", took, got)
		}
		w = send[*kmsg.FetchResponse](b.client, 12, func() *kmsg.FetchRequest { // on expiry, what is there
			r := fetchOf(1000, fetchTopicOf("t", 0, 1, 1, 1))
			r.MinBytes = 1 << 20
			return r
		}())
		resp, took = w.get()
		if got := offsets(t, resp); took != time.Second || got != "0:[] 1:[1] " {
			t.Errorf("after %v %s", took, got)
		}
	})
}

// A parked fetch looks at its partitions again only when there may be enough: otherwise many small appends would cost each waiter much.
func TestFetch_FETCH_08_a_parked_fetch_does_not_read_at_every_append(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		reads := &atomic.Int32{}
		b.faults.give("t", 0, func(p Partition) (Partition, error) { return counted{p, reads}, nil })
		req := fetchOf(60_000, fetchTopicOf("t", 0, 0))
		req.MinBytes = int32(1000 * len(values(make([]byte, 10))))
		w := send[*kmsg.FetchResponse](b.client, 12, req)
		synctest.Wait()
		before := reads.Load()
		for range 999 {
			b.fill("t", 0, 10)
		}
		synctest.Wait()
		if n := reads.Load() - before; n > 3 {
			t.Errorf("%d reads for 999 appends that weren't enough", n)
		}
		b.fill("t", 0, 10)
		if resp, _ := w.get(); len(batches(t, resp.Topics[0].Partitions[0].RecordBatches)) != 1000 {
			t.Error("not all that is there")
		}
	})
}

// counted counts reads and what they hold.
type counted struct {
	Partition
	reads *atomic.Int32
}

func (c counted) Read(r cluster.ReadRequest) (cluster.ReadResult, error) {
	c.reads.Add(1)
	return c.Partition.Read(r)
}

func TestFetch_FETCH_32_META_34_what_else_ends_a_long_poll(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(b *dataBroker)
		code    *kerr.Error
	}{
		"the topic is deleted":     {func(b *dataBroker) { b.delete("t") }, kerr.UnknownTopicOrPartition},
		"the log's start moves on": {func(b *dataBroker) { b.fill("t", 1, 10); b.deleteRecords("t", 1, -1) }, kerr.OffsetOutOfRange},
	} {
		for _, v := range []int16{4, 12, 13, 18} {
			t.Run(fmt.Sprintf("%s v%d", name, v), func(t *testing.T) {
				bubble(t, func(b *dataBroker) {
					id := b.create("t", 2)
					waiter := b.dial()
					req := fetchOf(60_000, byID(fetchTopicOf("t", 0, 0, 1, 0), id))
					req.MinBytes = 1000
					w := send[*kmsg.FetchResponse](waiter, v, req)
					waiter.silent(time.Second)
					c.happens(b)
					resp, took := w.get()
					if took != time.Second {
						t.Errorf("after %v", took)
					}
					codes := map[int16]bool{}
					for _, row := range resp.Topics[0].Partitions {
						codes[row.ErrorCode] = true
					}
					if !codes[c.code.Code] {
						t.Errorf("rows %+v", resp.Topics[0].Partitions)
					}
				})
			})
		}
	}
}

func TestFetch_FETCH_21_the_end_of_a_transaction_wakes_read_committed(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		p, err := b.node.Partition("t", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Append(cluster.AppendRequest{Records: batch.NewBuilder().SetProducer(9, 0, 0).SetTransactional().Append(now(), nil, []byte("v")).Build(), Acks: 1}); err != nil {
			t.Fatal(err)
		}
		req := fetchOf(60_000, fetchTopicOf("t", 0, 0))
		req.IsolationLevel = 1
		w := send[*kmsg.FetchResponse](b.client, 12, req)
		b.client.silent(time.Second)
		marker := batch.EndTxnMarker(now(), 9, 0, batch.ControlCommit, 0)
		if _, err := p.Append(cluster.AppendRequest{Records: marker, Acks: 1, Origin: storage.OriginCoordinator}); err != nil {
			t.Fatal(err)
		}
		resp, took := w.get()
		if got := offsets(t, resp); took != time.Second || got != "0:[0 1] " { // FETCH-18: the marker too
			t.Errorf("after %v %s", took, got)
		}
	})
}

func TestFetch_CONN_08_10_19_20_a_parked_fetch_and_its_connection(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		held := &atomic.Int32{}
		b.faults.give("t", 0, func(p Partition) (Partition, error) { return watched{p, held}, nil })
		gone := b.dial()
		send[*kmsg.FetchResponse](gone, 12, fetchOf(60_000, fetchTopicOf("t", 0, 0)))
		synctest.Wait()
		if held.Load() != 1 {
			t.Fatalf("%d watch", held.Load())
		}
		gone.conn.Close()
		synctest.Wait()
		if held.Load() != 0 {
			t.Error("CONN-19: the fetch of a connection that ended still watches")
		}

		parked := b.dial()
		w := send[*kmsg.FetchResponse](parked, 12, fetchOf(60_000, fetchTopicOf("t", 0, 0)))
		behind := send[*kmsg.ProduceResponse](parked, 9, produceOf("t", values([]byte("mine"))))
		resp, took := w.get()
		if got := offsets(t, resp); took != 0 || got != "0:[0] " {
			t.Errorf("the append behind it wakes it: after %v %s", took, got)
		}
		behind.get()

		ctx, stop := context.WithCancel(context.Background())
		b.h.Context = ctx
		w = send[*kmsg.FetchResponse](parked, 12, fetchOf(60_000, fetchTopicOf("t", 0, 1)))
		parked.silent(time.Second)
		stop()
		if resp, took = w.get(); took != time.Second || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Errorf("CONN-20: after %v %+v", took, resp)
		}
		synctest.Wait()
		if held.Load() != 0 {
			t.Errorf("%d still watch", held.Load())
		}
	})
}

// watched counts who watches.
type watched struct {
	Partition
	n *atomic.Int32
}

func (w watched) Watch(x cluster.Watcher)   { w.n.Add(1); w.Partition.Watch(x) }
func (w watched) Unwatch(x cluster.Watcher) { w.n.Add(-1); w.Partition.Unwatch(x) }

// What a read holds is given back exactly once, however the fetch ends.
func TestFetch_gives_back_what_it_read(t *testing.T) {
	for name, fetch := range map[string]func(b *dataBroker, c *client){
		"answered at once": func(_ *dataBroker, c *client) {
			do[*kmsg.FetchResponse](c, 12, fetchOf(0, fetchTopicOf("t", 0, 0)))
		},
		"in a session": func(_ *dataBroker, c *client) {
			req := fetchOf(0, fetchTopicOf("t", 0, 0))
			req.SessionEpoch = 0
			id := do[*kmsg.FetchResponse](c, 12, req).SessionID
			for epoch := range int32(3) {
				req = fetchOf(0)
				req.SessionID, req.SessionEpoch = id, epoch+1
				do[*kmsg.FetchResponse](c, 12, req)
			}
		},
		"parked, then timed out": func(_ *dataBroker, c *client) {
			req := fetchOf(1000, fetchTopicOf("t", 0, 0))
			req.MinBytes = 1 << 19
			do[*kmsg.FetchResponse](c, 12, req)
		},
		"parked, then woken": func(b *dataBroker, c *client) {
			w := send[*kmsg.FetchResponse](c, 12, fetchOf(1000, fetchTopicOf("t", 0, 1)))
			synctest.Wait()
			b.fill("t", 0, 10)
			w.get()
		},
		"parked, then gone": func(_ *dataBroker, c *client) {
			req := fetchOf(60_000, fetchTopicOf("t", 0, 0))
			req.MinBytes = 1 << 19
			send[*kmsg.FetchResponse](c, 12, req)
			synctest.Wait()
			c.conn.Close()
		},
		"gone before it was read": func(_ *dataBroker, c *client) {
			send[*kmsg.FetchResponse](c, 12, fetchOf(0, fetchTopicOf("t", 0, 0)))
			c.conn.Close()
		},
		"a session that another request of the same epoch took": func(_ *dataBroker, c *client) {
			req := fetchOf(0, fetchTopicOf("t", 0, 0))
			req.SessionEpoch = 0
			id := do[*kmsg.FetchResponse](c, 12, req).SessionID
			req = fetchOf(1000)
			req.SessionID, req.SessionEpoch, req.MinBytes = id, 1, 1<<19
			first := send[*kmsg.FetchResponse](c, 12, req)
			synctest.Wait()
			req.SessionEpoch, req.MaxWaitMillis = 2, 0
			second := send[*kmsg.FetchResponse](c, 12, req)
			first.get()
			second.get()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				b.create("t", 1)
				b.fill("t", 0, 100)
				held, twice := &atomic.Int32{}, &atomic.Int32{}
				b.faults.give("t", 0, func(p Partition) (Partition, error) { return releases{p, held, twice}, nil })
				fetch(b, b.dial())
				synctest.Wait()
				if held.Load() != 0 || twice.Load() != 0 {
					t.Errorf("%d reads not given back, %d given back twice", held.Load(), twice.Load())
				}
			})
		})
	}
}

// releases counts what reads hold.
type releases struct {
	Partition
	held, twice *atomic.Int32
}

func (r releases) Read(req cluster.ReadRequest) (cluster.ReadResult, error) {
	result, err := r.Partition.Read(req)
	if err == nil {
		r.held.Add(1)
		release, given := result.Records.Release, &atomic.Bool{}
		result.Records.Release = func() {
			if given.Swap(true) {
				r.twice.Add(1)
				return
			}
			r.held.Add(-1)
			release()
		}
	}
	return result, err
}

// A connection that is ended while a fetch is about to be parked on it must not stall anybody.
func TestFetch_CONN_19_20_parked_on_a_connection_that_has_ended(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		server := wire.New(wire.Config{APIs: WireAPIs(), Handle: b.h.Handle, Limits: wire.DefaultLimits()})
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		pipes := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		go func() { served <- server.Serve(ctx, []wire.Listener{{Name: "PLAINTEXT", Net: pipes}}) }()
		near, far := net.Pipe()
		pipes.conns <- far
		c := &client{t: t, id: "test", conn: near}
		held := &atomic.Int32{}
		b.faults.give("t", 0, func(p Partition) (Partition, error) {
			stop() // all connections end
			time.Sleep(time.Second)
			return watched{p, held}, nil
		})
		send[*kmsg.FetchResponse](c, 12, fetchOf(60_000, fetchTopicOf("t", 0, 0)))
		<-served
		synctest.Wait()
		if held.Load() != 0 {
			t.Error("it still watches")
		}
	})
}
