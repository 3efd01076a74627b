package handlers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFetch_FETCH_03_05_06_no_limit_makes_a_reader_miss_a_batch_at_the_end_of_a_segment(t *testing.T) {
	const size, n = 300_000, 12 // three in a segment
	for _, limit := range []int32{1, size, size + 1000, 2*size + 1000, 1 << 20, 10 << 20} {
		bubble(t, func(b *dataBroker) {
			b.create("t", 1, "segment.bytes", "1048576")
			for range n {
				b.fill("t", 0, size)
			}
			for next := int64(0); next < n; {
				req := fetchOf(0, fetchTopicOf("t", 0, next))
				req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 50<<20, limit
				row := b.client.fetched(12, req)
				got := batches(b.t, row.RecordBatches)
				if len(got) == 0 || len(got) > 1 && len(row.RecordBatches) > int(limit) {
					b.t.Fatalf("limit %d: from %d came %d bytes", limit, next, len(row.RecordBatches))
				}
				for _, o := range got {
					if o != next {
						b.t.Fatalf("limit %d: %v, want %d", limit, got, next)
					}
					next++
				}
			}
		})
	}
}

func TestFetch_FETCH_13_between_the_high_watermark_and_the_end(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		b.fill("t", 0, 1, 1, 1)
		b.deleteRecords("t", 0, 2)
		b.hold("t", 0)
		b.fill("t", 0, 1) // log start 2, high watermark 3, log end 4
		for v := int16(fetchMin); v <= fetchMax; v++ {
			for offset, want := range map[int64]int{2: 1, 3: 0, 4: 0} {
				row := b.client.fetched(v, fetchOf(0, byID(fetchTopicOf("t", 0, offset), id)))
				if n := len(batches(b.t, row.RecordBatches)); row.ErrorCode != 0 || n != want || row.HighWatermark != 3 {
					b.t.Errorf("v%d from %d: error %d, %d batches, high watermark %d", v, offset, row.ErrorCode, n, row.HighWatermark)
				}
			}
			for _, offset := range []int64{1, 5, 1 << 62} {
				wantFetchError(b.t, fmt.Sprintf("v%d from %d", v, offset), b.client.fetched(v, fetchOf(5000, byID(fetchTopicOf("t", 0, offset), id))), kerr.OffsetOutOfRange.Code)
			}
		}
	})
}

