package handlers

import (
	"fmt"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const listOffsetsMin, listOffsetsMax = 1, 11

// offsetAsk is one row of a request.
type offsetAsk struct {
	topic     string
	partition int32
	epoch     int32
	timestamp int64
}

func listOf(isolation int8, asks ...offsetAsk) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel, req.TimeoutMillis = -1, isolation, 1000
	for _, a := range asks {
		t, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.Timestamp = a.partition, a.epoch, a.timestamp
		t.Topic, t.Partitions = a.topic, append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// listed asks for one offset and gives its row.
func (c *client) listed(version int16, req *kmsg.ListOffsetsRequest) kmsg.ListOffsetsResponseTopicPartition {
	c.t.Helper()
	resp := do[*kmsg.ListOffsetsResponse](c, version, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		c.t.Fatalf("rows %+v", resp.Topics)
	}
	return resp.Topics[0].Partitions[0]
}

// at is a batch whose records have these times.
func at(codec batch.Codec, times ...int64) []byte {
	w := batch.NewBuilder().SetCodec(codec, batch.DefaultLevel)
	for _, t := range times {
		w.Append(t, nil, []byte("v"))
	}
	return w.Build()
}

// wantOffset compares a row as far as its version carries it.
func wantOffset(c *client, v int16, what string, row kmsg.ListOffsetsResponseTopicPartition, code int16, offset, timestamp int64, epoch int32) {
	c.t.Helper()
	if v < 4 {
		epoch = -1
	}
	if row.ErrorCode != code || row.Offset != offset || row.Timestamp != timestamp || row.LeaderEpoch != epoch {
		c.t.Errorf("v%d %s: error %d, offset %d at %d of epoch %d; want error %d, offset %d at %d of epoch %d", v, what,
			row.ErrorCode, row.Offset, row.Timestamp, row.LeaderEpoch, code, offset, timestamp, epoch)
	}
}

func TestListOffsets_LOFF_01_02_03_04_05_06_07_10_every_version(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.create("empty", 1)
		t0 := now() - 100_000
		b.append("t", 0, storage.OriginClient, at(batch.None, t0, t0))               // 0, 1
		b.append("t", 0, storage.OriginClient, at(batch.Gzip, t0+10, t0+50, t0+20))  // 2, 3, 4: out of order, inside of a compressed batch
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 4 })         //
		b.append("t", 0, storage.OriginClient, at(batch.None, t0+30, t0+50, t0+100)) // 5, 6, 7
		b.append("t", 0, storage.OriginClient, at(batch.None, t0+60))                // 8
		b.deleteRecords("t", 0, 1)
		for v := int16(listOffsetsMin); v <= listOffsetsMax; v++ {
			for _, c := range []struct {
				name      string
				topic     string
				timestamp int64
				since     int16
				offset    int64
				time      int64
				epoch     int32
			}{
				{"LOFF_01 earliest", "t", -2, 1, 1, -1, 0},
				{"LOFF_01 earliest of nothing", "empty", -2, 1, 0, -1, 0},
				{"LOFF_02 latest", "t", -1, 1, 9, -1, 4},
				{"LOFF_02 latest of nothing", "empty", -1, 1, 0, -1, 0},
				{"LOFF_03 from the beginning of time", "t", 0, 1, 1, t0, 0},
				{"LOFF_03 exactly", "t", t0 + 10, 1, 2, t0 + 10, 0},
				{"LOFF_03 between", "t", t0 + 11, 1, 3, t0 + 50, 0},
				{"LOFF_03 the first one at or after, though later ones are earlier", "t", t0 + 20, 1, 3, t0 + 50, 0},
				{"LOFF_03 in the next epoch", "t", t0 + 51, 1, 7, t0 + 100, 4},
				{"LOFF_04 nothing that late", "t", t0 + 101, 1, -1, -1, -1},
				{"LOFF_04 nothing in nothing", "empty", 0, 1, -1, -1, -1},
				{"LOFF_05 the largest time", "t", -3, 7, 7, t0 + 100, 4},
				{"LOFF_05 the largest time of nothing", "empty", -3, 7, -1, -1, -1},
				{"LOFF_06 earliest local", "t", -4, 8, 1, -1, 0},
				{"LOFF_06 latest tiered", "t", -5, 9, -1, -1, -1},
				{"LOFF_06 earliest pending upload", "t", -6, 11, -1, -1, -1},
				{"LOFF_07 no such thing", "t", -7, 99, -1, -1, -1},
				{"LOFF_07 no such thing at all", "t", -1 << 63, 99, -1, -1, -1},
			} {
				row := b.client.listed(v, listOf(0, offsetAsk{c.topic, 0, -1, c.timestamp}))
				if v < c.since { // LOFF_07
					wantOffset(b.client, v, c.name, row, kerr.UnsupportedVersion.Code, -1, -1, -1)
					continue
				}
				wantOffset(b.client, v, c.name, row, 0, c.offset, c.time, c.epoch)
			}
		}
	})
}

