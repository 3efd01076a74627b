package groupcoord

import (
	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions from which on topics are named by their ids.
const (
	offsetCommitByID = 10
	offsetFetchByID  = 10
	// offsetFetchGroups is the first OffsetFetch of several groups (KIP-709).
	offsetFetchGroups = 8
)

// commitAnswer builds an OffsetCommit's answer. As in Kafka what is refused without asking the group comes first, and a topic's
// rows stand together.
type commitAnswer struct {
	resp   *kmsg.OffsetCommitResponse
	places map[string]int // by name, or by id as a string
}

func (a *commitAnswer) add(topic string, id [16]byte, partition int32, code int16) {
	key := topic
	if a.resp.Version >= offsetCommitByID {
		key = string(id[:])
	}
	i, ok := a.places[key]
	if !ok {
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = topic, id
		i = len(a.resp.Topics)
		a.places[key] = i
		a.resp.Topics = append(a.resp.Topics, t)
	}
	p := kmsg.NewOffsetCommitResponseTopicPartition()
	p.Partition, p.ErrorCode = partition, code
	a.resp.Topics[i].Partitions = append(a.resp.Topics[i].Partitions, p)
}

// OffsetCommit answers when the offsets are committed (OFFS-01).
func (s *Service) OffsetCommit(_ Caller, r *kmsg.OffsetCommitRequest, done func(*kmsg.OffsetCommitResponse)) {
	resp := kmsg.NewPtrOffsetCommitResponse()
	resp.Version = r.Version
	resp.Topics = []kmsg.OffsetCommitResponseTopic{}
	answer := &commitAnswer{resp, map[string]int{}}
	var rows []commitRow
	for _, t := range r.Topics { // OFFS-06
		name, unknown := t.Topic, kerr.UnknownTopicOrPartition.Code
		if r.Version >= offsetCommitByID {
			if name, _ = s.topics.TopicByID(t.TopicID); name == "" {
				unknown = kerr.UnknownTopicID.Code
			}
		}
		id, partitions, ok := s.topics.TopicByName(name)
		if !ok && r.Version >= offsetCommitByID {
			id = t.TopicID
		}
		for _, p := range t.Partitions {
			if !ok || p.Partition < 0 || p.Partition >= partitions {
				answer.add(name, id, p.Partition, unknown)
				continue
			}
			rows = append(rows, commitRow{name, id, p})
		}
	}
	if len(rows) == 0 {
		done(resp)
		return
	}
	finish := func(codes []int16) {
		for i, row := range rows {
			answer.add(row.topic, row.topicID, row.partition.Partition, codes[i])
		}
		done(resp)
	}
	if err := s.runtime.Do(s.PartitionFor(r.Group), func(m *Shard, out *coord.Output) { m.CommitOffsets(out, r, rows, finish) }); err != nil {
		codes := make([]int16, len(rows))
		for i := range codes {
			codes[i] = responseCode(err)
		}
		finish(codes)
	}
}

// fetchGroup is one group of an OffsetFetch.
type fetchGroup struct {
	group   string
	topics  []fetchTopic // nil: all
	unknown []fetchTopic // ids that no topic has
}

// groupsOf brings an OffsetFetch of any version into one form.
func (s *Service) groupsOf(r *kmsg.OffsetFetchRequest) []fetchGroup {
	if r.Version < offsetFetchGroups {
		g := fetchGroup{group: r.Group}
		if r.Topics != nil || r.Version < 2 { // null means all from version 2 on
			g.topics = make([]fetchTopic, 0, len(r.Topics))
		}
		for _, t := range r.Topics {
			g.topics = append(g.topics, fetchTopic{name: t.Topic, partitions: t.Partitions})
		}
		return []fetchGroup{g}
	}
	groups := make([]fetchGroup, len(r.Groups))
	for i, asked := range r.Groups {
		g := &groups[i]
		g.group = asked.Group
		if asked.Topics != nil {
			g.topics = make([]fetchTopic, 0, len(asked.Topics))
		}
		for _, t := range asked.Topics {
			topic := fetchTopic{name: t.Topic, partitions: t.Partitions}
			if r.Version >= offsetFetchByID {
				topic.id = t.TopicID
				topic.name, _ = s.topics.TopicByID(t.TopicID)
				if topic.name == "" {
					g.unknown = append(g.unknown, topic)
					continue
				}
			}
			g.topics = append(g.topics, topic)
		}
	}
	return groups
}

// OffsetFetch answers with the committed offsets of one or more groups (OFFS-10).
func (s *Service) OffsetFetch(_ Caller, r *kmsg.OffsetFetchRequest, done func(*kmsg.OffsetFetchResponse)) {
	groups := s.groupsOf(r)
	requireStable := r.RequireStable && r.Version >= 7
	answers := make([]kmsg.OffsetFetchResponseGroup, len(groups))
	all := newGather(len(groups), func() { done(fetchResponse(r, groups, answers)) })
	for i, g := range groups {
		put := func(topics []offsetTopic, code int16) {
			all.add(func() { answers[i] = s.fetchAnswer(r.Version, g, topics, code) })
		}
		err := s.runtime.Do(s.PartitionFor(g.group), func(m *Shard, out *coord.Output) {
			m.FetchOffsets(out, g.group, g.topics, requireStable, put)
		})
		if err != nil {
			put(nil, fetchCode(err))
		}
	}
}

func (s *Service) fetchAnswer(version int16, g fetchGroup, topics []offsetTopic, code int16) kmsg.OffsetFetchResponseGroup {
	a := kmsg.NewOffsetFetchResponseGroup()
	a.Group, a.ErrorCode = g.group, code
	a.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(topics)+len(g.unknown))
	if code != 0 {
		return a
	}
	for _, t := range g.unknown { // OFFS-07
		u := offsetTopic{id: t.id}
		for _, p := range t.partitions {
			u.rows = append(u.rows, noOffset(p, kerr.UnknownTopicID.Code))
		}
		topics = append(topics, u)
	}
	for _, t := range topics {
		w := kmsg.NewOffsetFetchResponseGroupTopic()
		w.Topic, w.TopicID = t.name, t.id
		if version >= offsetFetchByID && g.topics == nil {
			id, _, ok := s.topics.TopicByName(t.name)
			if !ok {
				continue // it is gone, and has no id that a client could know
			}
			w.TopicID = id
		}
		w.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.rows))
		for _, row := range t.rows {
			p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = row.partition, row.offset, row.leaderEpoch, new(row.metadata), row.code
			w.Partitions = append(w.Partitions, p)
		}
		a.Topics = append(a.Topics, w)
	}
	return a
}

