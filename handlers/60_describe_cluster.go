package handlers

import (
	"fmt"

	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster (key 60).
//
//	v1  the type of endpoint: brokers only here   v2  fenced brokers, if asked for
func (h *Handlers) describeCluster(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeClusterRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.EndpointType, resp.ControllerID, resp.ClusterAuthorizedOperations = endpointTypeBroker, noController, operationsNotAsked
	if r.Version >= 1 {
		switch req.EndpointType {
		case endpointTypeBroker:
		case endpointTypeController:
			resp.ErrorCode = kerr.MismatchedEndpointType.Code
			resp.ErrorMessage = text("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
		default:
			resp.ErrorCode = kerr.UnsupportedEndpointType.Code
			resp.ErrorMessage = text(fmt.Sprintf("Unsupported endpoint type %d", req.EndpointType))
		}
		if resp.ErrorCode != 0 {
			r.Reply(resp)
			return
		}
	}
	img := h.Metadata.Image()
	resp.ClusterID = img.ClusterID
	for _, b := range img.Brokers() {
		if b.Fenced && !(r.Version >= 2 && req.IncludeFencedBrokers) {
			continue
		}
		host, port, ok := h.Endpoints.Endpoint(r.Conn, b)
		if !ok {
			continue
		}
		row := kmsg.NewDescribeClusterResponseBroker()
		row.NodeID, row.Host, row.Port, row.Rack, row.IsFenced = b.ID, host, port, b.Rack, b.Fenced
		resp.Brokers = append(resp.Brokers, row)
		if !b.Fenced && (resp.ControllerID == noController || b.ID == h.NodeID) {
			resp.ControllerID = b.ID
		}
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	r.Reply(resp)
}
