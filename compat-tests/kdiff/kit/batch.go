package kit

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
)

// Attribute bits of a batch.
const (
	LogAppendTimeBit = 1 << 3
	TransactionalBit = 1 << 4
	ControlBit       = 1 << 5
)

// Codecs by their number on the wire.
const (
	None = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// A Record of a Batch. Nil keys and values are null.
type Record struct {
	Key, Value  []byte
	Headers     []Header
	Timestamp   int64  // added to the batch's
	OffsetDelta *int64 // nil: its position
}

// Header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Batch is a record batch that may be wrong in chosen ways.
type Batch struct {
	Timestamp  int64 // of the first record
	Attributes uint16
	Codec      int
	ProducerID int64
	Epoch      int16
	Sequence   int32
	Records    []Record

	// Faults, where not zero or nil.
	BaseOffset       int64
	Magic            *int8
	Count            *int32
	LastOffsetDelta  *int32
	MaxTimestamp     *int64
	LeaderEpoch      int32 // sent as it is; Values and friends set -1
	WrongCRC         bool
	LengthAdjustment int32
	RawRecords       []byte // instead of Records
}

// Values is a plain batch of records without keys, at Base, Base+1 and so on.
func Values(t *diff.T, values ...string) Batch {
	b := Batch{Timestamp: t.Base(), ProducerID: -1, Epoch: -1, Sequence: -1, LeaderEpoch: -1}
	for i, value := range values {
		b.Records = append(b.Records, Record{Value: []byte(value), Timestamp: int64(i)})
	}
	return b
}

// Pairs is Values with keys: key, value, key, value.
func Pairs(t *diff.T, keysAndValues ...string) Batch {
	b := Values(t)
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		b.Records = append(b.Records, Record{Key: []byte(keysAndValues[i]), Value: []byte(keysAndValues[i+1]), Timestamp: int64(i / 2)})
	}
	return b
}

// From makes the batch an idempotent producer's.
func (b Batch) From(p Producer, sequence int32) Batch {
	b.ProducerID, b.Epoch, b.Sequence = p.ID, p.Epoch, sequence
	return b
}

// InTxn makes it a transactional producer's.
func (b Batch) InTxn(p Producer, sequence int32) Batch {
	b = b.From(p, sequence)
	b.Attributes |= TransactionalBit
	return b
}

// Compressed sets the codec.
func (b Batch) Compressed(codec int) Batch {
	b.Codec = codec
	return b
}

// At moves the batch's first timestamp to base+ms.
func (b Batch) At(ms int64) Batch {
	b.Timestamp += ms
	return b
}

// Bytes encodes the batch.
func (b Batch) Bytes() []byte {
	magic, count, lastDelta, maxTimestamp := int8(2), int32(len(b.Records)), int32(len(b.Records))-1, b.Timestamp
	for _, r := range b.Records {
		maxTimestamp = max(maxTimestamp, b.Timestamp+r.Timestamp)
	}
	override(&magic, b.Magic)
	override(&count, b.Count)
	override(&lastDelta, b.LastOffsetDelta)
	override(&maxTimestamp, b.MaxTimestamp)

	var crced []byte
	crced = binary.BigEndian.AppendUint16(crced, b.Attributes|uint16(b.Codec))
	crced = binary.BigEndian.AppendUint32(crced, uint32(lastDelta))
	crced = binary.BigEndian.AppendUint64(crced, uint64(b.Timestamp))
	crced = binary.BigEndian.AppendUint64(crced, uint64(maxTimestamp))
	crced = binary.BigEndian.AppendUint64(crced, uint64(b.ProducerID))
	crced = binary.BigEndian.AppendUint16(crced, uint16(b.Epoch))
	crced = binary.BigEndian.AppendUint32(crced, uint32(b.Sequence))
	crced = binary.BigEndian.AppendUint32(crced, uint32(count))
	crced = append(crced, b.payload()...)

	crc := crc32.Checksum(crced, crc32.MakeTable(crc32.Castagnoli))
	if b.WrongCRC {
		crc++
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(b.BaseOffset))
	out = binary.BigEndian.AppendUint32(out, uint32(int32(len(crced))+9+b.LengthAdjustment))
	out = binary.BigEndian.AppendUint32(out, uint32(b.LeaderEpoch))
	out = append(out, byte(magic))
	out = binary.BigEndian.AppendUint32(out, crc)
	return append(out, crced...)
}

func override[T any](value *T, with *T) {
	if with != nil {
		*value = *with
	}
}

func (b Batch) payload() []byte {
	raw := b.RawRecords
	if raw == nil {
		for i, r := range b.Records {
			raw = r.append(raw, int64(i))
		}
	}
	return Compress(raw, b.Codec)
}

func (r Record) append(dst []byte, position int64) []byte {
	override(&position, r.OffsetDelta)
	body := []byte{0}
	body = binary.AppendVarint(body, r.Timestamp)
	body = binary.AppendVarint(body, position)
	body = appendBytes(body, r.Key)
	body = appendBytes(body, r.Value)
	body = binary.AppendVarint(body, int64(len(r.Headers)))
	for _, h := range r.Headers {
		body = appendBytes(body, []byte(h.Key))
		body = appendBytes(body, h.Value)
	}
	dst = binary.AppendVarint(dst, int64(len(body)))
	return append(dst, body...)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// Compress compresses with a codec by its number.
func Compress(raw []byte, codec int) []byte {
	var c kgo.CompressionCodec
	switch codec {
	case Gzip:
		c = kgo.GzipCompression()
	case Snappy:
		c = kgo.SnappyCompression()
	case LZ4:
		c = kgo.Lz4Compression()
	case Zstd:
		c = kgo.ZstdCompression()
	default:
		return raw
	}
	compressor, err := kgo.DefaultCompressor(c)
	if err != nil {
		panic(err)
	}
	out, _ := compressor.Compress(&bytes.Buffer{}, raw)
	return bytes.Clone(out)
}

// OldMessage is one message of the formats before record batches, magic 0 or 1.
func OldMessage(magic int8, timestamp int64, value string) []byte {
	body := []byte{byte(magic), 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, uint64(timestamp))
	}
	body = binary.BigEndian.AppendUint32(body, 0xffffffff) // null key
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	body = append(body, value...)
	out := binary.BigEndian.AppendUint64(nil, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+4))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}
