package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup (key 14), versions 0 to 5. The answer is parked until the leader's assignment is committed.
//
//	v3  instance id (KIP-345)   v4  flexible   v5  protocol type and name, both ways (KIP-559)
func (h *Handlers) syncGroup(r *wire.Request) {
	h.Groups.SyncGroup(groupCaller(r), r.Body.(*kmsg.SyncGroupRequest), func(resp *kmsg.SyncGroupResponse) { r.Reply(resp) })
}
