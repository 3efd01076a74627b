package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Rules are what a topic asks of the batches that a leader appends to it.
type Rules struct {
	// Partition is "topic-0", for messages only.
	Partition string
	// CompactedTopic refuses records without a key.
	CompactedTopic bool
	// TimestampType is the topic's message.timestamp.type.
	TimestampType TimestampType
	// TimestampBeforeMaxMillis and TimestampAfterMaxMillis bound how far a record's timestamp may lie from NowMillis on a CreateTime topic.
	TimestampBeforeMaxMillis, TimestampAfterMaxMillis int64
	// TargetCodec is the topic's compression.type: Producer, or the codec that every batch is to have.
	TargetCodec                    Codec
	GzipLevel, LZ4Level, ZstdLevel int
	// MaxMessageBytes is the topic's max.message.bytes, of the batch as sent and after recompression; 0 means no limit.
	MaxMessageBytes int
	// MaxDecompressedBytes is the topic's max.decompressed.message.bytes: as in Kafka the limit of a single record in a compressed
	// batch, and what can raise DecompressedLimit. 0 stands for DefaultMaxDecompressedBytes.
	MaxDecompressedBytes int
	// AllowControl is for coordinators: the rules that only clients are held to (offsets from 0, counts, no control batches,
	// sequences) aren't looked at.
	AllowControl bool
	// AllowZstd is false for produce requests below version 7 (KIP-110).
	AllowZstd bool
	// NowMillis is the broker's clock.
	NowMillis int64
}

// Validated is an accepted batch. Its base offset and leader epoch are still the sender's (see SetBaseOffset, SetLeaderEpoch).
type Validated struct {
	// Batch is the batch to append: the slice that was given, without what followed it, its timestamps set in place where that was
	// needed; or a new one where it was recompressed.
	Batch []byte
	// Header is Batch's.
	Header Header
	// MaxTimestamp in ms is that of the records, or NowMillis on a LogAppendTime topic.
	MaxTimestamp int64
	// OffsetOfMaxTimestampDelta is, counted from the base offset, the offset that a time index notes for MaxTimestamp: Kafka takes
	// the batch's last.
	OffsetOfMaxTimestampDelta int32
	NumRecords                int32
	// Recompressed says that Batch is a new slice.
	Recompressed bool
}

// RecordError is one refused record (KIP-467).
type RecordError struct {
	Index   int32
	Message string
}

// Error is a refused batch. Err, which Unwrap gives, is ErrInvalidRecord, ErrInvalidTimestamp, ErrCorrupt, ErrUnsupportedCodec or
// ErrTooLarge.
type Error struct {
	Err     error
	Message string
	// RecordErrors are the refused records, at most maxRecordErrors. Only where there are any does Kafka send Message to the client.
	RecordErrors []RecordError
	// InRecords says that the batch itself is whole, and that its records can't be read.
	InRecords bool
}

func (e *Error) Error() string { return e.Err.Error() + ": " + e.Message }
func (e *Error) Unwrap() error { return e.Err }

// ErrInvalidTimestamp marks a batch with a timestamp that the topic doesn't take (INVALID_TIMESTAMP).
var ErrInvalidTimestamp = errors.New("invalid timestamp")

// maxRecordErrors bounds how many refused records of a batch are described; the message's count is that of all.
const maxRecordErrors = 1000

func refuse(err error, format string, args ...any) error {
	return &Error{Err: err, Message: fmt.Sprintf(format, args...)}
}

// Split cuts the first batch off records, as Kafka's MemoryRecords reads them: what is too short to be a batch, whole or in part,
// is no batch (ok is false). It errs with ErrCorrupt on a length or a magic that can't be. The batch may still be shorter than
// HeaderSize.
func Split(records []byte) (batch, rest []byte, ok bool, err error) {
	if len(records) < Overhead {
		return nil, nil, false, nil
	}
	length := int32(binary.BigEndian.Uint32(records[offLength:]))
	if length < minLegacyLength {
		return nil, nil, false, refuse(ErrCorrupt, "record size %d is less than the minimum record overhead (%d)", length, minLegacyLength)
	}
	if len(records) < headerUpToMagic {
		return nil, nil, false, nil
	}
	if magic := int8(records[offMagic]); magic < 0 || magic > Magic {
		return nil, nil, false, refuse(ErrCorrupt, "invalid magic found in record: %d", magic)
	}
	if int64(len(records)) < Overhead+int64(length) {
		return nil, nil, false, nil
	}
	size := Overhead + int(length)
	return records[:size:size], records[size:], true, nil
}

