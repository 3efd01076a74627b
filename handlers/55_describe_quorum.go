package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// controllerListener names the endpoint of a metadata voter as Kafka's tools know it.
const controllerListener = "CONTROLLER"

// DescribeQuorum (key 55) describes the metadata log's only partition (KIP-595). Offsets are Raft indexes; the leader epoch is this
// broker's registration, which rises as leadership does.
//
//	v1  times of the voters' last fetches   v2  messages, the voters' endpoints
func (h *Handlers) describeQuorum(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeQuorumRequest)
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	resp.ErrorMessage = text("")
	img := h.Metadata.Image()
	epoch := int32(0)
	if b := img.Broker(h.NodeID); b != nil {
		epoch = int32(b.Epoch)
	}
	described := false
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			row := kmsg.NewDescribeQuorumResponseTopicPartition()
			row.Partition, row.LeaderID, row.LeaderEpoch, row.ErrorMessage = p.Partition, h.NodeID, epoch, text("")
			if t.Topic == cluster.ClusterMetadataTopic && p.Partition == 0 {
				described = true
				row.HighWatermark = int64(img.Index) + 1
				voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
				voter.ReplicaID, voter.LogEndOffset = h.NodeID, row.HighWatermark
				voter.LastFetchTimestamp = h.Now().UnixMilli()
				voter.LastCaughtUpTimestamp = voter.LastFetchTimestamp
				row.CurrentVoters = append(row.CurrentVoters, voter)
			} else {
				row.ErrorCode, row.ErrorMessage = kerr.UnknownTopicOrPartition.Code, text("This server does not host this topic-partition.")
			}
			topic.Partitions = append(topic.Partitions, row)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if described {
		if host, port, ok := h.endpoint(r, h.NodeID); ok {
			listener := kmsg.NewDescribeQuorumResponseNodeListener()
			listener.Name, listener.Host, listener.Port = controllerListener, host, uint16(port)
			node := kmsg.NewDescribeQuorumResponseNode()
			node.NodeID, node.Listeners = h.NodeID, append(node.Listeners, listener)
			resp.Nodes = append(resp.Nodes, node)
		}
	}
	r.Reply(resp)
}
