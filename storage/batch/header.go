package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	// HeaderSize is the length of a batch's header in bytes; the records follow.
	HeaderSize = 61
	// Overhead is the length of base offset and length, which a batch's length does not count.
	Overhead = 12
	// Magic is the only magic value that is accepted and written.
	Magic = 2

	// NoTimestamp, NoProducerID, NoProducerEpoch, NoSequence and NoLeaderEpoch stand for what a batch doesn't have.
	NoTimestamp     int64 = -1
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoLeaderEpoch   int32 = -1
)

const (
	offLength          = 8
	offLeaderEpoch     = 12
	offMagic           = 16
	offCRC             = 17
	offAttributes      = 21
	offLastOffsetDelta = 23
	offBaseTimestamp   = 27
	offMaxTimestamp    = 35
	offProducerID      = 43
	offProducerEpoch   = 51
	offBaseSequence    = 53
	offNumRecords      = 57

	// headerUpToMagic is how many bytes must be there to tell a batch's length and magic.
	headerUpToMagic = offMagic + 1
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// ErrShort says that there are fewer bytes than a header has, or than a header's length says.
var ErrShort = errors.New("batch: too few bytes")

// TimestampType says whose clock gave a batch's timestamps.
type TimestampType int8

const (
	// CreateTime is the producer's clock.
	CreateTime TimestampType = iota
	// LogAppendTime is the broker's clock: all records of the batch have its max timestamp.
	LogAppendTime
)

func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// Header is a batch's header. Timestamps are milliseconds.
type Header struct {
	BaseOffset      int64
	Length          int32
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	NumRecords      int32
}

// ParseHeader reads the header at the beginning of b. It checks nothing but that b has HeaderSize bytes (else ErrShort).
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrShort
	}
	b = b[:HeaderSize]
	be := binary.BigEndian
	return Header{
		BaseOffset:      int64(be.Uint64(b)),
		Length:          int32(be.Uint32(b[offLength:])),
		LeaderEpoch:     int32(be.Uint32(b[offLeaderEpoch:])),
		Magic:           int8(b[offMagic]),
		CRC:             be.Uint32(b[offCRC:]),
		Attributes:      int16(be.Uint16(b[offAttributes:])),
		LastOffsetDelta: int32(be.Uint32(b[offLastOffsetDelta:])),
		BaseTimestamp:   int64(be.Uint64(b[offBaseTimestamp:])),
		MaxTimestamp:    int64(be.Uint64(b[offMaxTimestamp:])),
		ProducerID:      int64(be.Uint64(b[offProducerID:])),
		ProducerEpoch:   int16(be.Uint16(b[offProducerEpoch:])),
		BaseSequence:    int32(be.Uint32(b[offBaseSequence:])),
		NumRecords:      int32(be.Uint32(b[offNumRecords:])),
	}, nil
}

// AppendTo appends the header to dst as it stands, CRC included (see SetCRC).
func (h Header) AppendTo(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint64(dst, uint64(h.BaseOffset))
	dst = be.AppendUint32(dst, uint32(h.Length))
	dst = be.AppendUint32(dst, uint32(h.LeaderEpoch))
	dst = append(dst, byte(h.Magic))
	dst = be.AppendUint32(dst, h.CRC)
	dst = be.AppendUint16(dst, uint16(h.Attributes))
	dst = be.AppendUint32(dst, uint32(h.LastOffsetDelta))
	dst = be.AppendUint64(dst, uint64(h.BaseTimestamp))
	dst = be.AppendUint64(dst, uint64(h.MaxTimestamp))
	dst = be.AppendUint64(dst, uint64(h.ProducerID))
	dst = be.AppendUint16(dst, uint16(h.ProducerEpoch))
	dst = be.AppendUint32(dst, uint32(h.BaseSequence))
	return be.AppendUint32(dst, uint32(h.NumRecords))
}

// Size is the length of the whole batch in bytes, as the header declares it. A hostile header makes it negative or huge.
func (h Header) Size() int { return Overhead + int(h.Length) }

