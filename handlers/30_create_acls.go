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
	for _, c := range req.Creations {
		if c.ResourceType == kmsg.ACLResourceTypeUnknown || c.ResourcePatternType == kmsg.ACLResourcePatternTypeUnknown ||
			c.Operation == kmsg.ACLOperationUnknown || c.PermissionType == kmsg.ACLPermissionTypeUnknown {
			r.Close(errUnknownACL)
			return
		}
		row := kmsg.NewCreateACLsResponseResult()
		row.ErrorCode, row.ErrorMessage = kerr.SecurityDisabled.Code, text(noAuthorizer)
		resp.Results = append(resp.Results, row)
	}
	r.Reply(resp)
}
