package handlers

import (
	"context"
	"errors"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/twmb/franz-go/pkg/kerr"
)

// errorCodes maps the sentinels of the layers below to Kafka's errors. The first match counts.
var errorCodes = []struct {
	sentinel error
	kafka    *kerr.Error
}{
	{storage.ErrOffsetOutOfRange, kerr.OffsetOutOfRange},
	{storage.ErrCorruptMessage, kerr.CorruptMessage},
	{storage.ErrInvalidRecord, kerr.InvalidRecord},
	{storage.ErrInvalidTimestamp, kerr.InvalidTimestamp},
	{storage.ErrMessageTooLarge, kerr.MessageTooLarge},
	{storage.ErrRecordListTooLarge, kerr.RecordListTooLarge},
	{storage.ErrUnsupportedCodec, kerr.UnsupportedCompressionType},
	{storage.ErrOutOfOrderSequence, kerr.OutOfOrderSequenceNumber},
	{storage.ErrInvalidProducerEpoch, kerr.InvalidProducerEpoch},
	{storage.ErrInvalidTxnState, kerr.InvalidTxnState},
	{storage.ErrTooManyProducers, kerr.PolicyViolation},
	{storage.ErrStorage, kerr.KafkaStorageError},
	{storage.ErrMemoryBudget, kerr.KafkaStorageError},
	{storage.ErrClosed, kerr.NotLeaderForPartition},
	{cluster.ErrUnknownTopicOrPartition, kerr.UnknownTopicOrPartition},
	{cluster.ErrNotLeader, kerr.NotLeaderForPartition},
	{cluster.ErrFencedLeaderEpoch, kerr.FencedLeaderEpoch},
	{cluster.ErrUnknownLeaderEpoch, kerr.UnknownLeaderEpoch},
	{cluster.ErrNotEnoughReplicas, kerr.NotEnoughReplicas},
	{cluster.ErrNotEnoughReplicasAfterAppend, kerr.NotEnoughReplicasAfterAppend},
	{cluster.ErrShuttingDown, kerr.NotLeaderForPartition},
	{context.DeadlineExceeded, kerr.RequestTimedOut},
}

// code gives Kafka's error code for err, 0 for nil. What has none becomes UNKNOWN_SERVER_ERROR and is logged here, once.
func (h *Handlers) code(err error) int16 {
	if err == nil {
		return 0
	}
	var kafka *kerr.Error
	if errors.As(err, &kafka) {
		return kafka.Code
	}
	for _, e := range errorCodes {
		if errors.Is(err, e.sentinel) {
			return e.kafka.Code
		}
	}
	h.Log.Error("a request failed for a reason that Kafka has no error for", "error", err)
	return kerr.UnknownServerError.Code
}
