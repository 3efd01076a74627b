package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// PushTelemetry (key 72): nothing was subscribed to (GetTelemetrySubscriptions), so there is nothing to push.
func (h *Handlers) pushTelemetry(r *wire.Request) {
	resp := r.Body.(*kmsg.PushTelemetryRequest).ResponseKind().(*kmsg.PushTelemetryResponse)
	resp.ErrorCode = kerr.InvalidRequest.Code
	r.Reply(resp)
}
