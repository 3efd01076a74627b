package groupcoord

import (
	"bytes"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sync answers a SyncGroup: at once, or when the leader's assignment is committed (CGRP-18 to CGRP-20).
func (s *Shard) Sync(out *coord.Output, r *kmsg.SyncGroupRequest, done func(*kmsg.SyncGroupResponse)) {
	park := &parkedSync{r.Version, done}
	g := s.groups[r.Group]
	if g == nil || g.state == Empty {
		park.fail(out, kerr.UnknownMemberID.Code)
		return
	}
	m, invalid := g.validate(r.MemberID, r.InstanceID)
	switch {
	case invalid != nil:
	case r.Generation != g.generation:
		invalid = kerr.IllegalGeneration
	case differs(r.ProtocolType, g.protocolTypeOrNil()), differs(r.Protocol, g.protocol):
		invalid = kerr.InconsistentGroupProtocol
	case g.state == PreparingRebalance:
		invalid = kerr.RebalanceInProgress
	}
	if invalid != nil {
		park.fail(out, invalid.Code)
		return
	}
	if g.state == Stable {
		s.synced(g, m)
		s.replyAssignment(out, g, m, park)
		return
	}
	if m.sync != nil { // its client has given up on that one
		m.sync.fail(out, kerr.RebalanceInProgress.Code)
	}
	m.sync = park
	s.synced(g, m)
	if g.leader == m.id {
		s.assign(out, g, r)
	}
}

func differs(asked, is *string) bool { return asked != nil && is != nil && *asked != *is }

func (s *Shard) replyAssignment(out *coord.Output, g *group, m *member, park *parkedSync) {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ProtocolType, resp.Protocol, resp.MemberAssignment = g.protocolTypeOrNil(), g.protocol, m.assignment
	park.reply(out, resp)
}

// assign writes the leader's assignment, and answers everybody once it is committed.
func (s *Shard) assign(out *coord.Output, g *group, r *kmsg.SyncGroupRequest) {
	assignments := make(map[string][]byte, len(r.GroupAssignment))
	for _, a := range r.GroupAssignment {
		if g.byID[a.MemberID] != nil {
			assignments[a.MemberID] = bytes.Clone(a.MemberAssignment) // not to hold the whole request's memory
		}
	}
	generation := g.generation
	record := groupRecord(g.id, groupImage{
		protocolType: g.protocolType, protocol: g.protocol, generation: generation, leader: g.leader,
		stateSinceWall: g.stateSinceWall, members: g.members, assignment: func(m *member) []byte { return assignments[m.id] },
	})
	s.writeGroup(out, g, record, nil, func(out *coord.Output, err error) {
		if g.state != CompletingRebalance || g.generation != generation || s.groups[g.id] != g {
			return // the group has moved on
		}
		if err != nil {
			s.log.Warn("a group's assignment could not be written", "group", g.id, "generation", generation, "error", err)
			s.resetAssignments(out, g, responseCode(err))
			s.rebalance(out, g, "the assignment could not be written")
			return
		}
		g.transition(Stable, out.Wall)
		for _, m := range g.members {
			g.setAssignment(m, assignments[m.id])
			if p := m.sync; p != nil {
				m.sync = nil
				s.replyAssignment(out, g, m, p)
				s.startSession(out, g, m, int64(m.sessionTimeoutMillis))
			}
		}
	})
}
