package cluster

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
)

// FeatureEligibleLeaderReplicas is the feature under which min.insync.replicas is the cluster's (KIP-966).
const FeatureEligibleLeaderReplicas = "eligible.leader.replicas.version"

// FeatureMetadataVersion is the feature that stands for the version of the metadata.
const FeatureMetadataVersion = "metadata.version"

// Feature is a feature of the cluster with the levels that this broker supports. They are Kafka 4.4's.
type Feature struct {
	Name     string
	Min, Max int16
}

// SupportedFeatures lists the features by name.
func SupportedFeatures() []Feature {
	return []Feature{
		{FeatureEligibleLeaderReplicas, 0, 1},
		{"group.version", 0, 1},
		{"kraft.version", 0, 1},
		{FeatureMetadataVersion, 7, 33},
		{"share.version", 0, 2},
		{"streams.version", 0, 1},
		{"transaction.version", 0, 2},
	}
}

// UpgradeType says how far an update of a feature may go, with Kafka's numbers.
type UpgradeType int8

const (
	Upgrade         UpgradeType = 1
	SafeDowngrade   UpgradeType = 2
	UnsafeDowngrade UpgradeType = 3
)

// FeatureUpdate is the level that a feature is to have.
type FeatureUpdate struct {
	Name  string
	Level int16
	Type  UpgradeType
}

// UpdateFeatures changes the levels of features, all or none. Its result is nothing; what is wrong is its error, a *Refusal.
type UpdateFeatures struct {
	Updates      []FeatureUpdate
	ValidateOnly bool
}

// Decide makes the records of the new levels.
func (op UpdateFeatures) Decide(img *Image, env Env) (Decision, error) {
	var d Decision
	for _, u := range op.Updates {
		if r := u.check(img, env); r != "" {
			return Decision{}, refuse(kerr.InvalidUpdateVersion, "The update failed for all features since the following feature had an error: %s", r)
		}
		if img.Features()[u.Name] != u.Level && !op.ValidateOnly {
			d.Records = append(d.Records, FeatureRecord{Name: u.Name, Level: u.Level})
		}
	}
	return d, nil
}

// check says what is wrong, "" where nothing is.
func (u FeatureUpdate) check(img *Image, env Env) string {
	invalid := func(why string) string {
		return "Invalid update version " + strconv.Itoa(int(u.Level)) + " for feature " + u.Name + ". " + why
	}
	node := strconv.Itoa(int(env.NodeID))
	var feature *Feature
	for _, f := range SupportedFeatures() {
		if f.Name == u.Name {
			feature = &f
			break
		}
	}
	current := img.Features()[u.Name]
	switch {
	case u.Type < Upgrade || u.Type > UnsafeDowngrade:
		return invalid("The controller does not support the given upgrade type.")
	case u.Level < 0:
		return invalid("A feature version cannot be less than 0.")
	case feature == nil:
		return invalid("Local controller " + node + " does not support this feature.")
	case u.Level > feature.Max || u.Level < feature.Min && u.Level != 0 || u.Level == 0 && feature.Name == FeatureMetadataVersion:
		return invalid("Local controller " + node + " only supports versions " + strconv.Itoa(int(feature.Min)) + "-" + strconv.Itoa(int(feature.Max)))
	case u.Level < current && u.Type == Upgrade:
		return invalid("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.Level > current && u.Type != Upgrade:
		return invalid("Can't upgrade the version of this feature with a downgrade type.")
	case u.Level < current && feature.Name == FeatureMetadataVersion && u.Type == SafeDowngrade:
		return "Unsupported metadata.version downgrade from " + strconv.Itoa(int(current)) + " to " + strconv.Itoa(int(u.Level)) +
			". Refusing to perform the requested downgrade because it might delete metadata information."
	case u.Level < current && feature.Name == FeatureMetadataVersion:
		return "Unsupported metadata.version downgrade from " + strconv.Itoa(int(current)) + " to " + strconv.Itoa(int(u.Level)) +
			". Unsafe metadata downgrade is not supported in this version."
	}
	return ""
}