// fetchResponse brings the answers into the form of the request's version.
func fetchResponse(r *kmsg.OffsetFetchRequest, groups []fetchGroup, answers []kmsg.OffsetFetchResponseGroup) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.Version = r.Version
	if r.Version >= offsetFetchGroups {
		resp.Groups = answers
		return resp
	}
	a := answers[0]
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, 0, len(a.Topics))
	for _, t := range a.Topics {
		w := kmsg.NewOffsetFetchResponseTopic()
		w.Topic = t.Topic
		for _, p := range t.Partitions {
			q := kmsg.NewOffsetFetchResponseTopicPartition()
			q.Partition, q.Offset, q.LeaderEpoch, q.Metadata, q.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			w.Partitions = append(w.Partitions, q)
		}
		resp.Topics = append(resp.Topics, w)
	}
	if r.Version >= 2 {
		resp.ErrorCode = a.ErrorCode
		return resp
	}
	if a.ErrorCode != 0 { // version 1 has room for an error only on the partitions
		for _, t := range groups[0].topics {
			w := kmsg.NewOffsetFetchResponseTopic()
			w.Topic = t.name
			for _, p := range t.partitions {
				q := kmsg.NewOffsetFetchResponseTopicPartition()
				q.Partition, q.Offset, q.LeaderEpoch, q.Metadata, q.ErrorCode = p, -1, -1, new(""), a.ErrorCode
				w.Partitions = append(w.Partitions, q)
			}
			resp.Topics = append(resp.Topics, w)
		}
	}
	return resp
}

// OffsetDelete deletes offsets and answers when that is committed.
func (s *Service) OffsetDelete(_ Caller, r *kmsg.OffsetDeleteRequest, done func(*kmsg.OffsetDeleteResponse)) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	resp.Version = r.Version
	resp.Topics = []kmsg.OffsetDeleteResponseTopic{}
	if r.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		done(resp)
		return
	}
	var known []kmsg.OffsetDeleteRequestTopic
	for _, t := range r.Topics {
		_, partitions, ok := s.topics.TopicByName(t.Topic)
		k := kmsg.NewOffsetDeleteRequestTopic()
		k.Topic = t.Topic
		u := kmsg.NewOffsetDeleteResponseTopic()
		u.Topic = t.Topic
		for _, p := range t.Partitions {
			if ok && p.Partition >= 0 && p.Partition < partitions {
				k.Partitions = append(k.Partitions, p)
				continue
			}
			row := kmsg.NewOffsetDeleteResponseTopicPartition()
			row.Partition, row.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
			u.Partitions = append(u.Partitions, row)
		}
		if len(k.Partitions) > 0 {
			known = append(known, k)
		}
		if len(u.Partitions) > 0 {
			resp.Topics = append(resp.Topics, u)
		}
	}
	put := func(topics []kmsg.OffsetDeleteResponseTopic, code int16) {
		if code != 0 {
			resp.ErrorCode, resp.Topics = code, []kmsg.OffsetDeleteResponseTopic{}
			done(resp)
			return
		}
		for _, t := range topics {
			at := -1
			for i := range resp.Topics {
				if resp.Topics[i].Topic == t.Topic {
					at = i
				}
			}
			if at < 0 {
				resp.Topics = append(resp.Topics, t)
				continue
			}
			resp.Topics[at].Partitions = append(resp.Topics[at].Partitions, t.Partitions...)
		}
		done(resp)
	}
	if err := s.runtime.Do(s.PartitionFor(r.Group), func(m *Shard, out *coord.Output) { m.DeleteOffsets(out, r.Group, known, put) }); err != nil {
		put(nil, responseCode(err))
	}
}
