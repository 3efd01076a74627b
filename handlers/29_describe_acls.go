package handlers

import (
	"errors"

	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// errUnknownACL ends a connection whose request names what has no meaning in ACLs: Kafka can't parse it (ACL-14).
var errUnknownACL = errors.New("an ACL request with unknown elements")

// DescribeACLs (key 29): without an authorizer there are no ACLs, and who asks for them is told so (MirrorMaker goes by it).
func (h *Handlers) describeACLs(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeACLsRequest)
	if req.ResourceType == kmsg.ACLResourceTypeUnknown || req.ResourcePatternType == kmsg.ACLResourcePatternTypeUnknown ||
		req.Operation == kmsg.ACLOperationUnknown || req.PermissionType == kmsg.ACLPermissionTypeUnknown {
		r.Close(errUnknownACL)
		return
	}
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	resp.ErrorCode, resp.ErrorMessage = kerr.SecurityDisabled.Code, text("No Authorizer is configured on the broker")
	r.Reply(resp)
}
