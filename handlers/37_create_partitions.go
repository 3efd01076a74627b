package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreatePartitions (key 37) gives topics more partitions. v2 is flexible, v3 knows quotas; the rows are the same.
func (h *Handlers) createPartitions(r *wire.Request) {
	req := r.Body.(*kmsg.CreatePartitionsRequest)
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	op := cluster.CreatePartitions{ValidateOnly: req.ValidateOnly}
	for _, t := range req.Topics {
		more := cluster.MorePartitions{Topic: t.Topic, Total: t.Count}
		if t.Assignment != nil {
			more.Assignment = make([][]int32, 0, len(t.Assignment))
		}
		for _, a := range t.Assignment {
			more.Assignment = append(more.Assignment, a.Replicas)
		}
		op.Topics = append(op.Topics, more)
	}
	result, err := h.decide(req.TimeoutMillis, op)
	if err != nil {
		code := h.code(err)
		for _, t := range req.Topics {
			row := kmsg.NewCreatePartitionsResponseTopic()
			row.Topic, row.ErrorCode = t.Topic, code
			resp.Topics = append(resp.Topics, row)
		}
		r.Reply(resp)
		return
	}
	for _, t := range result.([]cluster.GrownTopic) {
		row := kmsg.NewCreatePartitionsResponseTopic()
		row.Topic = t.Topic
		row.ErrorCode, row.ErrorMessage = refusal(t.Refusal)
		resp.Topics = append(resp.Topics, row)
	}
	r.Reply(resp)
}
