package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeACLs (key 29): without an authorizer there are no ACLs, and who asks for them is told so (MirrorMaker goes by it).
func (h *Handlers) describeACLs(r *wire.Request) {
	resp := r.Body.(*kmsg.DescribeACLsRequest).ResponseKind().(*kmsg.DescribeACLsResponse)
	resp.ErrorCode, resp.ErrorMessage = kerr.SecurityDisabled.Code, text("No Authorizer is configured on the broker")
	r.Reply(resp)
}
