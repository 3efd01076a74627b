package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SASLAuthenticate (key 36) on a listener without SASL. The connection stays.
func (h *Handlers) saslAuthenticate(r *wire.Request) {
	resp := r.Body.(*kmsg.SASLAuthenticateRequest).ResponseKind().(*kmsg.SASLAuthenticateResponse)
	resp.ErrorCode, resp.ErrorMessage = kerr.IllegalSaslState.Code, text("SaslAuthenticate request received after successful authentication")
	r.Reply(resp)
}
