package handlers

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kinds of coordinators.
const (
	coordinatorGroup       int8 = 0
	coordinatorTransaction int8 = 1
	coordinatorShare       int8 = 2

	offsetsTopic          = "__consumer_offsets"
	transactionStateTopic = "__transaction_state"
)

// malformedRequest is what Kafka says of a request that it can't take apart.
const malformedRequest = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."

// FindCoordinator (key 10), versions 0 to 6. The coordinator of a key is the leader of the partition of an internal topic that
// the key hashes to. The topic is made here, when it is first needed; then the coordinator is there in this very answer.
//
//	v1  kinds, message   v3  flexible   v4  several keys (KIP-699)   v6  share groups (KIP-932)
func (h *Handlers) findCoordinator(r *wire.Request) {
	req := r.Body.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	kind := req.CoordinatorType
	if r.Version == 0 {
		kind = coordinatorGroup
	}
	info := h.coordinatorTopic(kind)
	if r.Version >= 4 {
		resp.Coordinators = make([]kmsg.FindCoordinatorResponseCoordinator, 0, len(req.CoordinatorKeys))
		for _, key := range req.CoordinatorKeys {
			c := h.coordinator(r, kind, key, info)
			if c.ErrorMessage == nil {
				c.ErrorMessage = text("")
			}
			resp.Coordinators = append(resp.Coordinators, c)
		}
		r.Reply(resp)
		return
	}
	c := h.coordinator(r, kind, req.CoordinatorKey, info)
	resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = c.ErrorCode, c.ErrorMessage, c.NodeID, c.Host, c.Port
	if resp.ErrorMessage == nil {
		resp.ErrorMessage = text(kafkaMessage(c.ErrorCode))
	}
	r.Reply(resp)
}

// kafkaMessage is the text that goes with a code in the versions that have it without a reason of their own.
func kafkaMessage(code int16) string {
	switch code {
	case 0:
		return "NONE"
	case kerr.CoordinatorNotAvailable.Code:
		return "The coordinator is not available."
	case kerr.InvalidRequest.Code:
		return malformedRequest
	default:
		return kerr.TypedErrorForCode(code).Description
	}
}

// coordinatorTopic gives the topic of a kind of coordinator, made if need be; nil where there is none.
func (h *Handlers) coordinatorTopic(kind int8) *cluster.TopicInfo {
	var name string
	switch kind {
	case coordinatorGroup:
		name = offsetsTopic
	case coordinatorTransaction:
		name = transactionStateTopic
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(h.Context, internalTopicTimeout)
	defer cancel()
	info, err := h.ensureInternalTopic(ctx, name)
	if err != nil {
		h.Log.Warn("a coordinator's topic can't be made", "topic", name, "error", err)
		return nil
	}
	return info
}

// coordinator finds the coordinator of one key in its topic.
func (h *Handlers) coordinator(r *wire.Request, kind int8, key string, info *cluster.TopicInfo) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	switch {
	case kind == coordinatorShare && (r.Version < 6 || !isShareKey(key)):
		c.ErrorCode = kerr.InvalidRequest.Code
		return c
	case kind < coordinatorGroup || kind > coordinatorShare:
		c.ErrorCode, c.ErrorMessage = kerr.InvalidRequest.Code, text(malformedRequest)
		return c
	case info == nil || len(info.Partitions) == 0:
		c.ErrorCode = kerr.CoordinatorNotAvailable.Code
		return c
	}
	leader := info.Partitions[coord.PartitionFor(key, int32(len(info.Partitions)))].Leader
	host, port, ok := h.endpoint(r, leader)
	if !ok {
		c.ErrorCode = kerr.CoordinatorNotAvailable.Code
		return c
	}
	c.NodeID, c.Host, c.Port = leader, host, port
	return c
}

// isShareKey says whether a key is one of a share group's partition: group, topic id, partition, with colons between them.
func isShareKey(key string) bool {
	last := strings.LastIndexByte(key, ':')
	if last < 0 {
		return false
	}
	middle := strings.LastIndexByte(key[:last], ':')
	if middle <= 0 {
		return false
	}
	id, err := base64.RawURLEncoding.DecodeString(key[middle+1 : last])
	if err != nil || len(id) != 16 {
		return false
	}
	partition, err := strconv.ParseInt(key[last+1:], 10, 32)
	return err == nil && partition >= 0
}
