package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ExpireDelegationToken (key 40), as CreateDelegationToken.
func (h *Handlers) expireDelegationToken(r *wire.Request) {
	resp := r.Body.(*kmsg.ExpireDelegationTokenRequest).ResponseKind().(*kmsg.ExpireDelegationTokenResponse)
	resp.ErrorCode, resp.ExpiryTimestamp = kerr.DelegationTokenRequestNotAllowed.Code, -1
	r.Reply(resp)
}
