package cluster

// Record is one entry of the metadata log: a fact that every node applies in the same order. The kinds follow
// Kafka's metadata records. A batch of records that belong together is one Raft entry and is applied as one.
type Record interface{ recordKind() RecordKind }

// RecordKind is a record's number in the metadata log; numbers are never reused.
type RecordKind uint8

const (
	KindCluster RecordKind = 1 + iota
	KindTopic
	KindPartition
	KindRemoveTopic
	KindConfig
	KindProducerIDs
	KindBroker
	KindFeature
)

type (
	// ClusterRecord names the cluster; it is the first record there is.
	ClusterRecord struct{ ClusterID string }
	// TopicRecord adds a topic; its partitions follow.
	TopicRecord struct {
		Name string
		ID   TopicID
	}
	// PartitionRecord adds a partition or replaces what is known of it.
	PartitionRecord struct {
		TopicID   TopicID
		Partition int32
		PartitionInfo
	}
	// RemoveTopicRecord deletes a topic, its partitions and its settings.
	RemoveTopicRecord struct{ ID TopicID }
	// ConfigRecord sets a dynamic setting, or removes it where Value is nil.
	ConfigRecord struct {
		Resource ConfigResource
		Key      string
		Value    *string
	}
	// ProducerIDsRecord says that all producer ids below Next are given out.
	ProducerIDsRecord struct{ Next int64 }
	// BrokerRecord registers a broker or replaces its registration.
	BrokerRecord struct{ BrokerInfo }
	// FeatureRecord finalizes a feature at a level; 0 removes it.
	FeatureRecord struct {
		Name  string
		Level int16
	}
)

func (ClusterRecord) recordKind() RecordKind     { return KindCluster }
func (TopicRecord) recordKind() RecordKind       { return KindTopic }
func (PartitionRecord) recordKind() RecordKind   { return KindPartition }
func (RemoveTopicRecord) recordKind() RecordKind { return KindRemoveTopic }
func (ConfigRecord) recordKind() RecordKind      { return KindConfig }
func (ProducerIDsRecord) recordKind() RecordKind { return KindProducerIDs }
func (BrokerRecord) recordKind() RecordKind      { return KindBroker }
func (FeatureRecord) recordKind() RecordKind     { return KindFeature }

// Decision is what the controller decided about one operation: the records to commit, none where nothing changes,
// and the answer to give once they are applied.
type Decision struct {
	Records []Record
	Result  any
}

// Operation is a change that somebody asks the controller for. Decide is a pure function of its arguments: it is called on
// the leader, with the newest image, one operation at a time; what it returns is committed before the next one is asked.
type Operation interface {
	Decide(img *Image, env Env) (Decision, error)
}

// Env is all that a decision may depend on beside the image.
type Env struct {
	NowMillis int64
	// NewUUID draws a random id that is neither zero nor reserved and whose text form doesn't begin with '-'.
	NewUUID func() TopicID
	// NodeID is the controller's own node.
	NodeID int32
}
