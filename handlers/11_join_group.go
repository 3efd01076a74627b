package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup (key 11), versions 0 to 9. The answer is parked until the group's join phase ends.
//
//	v1  rebalance timeout (KIP-62)   v4  a member without an id gets one first (KIP-394)   v5  static members (KIP-345)   v6  flexible
//	v7  protocol type, null protocol (KIP-559)   v8  reason (KIP-800)   v9  skip assignment (KIP-814)
func (h *Handlers) joinGroup(r *wire.Request) {
	h.Groups.JoinGroup(groupCaller(r), r.Body.(*kmsg.JoinGroupRequest), func(resp *kmsg.JoinGroupResponse) { r.Reply(resp) })
}
