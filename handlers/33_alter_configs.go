package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterConfigs (key 33) replaces all settings of the resources that it names; what it leaves out goes back to its default. Deprecated in
// favour of IncrementalAlterConfigs, but still served.
func (h *Handlers) alterConfigs(r *wire.Request) {
	req := r.Body.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	op := cluster.AlterConfigs{ValidateOnly: req.ValidateOnly, NodeID: h.NodeID, Static: h.Static}
	for _, res := range req.Resources {
		a := cluster.ConfigAlteration{Resource: cluster.ConfigResource{Type: int8(res.ResourceType), Name: res.ResourceName}}
		for _, c := range res.Configs {
			a.Changes = append(a.Changes, cluster.ConfigChange{Key: c.Name, Value: c.Value})
		}
		op.Resources = append(op.Resources, a)
	}
	for i, o := range h.alter(op) {
		row := kmsg.NewAlterConfigsResponseResource()
		row.ResourceType, row.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
		row.ErrorCode, row.ErrorMessage = o.code, o.message
		resp.Resources = append(resp.Resources, row)
	}
	r.Reply(resp)
}

// outcome is a row's error.
type outcome struct {
	code    int16
	message *string
}

// alter has settings changed and gives one outcome for each resource.
func (h *Handlers) alter(op cluster.AlterConfigs) []outcome {
	outcomes := make([]outcome, len(op.Resources))
	result, err := h.decideWithin(maxAdminWait, op)
	if err != nil {
		code, message := h.failure(err)
		for i := range outcomes {
			outcomes[i] = outcome{code, message}
		}
		return outcomes
	}
	for i, refused := range result.([]*cluster.Refusal) {
		outcomes[i].code, outcomes[i].message = refusal(refused)
		if refused == nil && !op.ValidateOnly {
			res := op.Resources[i].Resource
			h.Log.Info("settings altered", "type", resourceTypeName(res.Type), "name", res.Name, "settings", len(op.Resources[i].Changes))
		}
	}
	return outcomes
}

// resourceTypeName names a type for the log.
func resourceTypeName(t int8) string {
	switch t {
	case cluster.ResourceTopic:
		return "topic"
	case cluster.ResourceBroker:
		return "broker"
	case cluster.ResourceGroup:
		return "group"
	case cluster.ResourceClientMetrics:
		return "client metrics"
	default:
		return nodeName(int32(t))
	}
}
