package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ElectionType says which leader is sought, with Kafka's numbers (KIP-460).
type ElectionType int8

const (
	PreferredElection ElectionType = 0
	UncleanElection   ElectionType = 1
)

// PartitionsOf names partitions of a topic.
type PartitionsOf struct {
	Topic      string
	Partitions []int32
}

// ElectLeaders has partitions change to their preferred leader, or take any leader where they have none. Its result is
// []TopicElections.
type ElectLeaders struct {
	Type ElectionType
	// Topics nil means all; then partitions that need no election aren't listed.
	Topics []PartitionsOf
}

// TopicElections is what became of a topic's partitions.
type TopicElections struct {
	Topic      string
	Partitions []PartitionOutcome
}

// PartitionOutcome is what became of one partition.
type PartitionOutcome struct {
	Partition int32
	Refusal   *Refusal
}

// Decide makes the records of the new leaders.
func (op ElectLeaders) Decide(img *Image, _ Env) (Decision, error) {
	if op.Type != PreferredElection && op.Type != UncleanElection {
		return Decision{}, refuse(kerr.InvalidRequest, "Unknown election type %d", op.Type)
	}
	var d Decision
	var results []TopicElections
	elected := map[changedPartition]bool{}
	elect := func(topic *TopicInfo, name string, partition int32) *Refusal {
		switch {
		case topic == nil:
			return refuse(kerr.UnknownTopicOrPartition, "No such topic as %s", name)
		case partition < 0 || int(partition) >= len(topic.Partitions):
			return refuse(kerr.UnknownTopicOrPartition, "No such partition as %s-%d", name, partition)
		case elected[changedPartition{topic.ID, partition}]:
			return nil
		}
		next, r := electLeader(img, topic.Partitions[partition], op.Type)
		if r == nil {
			elected[changedPartition{topic.ID, partition}] = true
			d.Records = append(d.Records, PartitionRecord{TopicID: topic.ID, Partition: partition, PartitionInfo: next})
		}
		return r
	}
	if op.Topics == nil {
		for _, name := range img.TopicNames() {
			result, topic := TopicElections{Topic: name}, img.Topic(name)
			for n := range topic.Partitions {
				if r := elect(topic, name, int32(n)); r == nil || r.Kafka != kerr.ElectionNotNeeded {
					result.Partitions = append(result.Partitions, PartitionOutcome{Partition: int32(n), Refusal: r})
				}
			}
			results = append(results, result)
		}
	}
	for _, t := range op.Topics {
		result, topic := TopicElections{Topic: t.Topic}, img.Topic(t.Topic)
		for _, n := range t.Partitions {
			result.Partitions = append(result.Partitions, PartitionOutcome{Partition: n, Refusal: elect(topic, t.Topic, n)})
		}
		results = append(results, result)
	}
	d.Result = results
	return d, nil
}

