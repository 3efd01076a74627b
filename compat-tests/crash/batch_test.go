package crash

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceRequest is one idempotent batch with one record for partition 0, as a client would send it first.
func produceRequest(producerID int64, epoch int16) *kmsg.ProduceRequest {
	record := kmsg.Record{Value: []byte(resendValue)}
	body := record.AppendTo(nil)
	record.Length = int32(len(body)) - 1 // its own length field takes one byte
	batch := kmsg.RecordBatch{
		Magic: 2, FirstTimestamp: 1, MaxTimestamp: 1, ProducerID: producerID, ProducerEpoch: epoch, NumRecords: 1,
		PartitionLeaderEpoch: -1, Records: record.AppendTo(nil),
	}
	batch.Length = int32(len(batch.AppendTo(nil))) - 12
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))

	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = raw
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	req.Version = 11
	return req
}
