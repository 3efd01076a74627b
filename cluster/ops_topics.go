package cluster

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/kbroker/kbroker/config"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ConfigValue is a setting of a request; a nil Value is null.
type ConfigValue struct {
	Key   string
	Value *string
}

// NewTopic describes a topic to be made.
type NewTopic struct {
	Name string
	// Partitions and ReplicationFactor are -1 for the broker's default, and have to be where Assignment is given.
	Partitions        int32
	ReplicationFactor int16
	Assignment        []ReplicaAssignment
	Configs           []ConfigValue
	// ClampReplicas gives the topic as many replicas as there are brokers where it would have more.
	ClampReplicas bool
}

// ReplicaAssignment says where a partition's replicas lie, the preferred leader first.
type ReplicaAssignment struct {
	Partition int32
	Replicas  []int32
}

// CreateTopics makes topics, each by itself. Its result is []CreatedTopic, in the order of the request; a name that
// is there twice has one row.
type CreateTopics struct {
	Topics       []NewTopic
	ValidateOnly bool
	Static       *config.Static
}

// CreatedTopic is what became of one topic.
type CreatedTopic struct {
	Name string
	// Refusal is set where the topic wasn't made.
	Refusal    *Refusal
	ID         TopicID
	Partitions int32
	Replicas   int16
	// Clamped is the replication factor that was asked for where fewer brokers made it smaller, else 0.
	Clamped int16
	// Configs are the topic's own settings.
	Configs map[string]string
}

// Decide makes the topics' records.
func (op CreateTopics) Decide(img *Image, env Env) (Decision, error) {
	count := make(map[string]int, len(op.Topics))
	for _, t := range op.Topics {
		count[t.Name]++
	}
	tooMany := op.partitions() > MaxPartitionsPerRequest
	c := topicCreation{img: img, env: env, static: op.Static, total: img.NumPartitions()}
	results := make([]CreatedTopic, 0, len(count))
	for _, t := range op.Topics {
		switch count[t.Name] {
		case 0: // a further row of a name that was there twice
			continue
		case 1:
			result := CreatedTopic{Name: t.Name}
			if tooMany {
				result.Refusal = refuse(kerr.PolicyViolation, "Excessively large number of partitions per request.")
			} else {
				result.Refusal = c.create(t, &result)
			}
			results = append(results, result)
		default:
			results = append(results, CreatedTopic{Name: t.Name, Refusal: refuse(kerr.InvalidRequest, "Duplicate topic name.")})
			count[t.Name] = 0
		}
	}
	if op.ValidateOnly {
		c.records = nil
	}
	return Decision{Records: c.records, Result: results}, nil
}

// partitions counts what the request asks for.
func (op CreateTopics) partitions() int {
	n := 0
	for _, t := range op.Topics {
		switch {
		case len(t.Assignment) > 0:
			n += len(t.Assignment)
		case t.Partitions > 0:
			n += int(t.Partitions)
		case t.Partitions == -1:
			n += op.Static.Int("num.partitions")
		}
	}
	return n
}

// topicCreation gathers what one request makes.
type topicCreation struct {
	img     *Image
	env     Env
	static  *config.Static
	records []Record
	total   int // partitions there are, with those made here
}

func (c *topicCreation) create(t NewTopic, result *CreatedTopic) *Refusal {
	if t.Name == ClusterMetadataTopic {
		return refuse(kerr.InvalidRequest, "Creation of internal topic %s is prohibited.", t.Name)
	}
	if r := CheckTopicName(t.Name); r != nil {
		return r
	}
	if c.img.Topic(t.Name) != nil {
		return refuse(kerr.TopicAlreadyExists, "Topic '%s' already exists.", t.Name)
	}
	if other := c.img.CollidingTopic(t.Name); other != "" {
		return refuse(kerr.InvalidTopicException, "Topic '%s' collides with existing topic: %s", t.Name, other)
	}
	configs, r := newTopicConfigs(t.Configs)
	if r != nil {
		return r
	}
	id := c.env.NewUUID()
	for c.img.TopicByID(id) != nil {
		id = c.env.NewUUID()
	}
	partitions, r := c.partitions(t, id, result)
	if r != nil {
		return r
	}
	if len(partitions) > MaxPartitionsPerCluster-c.total {
		return refuse(kerr.InvalidPartitions, "The cluster would have %d partitions; this broker supports %d.", c.total+len(partitions), MaxPartitionsPerCluster)
	}
	c.total += len(partitions)

	result.ID, result.Configs = id, configs
	result.Partitions, result.Replicas = int32(len(partitions)), int16(len(partitions[0].Replicas))
	c.records = append(c.records, TopicRecord{Name: t.Name, ID: id})
	resource := ConfigResource{Type: ResourceTopic, Name: t.Name}
	for _, key := range sortedKeys(configs) {
		value := configs[key]
		c.records = append(c.records, ConfigRecord{Resource: resource, Key: key, Value: &value})
	}
	for n, p := range partitions {
		c.records = append(c.records, PartitionRecord{TopicID: id, Partition: int32(n), PartitionInfo: p})
	}
	return nil
}

