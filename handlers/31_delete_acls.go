package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteACLs (key 31): there is no authorizer.
func (h *Handlers) deleteACLs(r *wire.Request) {
	req := r.Body.(*kmsg.DeleteACLsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for _, f := range req.Filters {
		if f.ResourceType == kmsg.ACLResourceTypeUnknown || f.ResourcePatternType == kmsg.ACLResourcePatternTypeUnknown ||
			f.Operation == kmsg.ACLOperationUnknown || f.PermissionType == kmsg.ACLPermissionTypeUnknown {
			r.Close(errUnknownACL)
			return
		}
		row := kmsg.NewDeleteACLsResponseResult()
		row.ErrorCode, row.ErrorMessage = kerr.SecurityDisabled.Code, text(noAuthorizer)
		resp.Results = append(resp.Results, row)
	}
	r.Reply(resp)
}
