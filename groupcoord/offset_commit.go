package groupcoord

import (
	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitRow is one partition of an OffsetCommit whose topic and partition exist.
type commitRow struct {
	topic     string
	topicID   [16]byte
	partition kmsg.OffsetCommitRequestTopicPartition
}

// validateCommit says whether who asks may commit (OFFS-02, OFFS-03).
func (s *Shard) validateCommit(r *kmsg.OffsetCommitRequest) (*group, *kerr.Error) {
	g := s.groups[r.Group]
	switch {
	case g == nil && r.Generation < 0:
		return nil, nil // by itself, without a group: the record makes one
	case g == nil && r.Version >= 9:
		return nil, kerr.GroupIDNotFound
	case g == nil:
		return nil, kerr.IllegalGeneration
	case r.Generation < 0 && g.state == Empty:
		return g, nil
	}
	if r.Generation >= 0 || r.MemberID != "" || r.InstanceID != nil {
		if _, invalid := g.validate(r.MemberID, r.InstanceID); invalid != nil {
			return nil, invalid
		}
		if r.Generation != g.generation {
			return nil, kerr.IllegalGeneration
		}
	} else if g.state != Empty {
		return nil, kerr.UnknownMemberID
	}
	if g.state == CompletingRebalance {
		return nil, kerr.RebalanceInProgress
	}
	return g, nil
}

// CommitOffsets has offsets written. done is given each row's error, in the rows' order, or the error of all.
func (s *Shard) CommitOffsets(out *coord.Output, r *kmsg.OffsetCommitRequest, rows []commitRow, done func(codes []int16)) {
	codes := make([]int16, len(rows))
	all := func(out *coord.Output, code int16) {
		for i := range codes {
			codes[i] = code
		}
		out.Reply(func() { done(codes) })
	}
	g, invalid := s.validateCommit(r)
	if invalid != nil {
		all(out, invalid.Code)
		return
	}
	if g == nil && len(s.groups) >= s.cfg.Limits.GroupsPerShard {
		if s.dropUnused(); len(s.groups) >= s.cfg.Limits.GroupsPerShard {
			all(out, kerr.GroupMaxSizeReached.Code)
			return
		}
	}
	if g != nil && g.in(Stable, PreparingRebalance) {
		if m := g.byID[r.MemberID]; m != nil {
			s.renew(out, g, m) // CGRP-25
		}
	}
	expireWall := int64(-1)
	if r.Version >= 2 && r.Version <= 4 && r.RetentionTimeMillis != -1 {
		expireWall = out.Wall + r.RetentionTimeMillis // OFFS-14
	}
	records := make([]coord.Record, 0, len(rows))
	for i, row := range rows {
		metadata := emptyString(row.partition.Metadata)
		if len(metadata) > int(s.cfg.OffsetMetadataMaxChars) && utf16Len(metadata) > int(s.cfg.OffsetMetadataMaxChars) {
			codes[i] = kerr.OffsetMetadataTooLarge.Code // OFFS-04
			continue
		}
		o := &offset{
			offset: row.partition.Offset, leaderEpoch: -1, metadata: metadata, commitWall: out.Wall, expireWall: expireWall, topicID: row.topicID,
		}
		if r.Version >= 6 {
			o.leaderEpoch = row.partition.LeaderEpoch
		}
		records = append(records, offsetRecord(r.Group, row.topic, row.partition.Partition, o))
	}
	out.Write(coord.Write{
		Records:  records,
		Splits:   true, // partitions are committed each for itself
		Appended: s.awake,
		Done: func(out *coord.Output, err error) {
			if err != nil {
				all(out, responseCode(err))
				return
			}
			out.Reply(func() { done(codes) })
		},
	})
}

// replayOffset applies an offset's record. A group that has offsets and no members of its own is a simple one (CGRP-45).
func (s *Shard) replayOffset(at coord.Position, r *replayedOffset) {
	if r.value == nil {
		s.offsets.remove(r.group, r.topic, r.partition)
		return
	}
	g := s.groups[r.group]
	if g == nil {
		g = newGroup(r.group, r.value.commitWall)
		s.put(g)
	}
	g.inLog = true
	r.value.logOffset = at.Offset
	s.offsets.put(at.ProducerID, r.group, r.topic, r.partition, r.value)
}

// DeleteOffsets deletes offsets of topics that the group doesn't subscribe to (OFFS-17). An error is the whole request's.
func (s *Shard) DeleteOffsets(out *coord.Output, groupID string, topics []kmsg.OffsetDeleteRequestTopic, done func([]kmsg.OffsetDeleteResponseTopic, int16)) {
	g := s.groups[groupID]
	switch {
	case g == nil:
		out.Reply(func() { done(nil, kerr.GroupIDNotFound.Code) })
		return
	case g.state != Empty && !g.usesConsumerProtocol():
		out.Reply(func() { done(nil, kerr.NonEmptyGroup.Code) })
		return
	}
	var records []coord.Record
	answers := make([]kmsg.OffsetDeleteResponseTopic, 0, len(topics))
	for _, t := range topics {
		a := kmsg.NewOffsetDeleteResponseTopic()
		a.Topic = t.Topic
		subscribed := g.subscribesTo(t.Topic)
		for _, p := range t.Partitions {
			row := kmsg.NewOffsetDeleteResponseTopicPartition()
			row.Partition = p.Partition
			if subscribed {
				row.ErrorCode = kerr.GroupSubscribedToTopic.Code
			} else if s.offsets.committed[groupID].get(t.Topic, p.Partition) != nil || s.offsets.isPending(groupID, t.Topic, p.Partition) {
				records = append(records, offsetTombstone(groupID, t.Topic, p.Partition))
			}
			a.Partitions = append(a.Partitions, row)
		}
		answers = append(answers, a)
	}
	out.Write(coord.Write{Records: records, Splits: true, Done: func(out *coord.Output, err error) {
		out.Reply(func() {
			if err != nil {
				done(nil, responseCode(err))
				return
			}
			done(answers, 0)
		})
	}})
}
