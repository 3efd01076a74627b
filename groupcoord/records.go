package groupcoord

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kbroker/kbroker/coord"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of the keys in __consumer_offsets, which say what kind of record it is.
const (
	keyOffsetCommit0  = 0
	keyOffsetCommit   = 1
	keyGroupMetadata  = 2
	valueOffset       = 4 // with the topic's id, flexible
	valueOffsetExpiry = 1 // the only one with an expiry of its own
	valueGroup        = 3
)

var errBadRecord = errors.New("record of __consumer_offsets can't be decoded")

func offsetKey(group, topic string, partition int32) []byte {
	k := kmsg.NewOffsetCommitKey()
	k.Version, k.Group, k.Topic, k.Partition = keyOffsetCommit, group, topic, partition
	return k.AppendTo(nil)
}

func offsetRecord(group, topic string, partition int32, o *offset) coord.Record {
	v := kmsg.NewOffsetCommitValue()
	v.Version = valueOffset
	v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp, v.TopicID = o.offset, o.leaderEpoch, o.metadata, o.commitWall, o.topicID
	if o.expireWall >= 0 {
		v.Version, v.ExpireTimestamp = valueOffsetExpiry, o.expireWall
	}
	return coord.Record{Key: offsetKey(group, topic, partition), Value: v.AppendTo(nil)}
}

func offsetTombstone(group, topic string, partition int32) coord.Record {
	return coord.Record{Key: offsetKey(group, topic, partition)}
}

func groupKey(group string) []byte {
	k := kmsg.NewGroupMetadataKey()
	k.Version, k.Group = keyGroupMetadata, group
	return k.AppendTo(nil)
}

func groupTombstone(group string) coord.Record { return coord.Record{Key: groupKey(group)} }

// groupImage is what is written of a group.
type groupImage struct {
	protocolType   string
	protocol       *string
	generation     int32
	leader         string
	stateSinceWall int64
	members        []*member
	// assignment gives a member's assignment.
	assignment func(*member) []byte
}

func groupRecord(group string, img groupImage) coord.Record {
	v := kmsg.NewGroupMetadataValue()
	v.Version = valueGroup
	v.ProtocolType, v.Generation, v.Protocol, v.CurrentStateTimestamp = img.protocolType, img.generation, img.protocol, img.stateSinceWall
	if img.leader != "" {
		v.Leader = &img.leader
	}
	for _, m := range img.members {
		w := kmsg.NewGroupMetadataValueMember()
		w.MemberID, w.InstanceID, w.ClientID, w.ClientHost = m.id, m.instanceID, m.clientID, m.clientHost
		w.RebalanceTimeoutMillis, w.SessionTimeoutMillis = m.rebalanceTimeoutMillis, m.sessionTimeoutMillis
		w.Subscription, w.Assignment = []byte{}, img.assignment(m)
		if img.protocol != nil {
			if s := m.metadata(*img.protocol); s != nil {
				w.Subscription = s
			}
		}
		if w.Assignment == nil {
			w.Assignment = []byte{}
		}
		v.Members = append(v.Members, w)
	}
	return coord.Record{Key: groupKey(group), Value: v.AppendTo(nil)}
}

// replayedOffset and replayedGroup are what a record says; exactly one of the two is there, and its value is nil for a tombstone.
type (
	replayedOffset struct {
		group, topic string
		partition    int32
		value        *offset
	}
	replayedGroup struct {
		group string
		value *kmsg.GroupMetadataValue
	}
)

// decodeRecord reads a record. Both results are nil where it is of a kind that isn't known here.
func decodeRecord(key, value []byte) (*replayedOffset, *replayedGroup, error) {
	if len(key) < 2 {
		return nil, nil, fmt.Errorf("%w: a key of %d bytes", errBadRecord, len(key))
	}
	switch kind := int16(binary.BigEndian.Uint16(key)); kind {
	case keyOffsetCommit0, keyOffsetCommit:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(key); err != nil {
			return nil, nil, fmt.Errorf("%w: offset's key: %w", errBadRecord, err)
		}
		r := &replayedOffset{group: k.Group, topic: k.Topic, partition: k.Partition}
		if value == nil {
			return r, nil, nil
		}
		if err := knownVersion(value, valueOffset); err != nil {
			return nil, nil, err
		}
		var v kmsg.OffsetCommitValue
		if err := v.ReadFrom(value); err != nil {
			return nil, nil, fmt.Errorf("%w: offset: %w", errBadRecord, err)
		}
		r.value = &offset{offset: v.Offset, leaderEpoch: -1, metadata: v.Metadata, commitWall: v.CommitTimestamp, expireWall: -1, topicID: v.TopicID}
		if v.Version >= 3 {
			r.value.leaderEpoch = v.LeaderEpoch
		}
		if v.Version == valueOffsetExpiry {
			r.value.expireWall = v.ExpireTimestamp
		}
		return r, nil, nil
	case keyGroupMetadata:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(key); err != nil {
			return nil, nil, fmt.Errorf("%w: group's key: %w", errBadRecord, err)
		}
		r := &replayedGroup{group: k.Group}
		if value == nil {
			return nil, r, nil
		}
		const newest = 4 // flexible; written by other versions of Kafka
		if err := knownVersion(value, newest); err != nil {
			return nil, nil, err
		}
		v := new(kmsg.GroupMetadataValue)
		if err := v.ReadFrom(value); err != nil {
			return nil, nil, fmt.Errorf("%w: group: %w", errBadRecord, err)
		}
		for i := range v.Members { // the record's bytes must not be kept
			v.Members[i].Subscription = bytes.Clone(v.Members[i].Subscription)
			v.Members[i].Assignment = bytes.Clone(v.Members[i].Assignment)
		}
		r.value = v
		return nil, r, nil
	default:
		return nil, nil, nil
	}
}

func knownVersion(value []byte, newest int16) error {
	if len(value) < 2 {
		return fmt.Errorf("%w: a value of %d bytes", errBadRecord, len(value))
	}
	if v := int16(binary.BigEndian.Uint16(value)); v < 0 || v > newest {
		return fmt.Errorf("%w: version %d, this program knows %d", errBadRecord, v, newest)
	}
	return nil
}
