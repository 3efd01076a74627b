package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetForLeaderEpoch, v2 to v4 (librdkafka asks for exactly v2): where a leader epoch ended (KIP-101, KIP-279, KIP-320). v3 added the replica id, v4 is flexible.
func (h *Handlers) offsetForLeaderEpoch(r *wire.Request) {
	req := r.Body.(*kmsg.OffsetForLeaderEpochRequest)
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, -1, -1
			part, err := h.Partitions.Partition(t.Topic, p.Partition)
			if err == nil {
				err = checkEpoch(part, p.CurrentLeaderEpoch)
			}
			if err == nil {
				err = part.Serving()
			}
			if err == nil {
				if end := part.EndOffsetForEpoch(p.LeaderEpoch); p.LeaderEpoch != -1 {
					rp.LeaderEpoch, rp.EndOffset = end.Epoch, end.EndOffset
				}
			} else {
				rp.ErrorCode = h.code(err)
				r.SetResult(rp.ErrorCode)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	r.Reply(resp)
}
