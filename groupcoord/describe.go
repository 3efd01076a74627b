package groupcoord

import (
	"strings"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// typeClassic is the group's type in ListGroups.
const typeClassic = "classic"

// Describe describes a group. The chosen protocol and its metadata are told only of a stable one (CGRP-43); assignments are those of
// the last generation that had some.
func (s *Shard) Describe(id string, version int16) kmsg.DescribeGroupsResponseGroup {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group = id
	g := s.groups[id]
	if g == nil {
		d.State = Dead.String()
		if version >= 6 { // KIP-1043
			d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, new("Group "+id+" not found.")
		}
		return d
	}
	d.State, d.ProtocolType = g.state.String(), g.protocolType
	stable := g.state == Stable && g.protocol != nil
	if stable {
		d.Protocol = *g.protocol
	}
	for _, m := range g.members {
		w := kmsg.NewDescribeGroupsResponseGroupMember()
		w.MemberID, w.InstanceID, w.ClientID, w.ClientHost = m.id, m.instanceID, m.clientID, m.clientHost
		w.ProtocolMetadata, w.MemberAssignment = []byte{}, []byte{}
		if stable {
			if metadata := m.metadata(*g.protocol); metadata != nil {
				w.ProtocolMetadata = metadata
			}
		}
		if m.assignment != nil {
			w.MemberAssignment = m.assignment
		}
		d.Members = append(d.Members, w)
	}
	return d
}

// List lists the groups that pass both filters; an empty filter lets all pass, and none minds the case (CGRP-42).
func (s *Shard) List(states, types []string) []kmsg.ListGroupsResponseGroup {
	if !passes(types, typeClassic) {
		return nil
	}
	var listed []kmsg.ListGroupsResponseGroup
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		if !passes(states, g.state.String()) {
			continue
		}
		l := kmsg.NewListGroupsResponseGroup()
		l.Group, l.ProtocolType, l.GroupState, l.GroupType = id, g.protocolType, g.state.String(), typeClassic
		listed = append(listed, l)
	}
	return listed
}

func passes(filter []string, value string) bool {
	for _, f := range filter {
		if strings.EqualFold(f, value) {
			return true
		}
	}
	return len(filter) == 0
}

// Delete deletes empty groups with their offsets (CGRP-44).
func (s *Shard) Delete(out *coord.Output, ids []string, done func([]kmsg.DeleteGroupsResponseGroup)) {
	answers := make([]kmsg.DeleteGroupsResponseGroup, 0, len(ids))
	var records []coord.Record
	for _, id := range ids {
		a := kmsg.NewDeleteGroupsResponseGroup()
		a.Group = id
		switch g := s.groups[id]; {
		case g == nil:
			a.ErrorCode = kerr.GroupIDNotFound.Code
		case g.state != Empty:
			a.ErrorCode = kerr.NonEmptyGroup.Code
		default:
			records = append(records, s.tombstones(id)...)
		}
		answers = append(answers, a)
	}
	out.Write(coord.Write{Records: records, Splits: true, Done: func(out *coord.Output, err error) {
		if err != nil {
			for i := range answers {
				answers[i].ErrorCode = responseCode(err)
			}
		}
		out.Reply(func() { done(answers) })
	}})
}

// tombstones deletes a group and its offsets.
func (s *Shard) tombstones(id string) []coord.Record {
	var records []coord.Record
	offsets := s.offsets.committed[id]
	for _, topic := range offsets.topics() {
		for _, p := range offsets.partitions(topic) {
			records = append(records, offsetTombstone(id, topic, p))
		}
	}
	s.offsets.eachPending(id, func(topic string, p int32) {
		if offsets.get(topic, p) == nil {
			records = append(records, offsetTombstone(id, topic, p))
		}
	})
	return append(records, groupTombstone(id))
}

// GroupSnapshot is what metrics show of a group.
type GroupSnapshot struct {
	ID      string
	State   State
	Type    string
	Members int
	Offsets []CommittedOffset
}

// CommittedOffset is one offset of a group.
type CommittedOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Snapshot describes all groups, in order, with their offsets.
func (s *Shard) Snapshot() []GroupSnapshot {
	groups := make([]GroupSnapshot, 0, len(s.groups))
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		x := GroupSnapshot{ID: id, State: g.state, Type: typeClassic, Members: len(g.members)}
		offsets := s.offsets.committed[id]
		for _, topic := range offsets.topics() {
			for _, p := range offsets.partitions(topic) {
				x.Offsets = append(x.Offsets, CommittedOffset{topic, p, offsets.get(topic, p).offset})
			}
		}
		groups = append(groups, x)
	}
	return groups
}
