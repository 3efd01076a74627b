package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopics (key 19). A topic that is answered without an error has its leaders.
//
//	v4  -1 partitions and replicas are the broker's defaults
//	v5  the answer says how the topic was made and lists its effective settings: an array always, null breaks the Java client
//	v7  topic ids
func (h *Handlers) createTopics(r *wire.Request) {
	req := r.Body.(*kmsg.CreateTopicsRequest)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	op := cluster.CreateTopics{ValidateOnly: req.ValidateOnly, Static: h.Static, Topics: make([]cluster.NewTopic, 0, len(req.Topics))}
	for _, t := range req.Topics {
		n := cluster.NewTopic{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor, ClampReplicas: h.ClampReplicas}
		for _, a := range t.ReplicaAssignment {
			n.Assignment = append(n.Assignment, cluster.ReplicaAssignment{Partition: a.Partition, Replicas: a.Replicas})
		}
		for _, c := range t.Configs {
			n.Configs = append(n.Configs, cluster.ConfigValue{Key: c.Name, Value: c.Value})
		}
		op.Topics = append(op.Topics, n)
	}
	result, err := h.decide(req.TimeoutMillis, op)
	if err != nil {
		code := h.code(err)
		for _, t := range req.Topics {
			row := newCreatedRow(t.Topic)
			row.ErrorCode = code
			resp.Topics = append(resp.Topics, row)
		}
		r.Reply(resp)
		return
	}
	layers := h.layers(h.Metadata.Image(), "")
	for _, t := range result.([]cluster.CreatedTopic) {
		if !req.ValidateOnly {
			h.logCreated(t, "on request")
		}
		row := newCreatedRow(t.Name)
		row.ErrorCode, row.ErrorMessage = refusal(t.Refusal)
		if t.Refusal == nil {
			row.TopicID, row.NumPartitions, row.ReplicationFactor = t.ID, t.Partitions, t.Replicas
			if r.Version >= 5 {
				layers.Topic = t.Configs
				row.Configs = createdConfigs(layers)
			}
		}
		resp.Topics = append(resp.Topics, row)
	}
	r.Reply(resp)
}

func newCreatedRow(name string) kmsg.CreateTopicsResponseTopic {
	row := kmsg.NewCreateTopicsResponseTopic()
	row.Topic, row.NumPartitions, row.ReplicationFactor, row.Configs = name, -1, -1, []kmsg.CreateTopicsResponseTopicConfig{}
	return row
}

func createdConfigs(layers config.Layers) []kmsg.CreateTopicsResponseTopicConfig {
	keys := config.Keys(config.Topic)
	rows := make([]kmsg.CreateTopicsResponseTopicConfig, 0, len(keys))
	for name := range layers.Topic {
		if k, known := config.Lookup(config.Topic, name); known && k.Hidden {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		entry := layers.Resolve(k)
		if v, set := layers.Topic[k.Name]; set {
			entry.Value = &v // as it was written; DescribeConfigs shows how it is understood
		}
		row := kmsg.NewCreateTopicsResponseTopicConfig()
		row.Name, row.Value, row.Source, row.IsSensitive = k.Name, entry.Value, int8(entry.Source), k.Sensitive
		if k.Sensitive {
			row.Value = nil
		}
		rows = append(rows, row)
	}
	return rows
}
