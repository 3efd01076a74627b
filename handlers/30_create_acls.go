package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const noAuthorizer = "No Authorizer is configured."

// CreateACLs (key 30): there is no authorizer.
func (h *Handlers) createACLs(r *wire.Request) {
	req := r.Body.(*kmsg.CreateACLsRequest)
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	for range req.Creations {
		row := kmsg.NewCreateACLsResponseResult()
		row.ErrorCode, row.ErrorMessage = kerr.SecurityDisabled.Code, text(noAuthorizer)
		resp.Results = append(resp.Results, row)
	}
	r.Reply(resp)
}
