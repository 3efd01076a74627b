package groupcoord

import (
	"maps"
	"slices"
)

// offset is a committed offset.
type offset struct {
	offset      int64
	leaderEpoch int32 // -1: not known
	metadata    string
	commitWall  int64 // ms since 1970
	expireWall  int64 // ms since 1970; -1: the group's retention decides
	topicID     [16]byte
	logOffset   int64 // of the record that says so
}

// groupOffsets are offsets by topic and partition.
type groupOffsets map[string]map[int32]*offset

func (o groupOffsets) get(topic string, partition int32) *offset { return o[topic][partition] }

func (o groupOffsets) topics() []string { return slices.Sorted(maps.Keys(o)) }

func (o groupOffsets) partitions(topic string) []int32 { return slices.Sorted(maps.Keys(o[topic])) }

// offsetsByGroup is keyed by group id. It has no empty maps in it.
type offsetsByGroup map[string]groupOffsets

func (o offsetsByGroup) put(group, topic string, partition int32, x *offset) {
	g := o[group]
	if g == nil {
		g = groupOffsets{}
		o[group] = g
	}
	t := g[topic]
	if t == nil {
		t = map[int32]*offset{}
		g[topic] = t
	}
	t[partition] = x
}

func (o offsetsByGroup) remove(group, topic string, partition int32) {
	g := o[group]
	t := g[topic]
	delete(t, partition)
	if len(t) == 0 {
		delete(g, topic)
	}
	if len(g) == 0 {
		delete(o, group)
	}
}

// offsetStore holds a shard's offsets: those that are committed, and those of transactions that are open, which become so with
// the marker (OFFS-12).
type offsetStore struct {
	committed offsetsByGroup
	// pending is keyed by producer id.
	pending map[int64]offsetsByGroup
	// open says which producers have pending offsets in a group.
	open map[string]map[int64]struct{}
}

func (s *offsetStore) put(producerID int64, group, topic string, partition int32, x *offset) {
	if producerID < 0 {
		if s.committed == nil {
			s.committed = offsetsByGroup{}
		}
		s.committed.put(group, topic, partition, x)
		return
	}
	if s.pending == nil {
		s.pending, s.open = map[int64]offsetsByGroup{}, map[string]map[int64]struct{}{}
	}
	p := s.pending[producerID]
	if p == nil {
		p = offsetsByGroup{}
		s.pending[producerID] = p
	}
	p.put(group, topic, partition, x)
	if s.open[group] == nil {
		s.open[group] = map[int64]struct{}{}
	}
	s.open[group][producerID] = struct{}{}
}

// remove takes an offset away, the pending ones with it.
func (s *offsetStore) remove(group, topic string, partition int32) {
	s.committed.remove(group, topic, partition)
	for producerID := range s.open[group] {
		s.pending[producerID].remove(group, topic, partition)
	}
}

// isPending says whether an open transaction holds an offset.
func (s *offsetStore) isPending(group, topic string, partition int32) bool {
	for producerID := range s.open[group] {
		if s.pending[producerID][group].get(topic, partition) != nil {
			return true
		}
	}
	return false
}

// eachPending calls fn for what open transactions hold of a group, in order.
func (s *offsetStore) eachPending(group string, fn func(topic string, partition int32)) {
	for _, producerID := range slices.Sorted(maps.Keys(s.open[group])) {
		offsets := s.pending[producerID][group]
		for _, topic := range offsets.topics() {
			for _, partition := range offsets.partitions(topic) {
				fn(topic, partition)
			}
		}
	}
}

func (s *offsetStore) endTransaction(producerID int64, committed bool) {
	ended := s.pending[producerID]
	delete(s.pending, producerID)
	for group, open := range s.open {
		delete(open, producerID)
		if len(open) == 0 {
			delete(s.open, group)
		}
	}
	if !committed {
		return
	}
	for group, topics := range ended {
		for topic, partitions := range topics {
			for partition, x := range partitions {
				// The younger record counts. That it does so by its place in the log also holds after compaction.
				if is := s.committed[group].get(topic, partition); is == nil || is.logOffset < x.logOffset {
					s.put(-1, group, topic, partition, x)
				}
			}
		}
	}
}