func TestListOffsets_LOFF_02_04_05_isolation(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.create("held", 1)
		t0 := now() - 1000
		b.append("t", 0, storage.OriginClient, at(batch.None, t0)) // 0
		b.append("t", 0, storage.OriginClient, batch.NewBuilder().SetProducer(7, 0, 0).SetTransactional().Append(t0+10, nil, []byte("v")).Build())
		b.append("t", 0, storage.OriginClient, at(batch.None, t0+5)) // 2
		b.append("held", 0, storage.OriginClient, at(batch.None, t0))
		b.hold("held", 0)
		b.append("held", 0, storage.OriginClient, at(batch.None, t0+10))
		for v := int16(listOffsetsMin); v <= listOffsetsMax; v++ {
			stable := int64(1)
			found := [2]int64{-1, -1}
			if v < 2 { // no isolation level yet
				stable, found = 3, [2]int64{1, t0 + 10}
			}
			epoch := func(offset int64) int32 {
				if offset < 0 {
					return -1
				}
				return 0
			}
			for _, c := range []struct {
				name      string
				isolation int8
				ask       offsetAsk
				offset    int64
				time      int64
			}{
				{"LOFF_02 latest committed", 1, offsetAsk{"t", 0, -1, -1}, stable, -1},
				{"LOFF_02 latest", 0, offsetAsk{"t", 0, -1, -1}, 3, -1},
				{"LOFF_02 latest is the high watermark", 0, offsetAsk{"held", 0, -1, -1}, 1, -1},
				{"LOFF_04 beyond what is stable", 1, offsetAsk{"t", 0, -1, t0 + 1}, found[0], found[1]},
				{"LOFF_04 the same uncommitted", 0, offsetAsk{"t", 0, -1, t0 + 1}, 1, t0 + 10},
				{"LOFF_04 beyond the high watermark", 0, offsetAsk{"held", 0, -1, t0 + 1}, -1, -1},
				{"LOFF_03 what is stable", 1, offsetAsk{"t", 0, -1, t0}, 0, t0},
			} {
				row := b.client.listed(v, listOf(c.isolation, c.ask))
				wantOffset(b.client, v, c.name, row, 0, c.offset, c.time, epoch(c.offset))
			}
			if v >= 7 {
				wantOffset(b.client, v, "LOFF_05 uncommitted", b.client.listed(v, listOf(0, offsetAsk{"t", 0, -1, -3})), 0, 1, t0+10, 0)
				wantOffset(b.client, v, "LOFF_05 beyond what is stable", b.client.listed(v, listOf(1, offsetAsk{"t", 0, -1, -3})), 0, -1, -1, -1)
				wantOffset(b.client, v, "LOFF_05 beyond the high watermark", b.client.listed(v, listOf(0, offsetAsk{"held", 0, -1, -3})), 0, -1, -1, -1)
			}
			if v >= 2 {
				wantOffset(b.client, v, "an isolation level that isn't one", b.client.listed(v, listOf(7, offsetAsk{"t", 0, -1, -1})), kerr.InvalidRequest.Code, -1, -1, -1)
			}
		}
	})
}

