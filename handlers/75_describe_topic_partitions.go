package handlers

import (
	"slices"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeTopicPartitions (key 75, KIP-966) describes topics page by page, by name. No topics are all. It creates none.
func (h *Handlers) describeTopicPartitions(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeTopicPartitionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	v := topicPages{
		h: h, r: r, img: h.Metadata.Image(), resp: resp,
		remaining: max(1, min(int(req.ResponsePartitionLimit), h.Static.Int("max.request.partition.size.limit"))),
	}
	names := make([]string, 0, len(req.Topics))
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	all := len(names) == 0
	if all {
		names = v.img.TopicNames()
	}
	first := int32(0)
	if c := req.Cursor; c != nil {
		at, found := slices.BinarySearch(names, c.Topic)
		if c.Partition < 0 || !found && !all {
			v.refuse(req.Topics)
			return
		}
		names = names[at:]
		if found {
			first = c.Partition
		}
	}
	for _, name := range names {
		if !v.topic(name, first, all) {
			break
		}
		first = 0
	}
	r.Reply(resp)
}

// topicPages fills in one page.
type topicPages struct {
	h         *Handlers
	r         *wire.Request
	img       *cluster.Image
	resp      *kmsg.DescribeTopicPartitionsResponse
	remaining int // partitions that the page still has room for
	reachable reachableBrokers
}

func (v *topicPages) refuse(topics []kmsg.DescribeTopicPartitionsRequestTopic) {
	for _, t := range topics {
		row := kmsg.NewDescribeTopicPartitionsResponseTopic()
		row.Topic, row.ErrorCode, row.AuthorizedOperations = &t.Topic, kerr.InvalidRequest.Code, operationsNotAsked
		v.resp.Topics = append(v.resp.Topics, row)
	}
	v.r.Reply(v.resp)
}

// topic adds a topic from a partition on; false where the page is full.
func (v *topicPages) topic(name string, first int32, all bool) bool {
	if v.remaining == 0 {
		v.cursor(name, 0)
		return false
	}
	row := kmsg.NewDescribeTopicPartitionsResponseTopic()
	row.Topic, row.IsInternal, row.AuthorizedOperations = &name, cluster.IsInternalTopic(name), topicOperations
	t := v.img.Topic(name)
	if t == nil {
		if all {
			return true
		}
		row.ErrorCode = kerr.UnknownTopicOrPartition.Code
		if refused := cluster.CheckTopicName(name); refused != nil {
			row.ErrorCode = refused.Kafka.Code
		}
		v.resp.Topics = append(v.resp.Topics, row)
		return true
	}
	row.TopicID = t.ID
	end := int32(min(len(t.Partitions), int(first)+v.remaining))
	for n := first; n < end; n++ {
		row.Partitions = append(row.Partitions, v.partition(n, t.Partitions[n]))
	}
	v.resp.Topics = append(v.resp.Topics, row)
	v.remaining -= len(row.Partitions)
	if int(end) < len(t.Partitions) {
		v.cursor(name, end)
		return false
	}
	return true
}

func (v *topicPages) cursor(topic string, partition int32) {
	next := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	next.Topic, next.Partition = topic, partition
	v.resp.NextCursor = &next
}

func (v *topicPages) partition(n int32, p *cluster.PartitionInfo) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	reaches := func(id int32) bool { return v.reachable.has(v.h, v.r, id) }
	row := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	row.Partition, row.LeaderID, row.LeaderEpoch, row.Replicas, row.ISR = n, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR
	row.OfflineReplicas = filtered(p.Replicas, func(id int32) bool { return !reaches(id) })
	row.EligibleLeaderReplicas, row.LastKnownELR = []int32{}, []int32{} // Java clients break on null
	if !reaches(p.Leader) {
		row.LeaderID = -1
	}
	return row
}
