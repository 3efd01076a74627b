package kit

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

// Producer is a producer id and its epoch.
type Producer struct {
	ID    int64
	Epoch int16
}

// Init asks for a producer id; an empty txn is sent as null.
func Init(txn string) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionTimeoutMillis = 60000
	if txn != "" {
		req.TransactionalID = &txn
	}
	return req
}

// NewProducer gets a producer id, unrecorded, waiting while a transaction ends.
func NewProducer(t *diff.T, c *diff.Conn, txn string) (p Producer) {
	t.Until("producer id", 10*time.Second, func() bool {
		resp := diff.Do(c, "init producer id", 4, Init(txn))
		p = Producer{resp.ProducerID, resp.ProducerEpoch}
		return resp.ErrorCode == 0
	})
	return p
}

// AddPartitions adds partitions of one topic to a transaction, in the form of
// versions below and from 4.
func AddPartitions(txn string, p Producer, topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = txn, p.ID, p.Epoch
	tp := kmsg.NewAddPartitionsToTxnRequestTopic()
	tp.Topic, tp.Partitions = topic, partitions
	req.Topics = append(req.Topics, tp)

	batched := kmsg.NewAddPartitionsToTxnRequestTransaction()
	batched.TransactionalID, batched.ProducerID, batched.ProducerEpoch = txn, p.ID, p.Epoch
	tt := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
	tt.Topic, tt.Partitions = topic, partitions
	batched.Topics = append(batched.Topics, tt)
	req.Transactions = append(req.Transactions, batched)
	return req
}

// AddOffsets adds a group's offsets to a transaction.
func AddOffsets(txn string, p Producer, group string) *kmsg.AddOffsetsToTxnRequest {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = txn, p.ID, p.Epoch, group
	return req
}

// TxnCommit commits one offset of partition 0 in a transaction, as no member.
func TxnCommit(txn string, p Producer, group string, topic Topic, offset int64) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = txn, p.ID, p.Epoch, group
	req.Generation = -1
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = offset
	tp := kmsg.NewTxnOffsetCommitRequestTopic()
	tp.Topic, tp.TopicID = topic.Name, topic.ID
	tp.Partitions = append(tp.Partitions, part)
	req.Topics = append(req.Topics, tp)
	return req
}

// End ends a transaction.
func End(txn string, p Producer, commit bool) *kmsg.EndTxnRequest {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = txn, p.ID, p.Epoch, commit
	return req
}

// EndAndAwait ends a transaction, unrecorded, in the way of transactions v2,
// waits until it is complete and returns the producer for the next one.
func EndAndAwait(t *diff.T, c *diff.Conn, txn string, p Producer, commit bool) Producer {
	next := p
	t.Quiet(func() {
		resp := diff.Do(c, "end", 5, End(txn, p, commit))
		if resp.ErrorCode != 0 {
			t.Fail("set-up: cannot end the transaction: %s", diff.ErrorName(resp.ErrorCode))
		}
		next = Producer{resp.ProducerID, resp.ProducerEpoch}
	})
	AwaitComplete(t, c, txn)
	return next
}

// DescribeTxn describes transactions.
func DescribeTxn(txns ...string) *kmsg.DescribeTransactionsRequest {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = txns
	return req
}

// AwaitComplete waits, unrecorded, until a transaction's markers are written.
func AwaitComplete(t *diff.T, c *diff.Conn, txn string) {
	t.Quiet(func() {
		t.Until("transaction complete", 10*time.Second, func() bool {
			resp := diff.Do(c, "describe", 0, DescribeTxn(txn))
			if len(resp.TransactionStates) != 1 {
				return false
			}
			switch resp.TransactionStates[0].State {
			case "CompleteCommit", "CompleteAbort", "Empty":
				return true
			default:
				return false
			}
		})
	})
}

// DescribeProducers describes the producers of partitions of one topic.
func DescribeProducers(topic string, partitions ...int32) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	tp := kmsg.NewDescribeProducersRequestTopic()
	tp.Topic, tp.Partitions = topic, partitions
	req.Topics = append(req.Topics, tp)
	return req
}
