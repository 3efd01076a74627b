package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// highWatermark as an offset of DeleteRecords means: everything that is there.
const highWatermark = -1

// DeleteRecords (key 21) moves the log start of partitions (KIP-107). v2 is flexible, nothing else changed.
func (h *Handlers) deleteRecords(r *wire.Request) {
	req := r.Body.(*kmsg.DeleteRecordsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	img := h.Metadata.Image()
	for _, t := range req.Topics {
		topic := kmsg.NewDeleteRecordsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewDeleteRecordsResponseTopicPartition()
			row.Partition, row.LowWatermark = p.Partition, invalidLowWatermark
			low, err := h.deleteRecordsOf(img, t.Topic, p.Partition, p.Offset)
			if err == nil {
				row.LowWatermark = low
			}
			row.ErrorCode = h.code(err)
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	r.Reply(resp)
}

func (h *Handlers) deleteRecordsOf(img *cluster.Image, topic string, partition int32, before int64) (int64, error) {
	switch {
	case img.Partition(topic, partition) == nil:
		return 0, kerr.UnknownTopicOrPartition
	case cluster.IsInternalTopic(topic):
		return 0, kerr.InvalidTopicException
	}
	p, err := h.Partitions.Partition(topic, partition)
	if err != nil {
		return 0, err
	}
	policy, _ := config.Lookup(config.Topic, "cleanup.policy")
	if policies := h.layers(img, topic).Resolve(policy).Value; policies != nil && onlyCompacted(*policies) {
		return 0, kerr.PolicyViolation
	}
	if before < highWatermark {
		return 0, kerr.OffsetOutOfRange
	}
	return p.DeleteRecords(before)
}
