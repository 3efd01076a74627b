package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// RenewDelegationToken (key 39), as CreateDelegationToken.
func (h *Handlers) renewDelegationToken(r *wire.Request) {
	resp := r.Body.(*kmsg.RenewDelegationTokenRequest).ResponseKind().(*kmsg.RenewDelegationTokenResponse)
	resp.ErrorCode, resp.ExpiryTimestamp = kerr.DelegationTokenRequestNotAllowed.Code, -1
	r.Reply(resp)
}