// newTopicConfigs checks the settings that a topic is made with. The last one of a key counts.
func newTopicConfigs(configs []ConfigValue) (map[string]string, *Refusal) {
	set := make(map[string]string, len(configs))
	var nulls []string
	for _, c := range configs {
		if c.Value == nil {
			nulls = append(nulls, c.Key)
			continue
		}
		set[c.Key] = *c.Value
	}
	if len(nulls) > 0 {
		return nil, refuse(kerr.InvalidConfig, "Null value not supported for topic configs: %s", joined(nulls, ","))
	}
	for _, key := range sortedKeys(set) {
		if tooLong(set[key]) {
			return nil, refusedLength
		}
	}
	return set, checkTopicConfigs(set)
}

// partitions places the topic's partitions.
func (c *topicCreation) partitions(t NewTopic, id TopicID, result *CreatedTopic) ([]PartitionInfo, *Refusal) {
	if len(t.Assignment) > 0 {
		return c.assigned(t)
	}
	if t.ReplicationFactor == 0 || t.ReplicationFactor < -1 {
		return nil, refuse(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	if t.Partitions == 0 || t.Partitions < -1 {
		return nil, refuse(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	count, replicas := int(t.Partitions), int(t.ReplicationFactor)
	if count == -1 {
		count = c.static.Int("num.partitions")
	}
	if replicas == -1 {
		replicas = c.static.Int("default.replication.factor")
	}
	if usable := usableBrokers(c.img); t.ClampReplicas && replicas > usable && usable > 0 {
		result.Clamped = int16(replicas)
		replicas = usable
	}
	p, r := newPlacement(c.img, replicas)
	if r != nil {
		return nil, r
	}
	start := placementStart(id)
	partitions := make([]PartitionInfo, count)
	for n := range partitions {
		partitions[n], _ = newPartition(c.img, p.place(start+n, replicas))
	}
	return partitions, nil
}

// placementStart is where a topic's first leader lies on the ring: topics of one partition don't all have the same one.
func placementStart(id TopicID) int { return int(binary.BigEndian.Uint16(id[2:])) }

func usableBrokers(img *Image) int {
	n := 0
	for _, b := range img.Brokers() {
		if !b.Fenced {
			n++
		}
	}
	return n
}

func (c *topicCreation) assigned(t NewTopic) ([]PartitionInfo, *Refusal) {
	if t.ReplicationFactor != -1 {
		return nil, refuse(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if t.Partitions != -1 {
		return nil, refuse(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	byPartition := make(map[int32]PartitionInfo, len(t.Assignment))
	replicas := 0
	for _, a := range t.Assignment {
		if _, twice := byPartition[a.Partition]; twice {
			return nil, refuse(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		if r := checkAssignment(c.img, a.Replicas, replicas); r != nil {
			return nil, r
		}
		replicas = len(a.Replicas)
		p, ok := newPartition(c.img, slices.Clone(a.Replicas))
		if !ok {
			return nil, allFenced(a.Partition)
		}
		byPartition[a.Partition] = p
	}
	partitions := make([]PartitionInfo, len(byPartition))
	for n := range partitions {
		p, ok := byPartition[int32(n)]
		if !ok {
			return nil, refuse(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		partitions[n] = p
	}
	return partitions, nil
}

func allFenced(partition int32) *Refusal {
	return refuse(kerr.InvalidReplicaAssignment, "All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", partition)
}

// checkAssignment checks a partition's replicas as a client listed them. A want above 0 is how many there have to be.
func checkAssignment(img *Image, replicas []int32, want int) *Refusal {
	if len(replicas) == 0 {
		return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(replicas))
	for i, id := range sorted {
		if img.Broker(id) == nil {
			return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
		if i > 0 && sorted[i-1] == id {
			return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	if want > 0 && len(replicas) != want {
		return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).",
			len(replicas), want)
	}
	return nil
}

// TopicRef names a topic by name or by id.
type TopicRef struct {
	Name *string
	ID   TopicID
}

// DeleteTopics removes topics. Its result is []DeletedTopic: one row per name and per id.
type DeleteTopics struct{ Topics []TopicRef }

// DeletedTopic is what became of one topic.
type DeletedTopic struct {
	Name    *string
	ID      TopicID
	Refusal *Refusal
}

// Decide makes the records that remove the topics.
func (op DeleteTopics) Decide(img *Image, _ Env) (Decision, error) {
	names, ids := map[string]int{}, map[TopicID]int{}
	for _, t := range op.Topics {
		switch {
		case t.Name != nil && t.ID == TopicID{}:
			names[*t.Name]++
		case t.Name == nil && t.ID != TopicID{}:
			ids[t.ID]++
		}
	}
	var d Decision
	var results []DeletedTopic
	remove := func(t *TopicInfo) {
		name := t.Name
		d.Records = append(d.Records, RemoveTopicRecord{ID: t.ID})
		results = append(results, DeletedTopic{Name: &name, ID: t.ID})
	}
	refused := func(t TopicRef, kafka *kerr.Error, message string) {
		results = append(results, DeletedTopic{Name: t.Name, ID: t.ID, Refusal: &Refusal{Kafka: kafka, Message: message}})
	}
	for _, t := range op.Topics {
		switch {
		case t.Name == nil && t.ID == TopicID{}:
			refused(t, kerr.InvalidRequest, "Neither topic name nor id were specified.")
		case t.Name != nil && t.ID != TopicID{}:
			refused(t, kerr.InvalidRequest, "You may not specify both topic name and topic id.")
		case t.Name == nil:
			n, topic := ids[t.ID], img.TopicByID(t.ID)
			ids[t.ID] = 0
			switch {
			case n == 0: // said already
			case n > 1:
				refused(t, kerr.InvalidRequest, "Duplicate topic id.")
			case topic == nil:
				refused(t, kerr.UnknownTopicID, "This server does not host this topic ID.")
			case names[topic.Name] == 1:
				// The name's row tells.
			default:
				remove(topic)
			}
		default:
			n, topic := names[*t.Name], img.Topic(*t.Name)
			switch {
			case n == 0: // said already
			case n > 1:
				names[*t.Name] = 0
				refused(t, kerr.InvalidRequest, "Duplicate topic name.")
			case topic == nil:
				refused(t, kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
			default:
				if _, byID := ids[topic.ID]; byID {
					t.ID = topic.ID
					refused(t, kerr.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
					continue
				}
				remove(topic)
			}
		}
	}
	d.Result = results
	return d, nil
}

// MorePartitions is a topic that is to have more partitions.
type MorePartitions struct {
	Topic string
	// Total is how many there are to be.
	Total int32
	// Assignment, where not nil, gives the replicas of each additional partition.
	Assignment [][]int32
}

// CreatePartitions adds partitions to topics. Its result is []GrownTopic; a topic that is there twice has one row.
type CreatePartitions struct {
	Topics       []MorePartitions
	ValidateOnly bool
}

// GrownTopic is what became of one topic.
type GrownTopic struct {
	Topic   string
	Refusal *Refusal
}

// Decide makes the records of the additional partitions.
func (op CreatePartitions) Decide(img *Image, _ Env) (Decision, error) {
	count := make(map[string]int, len(op.Topics))
	for _, t := range op.Topics {
		count[t.Topic]++
	}
	var d Decision
	results := make([]GrownTopic, 0, len(count))
	additional := 0
	for _, t := range op.Topics {
		switch count[t.Topic] {
		case 0: // said already
		case 1:
			records, r := growTopic(img, t, additional)
			if r == nil {
				d.Records = append(d.Records, records...)
				additional += len(records)
			}
			results = append(results, GrownTopic{Topic: t.Topic, Refusal: r})
		default:
			count[t.Topic] = 0
			results = append(results, GrownTopic{Topic: t.Topic, Refusal: refuse(kerr.InvalidRequest, "Duplicate topic name.")})
		}
	}
	if op.ValidateOnly {
		d.Records = nil
	}
	d.Result = results
	return d, nil
}

func growTopic(img *Image, t MorePartitions, before int) ([]Record, *Refusal) {
	topic := img.Topic(t.Topic)
	if topic == nil {
		return nil, &Refusal{Kafka: kerr.UnknownTopicOrPartition}
	}
	existing := len(topic.Partitions)
	switch total := int(t.Total); {
	case total == existing:
		return nil, refuse(kerr.InvalidPartitions, "Topic already has %d partition(s).", existing)
	case total < existing:
		return nil, refuse(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, existing, total)
	case total-existing > MaxPartitionsPerRequest-before:
		return nil, refuse(kerr.PolicyViolation, "Excessively large number of additional partitions per request.")
	case total-existing > MaxPartitionsPerCluster-img.NumPartitions()-before:
		return nil, refuse(kerr.InvalidPartitions, "The cluster would have %d partitions; this broker supports %d.", img.NumPartitions()+before+total-existing, MaxPartitionsPerCluster)
	}
	additional := int(t.Total) - existing
	if t.Assignment != nil && len(t.Assignment) != additional {
		return nil, refuse(kerr.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", additional, len(t.Assignment))
	}
	replicas := len(topic.Partitions[0].Replicas)
	var place *placement
	if t.Assignment == nil {
		var r *Refusal
		if place, r = newPlacement(img, replicas); r != nil {
			return nil, r
		}
	}
	records := make([]Record, 0, additional)
	for n := range additional {
		partition := int32(existing + n)
		var chosen []int32
		if place != nil {
			chosen = place.place(placementStart(topic.ID)+existing+n, replicas)
		} else {
			if r := checkAssignment(img, t.Assignment[n], replicas); r != nil {
				return nil, r
			}
			chosen = slices.Clone(t.Assignment[n])
		}
		p, ok := newPartition(img, chosen)
		if !ok {
			return nil, allFenced(partition)
		}
		records = append(records, PartitionRecord{TopicID: topic.ID, Partition: partition, PartitionInfo: p})
	}
	return records, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
