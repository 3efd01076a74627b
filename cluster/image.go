package cluster

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// TopicID is a topic's uuid; the zero value is none.
type TopicID [16]byte

// ConfigResource names what a dynamic setting belongs to. Type has Kafka's numbers (2 topic, 4 broker, 8 broker logger,
// 16 client metrics, 32 group). The empty Name of type 4 is the cluster-wide default.
type ConfigResource struct {
	Type int8
	Name string
}

// Kafka's config resource types.
const (
	ResourceTopic         int8 = 2
	ResourceBroker        int8 = 4
	ResourceBrokerLogger  int8 = 8
	ResourceClientMetrics int8 = 16
	ResourceGroup         int8 = 32
)

// Endpoint is where one listener of a broker is reached.
type Endpoint struct {
	Listener string
	Host     string
	Port     int32
}

// BrokerInfo is a registered broker.
type BrokerInfo struct {
	ID        int32
	Epoch     int64
	Rack      *string
	Fenced    bool
	Endpoints []Endpoint
}

// PartitionInfo is what the cluster knows of a partition. Values are shared and never changed in place.
type PartitionInfo struct {
	Replicas       []int32
	ISR            []int32
	Leader         int32 // -1 where there is none
	LeaderEpoch    int32
	PartitionEpoch int32
}

// TopicInfo is what the cluster knows of a topic; Partitions is indexed by partition number. Values are shared and never changed in place.
type TopicInfo struct {
	Name       string
	ID         TopicID
	Partitions []*PartitionInfo
}

// Image is the cluster's metadata at one moment. It is immutable: every applied batch of records makes a new one that
// shares what did not change. The zero Image is empty.
type Image struct {
	// Index is the Raft index of the last record applied.
	Index     uint64
	ClusterID string

	topicsByName shardMap[string, *TopicInfo]
	topicsByID   shardMap[TopicID, *TopicInfo]
	// colliding finds topics by their name with '_' for '.', as far as they have one of the two.
	colliding  shardMap[string, []string]
	configs    shardMap[ConfigResource, map[string]string]
	brokers    map[int32]*BrokerInfo
	features   map[string]int16
	partitions int

	// NextProducerID is the first producer id of the next block (KIP-730).
	NextProducerID int64

	names *topicNames // nil in the zero Image
}

// topicNames keeps the sorted names once they were asked for.
type topicNames struct{ sorted atomic.Pointer[[]string] }

// Topic finds a topic by name, nil where there is none.
func (i *Image) Topic(name string) *TopicInfo {
	t, _ := i.topicsByName.get(shardOfString(name), name)
	return t
}

// TopicByID finds a topic by id, nil where there is none.
func (i *Image) TopicByID(id TopicID) *TopicInfo {
	t, _ := i.topicsByID.get(shardOfID(id), id)
	return t
}

// TopicNames lists the topics, sorted. The slice must not be changed.
func (i *Image) TopicNames() []string {
	if i.names != nil {
		if p := i.names.sorted.Load(); p != nil {
			return *p
		}
	}
	names := make([]string, 0, i.topicsByName.n)
	for name := range i.topicsByName.all() {
		names = append(names, name)
	}
	slices.Sort(names)
	if i.names != nil {
		i.names.sorted.Store(&names)
	}
	return names
}

// NumTopics is how many topics there are.
func (i *Image) NumTopics() int { return i.topicsByName.n }

// NumPartitions is how many partitions all topics have together.
func (i *Image) NumPartitions() int { return i.partitions }

// CollidingTopic gives a topic whose name differs from name, but only by '.' and '_', so that both would have the same
// metric names; "" where there is none.
func (i *Image) CollidingTopic(name string) string {
	key, ok := collisionKey(name)
	if !ok {
		return ""
	}
	names, _ := i.colliding.get(shardOfString(key), key)
	for _, other := range names {
		if other != name {
			return other
		}
	}
	return ""
}

// collisionKey is what names that collide have in common; not ok where a name can't collide with another.
func collisionKey(name string) (string, bool) {
	if !strings.ContainsAny(name, "._") {
		return "", false
	}
	return strings.ReplaceAll(name, ".", "_"), true
}

// Partition finds a partition, nil where there is none.
func (i *Image) Partition(topic string, partition int32) *PartitionInfo {
	t := i.Topic(topic)
	if t == nil || partition < 0 || int(partition) >= len(t.Partitions) {
		return nil
	}
	return t.Partitions[partition]
}

func shardOfResource(r ConfigResource) uint8 { return shardOfString(r.Name) }

// Configs gives the dynamic settings of a resource. The map must not be changed.
func (i *Image) Configs(r ConfigResource) map[string]string {
	c, _ := i.configs.get(shardOfResource(r), r)
	return c
}

// ConfigResources lists the resources of a type that have dynamic settings, sorted by name.
func (i *Image) ConfigResources(resourceType int8) []string {
	var names []string
	for r := range i.configs.all() {
		if r.Type == resourceType {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Broker finds a broker, nil where there is none.
func (i *Image) Broker(id int32) *BrokerInfo { return i.brokers[id] }

// Brokers lists the registered brokers by id.
func (i *Image) Brokers() []*BrokerInfo {
	return slices.SortedFunc(maps.Values(i.brokers), func(a, b *BrokerInfo) int { return int(a.ID) - int(b.ID) })
}

// Features gives the finalized level of each feature. The map must not be changed.
func (i *Image) Features() map[string]int16 { return i.features }
