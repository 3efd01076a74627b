package handlers

import (
	"slices"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListConfigResources (key 74).
//
//	v0  client metrics subscriptions   v1  the types asked for, all where none is (KIP-1142)
func (h *Handlers) listConfigResources(r *wire.Request) {
	req := r.Body.(*kmsg.ListConfigResourcesRequest)
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	types := []int8{cluster.ResourceClientMetrics}
	if r.Version >= 1 {
		types = slices.Clone(req.ResourceTypes)
		if len(types) == 0 {
			types = []int8{cluster.ResourceTopic, cluster.ResourceBroker, cluster.ResourceBrokerLogger, cluster.ResourceClientMetrics, cluster.ResourceGroup}
		}
		slices.Sort(types)
		types = slices.Compact(types)
	}
	img := h.Metadata.Image()
	for _, kind := range types {
		var names []string
		switch kind {
		case cluster.ResourceTopic:
			names = img.TopicNames()
		case cluster.ResourceBroker, cluster.ResourceBrokerLogger:
			for _, b := range img.Brokers() {
				names = append(names, nodeName(b.ID))
			}
		case cluster.ResourceClientMetrics, cluster.ResourceGroup:
			names = img.ConfigResources(kind)
		default:
			resp.ErrorCode, resp.ConfigResources = kerr.UnsupportedVersion.Code, nil
			r.Reply(resp)
			return
		}
		for _, name := range names {
			row := kmsg.NewListConfigResourcesResponseConfigResource()
			row.Name, row.Type = name, kind
			resp.ConfigResources = append(resp.ConfigResources, row)
		}
	}
	r.Reply(resp)
}