// minLegacyLength is the least length that any magic's header has.
const minLegacyLength = 14

// single is the one batch of magic 2 that records must hold (Kafka's ProduceRequest.validateRecords).
func single(records []byte, r *Rules) ([]byte, error) {
	b, rest, ok, err := Split(records)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, refuse(ErrInvalidRecord, "no record batch for partition %s", r.Partition)
	case b[offMagic] != Magic:
		return nil, refuse(ErrInvalidRecord, "record batch of magic %d for partition %s; only %d is allowed", b[offMagic], r.Partition, Magic)
	case len(b) < HeaderSize:
		return nil, refuse(ErrCorrupt, "record batch of %d bytes for partition %s is shorter than its header", len(b), r.Partition)
	case !r.AllowZstd && Codec(b[offAttributes+1]&attrCodec) == Zstd:
		return nil, refuse(ErrUnsupportedCodec, "zstd is not allowed in this version of the produce request")
	}
	if _, _, ok, err = Split(rest); err != nil {
		return nil, err
	} else if ok {
		return nil, refuse(ErrInvalidRecord, "more than one record batch for partition %s", r.Partition)
	}
	return b, nil
}

// Validate checks the one batch that records hold by all rules that Kafka's leader has for it (ProduceRequest, UnifiedLog and
// LogValidator), and makes it what the topic asks for. Sequences of idempotent producers are the log's to check. Of an
// uncompressed batch it allocates nothing and copies nothing; a compressed one is read through a window of fixed size. On an
// error, which is an *Error, records is unchanged.
func Validate(records []byte, r Rules) (Validated, error) {
	b, err := single(records, &r)
	if err != nil {
		return Validated{}, err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return Validated{}, refuse(ErrCorrupt, "%v", err)
	}
	if err := checkHeader(b, &h, &r); err != nil {
		return Validated{}, err
	}
	c := checker{rules: r, h: h, maxTimestamp: NoTimestamp} // values: pointers would escape
	source, target := h.Codec(), r.TargetCodec
	if target == Producer || source == None && h.IsControl() {
		target = source
	}
	switch {
	case source != target:
		return recompress(b, target, &c)
	case source == None:
		err = c.plain(b[HeaderSize:])
	default:
		err = c.compressed(b[HeaderSize:])
	}
	if err == nil {
		err = c.result()
	}
	if err != nil {
		return Validated{}, asError(err)
	}
	if r.TimestampType == LogAppendTime {
		c.maxTimestamp = r.NowMillis
	}
	setTimestamps(b, &h, r.TimestampType, c.maxTimestamp)
	return validated(b, h, c.maxTimestamp), nil
}

func validated(b []byte, h Header, maxTimestamp int64) Validated {
	return Validated{
		Batch:                     b,
		Header:                    h,
		MaxTimestamp:              maxTimestamp,
		OffsetOfMaxTimestampDelta: h.LastOffsetDelta,
		NumRecords:                h.NumRecords,
	}
}

// asError makes *Error of what the readers of records return.
func asError(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	for _, sentinel := range [...]error{ErrInvalidRecord, ErrCorrupt, ErrTooLarge, ErrUnsupportedCodec} {
		if errors.Is(err, sentinel) {
			return &Error{Err: sentinel, Message: strings.TrimPrefix(err.Error(), sentinel.Error()+": "), InRecords: true}
		}
	}
	return &Error{Err: ErrCorrupt, Message: err.Error(), InRecords: true}
}

