package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The format of a batch of metadata records: the version (one byte, recordsVersion), then each record as its kind (one
// byte), its length (uvarint) and its fields. Integers are varints, strings and lists have their length before them,
// what may be missing has a byte 0 or 1 before it. A reader skips nothing: bytes that are left over are an error, so that
// an older program refuses what it doesn't understand instead of applying half of it.
const recordsVersion = 1

var errBadRecords = errors.New("metadata records can't be decoded")

// EncodeRecords appends the encoded batch to dst.
func EncodeRecords(dst []byte, records []Record) []byte {
	dst = append(dst, recordsVersion)
	var body []byte
	for _, r := range records {
		body = appendRecord(body[:0], r)
		dst = append(dst, byte(r.recordKind()))
		dst = binary.AppendUvarint(dst, uint64(len(body)))
		dst = append(dst, body...)
	}
	return dst
}

func appendRecord(b []byte, r Record) []byte {
	switch r := r.(type) {
	case ClusterRecord:
		b = appendString(b, r.ClusterID)
	case TopicRecord:
		b = append(appendString(b, r.Name), r.ID[:]...)
	case PartitionRecord:
		b = append(b, r.TopicID[:]...)
		b = binary.AppendVarint(b, int64(r.Partition))
		b = appendInts(b, r.Replicas)
		b = appendInts(b, r.ISR)
		b = binary.AppendVarint(b, int64(r.Leader))
		b = binary.AppendVarint(b, int64(r.LeaderEpoch))
		b = binary.AppendVarint(b, int64(r.PartitionEpoch))
	case RemoveTopicRecord:
		b = append(b, r.ID[:]...)
	case ConfigRecord:
		b = append(b, byte(r.Resource.Type))
		b = appendString(b, r.Resource.Name)
		b = appendString(b, r.Key)
		b = appendOptional(b, r.Value)
	case ProducerIDsRecord:
		b = binary.AppendVarint(b, r.Next)
	case BrokerRecord:
		b = binary.AppendVarint(b, int64(r.ID))
		b = binary.AppendVarint(b, r.Epoch)
		b = appendOptional(b, r.Rack)
		b = appendBool(b, r.Fenced)
		b = binary.AppendUvarint(b, uint64(len(r.Endpoints)))
		for _, e := range r.Endpoints {
			b = appendString(b, e.Listener)
			b = appendString(b, e.Host)
			b = binary.AppendVarint(b, int64(e.Port))
		}
	case FeatureRecord:
		b = appendString(b, r.Name)
		b = binary.AppendVarint(b, int64(r.Level))
	}
	return b
}

// DecodeRecords is EncodeRecords' inverse. Any bytes give records or an error, in time and memory linear in their number.
func DecodeRecords(b []byte) ([]Record, error) {
	d := recordDecoder{b: b}
	if v := d.byte(); d.err == nil && v != recordsVersion {
		return nil, fmt.Errorf("%w: version %d, this program knows %d", errBadRecords, v, recordsVersion)
	}
	var records []Record
	for d.err == nil && len(d.b) > 0 {
		kind := RecordKind(d.byte())
		body := recordDecoder{b: d.bytes(d.length())}
		if d.err != nil {
			break
		}
		r := body.record(kind)
		if body.err == nil && len(body.b) > 0 {
			body.fail("%d bytes too many in a record of kind %d", len(body.b), kind)
		}
		if body.err != nil {
			return nil, body.err
		}
		records = append(records, r)
	}
	if d.err != nil {
		return nil, d.err
	}
	return records, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendOptional(b []byte, s *string) []byte {
	b = appendBool(b, s != nil)
	if s != nil {
		b = appendString(b, *s)
	}
	return b
}

func appendInts(b []byte, ints []int32) []byte {
	b = binary.AppendUvarint(b, uint64(len(ints)))
	for _, i := range ints {
		b = binary.AppendVarint(b, int64(i))
	}
	return b
}

// recordDecoder reads fields off the front of b; after the first error every read gives a zero value.
type recordDecoder struct {
	b   []byte
	err error
}

func (d *recordDecoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errBadRecords, fmt.Sprintf(format, args...))
	}
}

func (d *recordDecoder) byte() byte {
	b := d.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (d *recordDecoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.fail("%d bytes wanted, %d left", n, len(d.b))
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// length reads a number of things that take at least a byte each.
func (d *recordDecoder) length() int {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad length")
		return 0
	}
	d.b = d.b[n:]
	if v > uint64(len(d.b)) {
		d.fail("%d wanted, %d bytes left", v, len(d.b))
		return 0
	}
	return int(v)
}

func (d *recordDecoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *recordDecoder) varint(low, high int64) int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.b)
	if n <= 0 || v < low || v > high {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *recordDecoder) int32() int32 { return int32(d.varint(math.MinInt32, math.MaxInt32)) }

func (d *recordDecoder) string() string { return string(d.bytes(d.length())) }

func (d *recordDecoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("bad boolean %d", b)
	}
	return b == 1
}

func (d *recordDecoder) optional() *string {
	if !d.bool() {
		return nil
	}
	s := d.string()
	return &s
}

func (d *recordDecoder) ints() []int32 {
	n := d.length()
	if n == 0 {
		return nil
	}
	ints := make([]int32, n)
	for i := range ints {
		ints[i] = d.int32()
	}
	return ints
}

func (d *recordDecoder) id() (id TopicID) {
	copy(id[:], d.bytes(len(id)))
	return id
}

func (d *recordDecoder) record(kind RecordKind) Record {
	switch kind {
	case KindCluster:
		return ClusterRecord{d.string()}
	case KindTopic:
		return TopicRecord{Name: d.string(), ID: d.id()}
	case KindPartition:
		return PartitionRecord{TopicID: d.id(), Partition: d.int32(), PartitionInfo: PartitionInfo{
			Replicas: d.ints(), ISR: d.ints(), Leader: d.int32(), LeaderEpoch: d.int32(), PartitionEpoch: d.int32(),
		}}
	case KindRemoveTopic:
		return RemoveTopicRecord{d.id()}
	case KindConfig:
		return ConfigRecord{Resource: ConfigResource{Type: int8(d.byte()), Name: d.string()}, Key: d.string(), Value: d.optional()}
	case KindProducerIDs:
		return ProducerIDsRecord{d.varint(0, math.MaxInt64)}
	case KindBroker:
		b := BrokerInfo{ID: d.int32(), Epoch: d.varint(math.MinInt64, math.MaxInt64), Rack: d.optional(), Fenced: d.bool()}
		for range d.length() {
			if d.err != nil {
				break
			}
			b.Endpoints = append(b.Endpoints, Endpoint{Listener: d.string(), Host: d.string(), Port: d.int32()})
		}
		return BrokerRecord{b}
	case KindFeature:
		return FeatureRecord{Name: d.string(), Level: int16(d.varint(math.MinInt16, math.MaxInt16))}
	default:
		d.fail("unknown kind %d", kind)
		return nil
	}
}