func TestFetch_FETCH_16_17_18_19_20_21_transactions_in_every_version(t *testing.T) {
	transactional := func(sequence int32) []byte {
		return batch.NewBuilder().SetProducer(7, 0, sequence).SetTransactional().Append(now(), nil, []byte("t")).Build()
	}
	for v := int16(fetchMin); v <= fetchMax; v++ {
		bubble(t, func(b *dataBroker) {
			id := b.create("t", 1)
			read := func(isolation int8, wait int32, offset int64) waiting[*kmsg.FetchResponse] {
				req := fetchOf(wait, byID(fetchTopicOf("t", 0, offset), id))
				req.IsolationLevel = isolation
				return send[*kmsg.FetchResponse](b.client, v, req)
			}
			check := func(what string, w waiting[*kmsg.FetchResponse], want string, stable int64, aborted string, after time.Duration) {
				b.t.Helper()
				resp, took := w.get()
				row := resp.Topics[0].Partitions[0]
				gotAborted := "null"
				if row.AbortedTransactions != nil {
					gotAborted = ""
					for _, a := range row.AbortedTransactions {
						gotAborted += fmt.Sprintf("%d@%d", a.ProducerID, a.FirstOffset)
					}
				}
				got := fmt.Sprint(batches(b.t, row.RecordBatches))
				if end := b.logEnd("t", 0); row.ErrorCode != 0 || got != want || row.LastStableOffset != stable || row.HighWatermark != end || gotAborted != aborted || took != after {
					b.t.Errorf("v%d, %s: error %d, batches %s, stable %d, high watermark %d of %d, aborted %s, after %v", v, what, row.ErrorCode, got, row.LastStableOffset, row.HighWatermark, end, gotAborted, took)
				}
			}
			check("FETCH_20 an empty log", read(1, 0, 0), "[]", 0, "", 0)
			b.append("t", 0, storage.OriginClient, transactional(0))
			check("FETCH_20 a log that begins with an open transaction", read(1, 0, 0), "[]", 0, "", 0)
			check("FETCH_16 read_uncommitted doesn't care", read(0, 0, 0), "[0]", 0, "null", 0)
			check("FETCH_09 what isn't stable isn't counted", read(1, 2000, 0), "[]", 0, "", 2*time.Second)
			b.append("t", 0, storage.OriginCoordinator, batch.EndTxnMarker(now(), 7, 0, batch.ControlCommit, 0))
			check("FETCH_18 committed, with its marker", read(1, 0, 0), "[0 1]", 2, "", 0)

			b.fill("t", 0, 1) // 2
			b.append("t", 0, storage.OriginClient, transactional(1))
			b.fill("t", 0, 1) // 4
			check("FETCH_16 up to the last stable offset", read(1, 0, 2), "[2]", 3, "", 0)
			check("FETCH_16 up to the high watermark", read(0, 0, 2), "[2 3 4]", 3, "null", 0)
			check("FETCH_19 the last stable offset itself is out of reach", read(1, 0, 3), "[]", 3, "", 0)
			w := read(1, 9000, 3)
			time.Sleep(3 * time.Second)
			b.fill("t", 0, 1) // 5
			time.Sleep(time.Second)
			b.append("t", 0, storage.OriginCoordinator, batch.EndTxnMarker(now(), 7, 0, batch.ControlAbort, 0))
			check("FETCH_21 the end of the transaction wakes", w, "[3 4 5 6]", 7, "7@3", 4*time.Second)
			b.fill("t", 0, 1) // 7
			check("FETCH_17 only what overlaps, behind", read(1, 0, 7), "[7]", 8, "", 0)
			check("FETCH_17 only what overlaps, from before", read(1, 0, 0), "[0 1 2 3 4 5 6 7]", 8, "7@3", 0)
			check("FETCH_17 none without read_committed", read(0, 0, 3), "[3 4 5 6 7]", 8, "null", 0)
		})
	}
}

func TestFetch_FETCH_24_25_real_leader_epochs_in_every_version(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		b.fill("t", 0, 1)
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 5 })
		for v := int16(fetchMin); v <= fetchMax; v++ {
			for epoch, code := range map[int32]int16{-1: 0, -7: 0, 5: 0, 4: kerr.FencedLeaderEpoch.Code, 0: kerr.FencedLeaderEpoch.Code, 6: kerr.UnknownLeaderEpoch.Code} {
				if v < 9 {
					code = 0 // it isn't on the wire
				}
				req := fetchOf(0, byID(fetchTopicOf("t", 0, 0), id))
				req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
				row := b.client.fetched(v, req)
				wantCode(b.t, fmt.Sprintf("v%d epoch %d", v, epoch), row.ErrorCode, code)
				if told := row.CurrentLeader.LeaderEpoch == 5 && row.CurrentLeader.LeaderID == 1; told != (v >= 16 && code == kerr.FencedLeaderEpoch.Code) {
					b.t.Errorf("v%d epoch %d: leader %+v", v, epoch, row.CurrentLeader)
				}
			}
		}
		b.join()
		b.leadElsewhere("t", 0)
		for v := int16(fetchMin); v <= fetchMax; v++ {
			resp := do[*kmsg.FetchResponse](b.client, v, fetchOf(5000, byID(fetchTopicOf("t", 0, 0), id)))
			row := resp.Topics[0].Partitions[0]
			wantFetchError(b.t, fmt.Sprintf("v%d led elsewhere", v), row, kerr.NotLeaderForPartition.Code) // FETCH_22
			if told := row.CurrentLeader.LeaderID == 2 && row.CurrentLeader.LeaderEpoch == 6 && len(resp.Brokers) == 1 && resp.Brokers[0].Port == 9002; told != (v >= 16) {
				b.t.Errorf("v%d: leader %+v, brokers %+v", v, row.CurrentLeader, resp.Brokers)
			}
		}
		debug := fetchOf(0, fetchTopicOf("t", 0, 0)) // FETCH_31: a debugging consumer may read from any replica
		debug.ReplicaID = -2
		if row := b.client.fetched(12, debug); row.ErrorCode != 0 || len(batches(b.t, row.RecordBatches)) != 1 {
			b.t.Errorf("%+v", row)
		}
	})
}