// checkHeader checks all that can be told without the records, in Kafka's order.
func checkHeader(b []byte, h *Header, r *Rules) error {
	client := !r.AllowControl
	if client && h.BaseOffset != 0 {
		return refuse(ErrInvalidRecord, "the base offset of the record batch in the append to %s should be 0, but it is %d",
			r.Partition, h.BaseOffset)
	}
	if r.MaxMessageBytes > 0 && len(b) > r.MaxMessageBytes {
		return refuse(ErrTooLarge, "the record batch size in the append to %s is %d bytes which exceeds the maximum configured value of %d",
			r.Partition, len(b), r.MaxMessageBytes)
	}
	if sum := Checksum(b); sum != h.CRC {
		return refuse(ErrCorrupt, "record batch for partition %s is corrupt (stored crc = %d, computed crc = %d)", r.Partition, h.CRC, sum)
	}
	if c := h.Codec(); !c.Valid() {
		return refuse(ErrUnsupportedCodec, "unknown compression type id: %d", c)
	}
	if h.NumRecords < 0 {
		return refuse(ErrInvalidRecord, "invalid reported count for record batch: %d in topic partition %s", h.NumRecords, r.Partition)
	}
	if !client {
		return nil
	}
	switch {
	case h.LastOffsetDelta < 0:
		return refuse(ErrInvalidRecord, "batch has an invalid offset range: [%d, %d] in topic partition %s", h.BaseOffset, h.LastOffset(), r.Partition)
	case h.NumRecords == 0:
		return refuse(ErrInvalidRecord, "invalid reported count for record batch: %d in topic partition %s", h.NumRecords, r.Partition)
	case int64(h.LastOffsetDelta)+1 != int64(h.NumRecords):
		return refuse(ErrInvalidRecord, "inconsistent batch offset range [%d, %d] and count of records %d in topic partition %s",
			h.BaseOffset, h.LastOffset(), h.NumRecords, r.Partition)
	case h.IsControl():
		return refuse(ErrInvalidRecord, "clients are not allowed to write control records in topic partition %s", r.Partition)
	case h.HasProducerID() && h.BaseSequence < 0:
		return refuse(ErrInvalidRecord, "invalid sequence number %d in record batch with producer id %d in topic partition %s",
			h.BaseSequence, h.ProducerID, r.Partition)
	}
	return nil
}

// checker checks one record after the other.
type checker struct {
	rules        Rules
	h            Header
	maxTimestamp int64
	index        int32

	wrongOffset   int32 // index of the first record whose offset delta isn't its index
	offsetsDiffer bool

	refused   int // all refused records, of which errs describes the first
	errs      []RecordError
	timestamp bool // one was refused for its timestamp
}

// plain checks the records of an uncompressed batch. Kafka doesn't look at their offset deltas, and stores them as sent.
func (c *checker) plain(records []byte) error {
	if newest, ok := c.skim(records); ok {
		c.maxTimestamp = newest
		return nil
	}
	return c.each(records)
}

// each checks the records of an uncompressed batch one after the other.
func (c *checker) each(records []byte) error {
	var s span
	pos := 0
	for range c.h.NumRecords {
		if err := scan(records, pos, &s); err != nil {
			return err
		}
		c.record(&s, "DefaultRecord")
		pos = s.end
	}
	if pos != len(records) {
		return errRecordsRemain
	}
	return nil
}

// compressed checks the records of a compressed batch, whose offset deltas must be in order: it stays as it is.
func (c *checker) compressed(payload []byte) error {
	if c.h.NumRecords == 0 {
		if len(payload) > 0 {
			return errRecordsRemain
		}
		return nil
	}
	if err := c.stream(payload, nil); err != nil {
		return err
	}
	if c.offsetsDiffer && c.refused == 0 {
		return malformed("record %d of the compressed batch in topic partition %s is out of order", c.wrongOffset, c.rules.Partition)
	}
	return nil
}