func electLeader(img *Image, p *PartitionInfo, kind ElectionType) (PartitionInfo, *Refusal) {
	live := func(id int32) bool {
		b := img.Broker(id)
		return b != nil && !b.Fenced
	}
	next := *p
	next.LeaderEpoch++
	next.PartitionEpoch++
	if kind == PreferredElection {
		preferred := p.Replicas[0]
		switch {
		case p.Leader == preferred:
			return next, refuse(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
		case !slices.Contains(p.ISR, preferred) || !live(preferred):
			return next, refuse(kerr.PreferredLeaderNotAvailable, "The preferred leader was not available.")
		}
		next.Leader = preferred
		return next, nil
	}
	if p.Leader >= 0 {
		return next, refuse(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
	}
	for _, id := range p.Replicas {
		if slices.Contains(p.ISR, id) && live(id) {
			next.Leader = id
			return next, nil
		}
	}
	for _, id := range p.Replicas {
		if live(id) { // it may lack records: the others have to follow it all the same
			next.Leader, next.ISR = id, []int32{id}
			return next, nil
		}
	}
	return next, refuse(kerr.EligibleLeadersNotAvailable, "Eligible topic partition leaders are not available.")
}

// Reassignment is where a partition's replicas are to lie; nil Replicas cancel what is under way.
type Reassignment struct {
	Partition int32
	Replicas  []int32
}

// TopicReassignment lists reassignments of a topic's partitions.
type TopicReassignment struct {
	Topic      string
	Partitions []Reassignment
}

// AlterReassignments changes where replicas lie (KIP-455). Its result is []TopicElections, the rows of the request.
type AlterReassignments struct {
	Topics []TopicReassignment
	// KeepReplicationFactor refuses assignments of another size (KIP-860).
	KeepReplicationFactor bool
}

// Decide makes the records of the new assignments. A change that needs no new copy (another order, fewer replicas of which
// one at least is in sync) is done at once.
func (op AlterReassignments) Decide(img *Image, _ Env) (Decision, error) {
	var d Decision
	results := make([]TopicElections, 0, len(op.Topics))
	changed := map[changedPartition]bool{}
	for _, t := range op.Topics {
		result, topic := TopicElections{Topic: t.Topic}, img.Topic(t.Topic)
		for _, p := range t.Partitions {
			next, r := op.reassign(img, topic, t.Topic, p)
			if next != nil && !changed[changedPartition{topic.ID, p.Partition}] {
				changed[changedPartition{topic.ID, p.Partition}] = true
				d.Records = append(d.Records, PartitionRecord{TopicID: topic.ID, Partition: p.Partition, PartitionInfo: *next})
			}
			result.Partitions = append(result.Partitions, PartitionOutcome{Partition: p.Partition, Refusal: r})
		}
		results = append(results, result)
	}
	d.Result = results
	return d, nil
}

func (op AlterReassignments) reassign(img *Image, topic *TopicInfo, name string, to Reassignment) (*PartitionInfo, *Refusal) {
	if topic == nil {
		return nil, refuse(kerr.UnknownTopicOrPartition, "Unable to find a topic named %s.", name)
	}
	if to.Partition < 0 || int(to.Partition) >= len(topic.Partitions) {
		return nil, refuse(kerr.UnknownTopicOrPartition, "Unable to find partition %s:%d.", name, to.Partition)
	}
	if to.Replicas == nil {
		return nil, &Refusal{Kafka: kerr.NoReassignmentInProgress}
	}
	if r := checkAssignment(img, to.Replicas, 0); r != nil {
		return nil, r
	}
	p := topic.Partitions[to.Partition]
	if op.KeepReplicationFactor && len(to.Replicas) != len(p.Replicas) {
		return nil, refuse(kerr.InvalidReplicationFactor, "The replication factor is changed from %d to %d", len(p.Replicas), len(to.Replicas))
	}
	if slices.Equal(to.Replicas, p.Replicas) {
		return nil, nil
	}
	next := *p
	next.Replicas, next.ISR = slices.Clone(to.Replicas), nil
	next.PartitionEpoch++
	for _, id := range to.Replicas {
		if !slices.Contains(p.Replicas, id) {
			return nil, refuse(kerr.InvalidReplicaAssignment, "Broker %d has no copy of %s-%d, and this cluster doesn't move replicas between brokers.", id, name, to.Partition)
		}
		if slices.Contains(p.ISR, id) {
			next.ISR = append(next.ISR, id)
		}
	}
	if len(next.ISR) == 0 {
		return nil, refuse(kerr.InvalidReplicaAssignment, "None of the replicas %v of %s-%d is in sync.", to.Replicas, name, to.Partition)
	}
	if !slices.Contains(next.ISR, p.Leader) {
		next.LeaderEpoch++
		next.Leader = -1
		for _, id := range next.ISR {
			if b := img.Broker(id); b != nil && !b.Fenced {
				next.Leader = id
				break
			}
		}
	}
	return &next, nil
}

// UnregisterBroker takes a broker's registration away; one that belongs to the cluster keeps it.
type UnregisterBroker struct{ BrokerID int32 }

// Decide refuses brokers that aren't registered, and those that are in use.
func (op UnregisterBroker) Decide(img *Image, _ Env) (Decision, error) {
	b := img.Broker(op.BrokerID)
	if b == nil {
		return Decision{}, refuse(kerr.BrokerIDNotRegistered, "Broker ID %d is not currently registered", op.BrokerID)
	}
	return Decision{}, refuse(kerr.InvalidRequest, "Broker %d can't be unregistered while it belongs to the cluster", op.BrokerID)
}
