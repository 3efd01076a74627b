package handlers

import (
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Who didn't authenticate is this principal.
const anonymousType, anonymousName = "User", "ANONYMOUS"

// CreateDelegationToken (key 38): on a listener without authentication there is nobody to make a token for (DTOK-01).
func (h *Handlers) createDelegationToken(r *wire.Request) {
	resp := r.Body.(*kmsg.CreateDelegationTokenRequest).ResponseKind().(*kmsg.CreateDelegationTokenResponse)
	resp.ErrorCode = kerr.DelegationTokenRequestNotAllowed.Code
	resp.PrincipalType, resp.PrincipalName = anonymousType, anonymousName
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = anonymousType, anonymousName
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	resp.HMAC = []byte{}
	r.Reply(resp)
}
