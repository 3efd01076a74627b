package groupcoord

import (
	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Join answers a JoinGroup, at once or when the join phase ends.
func (s *Shard) Join(out *coord.Output, c Caller, r *kmsg.JoinGroupRequest, done func(*kmsg.JoinGroupResponse)) {
	park := &parkedJoin{version: r.Version, done: done}
	protocols := protocolsOf(r)
	switch limits := s.cfg.Limits; {
	case len(protocols) > limits.ProtocolsPerMember, protocolsSize(protocols) > limits.MemberBytes:
		park.fail(out, r.MemberID, kerr.InvalidRequest)
		return
	case twiceTheSame(protocols):
		park.fail(out, r.MemberID, kerr.InconsistentGroupProtocol)
		return
	}
	rebalanceTimeoutMillis := r.RebalanceTimeoutMillis
	if r.Version == 0 {
		rebalanceTimeoutMillis = r.SessionTimeoutMillis // CGRP-10
	}
	j := &joining{
		caller: c, park: park, memberID: r.MemberID, instanceID: r.InstanceID, protocolType: r.ProtocolType, protocols: protocols,
		rebalanceTimeoutMillis: rebalanceTimeoutMillis, sessionTimeoutMillis: r.SessionTimeoutMillis, reason: emptyString(r.Reason),
	}

	g := s.groups[r.Group]
	if g == nil && j.memberID != "" {
		park.fail(out, j.memberID, kerr.UnknownMemberID) // CGRP-02
		return
	}
	if g == nil {
		if g = s.groupOrNew(r.Group, out); g == nil {
			park.fail(out, "", kerr.GroupMaxSizeReached)
			return
		}
	}
	switch {
	case !s.accepts(g, j):
		if m := g.byID[j.memberID]; m != nil {
			s.removeMember(out, g, m)
		} else {
			s.removePending(g, j.memberID)
		}
		park.fail(out, "", kerr.GroupMaxSizeReached)
	case j.memberID == "":
		s.joinNew(out, g, j)
	default:
		s.joinAgain(out, g, j)
	}
}

// joining is a JoinGroup on its way.
type joining struct {
	caller                                       Caller
	park                                         *parkedJoin
	memberID                                     string
	instanceID                                   *string
	protocolType                                 string
	protocols                                    []protocol
	rebalanceTimeoutMillis, sessionTimeoutMillis int32
	reason                                       string
}

func twiceTheSame(protocols []protocol) bool {
	seen := make(map[string]struct{}, len(protocols))
	for i := range protocols {
		seen[protocols[i].name] = struct{}{}
	}
	return len(seen) < len(protocols)
}

// accepts says whether the group has room (CGRP-33). While members rejoin those count that did: so the last ones to come are
// the ones who go when the limit was lowered.
func (s *Shard) accepts(g *group, j *joining) bool {
	m := g.byID[j.memberID]
	switch g.state {
	case Empty, Dead:
		return true
	case PreparingRebalance:
		return m != nil && m.join != nil || g.numJoining < s.maxSize() && (m != nil || s.hasRoom(g, j))
	default:
		return m != nil || len(g.members) < s.maxSize() && s.hasRoom(g, j)
	}
}

func (s *Shard) hasRoom(g *group, j *joining) bool {
	return len(g.members) < s.cfg.Limits.MembersPerGroup && g.bytes+protocolsSize(j.protocols) <= s.cfg.Limits.GroupBytes
}

// joinNew lets somebody join who has no member id yet.
func (s *Shard) joinNew(out *coord.Output, g *group, j *joining) {
	if !g.supports(j.protocolType, j.protocols) {
		j.park.fail(out, "", kerr.InconsistentGroupProtocol)
		return
	}
	if j.instanceID != nil {
		id := *j.instanceID + "-" + s.newID()
		if holder := g.static[*j.instanceID]; holder != nil {
			s.replaceStatic(out, g, holder, id, j)
			return
		}
		s.addMember(out, g, id, j)
		return
	}
	id := j.caller.ClientID + "-" + s.newID()
	if j.park.version < 4 {
		s.addMember(out, g, id, j) // CGRP-04
		return
	}
	// The id has to come back, so that a client that never saw it leaves no member behind (KIP-394).
	if len(g.pending) >= s.cfg.Limits.PendingMembersPerGroup {
		j.park.fail(out, "", kerr.GroupMaxSizeReached)
		return
	}
	t := newTimer(func(out *coord.Output) {
		s.log.Debug("a member id was not used in time", "group", g.id, "member", id)
		delete(g.pending, id)
		s.maybeCompleteAfterLeave(out, g)
	})
	g.pending[id] = t
	s.timers.set(t, out.Now+int64(j.sessionTimeoutMillis))
	s.extendInitial(out, g)
	j.park.fail(out, id, kerr.MemberIDRequired)
}

// joinAgain lets a member join that has its id.
func (s *Shard) joinAgain(out *coord.Output, g *group, j *joining) {
	if !g.supports(j.protocolType, j.protocols) {
		j.park.fail(out, j.memberID, kerr.InconsistentGroupProtocol)
		return
	}
	if _, pending := g.pending[j.memberID]; pending {
		if j.instanceID != nil { // ids that are given out this way are never a static member's
			j.park.fail(out, j.memberID, kerr.InvalidRequest)
			return
		}
		s.addMember(out, g, j.memberID, j)
		return
	}
	m, invalid := g.validate(j.memberID, j.instanceID)
	if invalid != nil {
		j.park.fail(out, j.memberID, invalid)
		return
	}
	switch g.state {
	case PreparingRebalance:
		s.rejoin(out, g, m, j, "a member rejoins")
	case CompletingRebalance:
		if !m.matches(j.protocols) {
			s.rejoin(out, g, m, j, "a member's metadata changed")
			return
		}
		j.park.reply(out, s.generationResponse(g, m)) // its answer got lost (CGRP-17)
	case Stable:
		switch {
		case g.leader == m.id:
			// What the leader looks at beside the metadata, as the number of partitions, may have changed (CGRP-16).
			s.rejoin(out, g, m, j, "the leader rejoins")
		case !m.matches(j.protocols):
			s.rejoin(out, g, m, j, "a member's metadata changed")
		default:
			j.park.reply(out, s.generationResponse(g, m))
		}
	default:
		j.park.fail(out, m.id, kerr.UnknownMemberID)
	}
}

// generationResponse tells a member of the generation that there is. Only the leader gets the members (CGRP-14).
func (s *Shard) generationResponse(g *group, m *member) *kmsg.JoinGroupResponse {
	resp := joinResponse(m.id)
	resp.Generation, resp.LeaderID = g.generation, g.leader
	resp.Protocol, resp.ProtocolType = g.protocol, g.protocolTypeOrNil()
	if g.leader == m.id && g.state != Stable {
		resp.Members = g.membersForLeader()
	}
	return resp
}

func (g *group) membersForLeader() []kmsg.JoinGroupResponseMember {
	members := make([]kmsg.JoinGroupResponseMember, 0, len(g.members))
	for _, m := range g.members {
		w := kmsg.NewJoinGroupResponseMember()
		w.MemberID, w.InstanceID, w.ProtocolMetadata = m.id, m.instanceID, []byte{}
		if g.protocol != nil {
			if metadata := m.metadata(*g.protocol); metadata != nil {
				w.ProtocolMetadata = metadata
			}
		}
		members = append(members, w)
	}
	return members
}

func (s *Shard) rejoin(out *coord.Output, g *group, m *member, j *joining, reason string) {
	g.update(m, j.protocols, j.rebalanceTimeoutMillis, j.sessionTimeoutMillis)
	g.park(out, m, j.park)
	s.rebalance(out, g, reason, "member", m.id, "client_reason", j.reason)
}

func (s *Shard) addMember(out *coord.Output, g *group, id string, j *joining) {
	s.removePending(g, id)
	m := &member{
		id: id, instanceID: j.instanceID, clientID: j.caller.ClientID, clientHost: j.caller.ClientHost, protocols: j.protocols,
		rebalanceTimeoutMillis: j.rebalanceTimeoutMillis, sessionTimeoutMillis: j.sessionTimeoutMillis, isNew: true, join: j.park,
	}
	if g.state == PreparingRebalance && g.previous == Empty {
		g.newMemberAdded = true
	}
	g.add(m, j.protocolType)
	// A new member can't send heartbeats, since it doesn't know its id or waits for its first answer; and if it goes away nobody
	// notices. So that it doesn't stay for ever it has a limit of its own (CGRP-24).
	s.startSession(out, g, m, newMemberJoinTimeoutMillis)
	s.rebalance(out, g, "a member is new", "member", id, "client_reason", j.reason)
	s.extendInitial(out, g)
}

// replaceStatic gives a static member's place to a new member id (CGRP-28). The one before it is fenced.
func (s *Shard) replaceStatic(out *coord.Output, g *group, old *member, id string, j *joining) {
	m := &member{
		id: id, instanceID: old.instanceID, clientID: old.clientID, clientHost: old.clientHost, protocols: j.protocols, assignment: old.assignment,
		rebalanceTimeoutMillis: j.rebalanceTimeoutMillis, sessionTimeoutMillis: j.sessionTimeoutMillis,
	}
	oldLeader := g.leader
	leader := oldLeader
	if leader == old.id {
		leader = id
	}
	members := make([]*member, len(g.members))
	for i, x := range g.members {
		if members[i] = x; x == old {
			members[i] = m
		}
	}
	takeOver := func(out *coord.Output) {
		s.takeOver(out, g, old, m, leader)
		g.park(out, m, j.park)
	}
	switch g.state {
	case Stable:
		selected, _ := selectProtocol(members)
		if g.protocol == nil || selected != *g.protocol {
			takeOver(out)
			s.rebalance(out, g, "a static member's protocols changed", "member", id, "client_reason", j.reason)
			return
		}
		// Nobody else has to know (CGRP-29). The new id has to outlive this coordinator, though.
		record := groupRecord(g.id, groupImage{
			protocolType: g.protocolType, protocol: g.protocol, generation: g.generation, leader: leader,
			stateSinceWall: g.stateSinceWall, members: members, assignment: func(m *member) []byte { return m.assignment },
		})
		s.writeGroup(out, g, record, takeOver, func(out *coord.Output, err error) {
			if j.park.answered {
				return // by a rebalance that came in between
			}
			if m.join == j.park {
				g.unpark(m)
			}
			resp := joinResponse(id)
			resp.Generation, resp.Protocol, resp.ProtocolType, resp.LeaderID = g.generation, g.protocol, g.protocolTypeOrNil(), oldLeader
			switch {
			case err != nil:
				resp.MemberID, resp.ErrorCode = "", responseCode(err)
			case j.park.version >= 9: // KIP-814
				resp.LeaderID = g.leader
				if g.leader == id {
					resp.SkipAssignment, resp.Members = true, g.membersForLeader()
				}
			}
			j.park.reply(out, resp)
		})
	case CompletingRebalance:
		// The leader may already be assigning to the member id that is gone (CGRP-30).
		takeOver(out)
		s.prepareRebalance(out, g, "a static member came back before the assignment")
	default:
		takeOver(out)
		s.maybeCompleteJoin(out, g)
	}
}

// takeOver puts m in the place of old.
func (s *Shard) takeOver(out *coord.Output, g *group, old, m *member, leader string) {
	if join := g.unpark(old); join != nil {
		join.fail(out, old.id, kerr.FencedInstanceID)
	}
	if old.sync != nil {
		old.sync.fail(out, kerr.FencedInstanceID.Code)
		old.sync = nil
	}
	s.timers.cancel(old.session)
	g.setOwesSync(old, false)
	g.count(old, -1)
	g.count(m, 1)
	for i, x := range g.members {
		if x == old {
			g.members[i] = m
		}
	}
	delete(g.byID, old.id)
	g.byID[m.id], g.static[*m.instanceID], g.leader = m, m, leader
	s.startSession(out, g, m, int64(m.sessionTimeoutMillis))
}
