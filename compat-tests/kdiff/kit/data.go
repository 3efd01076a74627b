package kit

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

// Produce asks to append records to one partition with acks -1; the topic's
// name and id are both set, the version decides which is sent.
func Produce(topic Topic, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	tp := kmsg.NewProduceRequestTopic()
	tp.Topic, tp.TopicID = topic.Name, topic.ID
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return req
}

// ProduceTxn is Produce for a transactional id.
func ProduceTxn(txn string, topic Topic, partition int32, records []byte) *kmsg.ProduceRequest {
	req := Produce(topic, partition, records)
	req.TransactionID = &txn
	return req
}

// Fill appends batches, unrecorded.
func Fill(t *diff.T, c *diff.Conn, topic Topic, partition int32, batches ...Batch) {
	t.Quiet(func() {
		for _, b := range batches {
			resp := diff.Do(c, "fill", 9, Produce(topic, partition, b.Bytes()))
			checkProduced(t, resp)
		}
	})
}

// FillTxn appends batches to a transaction, unrecorded, in the way of
// transactions v2: the partition is added implicitly.
func FillTxn(t *diff.T, c *diff.Conn, txn string, topic Topic, partition int32, batches ...Batch) {
	t.Quiet(func() {
		for _, b := range batches {
			resp := diff.Do(c, "fill", 12, ProduceTxn(txn, topic, partition, b.Bytes()))
			checkProduced(t, resp)
		}
	})
}

func checkProduced(t *diff.T, resp *kmsg.ProduceResponse) {
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fail("set-up: produce answered without the partition")
	}
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fail("set-up: cannot produce: %s", diff.ErrorName(code))
	}
}

// Fetch asks for one partition, without a session, without waiting.
func Fetch(topic Topic, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, 1<<20
	req.SessionEpoch = -1
	AddFetch(req, topic, partition, offset)
	return req
}

// AddFetch adds a partition to a Fetch and returns it for changes.
func AddFetch(req *kmsg.FetchRequest, topic Topic, partition int32, offset int64) *kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	for i := range req.Topics {
		if req.Topics[i].Topic == topic.Name {
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
			return &req.Topics[i].Partitions[len(req.Topics[i].Partitions)-1]
		}
	}
	tp := kmsg.NewFetchRequestTopic()
	tp.Topic, tp.TopicID = topic.Name, topic.ID
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return &req.Topics[len(req.Topics)-1].Partitions[0]
}

// Forget adds forgotten partitions to a Fetch.
func Forget(req *kmsg.FetchRequest, topic Topic, partitions ...int32) {
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.TopicID, f.Partitions = topic.Name, topic.ID, partitions
	req.ForgottenTopics = append(req.ForgottenTopics, f)
}

// ListOffsets asks for the offset of a timestamp, or of a special one below
// zero, in one partition.
func ListOffsets(topic Topic, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.TimeoutMillis = 5000
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, timestamp
	tp := kmsg.NewListOffsetsRequestTopic()
	tp.Topic = topic.Name
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return req
}

// EpochEnd asks for the end offset of a leader epoch.
func EpochEnd(topic Topic, partition, epoch int32) *kmsg.OffsetForLeaderEpochRequest {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.LeaderEpoch = partition, epoch
	tp := kmsg.NewOffsetForLeaderEpochRequestTopic()
	tp.Topic = topic.Name
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return req
}

// DeleteRecords asks to delete the records of one partition before offset.
func DeleteRecords(topic Topic, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	tp := kmsg.NewDeleteRecordsRequestTopic()
	tp.Topic = topic.Name
	tp.Partitions = append(tp.Partitions, p)
	req.Topics = append(req.Topics, tp)
	return req
}
