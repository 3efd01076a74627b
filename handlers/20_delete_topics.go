package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics (key 20). When it answers, the topic is gone and its name is free.
//
//	v3  TOPIC_DELETION_DISABLED   v5  error messages   v6  by id too
func (h *Handlers) deleteTopics(r *wire.Request) {
	req := r.Body.(*kmsg.DeleteTopicsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	op := cluster.DeleteTopics{}
	for _, name := range req.TopicNames {
		op.Topics = append(op.Topics, cluster.TopicRef{Name: &name})
	}
	for _, t := range req.Topics {
		op.Topics = append(op.Topics, cluster.TopicRef{Name: t.Topic, ID: t.TopicID})
	}
	var result any
	var err error
	switch {
	case h.Static.Bool("delete.topic.enable"):
		result, err = h.decide(req.TimeoutMillis, op)
	case r.Version < 3:
		err = kerr.InvalidRequest
	default:
		err = kerr.TopicDeletionDisabled
	}
	if err != nil {
		code := h.code(err)
		for _, t := range op.Topics {
			row := kmsg.NewDeleteTopicsResponseTopic()
			row.Topic, row.TopicID, row.ErrorCode = t.Name, t.ID, code
			resp.Topics = append(resp.Topics, row)
		}
		r.Reply(resp)
		return
	}
	for _, t := range result.([]cluster.DeletedTopic) {
		row := kmsg.NewDeleteTopicsResponseTopic()
		row.Topic, row.TopicID = t.Name, t.ID
		row.ErrorCode, row.ErrorMessage = refusal(t.Refusal)
		if t.Refusal == nil {
			h.Log.Info("topic deleted", "topic", *t.Name)
		}
		resp.Topics = append(resp.Topics, row)
	}
	r.Reply(resp)
}
