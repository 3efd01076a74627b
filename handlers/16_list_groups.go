package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListGroups (key 16), versions 0 to 5. A broker lists the groups that it coordinates.
//
//	v3  flexible   v4  states and a filter by them (KIP-518)   v5  types and a filter by them (KIP-848)
func (h *Handlers) listGroups(r *wire.Request) {
	h.Groups.ListGroups(groupCaller(r), r.Body.(*kmsg.ListGroupsRequest), func(resp *kmsg.ListGroupsResponse) { r.Reply(resp) })
}
