package program

import (
	"testing"
	"time"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceOf makes a produce of one record.
func produceOf(t *testing.T, topic string, acks int16, value []byte) *kmsg.ProduceRequest {
	t.Helper()
	r := kmsg.NewPtrProduceRequest()
	r.SetVersion(9)
	r.Acks, r.TimeoutMillis = acks, 30_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch.NewBuilder().Append(time.Now().UnixMilli(), nil, value).Build()
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}

func errorOf(resp any) int16 { return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode }

// fetchOf makes a fetch of partition 0 from its start.
func fetchOf(topic string, offset int64, waitMillis, minBytes int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(11)
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = waitMillis, minBytes, 50<<20
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = offset, 50<<20
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}
