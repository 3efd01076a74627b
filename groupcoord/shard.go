package groupcoord

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Shard holds the groups of one partition of __consumer_offsets. It is the coordinator's core: everything it does hangs on its
// arguments alone. It is not safe for concurrent use.
type Shard struct {
	cfg Config
	log *slog.Logger
	// newID draws what makes a member id unique.
	newID func() string

	groups  map[string]*group
	offsets offsetStore
	timers  timers
	// cleanup looks for expired offsets and empty groups.
	cleanup *timer
}

// NewShard makes an empty shard. newID draws a random uuid.
func NewShard(cfg Config, log *slog.Logger, newID func() string) *Shard {
	s := &Shard{cfg: cfg, log: log, newID: newID}
	s.cleanup = newTimer(s.expire)
	return s
}

// Deadline is part of coord.Machine.
func (s *Shard) Deadline() (int64, bool) { return s.timers.earliest() }

// Tick is part of coord.Machine.
func (s *Shard) Tick(out *coord.Output) { s.timers.tick(out) }

// group finds a group, or makes it. It is nil where there is no room for another one.
func (s *Shard) groupOrNew(id string, out *coord.Output) *group {
	if g := s.groups[id]; g != nil {
		return g
	}
	if len(s.groups) >= s.cfg.Limits.GroupsPerShard {
		s.dropUnused()
		if len(s.groups) >= s.cfg.Limits.GroupsPerShard {
			return nil
		}
	}
	g := newGroup(id, out.Wall)
	s.put(g)
	s.awake(out)
	return g
}

func (s *Shard) put(g *group) {
	if s.groups == nil {
		s.groups = map[string]*group{}
	}
	s.groups[g.id] = g
}

// awake starts the regular cleanup where it isn't running: a shard without groups has no timer.
func (s *Shard) awake(out *coord.Output) {
	if s.cleanup.index < 0 {
		s.timers.set(s.cleanup, out.Now+s.cfg.OffsetsRetentionCheckMillis)
	}
}

// dropUnused forgets groups of which nothing is in the log and nobody is in: failed joins leave them behind.
func (s *Shard) dropUnused() {
	for id, g := range s.groups {
		if g.state == Empty && !g.inLog && len(g.pending) == 0 {
			delete(s.groups, id)
		}
	}
}

// drop forgets a group, with its timers. Members and parked requests must be gone.
func (s *Shard) drop(g *group) {
	s.timers.cancel(g.joinTimer)
	s.timers.cancel(g.syncTimer)
	for _, m := range g.members {
		s.timers.cancel(m.session)
	}
	for _, t := range g.pending {
		s.timers.cancel(t)
	}
	delete(s.groups, g.id)
}

// groupIDs lists the groups in order.
func (s *Shard) groupIDs() []string { return slices.Sorted(maps.Keys(s.groups)) }

// Replay is part of coord.Machine. Records that can't be read are skipped and logged: one bad record must not take a shard's other
// groups away.
func (s *Shard) Replay(at coord.Position, key, value []byte) error {
	o, g, err := decodeRecord(key, value)
	switch {
	case err != nil:
		s.log.Error("skipping a record of __consumer_offsets", "offset", at.Offset, "error", err)
	case o != nil:
		s.replayOffset(at, o)
	case g != nil:
		s.replayGroup(g)
	}
	return nil
}

// replayGroup puts a group into the state that its record tells of. While a group lives its own state is ahead of its records;
// then only tombstones are replayed.
func (s *Shard) replayGroup(r *replayedGroup) {
	if r.value == nil {
		if g := s.groups[r.group]; g != nil {
			s.drop(g)
		}
		return
	}
	v := r.value
	g := newGroup(r.group, v.CurrentStateTimestamp)
	g.generation, g.protocol, g.inLog = v.Generation, v.Protocol, true
	if v.Version < 2 {
		g.stateSinceWall = -1
	}
	for _, w := range v.Members {
		m := &member{
			id: w.MemberID, instanceID: w.InstanceID, clientID: w.ClientID, clientHost: w.ClientHost,
			rebalanceTimeoutMillis: w.RebalanceTimeoutMillis, sessionTimeoutMillis: w.SessionTimeoutMillis, assignment: w.Assignment,
		}
		if v.Version < 1 || m.rebalanceTimeoutMillis == -1 {
			m.rebalanceTimeoutMillis = m.sessionTimeoutMillis
		}
		if v.Protocol != nil {
			m.protocols = []protocol{{*v.Protocol, w.Subscription}}
		}
		g.add(m, v.ProtocolType)
	}
	g.protocolType = v.ProtocolType
	if len(g.members) > 0 {
		g.state = Stable
	}
	g.leader = ""
	if v.Leader != nil {
		g.leader = *v.Leader
	}
	g.findSubscribed()
	s.put(g)
}

// EndTransaction is part of coord.Machine.
func (s *Shard) EndTransaction(producerID int64, committed bool) {
	s.offsets.endTransaction(producerID, committed)
}

// Loaded is part of coord.Machine: the session clocks of the members that were loaded start anew (CGRP-40).
func (s *Shard) Loaded(out *coord.Output) {
	if len(s.groups) == 0 {
		return
	}
	s.awake(out)
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		for _, m := range g.members {
			s.startSession(out, g, m, int64(m.sessionTimeoutMillis))
		}
		if len(g.members) > s.maxSize() {
			s.prepareRebalance(out, g, "a group that was loaded is larger than group.max.size")
		}
	}
}

// Unloaded is part of coord.Machine: what is parked goes to look for the new coordinator (CGRP-41).
func (s *Shard) Unloaded(out *coord.Output) {
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		for _, m := range g.members {
			if j := g.unpark(m); j != nil {
				j.fail(out, m.id, kerr.NotCoordinator)
			}
			if m.sync != nil {
				m.sync.fail(out, kerr.NotCoordinator.Code)
				m.sync = nil
			}
		}
	}
	s.groups = nil
}

func (s *Shard) maxSize() int { return min(int(s.cfg.MaxSize), s.cfg.Limits.MembersPerGroup) }

// write has a record of a group written that shows what the group will be or is.
func (s *Shard) writeGroup(out *coord.Output, g *group, record coord.Record, appended func(*coord.Output), done func(*coord.Output, error)) {
	out.Write(coord.Write{
		Records: []coord.Record{record}, NoReplay: true,
		Appended: func(out *coord.Output) {
			g.inLog = true
			if appended != nil {
				appended(out)
			}
		},
		Done: done,
	})
}

var _ coord.Machine = (*Shard)(nil)

func emptyString(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func errorCode(e *kerr.Error) int16 {
	if e == nil {
		return 0
	}
	return e.Code
}
