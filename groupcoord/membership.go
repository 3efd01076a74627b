package groupcoord

import (
	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// startSession has a member removed unless something is heard of it within a time.
func (s *Shard) startSession(out *coord.Output, g *group, m *member, timeoutMillis int64) {
	if m.session == nil {
		m.session = newTimer(func(out *coord.Output) {
			if g.byID[m.id] != m {
				return
			}
			if !m.isNew && (m.join != nil || m.sync != nil) {
				return // the answer starts the clock again (CGRP-23)
			}
			s.log.Info("a group member has failed", "group", g.id, "member", m.id, "generation", g.generation)
			s.removeMember(out, g, m)
		})
	}
	s.timers.set(m.session, out.Now+timeoutMillis)
}

// takeOut removes a member and answers what it has parked.
func (s *Shard) takeOut(out *coord.Output, g *group, m *member) {
	s.timers.cancel(m.session)
	if j := g.unpark(m); j != nil {
		j.fail(out, "", kerr.UnknownMemberID)
	}
	if m.sync != nil {
		m.sync.fail(out, kerr.UnknownMemberID.Code)
		m.sync = nil
	}
	g.remove(m)
}

// removeMember removes a member, and has the others rebalance.
func (s *Shard) removeMember(out *coord.Output, g *group, m *member) {
	s.takeOut(out, g, m)
	switch g.state {
	case Stable, CompletingRebalance:
		s.rebalance(out, g, "a member is gone", "member", m.id)
	case PreparingRebalance:
		s.maybeCompleteAfterLeave(out, g)
	default:
	}
}

// removePending takes back a member id that was given out; it says whether there was one.
func (s *Shard) removePending(g *group, memberID string) bool {
	t, ok := g.pending[memberID]
	if ok {
		s.timers.cancel(t)
		delete(g.pending, memberID)
	}
	return ok
}

// Heartbeat answers a Heartbeat and renews the member's session (CGRP-22).
func (s *Shard) Heartbeat(out *coord.Output, r *kmsg.HeartbeatRequest) *kerr.Error {
	g := s.groups[r.Group]
	if g == nil {
		return kerr.UnknownMemberID
	}
	m, invalid := g.validate(r.MemberID, r.InstanceID)
	if invalid != nil {
		return invalid
	}
	if r.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	s.renew(out, g, m)
	if g.state == PreparingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// renew starts a session clock anew.
func (s *Shard) renew(out *coord.Output, g *group, m *member) {
	s.startSession(out, g, m, int64(m.sessionTimeoutMillis))
}

// Leave answers a LeaveGroup. Each member is answered by the identity that it was asked for with, which admin clients look for (CGRP-26, CGRP-27).
func (s *Shard) Leave(out *coord.Output, r *kmsg.LeaveGroupRequest) []kmsg.LeaveGroupResponseMember {
	leaving := r.Members
	if r.Version < 3 {
		leaving = []kmsg.LeaveGroupRequestMember{{MemberID: r.MemberID}}
	}
	answers := make([]kmsg.LeaveGroupResponseMember, 0, len(leaving))
	g := s.groups[r.Group]
	left := 0
	for _, l := range leaving {
		a := kmsg.NewLeaveGroupResponseMember()
		a.MemberID, a.InstanceID = l.MemberID, l.InstanceID
		if err := s.leave(out, g, l); err != nil {
			a.ErrorCode = err.Code
		} else {
			left++
		}
		answers = append(answers, a)
	}
	if left == 0 {
		return answers
	}
	switch g.state {
	case Stable, CompletingRebalance:
		s.rebalance(out, g, "members left")
	case PreparingRebalance:
		s.maybeCompleteJoin(out, g)
	default:
	}
	return answers
}

func (s *Shard) leave(out *coord.Output, g *group, l kmsg.LeaveGroupRequestMember) *kerr.Error {
	if g == nil {
		return kerr.UnknownMemberID
	}
	var m *member
	switch {
	case l.MemberID == "" && l.InstanceID == nil:
		return kerr.UnknownMemberID
	case l.MemberID == "":
		if m = g.static[*l.InstanceID]; m == nil {
			return kerr.UnknownMemberID
		}
	case s.removePending(g, l.MemberID):
		return nil
	default:
		var invalid *kerr.Error
		if m, invalid = g.validate(l.MemberID, l.InstanceID); invalid != nil {
			return invalid
		}
	}
	s.log.Debug("a member leaves its group", "group", g.id, "member", m.id, "client_reason", emptyString(l.Reason))
	s.takeOut(out, g, m)
	return nil
}
