package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments (key 45, kmsg says AlterPartitionAssignments) changes where replicas lie.
//
//	v1  the client may forbid another replication factor (KIP-860)
func (h *Handlers) alterPartitionReassignments(r *wire.Request) {
	req := r.Body.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = r.Version < 1 || req.AllowReplicationFactorChange
	if len(req.Topics) == 0 {
		resp.ErrorMessage = text("") // as Kafka answers where there is nothing to do
		r.Reply(resp)
		return
	}
	op := cluster.AlterReassignments{KeepReplicationFactor: !resp.AllowReplicationFactorChange}
	for _, t := range req.Topics {
		topic := cluster.TopicReassignment{Topic: t.Topic}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, cluster.Reassignment{Partition: p.Partition, Replicas: p.Replicas})
		}
		op.Topics = append(op.Topics, topic)
	}
	result, err := h.decide(req.TimeoutMillis, op)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = h.failure(err)
		for _, t := range req.Topics {
			topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				row := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
				row.Partition, row.ErrorCode, row.ErrorMessage = p.Partition, resp.ErrorCode, resp.ErrorMessage
				topic.Partitions = append(topic.Partitions, row)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		r.Reply(resp)
		return
	}
	for _, t := range result.([]cluster.TopicElections) {
		topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			row.Partition = p.Partition
			row.ErrorCode, row.ErrorMessage = refusal(p.Refusal)
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	r.Reply(resp)
}
