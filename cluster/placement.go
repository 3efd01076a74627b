package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// placement spreads the replicas of new partitions over the brokers: leaders go round, followers of partitions with the same
// leader go to different brokers, and replicas of a partition lie in different racks as far as there are racks (KIP-36).
// It depends on nothing but its inputs.
type placement struct {
	ring   []*BrokerInfo // brokers that may lead, neighbours in different racks as far as that can be
	fenced []*BrokerInfo // used only where there are too few others
	racks  int
}

// newPlacement is for topics with that many replicas; a Refusal says why there can't be one.
func newPlacement(img *Image, replicas int) (*placement, *Refusal) {
	p := &placement{}
	byRack := map[string][]*BrokerInfo{}
	var racks []string
	for _, b := range img.Brokers() {
		if b.Fenced {
			p.fenced = append(p.fenced, b)
			continue
		}
		rack := rackOf(b)
		if byRack[rack] == nil {
			racks = append(racks, rack)
		}
		byRack[rack] = append(byRack[rack], b)
	}
	slices.Sort(racks)
	p.racks = len(racks)
	for more := true; more; {
		more = false
		for _, rack := range racks {
			if brokers := byRack[rack]; len(brokers) > 0 {
				p.ring = append(p.ring, brokers[0])
				byRack[rack] = brokers[1:]
				more = true
			}
		}
	}
	switch registered := len(p.ring) + len(p.fenced); {
	case len(p.ring) == 0:
		return nil, refuse(kerr.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): All brokers are currently fenced.", replicas)
	case replicas > registered:
		return nil, refuse(kerr.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): The target replication factor of %d cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.",
			replicas, replicas, registered)
	}
	return p, nil
}

func rackOf(b *BrokerInfo) string {
	if b.Rack == nil {
		return ""
	}
	return *b.Rack
}

// place gives the replicas of a partition, the leader first. n counts partitions, from a topic's own starting point.
func (p *placement) place(n, replicas int) []int32 {
	size := len(p.ring)
	first := n % size
	placed := []int32{p.ring[first].ID}
	usedRacks := map[string]bool{rackOf(p.ring[first]): true}
	taken := map[int]bool{first: true}
	if size > 1 {
		shift := n / size % (size - 1) // followers move on by one with every round
		for len(placed) < replicas && len(placed) < size {
			next := -1
			for step := range size - 1 {
				at := (first + 1 + (shift+step)%(size-1)) % size
				if taken[at] {
					continue
				}
				if len(usedRacks) < p.racks && usedRacks[rackOf(p.ring[at])] {
					if next < 0 {
						next = at
					}
					continue
				}
				next = at
				break
			}
			taken[next] = true
			usedRacks[rackOf(p.ring[next])] = true
			placed = append(placed, p.ring[next].ID)
		}
	}
	for i := 0; len(placed) < replicas; i++ {
		placed = append(placed, p.fenced[i].ID)
	}
	return placed
}

// newPartition is a partition with these replicas; not ok where no broker of them can lead.
func newPartition(img *Image, replicas []int32) (PartitionInfo, bool) {
	p := PartitionInfo{Replicas: replicas}
	for _, id := range replicas {
		if b := img.Broker(id); b != nil && !b.Fenced {
			p.ISR = append(p.ISR, id)
		}
	}
	if len(p.ISR) == 0 {
		return p, false
	}
	p.Leader = p.ISR[0]
	return p, true
}
