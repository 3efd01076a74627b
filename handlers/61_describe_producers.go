package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeProducers (key 61) lists the producers that partitions know, and since when their transactions are open (KIP-664).
func (h *Handlers) describeProducers(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	img := h.Metadata.Image()
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = t.Topic
		refused := cluster.CheckTopicName(t.Topic)
		if refused == nil && img.Topic(t.Topic) == nil {
			refused = &cluster.Refusal{Kafka: kerr.UnknownTopicOrPartition, Message: "This server does not host this topic-partition."}
		}
		for _, n := range t.Partitions {
			row := kmsg.NewDescribeProducersResponseTopicPartition()
			row.Partition = n
			if refused != nil {
				row.ErrorCode, row.ErrorMessage = refusal(refused)
			} else if p, err := h.Partitions.Partition(t.Topic, n); err != nil {
				row.ErrorCode = h.code(err)
			} else {
				for _, producer := range p.Producers() {
					active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					active.ProducerID, active.ProducerEpoch, active.LastSequence = producer.ProducerID, int32(producer.ProducerEpoch), producer.LastSequence
					active.LastTimestamp, active.CoordinatorEpoch, active.CurrentTxnStartOffset = producer.LastTimestampMillis, producer.CoordinatorEpoch, producer.CurrentTxnStartOffset
					row.ActiveProducers = append(row.ActiveProducers, active)
				}
			}
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	r.Reply(resp)
}