func TestListOffsets_LOFF_08_what_is_named_twice_has_one_row(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 2)
		for v := int16(listOffsetsMin); v <= listOffsetsMax; v++ {
			req := listOf(0, offsetAsk{"t", 0, -1, -1}, offsetAsk{"missing", 0, -1, -1}, offsetAsk{"t", 1, -1, -1}, offsetAsk{"t", 0, -1, -2})
			req.Topics = append(req.Topics, kmsg.NewListOffsetsRequestTopic())
			got := ""
			for _, rt := range do[*kmsg.ListOffsetsResponse](b.client, v, req).Topics {
				for _, row := range rt.Partitions {
					got += fmt.Sprintf("%s/%d:%d ", rt.Topic, row.Partition, row.ErrorCode)
				}
				got += "| "
			}
			if want := "t/0:42 t/1:0 | missing/0:3 | "; got != want {
				b.t.Errorf("v%d: %s, want %s", v, got, want)
			}
		}
	})
}

func TestListOffsets_LOFF_09_10_who_may_ask(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fill("t", 0, 1)
		b.hold("t", 0)
		b.fill("t", 0, 1)
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 5 })
		for v := int16(listOffsetsMin); v <= listOffsetsMax; v++ {
			for epoch, code := range map[int32]int16{-1: 0, 5: 0, 4: kerr.FencedLeaderEpoch.Code, -2: kerr.FencedLeaderEpoch.Code, 6: kerr.UnknownLeaderEpoch.Code} {
				row := b.client.listed(v, listOf(0, offsetAsk{"t", 0, epoch, -1}))
				if v < 4 || code == 0 {
					wantOffset(b.client, v, fmt.Sprint("epoch ", epoch), row, 0, 1, -1, 5)
				} else {
					wantOffset(b.client, v, fmt.Sprint("epoch ", epoch), row, code, -1, -1, -1)
				}
			}
			debug := listOf(0, offsetAsk{"t", 0, -1, -1})
			debug.ReplicaID = -2
			wantOffset(b.client, v, "a debugging consumer sees the log's end", b.client.listed(v, debug), 0, 2, -1, 5)
		}
		b.join()
		b.leadElsewhere("t", 0)
		for v := int16(listOffsetsMin); v <= listOffsetsMax; v++ {
			for _, timestamp := range []int64{-1, -2, 0} {
				wantOffset(b.client, v, fmt.Sprint("led elsewhere, time ", timestamp), b.client.listed(v, listOf(0, offsetAsk{"t", 0, -1, timestamp})), kerr.NotLeaderForPartition.Code, -1, -1, -1)
			}
			debug := listOf(0, offsetAsk{"t", 0, -1, -1})
			debug.ReplicaID = -2
			wantOffset(b.client, v, "a debugging consumer of a follower", b.client.listed(v, debug), 0, 2, -1, 6)
			wantOffset(b.client, v, "no such partition", b.client.listed(v, listOf(0, offsetAsk{"t", 7, -1, -1})), kerr.UnknownTopicOrPartition.Code, -1, -1, -1)
		}
	})
}

// append puts a batch at the end of a log past the handlers, and gives its first offset.
func (b *dataBroker) append(topic string, partition int32, origin storage.Origin, records []byte) int64 {
	b.t.Helper()
	p, err := b.node.Partition(topic, partition)
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := p.Append(cluster.AppendRequest{Records: records, Acks: 1, Origin: origin, AllowZstd: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return info.FirstOffset
}

func TestListOffsets_PROD_34_a_log_that_cant_be_opened_has_no_offsets(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.faults.give("t", 0, func(p Partition) (Partition, error) {
			return notServing{p, fmt.Errorf("%w: gone", storage.ErrStorage)}, nil
		})
		for _, timestamp := range []int64{-1, -2, -3, 0} {
			wantOffset(b.client, 7, fmt.Sprint("time ", timestamp), b.client.listed(7, listOf(0, offsetAsk{"t", 0, -1, timestamp})), kerr.KafkaStorageError.Code, -1, -1, -1)
		}
	})
}

// notServing is a partition of which nothing can be said.
type notServing struct {
	Partition
	err error
}

func (p notServing) Serving() error { return p.err }
