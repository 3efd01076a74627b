package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId, v0 to v5. Without a transactional id any broker gives out a new producer id, with epoch 0 (IDEM-01). With one it is for the
// transaction coordinator, which isn't available here: clients are told so.
func (h *Handlers) initProducerID(r *wire.Request) {
	req := r.Body.(*kmsg.InitProducerIDRequest)
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		resp.ErrorCode = kerr.InvalidRequest.Code
	case r.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1): // TXN-38
		resp.ErrorCode = kerr.InvalidRequest.Code
	case req.TransactionalID != nil && (req.TransactionTimeoutMillis <= 0 || int64(req.TransactionTimeoutMillis) > int64(h.Static.Int("transaction.max.timeout.ms"))):
		resp.ErrorCode = kerr.InvalidTransactionTimeout.Code
	case req.TransactionalID != nil:
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
	default:
		id, err := h.ProducerIDs.NextProducerID(h.Context)
		if err != nil {
			resp.ErrorCode = h.code(err)
			break
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	r.SetResult(resp.ErrorCode)
	r.Reply(resp)
}
