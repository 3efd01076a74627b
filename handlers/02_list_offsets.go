package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListOffsets, v1 to v11. v2 added the isolation level, v4 leader epochs, v6 is flexible; each of the special timestamps came with a version of its own.

// The special timestamps.
const (
	timestampLatest          int64 = -1
	timestampEarliest        int64 = -2
	timestampMax             int64 = -3 // v7
	timestampEarliestLocal   int64 = -4 // v8
	timestampLatestTiered    int64 = -5 // v9
	timestampEarliestPending int64 = -6 // v11
)

// consumerReplica is the replica id of a consumer. Others see the log up to its end.
const consumerReplica = -1

// minVersionOfTimestamp says from which version on a special timestamp is known (LOFF-07).
func minVersionOfTimestamp(timestamp int64) int16 {
	switch timestamp {
	case timestampMax:
		return 7
	case timestampEarliestLocal:
		return 8
	case timestampLatestTiered:
		return 9
	case timestampEarliestPending:
		return 11
	}
	if timestamp < timestampEarliestPending {
		return 1<<15 - 1
	}
	return 1
}

func (h *Handlers) listOffsets(r *wire.Request) {
	req := r.Body.(*kmsg.ListOffsetsRequest)
	resp := kmsg.NewPtrListOffsetsResponse()
	type name struct {
		topic     string
		partition int32
	}
	times := map[name]int{}
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			times[name{req.Topics[i].Topic, req.Topics[i].Partitions[j].Partition}]++
		}
	}
	rowsOf := map[string]int{} // Kafka answers with one entry of each topic that has partitions
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Timestamp, rp.Offset, rp.LeaderEpoch = p.Partition, -1, -1, -1
			switch n := times[name{t.Topic, p.Partition}]; {
			case n == 0:
				continue
			case n > 1: // one row for all of them (LOFF-08)
				rp.ErrorCode = kerr.InvalidRequest.Code
				times[name{t.Topic, p.Partition}] = 0
			case r.Version >= 2 && req.IsolationLevel != int8(cluster.ReadUncommitted) && req.IsolationLevel != int8(cluster.ReadCommitted):
				rp.ErrorCode = kerr.InvalidRequest.Code
			default:
				h.listOffset(r, t.Topic, p, cluster.Isolation(req.IsolationLevel), req.ReplicaID, &rp)
			}
			if rp.ErrorCode != 0 {
				r.SetResult(rp.ErrorCode)
			}
			at, ok := rowsOf[t.Topic]
			if !ok {
				at = len(resp.Topics)
				rowsOf[t.Topic] = at
				rt := kmsg.NewListOffsetsResponseTopic()
				rt.Topic = t.Topic
				resp.Topics = append(resp.Topics, rt)
			}
			resp.Topics[at].Partitions = append(resp.Topics[at].Partitions, rp)
		}
	}
	r.Reply(resp)
}

// listOffset fills in one row.
func (h *Handlers) listOffset(r *wire.Request, topic string, p *kmsg.ListOffsetsRequestTopicPartition, iso cluster.Isolation, replicaID int32, rp *kmsg.ListOffsetsResponseTopicPartition) {
	if r.Version < minVersionOfTimestamp(p.Timestamp) {
		rp.ErrorCode = kerr.UnsupportedVersion.Code
		return
	}
	part, err := h.Partitions.Partition(topic, p.Partition)
	if err == nil {
		err = checkEpoch(part, p.CurrentLeaderEpoch)
	}
	if err == nil && replicaID != debugReplica { // LOFF-09
		err = part.Serving()
	}
	if err != nil {
		rp.ErrorCode = h.code(err)
		return
	}
	start, highWatermark, lastStable := part.Offsets()
	found := storage.TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}
	switch p.Timestamp {
	case timestampLatest:
		found.Offset = highWatermark
		if iso == cluster.ReadCommitted {
			found.Offset = lastStable
		}
		if replicaID != consumerReplica {
			found.Offset = part.LogEndOffset()
		}
		found.LeaderEpoch = part.LeaderEpoch()
	case timestampEarliest, timestampEarliestLocal:
		found.Offset, found.LeaderEpoch = start, part.EpochOf(start)
	case timestampLatestTiered, timestampEarliestPending: // nothing is tiered
	case timestampMax:
		if found, err = part.MaxTimestamp(); err == nil && iso == cluster.ReadCommitted && found.Offset >= lastStable {
			found = storage.TimestampOffset{Offset: -1, TimestampMillis: -1, LeaderEpoch: -1}
		}
	default:
		found, err = part.OffsetForTimestamp(p.Timestamp, iso)
	}
	if err != nil {
		rp.ErrorCode = h.code(err)
		return
	}
	rp.Offset, rp.Timestamp, rp.LeaderEpoch = found.Offset, found.TimestampMillis, found.LeaderEpoch
}

// checkEpoch compares a client's leader epoch. Only -1 says that it has none; in a fetch any negative one does.
func checkEpoch(part Partition, currentLeaderEpoch int32) error {
	if currentLeaderEpoch < -1 {
		return cluster.ErrFencedLeaderEpoch
	}
	return part.CheckEpoch(currentLeaderEpoch)
}
