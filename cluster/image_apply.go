package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// PartitionChange is a partition that is new (Old is nil) or of which something changed.
type PartitionChange struct {
	Topic     *TopicInfo
	Partition int32
	Old, New  *PartitionInfo
}

// Delta is what one batch of records changed. What was made and removed again by the same batch doesn't show.
type Delta struct {
	CreatedTopics []*TopicInfo
	DeletedTopics []*TopicInfo
	// Partitions lists new and changed partitions of topics that live on, those of created topics included.
	Partitions []PartitionChange
	// Configs lists the resources whose settings changed; a deleted topic's are not among them.
	Configs  []ConfigResource
	Brokers  []int32
	Features bool
}

// imageEdit is an image being made from another one.
type imageEdit struct {
	old       *Image
	byName    shardEdit[string, *TopicInfo]
	byID      shardEdit[TopicID, *TopicInfo]
	colliding shardEdit[string, []string]
	configs   shardEdit[ConfigResource, map[string]string]
	brokers   map[int32]*BrokerInfo // nil: unchanged
	features  map[string]int16      // nil: unchanged

	clusterID      string
	nextProducerID int64
	partitions     int

	fresh          map[TopicID]*TopicInfo // topics that this edit owns and may change
	freshConfigs   map[ConfigResource]bool
	changed        []changedPartition
	created        []TopicID
	deleted        []*TopicInfo
	changedConfigs []ConfigResource
	changedBrokers []int32
}

type changedPartition struct {
	id        TopicID
	partition int32
}

// Apply gives the image that follows when records, the batch with this Raft index, are applied. The receiver stays as it
// is. An error means that the records contradict the image; then nothing is to be applied.
func (i *Image) Apply(index uint64, records []Record) (*Image, Delta, error) {
	e := imageEdit{
		old: i, byName: edit(i.topicsByName), byID: edit(i.topicsByID), colliding: edit(i.colliding), configs: edit(i.configs),
		clusterID: i.ClusterID, nextProducerID: i.NextProducerID, partitions: i.partitions,
	}
	for n, r := range records {
		if err := e.apply(r); err != nil {
			return nil, Delta{}, fmt.Errorf("metadata record %d of %d at index %d: %w", n+1, len(records), index, err)
		}
	}
	img := &Image{
		Index: index, ClusterID: e.clusterID, NextProducerID: e.nextProducerID, partitions: e.partitions,
		topicsByName: e.byName.m, topicsByID: e.byID.m, colliding: e.colliding.m, configs: e.configs.m,
		brokers: i.brokers, features: i.features, names: i.names,
	}
	if e.brokers != nil {
		img.brokers = e.brokers
	}
	if e.features != nil {
		img.features = e.features
	}
	if img.names == nil || len(e.created) > 0 || len(e.deleted) > 0 {
		img.names = &topicNames{}
	}
	return img, e.delta(img), nil
}

func (e *imageEdit) apply(r Record) error {
	switch r := r.(type) {
	case ClusterRecord:
		if e.clusterID != "" && e.clusterID != r.ClusterID {
			return fmt.Errorf("the cluster is %s already, not %s", e.clusterID, r.ClusterID)
		}
		e.clusterID = r.ClusterID
	case TopicRecord:
		return e.addTopic(r)
	case PartitionRecord:
		return e.setPartition(r)
	case RemoveTopicRecord:
		return e.removeTopic(r.ID)
	case ConfigRecord:
		e.setConfig(r)
	case ProducerIDsRecord:
		if r.Next < e.nextProducerID {
			return fmt.Errorf("producer ids from %d on are given out already, %d is behind", e.nextProducerID, r.Next)
		}
		e.nextProducerID = r.Next
	case BrokerRecord:
		if e.brokers == nil {
			e.brokers = maps.Clone(e.old.brokers)
			if e.brokers == nil {
				e.brokers = map[int32]*BrokerInfo{}
			}
		}
		b := r.BrokerInfo
		e.brokers[b.ID] = &b
		e.changedBrokers = append(e.changedBrokers, b.ID)
	case FeatureRecord:
		if e.features == nil {
			e.features = maps.Clone(e.old.features)
			if e.features == nil {
				e.features = map[string]int16{}
			}
		}
		if r.Level == 0 {
			delete(e.features, r.Name)
		} else {
			e.features[r.Name] = r.Level
		}
	default:
		return fmt.Errorf("unknown record %T", r)
	}
	return nil
}