// Codec is what the records are compressed with; it may be one that doesn't exist (see Codec.Valid).
func (h Header) Codec() Codec { return Codec(h.Attributes & attrCodec) }

// IsTransactional says whether the batch is part of a transaction.
func (h Header) IsTransactional() bool { return h.Attributes&attrTransactional != 0 }

// IsControl says whether the batch holds a control record, which clients don't show to their users.
func (h Header) IsControl() bool { return h.Attributes&attrControl != 0 }

// TimestampType says whose clock gave the timestamps.
func (h Header) TimestampType() TimestampType {
	if h.Attributes&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// DeleteHorizonMillis is when the cleaner may drop the batch's tombstones or marker (KIP-534); false where none is set. The base
// timestamp's field holds it, and the records' timestamp deltas then count from it.
func (h Header) DeleteHorizonMillis() (int64, bool) {
	return h.BaseTimestamp, h.Attributes&attrDeleteHorizon != 0
}

// LastOffset is the offset of the batch's last record.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// NextOffset is the offset after the batch's last record.
func (h Header) NextOffset() int64 { return h.LastOffset() + 1 }

// HasProducerID says whether an idempotent producer sent the batch.
func (h Header) HasProducerID() bool { return h.ProducerID > NoProducerID }

// LastSequence is the sequence number of the last record, or NoSequence. Sequence numbers wrap to 0 after the largest int32.
func (h Header) LastSequence() int32 {
	if h.BaseSequence == NoSequence {
		return NoSequence
	}
	return AddSequence(h.BaseSequence, h.LastOffsetDelta)
}

// AddSequence adds n, which must not be negative, to a sequence number; after the largest int32 comes 0.
func AddSequence(seq, n int32) int32 {
	if seq > math.MaxInt32-n {
		return n - (math.MaxInt32 - seq) - 1
	}
	return seq + n
}

func (h Header) String() string {
	return fmt.Sprintf("batch(offsets %d..%d, %d records, %d bytes, producer %d/%d, sequence %d..%d, attributes %#x, epoch %d)",
		h.BaseOffset, h.LastOffset(), h.NumRecords, h.Size(), h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.LastSequence(),
		h.Attributes, h.LeaderEpoch)
}

// SetBaseOffset sets the base offset of the batch at the beginning of b in place; its checksum doesn't cover it.
func SetBaseOffset(b []byte, offset int64) { binary.BigEndian.PutUint64(b, uint64(offset)) }

// SetLeaderEpoch sets the partition leader epoch of the batch at the beginning of b in place; its checksum doesn't cover it.
func SetLeaderEpoch(b []byte, epoch int32) {
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(epoch))
}

// castagnoli is never written after its making.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum computes the CRC-32C of b, which must be exactly one batch of at least HeaderSize bytes.
func Checksum(b []byte) uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }

// ValidCRC says whether b, which must be exactly one batch, has the checksum that its header says.
func ValidCRC(b []byte) bool {
	return len(b) >= HeaderSize && binary.BigEndian.Uint32(b[offCRC:]) == Checksum(b)
}

// SetCRC computes the checksum of b, which must be exactly one batch, and sets it in place.
func SetCRC(b []byte) { binary.BigEndian.PutUint32(b[offCRC:], Checksum(b)) }

// setTimestamps sets the timestamp type and the max timestamp in place and the checksum anew; nothing is done where both are
// already right.
func setTimestamps(b []byte, h *Header, t TimestampType, maxTimestamp int64) {
	if h.TimestampType() == t && h.MaxTimestamp == maxTimestamp {
		return
	}
	h.Attributes &^= attrLogAppendTime
	if t == LogAppendTime {
		h.Attributes |= attrLogAppendTime
	}
	h.MaxTimestamp = maxTimestamp
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(h.Attributes))
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(maxTimestamp))
	h.CRC = Checksum(b)
	binary.BigEndian.PutUint32(b[offCRC:], h.CRC)
}
