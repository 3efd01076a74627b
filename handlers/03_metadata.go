package handlers

import (
	"slices"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata (key 3): brokers, topics and their leaders, as the listener of the request sees them.
//
//	v1  null topics are all, an empty list none (v0: an empty list is all); controller, racks, internal topics
//	v4  the client says whether topics may be created
//	v5  offline replicas       v6  LISTENER_NOT_FOUND    v7  leader epochs
//	v8  authorized operations (those of the cluster until v10)
//	v10 topic ids              v12 topics may be asked for by id
func (h *Handlers) metadata(r *wire.Request) {
	req := r.Body.(*kmsg.MetadataRequest)
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ControllerID, resp.AuthorizedOperations = noController, operationsNotAsked

	all := req.Topics == nil || r.Version == 0 && len(req.Topics) == 0
	byID := false
	for _, t := range req.Topics {
		byID = byID || t.TopicID != [16]byte{}
	}
	for _, t := range req.Topics {
		if r.Version < 12 && (byID || t.Topic == nil) || !byID && t.Topic == nil {
			h.refuseMetadata(r, req, resp)
			return
		}
	}

	v := metadataView{h: h, r: r, resp: resp, withTopicOperations: r.Version >= 8 && req.IncludeTopicAuthorizedOperations}
	v.img = h.Metadata.Image()
	switch {
	case all:
		for _, name := range v.img.TopicNames() {
			v.topic(v.img.Topic(name))
		}
	case byID:
		v.byID(req.Topics)
	default:
		names := distinctNames(req.Topics)
		if r.Version < 4 || req.AllowAutoTopicCreation {
			v.img = h.autoCreate(v.img, names)
		}
		for _, name := range names {
			v.byName(name)
		}
	}
	v.brokers()
	if r.Version >= 8 && r.Version <= 10 && req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	r.Reply(resp)
}

// refuseMetadata answers a request that asks for topics in a way that its version doesn't have.
func (h *Handlers) refuseMetadata(r *wire.Request, req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) {
	for _, t := range req.Topics {
		row := kmsg.NewMetadataResponseTopic()
		row.ErrorCode, row.TopicID, row.Topic = kerr.InvalidRequest.Code, t.TopicID, t.Topic
		if row.Topic == nil {
			row.Topic = text("")
		}
		row.AuthorizedOperations = operationsNotAsked
		resp.Topics = append(resp.Topics, row)
	}
	resp.ErrorCode = kerr.InvalidRequest.Code // on the wire from v13 on
	r.Reply(resp)
}

func distinctNames(topics []kmsg.MetadataRequestTopic) []string {
	names := make([]string, 0, len(topics))
	seen := make(map[string]bool, len(topics))
	for _, t := range topics {
		if !seen[*t.Topic] {
			seen[*t.Topic] = true
			names = append(names, *t.Topic)
		}
	}
	return names
}

// metadataView fills in an answer from one image.
type metadataView struct {
	h                   *Handlers
	r                   *wire.Request
	img                 *cluster.Image
	resp                *kmsg.MetadataResponse
	withTopicOperations bool
	reachable           reachableBrokers
}

func (v *metadataView) brokers() {
	for _, b := range v.img.Brokers() {
		host, port, ok := v.h.endpoint(v.r, b.ID)
		if !ok {
			continue
		}
		row := kmsg.NewMetadataResponseBroker()
		row.NodeID, row.Host, row.Port, row.Rack = b.ID, host, port, b.Rack
		v.resp.Brokers = append(v.resp.Brokers, row)
		if v.resp.ControllerID == noController || b.ID == v.h.NodeID {
			v.resp.ControllerID = b.ID // any broker takes admin requests; this one saves a way
		}
	}
	if v.img.ClusterID != "" {
		v.resp.ClusterID = &v.img.ClusterID
	}
}

func (v *metadataView) byID(topics []kmsg.MetadataRequestTopic) {
	seen := make(map[[16]byte]bool, len(topics))
	for _, t := range topics {
		if t.TopicID == [16]byte{} || seen[t.TopicID] {
			continue
		}
		seen[t.TopicID] = true
		if topic := v.img.TopicByID(t.TopicID); topic != nil {
			v.topic(topic)
			continue
		}
		row := kmsg.NewMetadataResponseTopic()
		row.ErrorCode, row.TopicID, row.AuthorizedOperations = kerr.UnknownTopicID.Code, t.TopicID, operationsNotAsked
		v.resp.Topics = append(v.resp.Topics, row)
	}
}

func (v *metadataView) byName(name string) {
	if topic := v.img.Topic(name); topic != nil {
		v.topic(topic)
		return
	}
	row := v.row(name)
	row.ErrorCode = kerr.UnknownTopicOrPartition.Code
	if refused := cluster.CheckTopicName(name); refused != nil {
		row.ErrorCode = refused.Kafka.Code
	}
	v.resp.Topics = append(v.resp.Topics, row)
}

func (v *metadataView) row(name string) kmsg.MetadataResponseTopic {
	row := kmsg.NewMetadataResponseTopic()
	row.Topic, row.IsInternal, row.AuthorizedOperations = &name, cluster.IsInternalTopic(name), operationsNotAsked
	if v.withTopicOperations {
		row.AuthorizedOperations = topicOperations
	}
	return row
}

func (v *metadataView) topic(t *cluster.TopicInfo) {
	row := v.row(t.Name)
	row.TopicID = t.ID
	row.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for n, p := range t.Partitions {
		v.partition(&row.Partitions[n], int32(n), p)
	}
	v.resp.Topics = append(v.resp.Topics, row)
}

func (v *metadataView) partition(row *kmsg.MetadataResponseTopicPartition, n int32, p *cluster.PartitionInfo) {
	row.Partition, row.Leader, row.LeaderEpoch = n, p.Leader, p.LeaderEpoch
	row.Replicas, row.ISR, row.OfflineReplicas = p.Replicas, p.ISR, v.offline(p)
	if !v.reaches(p.Leader) {
		row.Leader, row.ErrorCode = -1, kerr.LeaderNotAvailable.Code
		if v.r.Version >= 6 && v.img.Broker(p.Leader) != nil {
			row.ErrorCode = kerr.ListenerNotFound.Code
		}
	}
	if v.r.Version == 0 { // the first clients took replicas that aren't among the brokers for an error
		reaches := func(id int32) bool { return v.reaches(id) }
		row.Replicas, row.ISR = filtered(p.Replicas, reaches), filtered(p.ISR, reaches)
		if row.ErrorCode == 0 && (len(row.Replicas) < len(p.Replicas) || len(row.ISR) < len(p.ISR)) {
			row.ErrorCode = kerr.ReplicaNotAvailable.Code
		}
	}
}

func (v *metadataView) offline(p *cluster.PartitionInfo) []int32 {
	return filtered(p.Replicas, func(id int32) bool { return !v.reaches(id) })
}

func (v *metadataView) reaches(id int32) bool { return v.reachable.has(v.h, v.r, id) }

// reachableBrokers remembers, for one request, which brokers its client can reach: live ones with the request's listener.
type reachableBrokers struct{ known map[int32]bool }

func (b *reachableBrokers) has(h *Handlers, r *wire.Request, id int32) bool {
	ok, known := b.known[id]
	if !known {
		if b.known == nil {
			b.known = map[int32]bool{}
		}
		_, _, ok = h.endpoint(r, id)
		b.known[id] = ok
	}
	return ok
}

// filtered gives the ids that keep says yes to; nil where there are none, the same slice where all are kept.
func filtered(ids []int32, keep func(int32) bool) []int32 {
	if !slices.ContainsFunc(ids, func(id int32) bool { return !keep(id) }) {
		return ids
	}
	var kept []int32
	for _, id := range ids {
		if keep(id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// autoCreate makes those of the topics that there aren't, where that is allowed, and gives the image to answer from. A topic
// that can't be made stays unknown to the client, as in Kafka; the operator is told why.
func (h *Handlers) autoCreate(img *cluster.Image, names []string) *cluster.Image {
	if !h.Static.Bool("auto.create.topics.enable") {
		return img
	}
	op := cluster.CreateTopics{Static: h.Static}
	for _, name := range names {
		if img.Topic(name) != nil || name == cluster.ClusterMetadataTopic || cluster.CheckTopicName(name) != nil {
			continue
		}
		op.Topics = append(op.Topics, h.newTopic(name, img))
	}
	if len(op.Topics) == 0 {
		return img
	}
	result, err := h.decideWithin(maxAdminWait, op)
	if err != nil {
		h.Log.Warn("topics could not be created on first use", "topics", len(op.Topics), "error", err)
		return h.Metadata.Image()
	}
	for _, t := range result.([]cluster.CreatedTopic) {
		h.logCreated(t, "on first use")
	}
	return h.Metadata.Image()
}

// newTopic describes a topic that is made because somebody uses it.
func (h *Handlers) newTopic(name string, img *cluster.Image) cluster.NewTopic {
	if t, internal := cluster.InternalTopic(name, h.Static, img); internal {
		return t
	}
	return cluster.NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1, ClampReplicas: h.ClampReplicas}
}

// logCreated tells the operator what became of a topic.
func (h *Handlers) logCreated(t cluster.CreatedTopic, how string) {
	switch {
	case t.Refusal != nil && t.Refusal.Kafka == kerr.TopicAlreadyExists:
	case t.Refusal != nil:
		h.Log.Debug("topic not created", "how", how, "topic", t.Name, "error", t.Refusal)
	default:
		h.Log.Info("topic created", "how", how, "topic", t.Name, "partitions", t.Partitions, "replicas", t.Replicas)
		if t.Clamped > 0 {
			h.Log.Info("topic has fewer replicas than asked for: there are no more brokers", "topic", t.Name, "asked", t.Clamped, "replicas", t.Replicas)
		}
	}
}