func (e *imageEdit) addTopic(r TopicRecord) error {
	if _, exists := e.byName.get(shardOfString(r.Name), r.Name); exists {
		return fmt.Errorf("topic %s exists already", r.Name)
	}
	if _, exists := e.byID.get(shardOfID(r.ID), r.ID); exists || r.ID == (TopicID{}) {
		return fmt.Errorf("topic id %x of %s is taken", r.ID, r.Name)
	}
	e.putTopic(&TopicInfo{Name: r.Name, ID: r.ID})
	e.created = append(e.created, r.ID)
	if key, ok := collisionKey(r.Name); ok {
		names, _ := e.colliding.get(shardOfString(key), key)
		e.colliding.set(shardOfString(key), key, append(slices.Clip(names), r.Name))
	}
	return nil
}

// putTopic puts in a topic that this edit owns.
func (e *imageEdit) putTopic(t *TopicInfo) {
	if e.fresh == nil {
		e.fresh = map[TopicID]*TopicInfo{}
	}
	e.fresh[t.ID] = t
	e.byName.set(shardOfString(t.Name), t.Name, t)
	e.byID.set(shardOfID(t.ID), t.ID, t)
}

// ownTopic gives the topic in a form that may be changed.
func (e *imageEdit) ownTopic(id TopicID) (*TopicInfo, error) {
	if t := e.fresh[id]; t != nil {
		return t, nil
	}
	t, ok := e.byID.get(shardOfID(id), id)
	if !ok {
		return nil, fmt.Errorf("there is no topic %x", id)
	}
	t = &TopicInfo{Name: t.Name, ID: t.ID, Partitions: slices.Clone(t.Partitions)}
	e.putTopic(t)
	return t, nil
}

func (e *imageEdit) setPartition(r PartitionRecord) error {
	t, err := e.ownTopic(r.TopicID)
	if err != nil {
		return err
	}
	p := r.PartitionInfo
	switch n := int(r.Partition); {
	case n < 0 || n > len(t.Partitions):
		return fmt.Errorf("partition %d of %s is not the next one, there are %d", r.Partition, t.Name, len(t.Partitions))
	case n == len(t.Partitions):
		t.Partitions = append(t.Partitions, &p)
		e.partitions++
	default:
		if old := t.Partitions[n]; p.LeaderEpoch < old.LeaderEpoch {
			return fmt.Errorf("leader epoch of %s-%d would fall from %d to %d", t.Name, r.Partition, old.LeaderEpoch, p.LeaderEpoch)
		}
		t.Partitions[n] = &p
	}
	e.changed = append(e.changed, changedPartition{r.TopicID, r.Partition})
	return nil
}

func (e *imageEdit) removeTopic(id TopicID) error {
	t, ok := e.byID.get(shardOfID(id), id)
	if !ok {
		return fmt.Errorf("there is no topic %x", id)
	}
	e.byName.remove(shardOfString(t.Name), t.Name)
	e.byID.remove(shardOfID(id), id)
	e.partitions -= len(t.Partitions)
	delete(e.fresh, id)
	r := ConfigResource{Type: ResourceTopic, Name: t.Name}
	e.configs.remove(shardOfResource(r), r)
	if key, ok := collisionKey(t.Name); ok {
		names, _ := e.colliding.get(shardOfString(key), key)
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == t.Name })
		if len(names) == 0 {
			e.colliding.remove(shardOfString(key), key)
		} else {
			e.colliding.set(shardOfString(key), key, names)
		}
	}
	if old := e.old.TopicByID(id); old != nil {
		e.deleted = append(e.deleted, old)
	}
	return nil
}

