package handlers

import (
	"crypto/rand"
	"hash/crc32"

	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GetTelemetrySubscriptions (key 71): no client metrics are wanted (KIP-714). The API isn't advertised, so a client asks only where it doesn't look.
func (h *Handlers) getTelemetrySubscriptions(r *wire.Request) {
	const pushIntervalMillis, maxBytes = 300_000, 1 << 20
	req := r.Body.(*kmsg.GetTelemetrySubscriptionsRequest)
	resp := req.ResponseKind().(*kmsg.GetTelemetrySubscriptionsResponse)
	resp.ClientInstanceID = req.ClientInstanceID
	if resp.ClientInstanceID == [16]byte{} {
		rand.Read(resp.ClientInstanceID[:])
		resp.ClientInstanceID[6] = resp.ClientInstanceID[6]&0x0f | 0x40 // a uuid of version 4
		resp.ClientInstanceID[8] = resp.ClientInstanceID[8]&0x3f | 0x80
	}
	resp.SubscriptionID = int32(crc32.ChecksumIEEE(resp.ClientInstanceID[:]))
	resp.AcceptedCompressionTypes = []int8{4, 3, 1, 2} // zstd, lz4, gzip, snappy
	resp.PushIntervalMillis, resp.TelemetryMaxBytes, resp.DeltaTemporality = pushIntervalMillis, maxBytes, true
	r.Reply(resp)
}
