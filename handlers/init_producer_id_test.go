package handlers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestInitProducerID_IDEM_01_02_every_version_gives_a_fresh_id(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		seen := map[int64]bool{}
		for v := int16(0); v <= 5; v++ {
			for range 300 { // beyond one block of ids in all
				resp := do[*kmsg.InitProducerIDResponse](b.client, v, kmsg.NewPtrInitProducerIDRequest())
				if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || resp.ProducerID < 0 || seen[resp.ProducerID] || resp.ThrottleMillis != 0 {
					b.t.Fatalf("v%d: %+v, given out before: %v", v, resp, seen[resp.ProducerID])
				}
				seen[resp.ProducerID] = true
			}
		}
		// An id that the client had is no reason to give it again: without transactions there is nothing to fence.
		for v := int16(3); v <= 5; v++ {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.ProducerID, req.ProducerEpoch = 0, 3
			if resp := do[*kmsg.InitProducerIDResponse](b.client, v, req); resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
				b.t.Errorf("v%d: %+v", v, resp)
			} else {
				seen[resp.ProducerID] = true
			}
		}
	})
}

func TestInitProducerID_TXN_38_what_is_refused(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id, empty := "tx", ""
		for _, c := range []struct {
			name     string
			id       *string
			timeout  int32
			producer int64
			epoch    int16
			since    int16
			code     *kerr.Error
		}{
			{"an empty transactional id", &empty, 1000, -1, -1, 0, kerr.InvalidRequest},
			{"a producer id without an epoch", nil, 1000, 5, -1, 3, kerr.InvalidRequest},
			{"an epoch without a producer id", nil, 1000, -1, 5, 3, kerr.InvalidRequest},
			{"no timeout", &id, 0, -1, -1, 0, kerr.InvalidTransactionTimeout},
			{"a negative timeout", &id, -1, -1, -1, 0, kerr.InvalidTransactionTimeout},
			{"more than transaction.max.timeout.ms", &id, 5001, -1, -1, 0, kerr.InvalidTransactionTimeout},
			{"transactional", &id, 5000, -1, -1, 0, kerr.CoordinatorNotAvailable},
		} {
			for v := c.since; v <= 5; v++ {
				req := kmsg.NewPtrInitProducerIDRequest()
				req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = c.id, c.timeout, c.producer, c.epoch
				resp := do[*kmsg.InitProducerIDResponse](b.client, v, req)
				wantCode(b.t, fmt.Sprintf("%s, v%d", c.name, v), resp.ErrorCode, c.code.Code)
				if resp.ProducerID != -1 || resp.ProducerEpoch != -1 {
					b.t.Errorf("%s, v%d: %+v", c.name, v, resp)
				}
			}
		}
	}, "transaction.max.timeout.ms", "5000")
}

// noIDs is a cluster without a controller.
type noIDs struct{ err error }

func (n noIDs) NextProducerID(context.Context) (int64, error) { return 0, n.err }

func TestInitProducerID_IDEM_01_without_a_controller_the_client_is_told_to_try_again(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.h.ProducerIDs = noIDs{errors.Join(errors.New("no block"), context.DeadlineExceeded)}
		resp := do[*kmsg.InitProducerIDResponse](b.client, 4, kmsg.NewPtrInitProducerIDRequest())
		wantCode(b.t, "no id", resp.ErrorCode, kerr.RequestTimedOut.Code)
		if resp.ProducerID != -1 || resp.ProducerEpoch != -1 {
			b.t.Errorf("%+v", resp)
		}
	})
}
