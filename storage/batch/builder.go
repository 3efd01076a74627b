package batch

import (
	"encoding/binary"
	"math"
)

// Builder makes a batch record by record: for coordinators, for control batches and for tests. The zero value is not usable; see
// NewBuilder. A Builder is used by one goroutine.
type Builder struct {
	h       Header
	codec   Codec
	level   int
	records []byte
}

// NewBuilder makes a builder of a batch with base offset 0, no leader epoch, no producer, no compression and CreateTime.
func NewBuilder() *Builder {
	b := &Builder{}
	b.Reset()
	return b
}

// Reset makes the builder as NewBuilder does but keeps its memory; batches built before stay valid.
func (b *Builder) Reset() {
	b.h = Header{
		LeaderEpoch:   NoLeaderEpoch,
		Magic:         Magic,
		BaseTimestamp: NoTimestamp,
		MaxTimestamp:  NoTimestamp,
		ProducerID:    NoProducerID,
		ProducerEpoch: NoProducerEpoch,
		BaseSequence:  NoSequence,
	}
	b.codec, b.level = None, DefaultLevel
	b.records = b.records[:0]
}

// SetBaseOffset sets the offset of the first record.
func (b *Builder) SetBaseOffset(offset int64) *Builder { b.h.BaseOffset = offset; return b }

// SetLeaderEpoch sets the partition leader epoch.
func (b *Builder) SetLeaderEpoch(epoch int32) *Builder { b.h.LeaderEpoch = epoch; return b }

// SetProducer makes the batch one of an idempotent producer.
func (b *Builder) SetProducer(id int64, epoch int16, baseSequence int32) *Builder {
	b.h.ProducerID, b.h.ProducerEpoch, b.h.BaseSequence = id, epoch, baseSequence
	return b
}

// SetTransactional makes the batch part of a transaction.
func (b *Builder) SetTransactional() *Builder { b.h.Attributes |= attrTransactional; return b }

// SetControl makes the batch a control batch.
func (b *Builder) SetControl() *Builder { b.h.Attributes |= attrControl; return b }

// SetCodec sets the codec, which must be a valid one, and its level, DefaultLevel where it doesn't matter.
func (b *Builder) SetCodec(codec Codec, level int) *Builder {
	b.codec, b.level = codec, level
	return b
}

// SetLogAppendTime makes all records have this timestamp, in ms.
func (b *Builder) SetLogAppendTime(timestampMillis int64) *Builder {
	b.h.Attributes |= attrLogAppendTime
	b.h.MaxTimestamp = timestampMillis
	return b
}

// Append adds a record. A nil key or value is null. What it is given is copied.
func (b *Builder) Append(timestampMillis int64, key, value []byte, headers ...RecordHeader) *Builder {
	if b.h.NumRecords == 0 {
		b.h.BaseTimestamp = timestampMillis
	}
	if b.h.TimestampType() == CreateTime {
		b.h.MaxTimestamp = max(b.h.MaxTimestamp, timestampMillis)
	}
	b.h.LastOffsetDelta = b.h.NumRecords
	b.records = AppendRecord(b.records, &Record{
		TimestampDelta: timestampMillis - b.h.BaseTimestamp,
		OffsetDelta:    b.h.NumRecords,
		Key:            key,
		Value:          value,
		Headers:        headers,
	})
	b.h.NumRecords++
	return b
}

// Len is how many records were added.
func (b *Builder) Len() int { return int(b.h.NumRecords) }

// Size is how many bytes the batch would take uncompressed.
func (b *Builder) Size() int { return HeaderSize + len(b.records) }

// Build returns the batch in memory of its own, checksum included. The builder can be added to and built again. It panics where
// SetCodec was given no codec that exists or where the batch passes 2 GiB: these are the caller's mistakes.
func (b *Builder) Build() []byte {
	h := b.h
	h.Attributes |= int16(b.codec)
	out := make([]byte, HeaderSize, HeaderSize+len(b.records))
	if b.codec == None {
		out = append(out, b.records...)
	} else {
		var err error
		if out, err = Compress(out, b.records, b.codec, b.level); err != nil {
			panic("batch: " + err.Error())
		}
	}
	if len(out) > math.MaxInt32 {
		panic("batch: larger than 2 GiB")
	}
	h.Length = int32(len(out) - Overhead)
	h.AppendTo(out[:0])
	SetCRC(out)
	return out
}

// ControlType is the kind of a control record.
type ControlType int16

const (
	// ControlAbort and ControlCommit end a transaction on a partition.
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

// controlKeySize and endTxnValueSize are the lengths of a control record's key and of an end marker's value, both of version 0.
const (
	controlKeySize  = 4
	endTxnValueSize = 6
)

// EndTxnMarker builds the control batch that ends a producer's transaction on a partition.
func EndTxnMarker(timestampMillis, producerID int64, producerEpoch int16, kind ControlType, coordinatorEpoch int32) []byte {
	key := make([]byte, controlKeySize)
	binary.BigEndian.PutUint16(key[2:], uint16(kind))
	value := make([]byte, endTxnValueSize)
	binary.BigEndian.PutUint32(value[2:], uint32(coordinatorEpoch))
	return NewBuilder().SetProducer(producerID, producerEpoch, NoSequence).SetTransactional().SetControl().
		Append(timestampMillis, key, value).Build()
}

// ParseControl reads the kind of a control record from its key.
func ParseControl(key []byte) (ControlType, error) {
	if len(key) < controlKeySize {
		return 0, malformed("a control record's key has %d bytes", len(key))
	}
	if v := int16(binary.BigEndian.Uint16(key)); v < 0 {
		return 0, malformed("a control record's key has version %d", v)
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), nil
}

// ParseEndTxnValue reads the coordinator epoch from the value of a ControlAbort or ControlCommit record.
func ParseEndTxnValue(value []byte) (coordinatorEpoch int32, err error) {
	if len(value) < endTxnValueSize {
		return 0, malformed("an end marker's value has %d bytes", len(value))
	}
	if v := int16(binary.BigEndian.Uint16(value)); v < 0 {
		return 0, malformed("an end marker's value has version %d", v)
	}
	return int32(binary.BigEndian.Uint32(value[2:])), nil
}