func (e *imageEdit) setConfig(r ConfigRecord) {
	h := shardOfResource(r.Resource)
	settings, _ := e.configs.get(h, r.Resource)
	if _, set := settings[r.Key]; !set && r.Value == nil {
		return
	}
	if !e.freshConfigs[r.Resource] {
		if e.freshConfigs == nil {
			e.freshConfigs = map[ConfigResource]bool{}
		}
		e.freshConfigs[r.Resource] = true
		e.changedConfigs = append(e.changedConfigs, r.Resource)
	}
	settings = maps.Clone(settings)
	if settings == nil {
		settings = map[string]string{}
	}
	if r.Value == nil {
		delete(settings, r.Key)
	} else {
		settings[r.Key] = *r.Value
	}
	if len(settings) == 0 {
		e.configs.remove(h, r.Resource)
		return
	}
	e.configs.set(h, r.Resource, settings)
}

func (e *imageEdit) delta(img *Image) Delta {
	d := Delta{DeletedTopics: e.deleted, Features: e.features != nil}
	for _, id := range e.created {
		if t := img.TopicByID(id); t != nil {
			d.CreatedTopics = append(d.CreatedTopics, t)
		}
	}
	var seen map[changedPartition]bool
	if len(e.changed) > 1 {
		seen = make(map[changedPartition]bool, len(e.changed))
	}
	for _, c := range e.changed {
		t := img.TopicByID(c.id)
		if t == nil || seen[c] {
			continue
		}
		if seen != nil {
			seen[c] = true
		}
		change := PartitionChange{Topic: t, Partition: c.partition, New: t.Partitions[c.partition]}
		if old := e.old.TopicByID(c.id); old != nil && int(c.partition) < len(old.Partitions) {
			change.Old = old.Partitions[c.partition]
		}
		d.Partitions = append(d.Partitions, change)
	}
	for _, r := range e.changedConfigs {
		if r.Type == ResourceTopic && img.Topic(r.Name) == nil {
			continue
		}
		d.Configs = append(d.Configs, r)
	}
	slices.Sort(e.changedBrokers)
	d.Brokers = slices.Compact(e.changedBrokers)
	return d
}

// Records gives records that make this image from an empty one, always the same ones for the same image.
func (i *Image) Records() []Record {
	records := make([]Record, 0, 16+i.NumTopics()+i.NumPartitions())
	if i.ClusterID != "" {
		records = append(records, ClusterRecord{i.ClusterID})
	}
	for _, name := range slices.Sorted(maps.Keys(i.features)) {
		records = append(records, FeatureRecord{Name: name, Level: i.features[name]})
	}
	for _, b := range i.Brokers() {
		records = append(records, BrokerRecord{*b})
	}
	if i.NextProducerID != 0 {
		records = append(records, ProducerIDsRecord{i.NextProducerID})
	}
	for _, name := range i.TopicNames() {
		t := i.Topic(name)
		records = append(records, TopicRecord{Name: t.Name, ID: t.ID})
		for n, p := range t.Partitions {
			records = append(records, PartitionRecord{TopicID: t.ID, Partition: int32(n), PartitionInfo: *p})
		}
	}
	for _, r := range i.resources() {
		settings := i.Configs(r)
		for _, key := range slices.Sorted(maps.Keys(settings)) {
			value := settings[key]
			records = append(records, ConfigRecord{Resource: r, Key: key, Value: &value})
		}
	}
	return records
}

// Everything is the delta from an empty image to this one.
func (i *Image) Everything() Delta {
	d := Delta{Features: len(i.features) > 0}
	for _, name := range i.TopicNames() {
		t := i.Topic(name)
		d.CreatedTopics = append(d.CreatedTopics, t)
		for n, p := range t.Partitions {
			d.Partitions = append(d.Partitions, PartitionChange{Topic: t, Partition: int32(n), New: p})
		}
	}
	d.Configs = i.resources()
	for _, b := range i.Brokers() {
		d.Brokers = append(d.Brokers, b.ID)
	}
	return d
}

// resources lists all resources with dynamic settings, in a fixed order.
func (i *Image) resources() []ConfigResource {
	resources := make([]ConfigResource, 0, i.configs.n)
	for r := range i.configs.all() {
		resources = append(resources, r)
	}
	slices.SortFunc(resources, func(a, b ConfigResource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	return resources
}
