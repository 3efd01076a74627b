package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListPartitionReassignments (key 46): changes of assignments take effect at once here, so none is ever under way.
func (h *Handlers) listPartitionReassignments(r *wire.Request) {
	r.Reply(r.Body.(*kmsg.ListPartitionReassignmentsRequest).ResponseKind())
}
