package handlers

import (
	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// UpdateFeatures (key 57) changes the levels of features, all or none.
//
//	v0  downgrades by a flag   v1  by a type; a dry run   v2  no rows any more
func (h *Handlers) updateFeatures(r *wire.Request) {
	req := r.Body.(*kmsg.UpdateFeaturesRequest)
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	op := cluster.UpdateFeatures{ValidateOnly: req.ValidateOnly}
	for _, u := range req.FeatureUpdates {
		kind := cluster.UpgradeType(u.UpgradeType)
		if r.Version == 0 {
			kind = cluster.Upgrade
			if u.AllowDowngrade {
				kind = cluster.SafeDowngrade
			}
		}
		op.Updates = append(op.Updates, cluster.FeatureUpdate{Name: u.Feature, Level: u.MaxVersionLevel, Type: kind})
	}
	if _, err := h.decideWithin(maxAdminWait, op); err != nil {
		resp.ErrorCode, resp.ErrorMessage = h.failure(err)
		r.Reply(resp)
		return
	}
	for _, u := range req.FeatureUpdates {
		row := kmsg.NewUpdateFeaturesResponseResult()
		row.Feature, row.ErrorMessage = u.Feature, text("NONE") // Kafka's word for no error
		resp.Results = append(resp.Results, row)
	}
	r.Reply(resp)
}
