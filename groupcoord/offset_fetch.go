package groupcoord

import (
	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
)

// fetchTopic is one topic of an OffsetFetch: by name, and by id where the client asked by id.
type fetchTopic struct {
	name       string
	id         [16]byte
	partitions []int32
}

// offsetRow is the answer for one partition.
type offsetRow struct {
	partition   int32
	offset      int64
	leaderEpoch int32
	metadata    string
	code        int16
}

// offsetTopic is the answer for one topic.
type offsetTopic struct {
	name string
	id   [16]byte
	rows []offsetRow
}

func noOffset(partition int32, code int16) offsetRow {
	return offsetRow{partition: partition, offset: -1, leaderEpoch: -1, code: code}
}

// FetchOffsets answers an OffsetFetch of one group: of topics, or of all where topics is nil (OFFS-07 to OFFS-09). It is answered when
// everything that it tells is committed, so that nobody ever sees an offset that could still be lost.
func (s *Shard) FetchOffsets(out *coord.Output, group string, topics []fetchTopic, requireStable bool, done func([]offsetTopic, int16)) {
	var answers []offsetTopic
	if topics == nil {
		answers = s.allOffsets(group, requireStable)
	} else {
		answers = make([]offsetTopic, 0, len(topics))
		offsets := s.offsets.committed[group]
		for _, t := range topics {
			a := offsetTopic{name: t.name, id: t.id, rows: make([]offsetRow, 0, len(t.partitions))}
			for _, p := range t.partitions {
				o := offsets.get(t.name, p)
				if o != nil && otherTopic(o.topicID, t.id) {
					o = nil
				}
				a.rows = append(a.rows, s.offsetRow(group, t.name, p, o, requireStable))
			}
			answers = append(answers, a)
		}
	}
	out.Write(coord.Write{Done: func(out *coord.Output, err error) {
		out.Reply(func() {
			if err != nil {
				done(nil, fetchCode(err))
				return
			}
			done(answers, 0)
		})
	}})
}

// otherTopic says that an offset was committed for a topic of the same name that is gone.
func otherTopic(committed, asked [16]byte) bool {
	var none [16]byte
	return committed != none && asked != none && committed != asked
}

func (s *Shard) offsetRow(group, topic string, partition int32, o *offset, requireStable bool) offsetRow {
	switch {
	case requireStable && s.offsets.isPending(group, topic, partition): // OFFS-11
		return noOffset(partition, kerr.UnstableOffsetCommit.Code)
	case o == nil:
		return noOffset(partition, 0)
	default:
		return offsetRow{partition: partition, offset: o.offset, leaderEpoch: o.leaderEpoch, metadata: o.metadata}
	}
}

func (s *Shard) allOffsets(group string, requireStable bool) []offsetTopic {
	offsets := s.offsets.committed[group]
	answers := make([]offsetTopic, 0, len(offsets))
	for _, topic := range offsets.topics() {
		a := offsetTopic{name: topic, rows: make([]offsetRow, 0, len(offsets[topic]))}
		for _, p := range offsets.partitions(topic) {
			a.rows = append(a.rows, s.offsetRow(group, topic, p, offsets.get(topic, p), requireStable))
		}
		answers = append(answers, a)
	}
	return answers
}
