package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat (key 12), versions 0 to 4.
//
//	v3  instance id (KIP-345)   v4  flexible
func (h *Handlers) heartbeat(r *wire.Request) {
	h.Groups.Heartbeat(groupCaller(r), r.Body.(*kmsg.HeartbeatRequest), func(resp *kmsg.HeartbeatResponse) { r.Reply(resp) })
}
