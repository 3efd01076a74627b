package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeGroups (key 15), versions 0 to 6.
//
//	v3  authorized operations (KIP-430)   v4  instance id   v5  flexible   v6  an unknown group is an error with a message (KIP-1043)
func (h *Handlers) describeGroups(r *wire.Request) {
	req := r.Body.(*kmsg.DescribeGroupsRequest)
	h.Groups.DescribeGroups(groupCaller(r), req, func(resp *kmsg.DescribeGroupsResponse) {
		for i := range resp.Groups {
			g := &resp.Groups[i]
			g.AuthorizedOperations = operationsNotAsked
			if r.Version >= 3 && req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
				g.AuthorizedOperations = groupOperations
			}
		}
		r.Reply(resp)
	})
}
