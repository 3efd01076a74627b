package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions, v0 to v5. It may come first, and more than once. An unknown version is answered in version 0, with the range that is served (AV-01). v3
// carries the client's software and the features, v5 the cluster and node that the client thinks it is talking to (KIP-1242).

// featuresWithMinZero is the first version whose clients can read a feature with minimum 0 (KAFKA-17492).
const featuresWithMinZero = 4

func (h *Handlers) apiVersions(r *wire.Request) {
	resp := kmsg.NewPtrApiVersionsResponse()
	if r.UnsupportedVersion {
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		for _, k := range h.Advertised() {
			if k.ApiKey == int16(kmsg.ApiVersions) {
				resp.ApiKeys = append(resp.ApiKeys, k)
			}
		}
		r.SetResult(resp.ErrorCode)
		r.Reply(resp)
		return
	}
	req := r.Body.(*kmsg.ApiVersionsRequest)
	resp.Version = r.Version
	if code := h.checkApiVersions(r, req); code != 0 {
		resp.ErrorCode = code
		r.SetResult(code)
		r.Reply(resp)
		return
	}
	if r.Version >= 3 {
		r.Conn.SetClientSoftware(req.ClientSoftwareName, req.ClientSoftwareVersion)
	}
	resp.ApiKeys = h.Advertised()
	img := h.Metadata.Image()
	for _, f := range cluster.SupportedFeatures() { // AV-10
		if f.Min > 0 || r.Version >= featuresWithMinZero {
			sf := kmsg.NewApiVersionsResponseSupportedFeature()
			sf.Name, sf.MinVersion, sf.MaxVersion = f.Name, f.Min, f.Max
			resp.SupportedFeatures = append(resp.SupportedFeatures, sf)
		}
		if level := img.Features()[f.Name]; level > 0 { // AV-09
			ff := kmsg.NewApiVersionsResponseFinalizedFeature()
			ff.Name, ff.MinVersionLevel, ff.MaxVersionLevel = f.Name, level, level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, ff)
		}
	}
	resp.FinalizedFeaturesEpoch = int64(img.Index)
	r.Reply(resp)
}

// checkApiVersions gives the error code of a request that is wrong, 0 where it isn't.
func (h *Handlers) checkApiVersions(r *wire.Request, req *kmsg.ApiVersionsRequest) int16 {
	if r.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)) {
		return kerr.InvalidRequest.Code // AV-07
	}
	if r.Version < 5 {
		return 0
	}
	id, node := req.ClusterID, req.NodeID // AV-16
	switch {
	case id == nil && node == -1:
		return 0
	case id == nil || node == -1:
		return kerr.InvalidRequest.Code
	case *id != h.Metadata.Image().ClusterID || node != h.NodeID:
		return kerr.RebootstrapRequired.Code
	}
	return 0
}

// validSoftware says whether s is letters and digits, with dashes and dots between them.
func validSoftware(s string) bool {
	alphanumeric := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' {
			return false
		}
	}
	return true
}