func TestFetch_FETCH_29_histories_that_differ(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		b.fill("t", 0, 1, 1)
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 3 })
		b.fill("t", 0, 1, 1) // epoch 0: 0, 1; epoch 3: 2, 3
		for v := int16(12); v <= fetchMax; v++ {
			for _, c := range []struct {
				epoch        int32
				offset       int64
				code         int16
				divergeEpoch int32
				divergeEnd   int64
			}{
				{-1, 3, 0, -1, -1}, {0, 1, 0, -1, -1}, {0, 2, 0, -1, -1}, {3, 3, 0, -1, -1},
				{0, 3, 0, 0, 2}, {1, 2, 0, 0, 2}, {2, 1, 0, 0, 2}, {3, 5, 0, 3, 4},
				{4, 4, kerr.OffsetOutOfRange.Code, -1, -1},
			} {
				req := fetchOf(5000, byID(fetchTopicOf("t", 0, c.offset), id))
				req.Topics[0].Partitions[0].LastFetchedEpoch = c.epoch
				resp, took := send[*kmsg.FetchResponse](b.client, v, req).get()
				row := resp.Topics[0].Partitions[0]
				what := fmt.Sprintf("v%d epoch %d offset %d", v, c.epoch, c.offset)
				wantCode(b.t, what, row.ErrorCode, c.code)
				if row.DivergingEpoch.Epoch != c.divergeEpoch || row.DivergingEpoch.EndOffset != c.divergeEnd || took != 0 {
					b.t.Errorf("%s: %+v after %v, want %d, %d", what, row.DivergingEpoch, took, c.divergeEpoch, c.divergeEnd)
				}
				if data := len(row.RecordBatches) > 0; data != (c.code == 0 && c.divergeEpoch < 0) {
					b.t.Errorf("%s: data %v", what, data)
				}
			}
		}
	})
}

func TestFetch_FETCH_30_zstd_is_served_in_every_version(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1, "compression.type", "zstd")
		b.fill("t", 0, 1000)
		stored := b.stored("t", 0)
		for v := int16(fetchMin); v <= fetchMax; v++ {
			row := b.client.fetched(v, fetchOf(0, byID(fetchTopicOf("t", 0, 0), id)))
			if h, err := batch.ParseHeader(row.RecordBatches); row.ErrorCode != 0 || err != nil || h.Codec() != batch.Zstd || !slices.Equal(row.RecordBatches, stored) {
				b.t.Errorf("v%d: error %d, codec %v, %v", v, row.ErrorCode, h.Codec(), err)
			}
		}
	})
}

func TestFetch_FETCH_34_AV_03_versions_of_old_formats_are_not_served(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fill("t", 0, 1)
		for v := int16(0); v < fetchMin; v++ {
			c := b.dial()
			send[*kmsg.FetchResponse](c, v, fetchOf(0, fetchTopicOf("t", 0, 0)))
			c.closed()
		}
		for v := int16(0); v < 3; v++ {
			c := b.dial()
			send[*kmsg.ProduceResponse](c, v, produceOf("t", values([]byte("v"))))
			c.closed()
		}
		if end := b.logEnd("t", 0); end != 1 {
			b.t.Errorf("the log ends at %d", end)
		}
	})
}
