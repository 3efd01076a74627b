package groupcoord

import (
	"bytes"
	"slices"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// protocol is one way of assigning partitions that a member offers.
type protocol struct {
	name     string
	metadata []byte
}

// member is a member of a classic group.
type member struct {
	id                     string
	instanceID             *string // static membership (KIP-345)
	clientID, clientHost   string
	rebalanceTimeoutMillis int32
	sessionTimeoutMillis   int32
	protocols              []protocol
	assignment             []byte

	// isNew lasts until the member's first join completes.
	isNew bool
	// join and sync are the member's parked requests.
	join *parkedJoin
	sync *parkedSync
	// owesSync says that the member got a generation and didn't ask for its assignment yet.
	owesSync bool
	session  *timer
}

func (m *member) static() bool { return m.instanceID != nil }

// metadata is what the member said for a protocol, nil where it doesn't offer it.
func (m *member) metadata(name string) []byte {
	for i := range m.protocols {
		if m.protocols[i].name == name {
			return m.protocols[i].metadata
		}
	}
	return nil
}

func (m *member) matches(protocols []protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b protocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// size is about how many bytes of what the client sent the member keeps.
func (m *member) size() int {
	return protocolsSize(m.protocols) + len(m.assignment) + len(m.id) + len(m.clientID)
}

func protocolsSize(protocols []protocol) int {
	n := 0
	for i := range protocols {
		n += len(protocols[i].name) + len(protocols[i].metadata)
	}
	return n
}

// protocolsOf copies a request's protocols: a member must not hold the whole request's memory.
func protocolsOf(r *kmsg.JoinGroupRequest) []protocol {
	protocols := make([]protocol, len(r.Protocols))
	for i, p := range r.Protocols {
		protocols[i] = protocol{p.Name, bytes.Clone(p.Metadata)}
	}
	return protocols
}

// parkedJoin is a JoinGroup that is not answered yet.
type parkedJoin struct {
	version  int16
	done     func(*kmsg.JoinGroupResponse)
	answered bool
}

func (p *parkedJoin) reply(out *coord.Output, resp *kmsg.JoinGroupResponse) {
	p.answered = true
	out.Reply(func() { p.done(forVersion(resp, p.version)) })
}

// forVersion makes a response fit for a version: the protocol may be null only from version 7 on.
func forVersion(resp *kmsg.JoinGroupResponse, version int16) *kmsg.JoinGroupResponse {
	resp.Version = version
	if version < 7 && resp.Protocol == nil {
		resp.Protocol = new("")
	}
	return resp
}

// fail answers with an error. memberID is what the response is to name.
func (p *parkedJoin) fail(out *coord.Output, memberID string, code *kerr.Error) {
	resp := joinResponse(memberID)
	resp.ErrorCode = code.Code
	p.reply(out, resp)
}

// joinResponse has the values that Kafka's responses have where nothing is set.
func joinResponse(memberID string) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Generation = -1
	resp.MemberID = memberID
	resp.Members = []kmsg.JoinGroupResponseMember{}
	return resp
}

// parkedSync is a SyncGroup that is not answered yet.
type parkedSync struct {
	version int16
	done    func(*kmsg.SyncGroupResponse)
}

func (p *parkedSync) reply(out *coord.Output, resp *kmsg.SyncGroupResponse) {
	resp.Version = p.version
	if resp.MemberAssignment == nil {
		resp.MemberAssignment = []byte{}
	}
	out.Reply(func() { p.done(resp) })
}

func (p *parkedSync) fail(out *coord.Output, code int16) {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = code
	p.reply(out, resp)
}
