package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ElectLeaders (key 43). Null topics are all of them; then every topic is listed, with the partitions that needed an election.
//
//	v1  the type of election, an error for the whole
func (h *Handlers) electLeaders(r *wire.Request) {
	req := r.Body.(*kmsg.ElectLeadersRequest)
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	op := cluster.ElectLeaders{Type: cluster.ElectionType(req.ElectionType)}
	if req.Topics != nil {
		op.Topics = make([]cluster.PartitionsOf, 0, len(req.Topics))
	}
	for _, t := range req.Topics {
		op.Topics = append(op.Topics, cluster.PartitionsOf{Topic: t.Topic, Partitions: t.Partitions})
	}
	if req.Topics != nil && len(req.Topics) == 0 { // nothing to do takes no time
		r.Reply(resp)
		return
	}
	result, err := h.decide(req.TimeoutMillis, op)
	if err != nil {
		code, message := h.failure(err)
		resp.ErrorCode = code
		for _, t := range req.Topics {
			topic := kmsg.NewElectLeadersResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				row := kmsg.NewElectLeadersResponseTopicPartition()
				row.Partition, row.ErrorCode, row.ErrorMessage = p, code, message
				topic.Partitions = append(topic.Partitions, row)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		r.Reply(resp)
		return
	}
	for _, t := range result.([]cluster.TopicElections) {
		topic := kmsg.NewElectLeadersResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewElectLeadersResponseTopicPartition()
			row.Partition = p.Partition
			row.ErrorCode, row.ErrorMessage = refusal(p.Refusal)
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	r.Reply(resp)
}
