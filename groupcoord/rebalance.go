package groupcoord

import (
	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
)

// rebalance begins a rebalance, or goes on with the one that is under way.
func (s *Shard) rebalance(out *coord.Output, g *group, reason string, attrs ...any) {
	if g.in(Empty, CompletingRebalance, Stable) {
		s.prepareRebalance(out, g, reason, attrs...)
	} else {
		s.maybeCompleteJoin(out, g)
	}
}

// prepareRebalance has all members join again.
func (s *Shard) prepareRebalance(out *coord.Output, g *group, reason string, attrs ...any) {
	if g.state == CompletingRebalance {
		s.resetAssignments(out, g, kerr.RebalanceInProgress.Code)
	}
	s.stopAwaitingSync(g)
	first := g.state == Empty
	g.transition(PreparingRebalance, out.Wall)
	s.log.Debug("group prepares to rebalance", append([]any{"group", g.id, "generation", g.generation, "reason", reason}, attrs...)...)
	switch {
	case first:
		s.awaitFirstJoins(out, g)
	case g.allJoined():
		s.completeJoin(out, g)
	default:
		s.completeJoinAt(g, out.Now+g.rebalanceTimeoutMillis())
	}
}

func (s *Shard) completeJoinAt(g *group, at int64) {
	s.timers.cancel(g.joinTimer)
	g.joinTimer = newTimer(func(out *coord.Output) { s.completeJoin(out, g) })
	s.timers.set(g.joinTimer, at)
}

// awaitFirstJoins gives the members of a new group time to come (CGRP-08): group.initial.rebalance.delay.ms, and as long again as
// somebody has come meanwhile, up to the rebalance timeout.
func (s *Shard) awaitFirstJoins(out *coord.Output, g *group) {
	g.newMemberAdded = false
	s.timers.cancel(g.joinTimer)
	delay := int64(s.cfg.InitialRebalanceDelayMillis)
	if delay < initialSettleMillis {
		limit := out.Now + initialSettleMaxMillis
		g.joinTimer = newTimer(func(out *coord.Output) {
			if len(g.pending) > 0 && out.Now < limit { // they are about to come
				s.timers.set(g.joinTimer, min(out.Now+initialSettleMillis, limit))
				return
			}
			s.completeJoin(out, g)
		})
		g.initialLimit = limit
		s.timers.set(g.joinTimer, out.Now+initialSettleMillis)
		return
	}
	left := max(g.rebalanceTimeoutMillis()-delay, 0)
	wait := delay
	g.joinTimer = newTimer(func(out *coord.Output) {
		if !g.newMemberAdded || left == 0 {
			s.completeJoin(out, g)
			return
		}
		g.newMemberAdded = false
		passed := wait
		wait = min(delay, left)
		left = max(left-passed, 0)
		s.timers.set(g.joinTimer, out.Now+wait)
	})
	s.timers.set(g.joinTimer, out.Now+delay)
}

// extendInitial puts the end of a short first wait off, because somebody has come.
func (s *Shard) extendInitial(out *coord.Output, g *group) {
	if s.cfg.InitialRebalanceDelayMillis < initialSettleMillis && g.state == PreparingRebalance && g.previous == Empty && g.joinTimer.index >= 0 {
		s.timers.set(g.joinTimer, min(out.Now+initialSettleMillis, g.initialLimit))
	}
}

// maybeCompleteJoin ends the join phase where everybody has come. A new group's first one ends by its timer.
func (s *Shard) maybeCompleteJoin(out *coord.Output, g *group) {
	if g.state == PreparingRebalance && g.previous != Empty && g.allJoined() {
		s.completeJoin(out, g)
	}
}

// maybeCompleteAfterLeave is maybeCompleteJoin where somebody has gone: then it also ends a first one.
func (s *Shard) maybeCompleteAfterLeave(out *coord.Output, g *group) {
	if g.state == PreparingRebalance && g.allJoined() {
		s.completeJoin(out, g)
	}
}

// completeJoin ends the join phase: who didn't come is removed, the next generation begins (CGRP-11, CGRP-12).
func (s *Shard) completeJoin(out *coord.Output, g *group) {
	s.timers.cancel(g.joinTimer)
	if g.state != PreparingRebalance {
		return
	}
	for _, m := range append([]*member(nil), g.members...) {
		if m.join == nil && !m.static() {
			s.log.Debug("a member did not rejoin in time", "group", g.id, "member", m.id)
			s.timers.cancel(m.session)
			g.remove(m)
		}
	}
	if !g.electLeader() && len(g.members) > 0 {
		// Only static members that didn't come are left; their session timeouts decide.
		s.completeJoinAt(g, out.Now+max(g.rebalanceTimeoutMillis(), 1))
		return
	}
	g.generation++
	if len(g.members) == 0 {
		g.protocol = nil
		g.findSubscribed()
		g.transition(Empty, out.Wall)
		s.log.Debug("group is empty", "group", g.id, "generation", g.generation)
		record := groupRecord(g.id, groupImage{protocolType: g.protocolType, generation: g.generation, leader: g.leader, stateSinceWall: g.stateSinceWall})
		s.writeGroup(out, g, record, nil, func(_ *coord.Output, err error) {
			if err != nil {
				// The last generation that was written has no members that live, so nothing is lost.
				s.log.Warn("a group that became empty could not be written", "group", g.id, "error", err)
			}
		})
		return
	}
	selected, _ := selectProtocol(g.members)
	g.protocol = &selected
	g.findSubscribed()
	g.transition(CompletingRebalance, out.Wall)
	s.log.Debug("group has a new generation", "group", g.id, "generation", g.generation, "members", len(g.members), "protocol", selected)
	for _, m := range g.members {
		if j := g.unpark(m); j != nil {
			j.reply(out, s.generationResponse(g, m))
		}
		m.isNew = false
		s.startSession(out, g, m, int64(m.sessionTimeoutMillis))
		g.setOwesSync(m, true)
	}
	s.awaitSync(out, g)
}

// awaitSync removes members that don't ask for their assignment within the rebalance timeout (CGRP-21).
func (s *Shard) awaitSync(out *coord.Output, g *group) {
	s.timers.cancel(g.syncTimer)
	g.syncTimer = newTimer(func(out *coord.Output) {
		if !g.in(CompletingRebalance, Stable) || g.numOwesSync == 0 {
			return
		}
		for _, m := range append([]*member(nil), g.members...) {
			if m.owesSync {
				s.timers.cancel(m.session)
				if j := g.unpark(m); j != nil {
					j.fail(out, "", kerr.UnknownMemberID)
				}
				g.remove(m)
			}
		}
		s.prepareRebalance(out, g, "members did not ask for their assignment in time")
	})
	s.timers.set(g.syncTimer, out.Now+g.rebalanceTimeoutMillis())
}

func (s *Shard) stopAwaitingSync(g *group) {
	for _, m := range g.members {
		g.setOwesSync(m, false)
	}
	s.timers.cancel(g.syncTimer)
}

func (s *Shard) synced(g *group, m *member) {
	g.setOwesSync(m, false)
	if g.numOwesSync == 0 {
		s.timers.cancel(g.syncTimer)
	}
}

// resetAssignments takes the assignments away and answers who waits for one with an error.
func (s *Shard) resetAssignments(out *coord.Output, g *group, code int16) {
	for _, m := range g.members {
		g.setAssignment(m, nil)
		if p := m.sync; p != nil {
			m.sync = nil
			p.fail(out, code)
			s.startSession(out, g, m, int64(m.sessionTimeoutMillis))
		}
	}
}
