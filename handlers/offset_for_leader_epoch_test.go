package handlers

import (
	"fmt"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// epochAsked is one row of a request and of its answer.
type epochAsked struct {
	partition, current, epoch int32
	code                      int16
	wantEpoch                 int32
	wantEnd                   int64
}

func TestOffsetForLeaderEpoch_LOFF_13_14_15_every_version(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 3)
		b.fill("t", 0, 1, 1) // epoch 0: 0, 1
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 3 })
		b.fill("t", 0, 1) // epoch 3: 2
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 5 })
		b.fill("t", 0, 1, 1) // epoch 5: 3, 4
		asked := []epochAsked{
			{0, -1, 0, 0, 0, 2}, {0, -1, 1, 0, 0, 2}, {0, -1, 2, 0, 0, 2}, // the largest epoch that isn't above
			{0, -1, 3, 0, 3, 3}, {0, -1, 4, 0, 3, 3},
			{0, -1, 5, 0, 5, 5},                           // the newest: the log's end
			{0, -1, 6, 0, -1, -1}, {0, -1, -1, 0, -1, -1}, // LOFF-14
			{0, -1, -7, 0, -7, 0},                                                                                               // before the first epoch there is nothing
			{0, 5, 3, 0, 3, 3}, {0, 4, 3, kerr.FencedLeaderEpoch.Code, -1, -1}, {0, 6, 3, kerr.UnknownLeaderEpoch.Code, -1, -1}, // LOFF_10
			{1, -1, 0, 0, 0, 0}, // nothing was ever written
			{9, -1, 0, kerr.UnknownTopicOrPartition.Code, -1, -1}, {-1, -1, 0, kerr.UnknownTopicOrPartition.Code, -1, -1},
		}
		for v := int16(2); v <= 4; v++ {
			for _, a := range asked {
				req := kmsg.NewPtrOffsetForLeaderEpochRequest()
				for _, topic := range []string{"t", "missing"} {
					rt, rp := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
					rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = a.partition, a.current, a.epoch
					rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
					req.Topics = append(req.Topics, rt)
				}
				resp := do[*kmsg.OffsetForLeaderEpochResponse](b.client, v, req)
				what := fmt.Sprintf("v%d %+v", v, a)
				if len(resp.Topics) != 2 || resp.Topics[0].Topic != "t" || resp.Topics[1].Topic != "missing" {
					b.t.Fatalf("%s: %+v", what, resp)
				}
				row := resp.Topics[0].Partitions[0]
				if row.Partition != a.partition || row.ErrorCode != a.code || row.LeaderEpoch != a.wantEpoch || row.EndOffset != a.wantEnd {
					b.t.Errorf("%s: %+v", what, row)
				}
				other := resp.Topics[1].Partitions[0]
				if other.ErrorCode != kerr.UnknownTopicOrPartition.Code || other.LeaderEpoch != -1 || other.EndOffset != -1 {
					b.t.Errorf("%s, beside it: %+v", what, other)
				}
			}
		}
	})
}

func TestOffsetForLeaderEpoch_LOFF_09_led_elsewhere(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.join()
		b.leadElsewhere("t", 0)
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		rt, rp := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rt.Topic, rt.Partitions = "t", append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		row := do[*kmsg.OffsetForLeaderEpochResponse](b.client, 3, req).Topics[0].Partitions[0]
		wantCode(b.t, "led elsewhere", row.ErrorCode, kerr.NotLeaderForPartition.Code)
	})
}
