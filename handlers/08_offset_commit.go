package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetCommit (key 8), versions 2 to 10.
//
//	v2  retention time   v5  without it   v6  leader epoch   v7  instance id   v8  flexible
//	v9  the generation may be a member epoch (KIP-848); an unknown group is GROUP_ID_NOT_FOUND   v10  topic ids
func (h *Handlers) offsetCommit(r *wire.Request) {
	h.Groups.OffsetCommit(groupCaller(r), r.Body.(*kmsg.OffsetCommitRequest), func(resp *kmsg.OffsetCommitResponse) { r.Reply(resp) })
}