// stream checks the records that payload holds; each one that is accepted goes to out, where there is one.
func (c *checker) stream(payload []byte, out *rewriter) error {
	maxDecompressed := c.rules.MaxDecompressedBytes
	if maxDecompressed <= 0 {
		maxDecompressed = DefaultMaxDecompressedBytes
	}
	var src io.Reader
	limit := DecompressedLimit(len(payload)+HeaderSize, c.rules.MaxMessageBytes, maxDecompressed)
	if codec := c.h.Codec(); codec == None {
		src, limit, maxDecompressed = &plainReader{payload}, len(payload), len(payload)
	} else {
		d, err := newDecompressor(codec, payload, limit)
		if err != nil {
			return err
		}
		defer d.release()
		src = d
	}
	st := openStream(src, limit)
	defer st.release()
	kind := "PartialDefaultRecord"
	if out != nil {
		kind = "DefaultRecord"
	}
	var s span
	for range c.h.NumRecords {
		left, err := st.head(maxDecompressed, &s)
		if err != nil {
			return err
		}
		var w io.Writer
		if out != nil && c.refused == 0 {
			if w, err = out.begin(st, left, c.timestampOf(&s)); err != nil {
				return err
			}
		}
		if err := st.body(left, &s, w); err != nil {
			return err
		}
		if s.offsetDelta != c.index && !c.offsetsDiffer {
			c.offsetsDiffer, c.wrongOffset = true, c.index
		}
		c.record(&s, kind)
	}
	return st.atEnd()
}

// plainReader reads the records of an uncompressed batch.
type plainReader struct{ b []byte }

func (r *plainReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func (c *checker) timestampOf(s *span) int64 {
	if c.h.Attributes&attrLogAppendTime != 0 {
		return c.h.MaxTimestamp
	}
	return c.h.BaseTimestamp + s.timestampDelta
}

// record checks key and timestamp. kind is how Kafka calls a record in messages: that depends on how it reads the batch.
func (c *checker) record(s *span, kind string) {
	ts := c.timestampOf(s)
	index := c.index
	c.index++
	if c.rules.CompactedTopic && s.keyStart < 0 {
		c.refuse(index, "Compacted topic cannot accept message without key in topic partition "+c.rules.Partition)
		return
	}
	if c.rules.TimestampType == CreateTime && ts != NoTimestamp {
		// Differences wrap around as they do in Kafka.
		if age := c.rules.NowMillis - ts; age > c.rules.TimestampBeforeMaxMillis || -age > c.rules.TimestampAfterMaxMillis {
			c.timestamp = true
			c.refuse(index, fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
				ts, c.h.BaseOffset+int64(s.offsetDelta), c.rules.NowMillis-c.rules.TimestampBeforeMaxMillis,
				c.rules.NowMillis+c.rules.TimestampAfterMaxMillis))
			return
		}
	} else if c.h.TimestampType() == LogAppendTime {
		c.timestamp = true
		c.refuse(index, fmt.Sprintf("Invalid timestamp type in message %s(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes). "+
			"Producer should not set timestamp type to LogAppendTime.", kind, c.h.BaseOffset+int64(s.offsetDelta), ts,
			sizeIn(kind, s.keyStart, s.keyEnd), sizeIn(kind, s.valueStart, s.valueEnd)))
		return
	}
	c.maxTimestamp = max(c.maxTimestamp, ts)
}

// sizeIn is a length as Kafka prints it: null is 0 in a record that it read as a whole, and -1 otherwise.
func sizeIn(kind string, start, end int) int {
	if start < 0 {
		if kind == "DefaultRecord" {
			return 0
		}
		return -1
	}
	return end - start
}

func (c *checker) refuse(index int32, message string) {
	c.refused++
	if len(c.errs) < maxRecordErrors {
		c.errs = append(c.errs, RecordError{Index: index, Message: message})
	}
}

// result is the error of the batch as a whole: one refused record refuses all.
func (c *checker) result() error {
	switch {
	case c.refused == 0:
		return nil
	case c.timestamp:
		return &Error{
			Err:          ErrInvalidTimestamp,
			Message:      "One or more records have been rejected due to invalid timestamp",
			RecordErrors: slices.Clip(c.errs),
		}
	}
	var shown strings.Builder
	for i, e := range c.errs[:min(len(c.errs), 3)] {
		if i > 0 {
			shown.WriteString(", ")
		}
		fmt.Fprintf(&shown, "RecordError(batchIndex=%d, message='%s')", e.Index, e.Message)
	}
	return &Error{
		Err: ErrInvalidRecord,
		Message: fmt.Sprintf("One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
			c.refused, shown.String()),
		RecordErrors: slices.Clip(c.errs),
	}
}
