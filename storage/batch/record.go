package batch

import (
	"errors"
	"fmt"
)

// Record is one record of a batch. Key, Value and the headers' values alias the bytes it was parsed from. A nil key or value is
// Kafka's null; an empty one is not.
type Record struct {
	Attributes     int8
	TimestampDelta int64 // ms, from the batch's base timestamp
	OffsetDelta    int32
	Key, Value     []byte
	Headers        []RecordHeader
}

// RecordHeader is one header of a record.
type RecordHeader struct {
	Key   string
	Value []byte
}

// ErrInvalidRecord marks a batch or record whose contents break the format or a rule of the topic (Kafka's INVALID_RECORD).
var ErrInvalidRecord = errors.New("invalid record")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalidRecord}, args...)...)
}

var (
	errRecordStructure = malformed("found invalid record structure")
	errRecordSize      = malformed("a record's size is not what it declares")
	errRecordsEnd      = malformed("incorrect declared batch size, premature end reached")
	errRecordsRemain   = malformed("incorrect declared batch size, records still remaining")
	errHeaderCount     = malformed("found invalid number of record headers")
	errHeaderKey       = malformed("invalid negative header key size")
)

// span is where a record's parts lie in the bytes it was read from; the ends are exclusive, -1 as a start stands for null.
type span struct {
	attributes           int8
	timestampDelta       int64
	offsetDelta          int32
	keyStart, keyEnd     int
	valueStart, valueEnd int
	headers              int // where the first header is
	numHeaders           int
	end                  int
}

// maxHeadSize is the most that a record's length, attributes and deltas take.
const maxHeadSize = 5 + 1 + 10 + 5

// scan reads the record at pos of b without keeping anything, and checks its structure to the last byte. It allocates nothing.
func scan(b []byte, pos int, s *span) error {
	size, n := varint32At(b, pos)
	if n == 0 {
		if size, n = varint32(b[pos:]); n == 0 {
			return errRecordsEnd
		}
	}
	pos += n
	if size < 0 || int(size) > len(b)-pos {
		return errRecordSize
	}
	b = b[:pos+int(size)]
	pos, err := scanDeltas(b, pos, s)
	if err != nil {
		return err
	}
	return scanBody(b, pos, s)
}

// scanDeltas reads attributes and deltas, which follow the record's length.
func scanDeltas(b []byte, pos int, s *span) (next int, err error) {
	if pos >= len(b) {
		return 0, errRecordStructure
	}
	s.attributes = int8(b[pos])
	pos++
	var n int
	if s.timestampDelta, n = varint64(b[pos:]); n == 0 {
		return 0, errRecordStructure
	}
	pos += n
	if s.offsetDelta, n = varint32At(b, pos); n == 0 {
		if s.offsetDelta, n = varint32(b[pos:]); n == 0 {
			return 0, errRecordStructure
		}
	}
	return pos + n, nil
}

// scanBody reads key, value and headers, which must end where b does.
func scanBody(b []byte, pos int, s *span) error {
	var ok bool
	if s.keyStart, s.keyEnd, pos, ok = scanBytes(b, pos); !ok {
		return errRecordStructure
	}
	if s.valueStart, s.valueEnd, pos, ok = scanBytes(b, pos); !ok {
		return errRecordStructure
	}
	num, n := varint32At(b, pos)
	if n == 0 {
		if num, n = varint32(b[pos:]); n == 0 {
			return errRecordStructure
		}
	}
	pos += n
	if num < 0 || int(num) > len(b)-pos {
		return errHeaderCount
	}
	s.headers, s.numHeaders = pos, int(num)
	for range num {
		var start int
		if start, _, pos, ok = scanBytes(b, pos); !ok {
			return errRecordStructure
		}
		if start < 0 {
			return errHeaderKey
		}
		if _, _, pos, ok = scanBytes(b, pos); !ok {
			return errRecordStructure
		}
	}
	if pos != len(b) {
		return errRecordSize
	}
	s.end = pos
	return nil
}

