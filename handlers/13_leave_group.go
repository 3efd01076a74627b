package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// LeaveGroup (key 13), versions 0 to 5.
//
//	v3  several members, static ones by their instance id (KIP-345)   v4  flexible   v5  reason (KIP-800)
func (h *Handlers) leaveGroup(r *wire.Request) {
	h.Groups.LeaveGroup(groupCaller(r), r.Body.(*kmsg.LeaveGroupRequest), func(resp *kmsg.LeaveGroupResponse) { r.Reply(resp) })
}
