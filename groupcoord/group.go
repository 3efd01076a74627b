package groupcoord

import (
	"slices"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
)

// State is a group's state.
type State int8

const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
	Dead
)

// String is the state's name in Kafka's responses.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	default:
		return "Dead"
	}
}

// protocolTypeConsumer is the only protocol type whose metadata is looked into.
const protocolTypeConsumer = "consumer"

// group is a classic group.
type group struct {
	id              string
	state, previous State
	// stateSinceWall is when the group came into its state, -1 where that is not known (old records).
	stateSinceWall int64
	// protocolType is "" as long as nobody has joined.
	protocolType string
	// protocol is the one chosen for the generation; nil where there are no members.
	protocol   *string
	generation int32
	leader     string // member id; "" is none

	members []*member // in the order in which they joined
	byID    map[string]*member
	static  map[string]*member // by instance id
	// pending holds the ids that were given out and didn't join yet (KIP-394), with the timers that take them back.
	pending map[string]*timer
	// supported counts how many members offer a protocol.
	supported   map[string]int
	numJoining  int // members with a parked join
	numOwesSync int
	bytes       int

	// subscribed holds the topics of a group of type "consumer"; nil where they aren't known.
	subscribed map[string]struct{}

	// newMemberAdded says that somebody came during the wait of a new group's first join.
	newMemberAdded bool
	// initialLimit is when a short first wait ends at the latest.
	initialLimit int64

	joinTimer, syncTimer *timer

	// inLog says that there are records of the group.
	inLog bool
}

func newGroup(id string, wall int64) *group {
	return &group{
		id: id, state: Empty, previous: Dead, stateSinceWall: wall,
		byID: map[string]*member{}, static: map[string]*member{}, pending: map[string]*timer{}, supported: map[string]int{},
	}
}

func (g *group) in(states ...State) bool { return slices.Contains(states, g.state) }

func (g *group) transition(to State, wall int64) {
	g.previous, g.state, g.stateSinceWall = g.state, to, wall
}

func (g *group) usesConsumerProtocol() bool { return g.protocolType == protocolTypeConsumer }

// protocolTypeOrNil is the type as JoinGroup and SyncGroup answer it.
func (g *group) protocolTypeOrNil() *string {
	if g.protocolType == "" {
		return nil
	}
	return &g.protocolType
}

// add takes a member in; the first one says what type the group has.
func (g *group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.instanceID != nil {
		g.static[*m.instanceID] = m
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.count(m, 1)
	if m.join != nil {
		g.numJoining++
	}
}

func (g *group) count(m *member, by int) {
	for _, p := range m.protocols {
		if g.supported[p.name] += by; g.supported[p.name] == 0 {
			delete(g.supported, p.name)
		}
	}
	g.bytes += by * m.size()
}

// remove takes a member out. Its timer and parked requests are the caller's.
func (g *group) remove(m *member) {
	i := slices.Index(g.members, m)
	if i < 0 {
		return
	}
	g.members = slices.Delete(g.members, i, i+1)
	delete(g.byID, m.id)
	if m.instanceID != nil && g.static[*m.instanceID] == m {
		delete(g.static, *m.instanceID)
	}
	g.count(m, -1)
	if m.join != nil {
		g.numJoining--
	}
	g.setOwesSync(m, false)
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

func (g *group) setOwesSync(m *member, owes bool) {
	if m.owesSync == owes {
		return
	}
	m.owesSync = owes
	if owes {
		g.numOwesSync++
	} else {
		g.numOwesSync--
	}
}

// park parks a join, instead of the one that is parked there: that one's client has given up on it.
func (g *group) park(out *coord.Output, m *member, j *parkedJoin) {
	if m.join != nil {
		m.join.fail(out, m.id, kerr.RebalanceInProgress)
		g.numJoining--
	}
	if m.join = j; j != nil {
		g.numJoining++
	}
}

// unpark takes a parked join out, to be answered. It is nil where there is none.
func (g *group) unpark(m *member) *parkedJoin {
	j := m.join
	if j != nil {
		m.join = nil
		g.numJoining--
	}
	return j
}

// update replaces what a member said when it joined.
func (g *group) update(m *member, protocols []protocol, rebalanceTimeoutMillis, sessionTimeoutMillis int32) {
	g.count(m, -1)
	m.protocols = protocols
	g.count(m, 1)
	m.rebalanceTimeoutMillis, m.sessionTimeoutMillis = rebalanceTimeoutMillis, sessionTimeoutMillis
}

func (g *group) setAssignment(m *member, assignment []byte) {
	g.bytes += len(assignment) - len(m.assignment)
	m.assignment = assignment
}

func (g *group) allJoined() bool { return len(g.members) == g.numJoining && len(g.pending) == 0 }

func (g *group) rebalanceTimeoutMillis() int64 {
	longest := int32(0)
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeoutMillis)
	}
	return int64(longest)
}

// supports says whether somebody with these protocols can be a member beside those that are there.
func (g *group) supports(protocolType string, protocols []protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if g.protocolType != protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p protocol) bool { return g.supported[p.name] == len(g.members) })
}

// validate finds the member that a request names, or says why it may not speak (CGRP-32).
func (g *group) validate(memberID string, instanceID *string) (*member, *kerr.Error) {
	if instanceID != nil {
		switch holder := g.static[*instanceID]; {
		case holder == nil:
			return nil, kerr.UnknownMemberID
		case holder.id != memberID:
			return nil, kerr.FencedInstanceID
		}
	}
	m := g.byID[memberID]
	if m == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

// electLeader makes sure that the leader is among those that joined; false where nobody did.
func (g *group) electLeader() bool {
	if l := g.byID[g.leader]; l != nil && l.join != nil {
		return true
	}
	if g.leader == "" {
		return false
	}
	for _, m := range g.members {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// selectProtocol chooses the protocol of members: each votes for the first of its own that all offer; most votes win (CGRP-13).
func selectProtocol(members []*member) (string, bool) {
	offers := map[string]int{}
	for _, m := range members {
		for _, p := range m.protocols {
			offers[p.name]++
		}
	}
	votes := map[string]int{}
	var order []string
	for _, m := range members {
		for _, p := range m.protocols {
			if offers[p.name] != len(members) {
				continue
			}
			if votes[p.name]++; votes[p.name] == 1 {
				order = append(order, p.name)
			}
			break
		}
	}
	if len(order) == 0 {
		return "", false
	}
	// Kafka counts the votes in a hash map and takes the first of the largest counts as that map happens to give them.
	slices.SortStableFunc(order, func(a, b string) int { return javaBucket(a) - javaBucket(b) })
	best := order[0]
	for _, name := range order[1:] {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best, true
}

// subscribesTo says whether offsets of a topic are in use. Where the subscription of a group of consumers can't be read, all are.
func (g *group) subscribesTo(topic string) bool {
	if g.subscribed != nil {
		_, ok := g.subscribed[topic]
		return ok
	}
	return g.usesConsumerProtocol()
}

// findSubscribed sets the topics that the members subscribe to, by the metadata of the chosen protocol (OFFS-13).
func (g *group) findSubscribed() {
	g.subscribed = nil
	switch {
	case !g.usesConsumerProtocol():
	case len(g.members) == 0:
		g.subscribed = map[string]struct{}{}
	case g.protocol != nil:
		topics := map[string]struct{}{}
		for _, m := range g.members {
			if !addSubscription(topics, m.metadata(*g.protocol)) {
				return
			}
		}
		g.subscribed = topics
	}
}
