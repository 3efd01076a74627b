package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetDelete (key 47), version 0 (KIP-496).
func (h *Handlers) offsetDelete(r *wire.Request) {
	h.Groups.OffsetDelete(groupCaller(r), r.Body.(*kmsg.OffsetDeleteRequest), func(resp *kmsg.OffsetDeleteResponse) { r.Reply(resp) })
}
