package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// UnregisterBroker (key 64).
func (h *Handlers) unregisterBroker(r *wire.Request) {
	req := r.Body.(*kmsg.UnregisterBrokerRequest)
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	if _, err := h.decideWithin(maxAdminWait, cluster.UnregisterBroker{BrokerID: req.BrokerID}); err != nil {
		resp.ErrorCode, resp.ErrorMessage = h.failure(err)
	}
	r.Reply(resp)
}