// scanBytes reads a length and that many bytes; any negative length is null, as in Kafka.
func scanBytes(b []byte, pos int) (start, end, next int, ok bool) {
	l, n := varint32At(b, pos)
	if n == 0 {
		if l, n = varint32(b[pos:]); n == 0 {
			return 0, 0, 0, false
		}
	}
	pos += n
	if l < 0 {
		return -1, -1, pos, true
	}
	if int(l) > len(b)-pos {
		return 0, 0, 0, false
	}
	return pos, pos + int(l), pos + int(l), true
}

// part is b[start:end], nil for null and never nil otherwise; it can't be appended to in place.
func part(b []byte, start, end int) []byte {
	if start < 0 {
		return nil
	}
	return b[start:end:end]
}

func (s *span) record(b []byte) Record {
	r := Record{
		Attributes:     s.attributes,
		TimestampDelta: s.timestampDelta,
		OffsetDelta:    s.offsetDelta,
		Key:            part(b, s.keyStart, s.keyEnd),
		Value:          part(b, s.valueStart, s.valueEnd),
	}
	if s.numHeaders > 0 {
		r.Headers = make([]RecordHeader, s.numHeaders)
		pos := s.headers
		for i := range r.Headers {
			var start, end int
			start, end, pos, _ = scanBytes(b[:s.end], pos)
			r.Headers[i].Key = string(b[start:end])
			start, end, pos, _ = scanBytes(b[:s.end], pos)
			r.Headers[i].Value = part(b, start, end)
		}
	}
	return r
}

// AppendRecord appends r in its wire form to dst.
func AppendRecord(dst []byte, r *Record) []byte {
	size := 1 + sizeVarint64(r.TimestampDelta) + sizeVarint32(r.OffsetDelta) + sizeBytes(r.Key) + sizeBytes(r.Value) +
		sizeVarint32(int32(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += sizeVarint32(int32(len(h.Key))) + len(h.Key) + sizeBytes(h.Value)
	}
	dst = appendVarint32(dst, int32(size))
	dst = append(dst, byte(r.Attributes))
	dst = appendVarint64(dst, r.TimestampDelta)
	dst = appendVarint32(dst, r.OffsetDelta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = appendVarint32(dst, int32(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = appendVarint32(dst, int32(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func sizeBytes(b []byte) int {
	if b == nil {
		return 1
	}
	return sizeVarint32(int32(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return appendVarint32(dst, -1)
	}
	return append(appendVarint32(dst, int32(len(b))), b...)
}

// EachRecord calls fn for each record of batch, which must be exactly one batch, in order, until fn returns an error, which is
// then returned. What the records point at stays valid as long as batch isn't changed. The checksum isn't looked at. It errs with
// ErrInvalidRecord where the records break the format, with ErrCorrupt where they don't decompress, with ErrUnsupportedCodec,
// and with ErrTooLarge where they would take more than maxDecompressed bytes.
func EachRecord(batch []byte, maxDecompressed int, fn func(i int, r Record) error) error {
	h, err := ParseHeader(batch)
	if err != nil {
		return err
	}
	if h.NumRecords < 0 {
		return malformed("found invalid record count %d", h.NumRecords)
	}
	records := batch[HeaderSize:]
	if c := h.Codec(); c != None && h.NumRecords > 0 {
		if records, err = Decompress(nil, records, c, maxDecompressed); err != nil {
			return err
		}
	}
	var s span
	pos := 0
	for i := range int(h.NumRecords) {
		if err := scan(records, pos, &s); err != nil {
			return err
		}
		if err := fn(i, s.record(records)); err != nil {
			return err
		}
		pos = s.end
	}
	if pos != len(records) {
		return errRecordsRemain
	}
	return nil
}

// Timestamp is the timestamp in ms of a record of a batch with header h.
func (h Header) Timestamp(r Record) int64 {
	if h.TimestampType() == LogAppendTime {
		return h.MaxTimestamp
	}
	return h.BaseTimestamp + r.TimestampDelta
}
