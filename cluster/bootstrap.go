package cluster

import (
	"encoding/base64"
	"slices"
)

// initialFeatures are the features that a new cluster is formatted with: the highest levels that there are (AV-10).
// The quorum's own protocol is no record of the metadata.
func initialFeatures() []Feature {
	return slices.DeleteFunc(SupportedFeatures(), func(f Feature) bool { return f.Name == "kraft.version" })
}

// startNode is a node's first operation after each start. It formats a new cluster and registers the node anew, with a
// broker epoch above all before.
//
// Leader epochs: after a clean stop the node goes on leading as it did, in the same epochs: nothing was lost and nobody
// else led meanwhile. After an unclean one every partition that it leads gets the next epoch, for what was acknowledged
// before may be gone (a power cut in os mode), and what is written now must not pass for it: clients that read beyond
// the end of the old epoch find that out by the epoch (KIP-320).
type startNode struct {
	clusterID         string // for a new cluster
	minInSyncReplicas string // Kafka formats a cluster with the static one as dynamic default
	broker            BrokerInfo
	unclean           bool
}

// lasting: an epoch that a log may have seen must not be given again, even if power is cut in os mode.
func (s startNode) lasting() bool { return s.unclean }

func (s startNode) Decide(img *Image, env Env) (Decision, error) {
	var records []Record
	if img.ClusterID == "" {
		id := s.clusterID
		if id == "" {
			uuid := env.NewUUID()
			id = base64.RawURLEncoding.EncodeToString(uuid[:])
		}
		records = append(records, ClusterRecord{id})
		for _, f := range initialFeatures() {
			records = append(records, FeatureRecord{Name: f.Name, Level: f.Max})
		}
		records = append(records, ConfigRecord{Resource: ConfigResource{Type: ResourceBroker}, Key: "min.insync.replicas", Value: &s.minInSyncReplicas})
	}
	b := s.broker
	b.Epoch = int64(img.Index) + 1
	if old := img.Broker(b.ID); old != nil {
		b.Epoch = max(b.Epoch, old.Epoch+1)
	}
	records = append(records, BrokerRecord{b})
	if s.unclean {
		for _, name := range img.TopicNames() {
			t := img.Topic(name)
			for n, p := range t.Partitions {
				if p.Leader != b.ID {
					continue
				}
				next := *p
				next.LeaderEpoch++
				next.PartitionEpoch++
				records = append(records, PartitionRecord{TopicID: t.ID, Partition: int32(n), PartitionInfo: next})
			}
		}
	}
	return Decision{Records: records}, nil
}
