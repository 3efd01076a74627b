package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups (key 42), versions 0 to 3. A group's offsets go with it.
//
//	v2  flexible   v3  message
func (h *Handlers) deleteGroups(r *wire.Request) {
	h.Groups.DeleteGroups(groupCaller(r), r.Body.(*kmsg.DeleteGroupsRequest), func(resp *kmsg.DeleteGroupsResponse) { r.Reply(resp) })
}
