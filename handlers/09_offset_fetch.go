package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetFetch (key 9), versions 1 to 10.
//
//	v2  null topics are all, an error for the whole   v5  leader epoch   v6  flexible   v7  require stable (KIP-447)
//	v8  several groups (KIP-709)   v9  member id and epoch (KIP-848)   v10  topic ids
func (h *Handlers) offsetFetch(r *wire.Request) {
	h.Groups.OffsetFetch(groupCaller(r), r.Body.(*kmsg.OffsetFetchRequest), func(resp *kmsg.OffsetFetchResponse) { r.Reply(resp) })
}
