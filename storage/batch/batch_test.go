package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// kmsgRecords writes records as franz-go does.
func kmsgRecords(rs []Record) []byte {
	var out []byte
	for _, r := range rs {
		k := kmsg.Record{
			Attributes: r.Attributes, TimestampDelta64: r.TimestampDelta, OffsetDelta: r.OffsetDelta, Key: r.Key, Value: r.Value,
		}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		body := k.AppendTo(nil)
		k.Length = int32(len(body) - 1) // the length 0 took one byte
		out = append(out, k.AppendTo(nil)...)
	}
	return out
}

// kmsgBatch makes a batch with franz-go's code: h gives the header's fields but those that follow from the records.
func kmsgBatch(t testing.TB, h Header, codec Codec, rs []Record) []byte {
	t.Helper()
	payload := kmsgRecords(rs)
	if codec != None {
		c, err := kgo.DefaultCompressor(map[Codec]kgo.CompressionCodec{
			Gzip: kgo.GzipCompression(), Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression(),
		}[codec])
		must(t, err)
		packed, used := c.Compress(new(bytes.Buffer), payload)
		if Codec(used) != codec {
			t.Fatalf("compressed with %v", used)
		}
		payload = bytes.Clone(packed)
	}
	b := kmsg.RecordBatch{
		FirstOffset: h.BaseOffset, PartitionLeaderEpoch: h.LeaderEpoch, Magic: 2, Attributes: h.Attributes | int16(codec),
		LastOffsetDelta: int32(len(rs) - 1), FirstTimestamp: h.BaseTimestamp, MaxTimestamp: h.MaxTimestamp, ProducerID: h.ProducerID,
		ProducerEpoch: h.ProducerEpoch, FirstSequence: h.BaseSequence, NumRecords: int32(len(rs)), Records: payload,
		Length: int32(HeaderSize - Overhead + len(payload)),
	}
	b.CRC = int32(crc32.Checksum(b.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// plainHeader is a client's without a producer id.
func plainHeader(base, maxTimestamp int64) Header {
	return Header{BaseTimestamp: base, MaxTimestamp: maxTimestamp, LeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
}

func sampleRecords() []Record {
	return []Record{
		{Key: []byte("k0"), Value: []byte("v0")},
		{TimestampDelta: 5, OffsetDelta: 1, Key: []byte{}, Value: nil},
		{TimestampDelta: -3, OffsetDelta: 2, Key: []byte("k2"), Value: []byte{}, Headers: []RecordHeader{{"h", []byte("x")}, {"", nil}, {"e", []byte{}}}},
		{TimestampDelta: math.MaxInt32 + 10, OffsetDelta: 3, Key: bytes.Repeat([]byte("k"), 300), Value: bytes.Repeat([]byte("value"), 5000)},
	}
}

func sameRecord(a, b Record) bool {
	if a.Attributes != b.Attributes || a.TimestampDelta != b.TimestampDelta || a.OffsetDelta != b.OffsetDelta || !sameBytes(a.Key, b.Key) ||
		!sameBytes(a.Value, b.Value) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !sameBytes(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// sameBytes tells null from empty.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func collect(t testing.TB, b []byte) []Record {
	t.Helper()
	var out []Record
	must(t, EachRecord(b, 1<<30, func(i int, r Record) error {
		if i != len(out) {
			t.Errorf("record %d comes as number %d", i, len(out))
		}
		out = append(out, r)
		return nil
	}))
	return out
}

func wantRecords(t testing.TB, b []byte, want []Record) {
	t.Helper()
	got := collect(t, b)
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !sameRecord(got[i], want[i]) {
			t.Fatalf("record %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestHeader_is_what_a_client_writes(t *testing.T) {
	want := Header{
		BaseOffset: 1 << 40, LeaderEpoch: 7, Magic: 2, Attributes: attrTransactional | attrLogAppendTime, LastOffsetDelta: 3,
		BaseTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_005, ProducerID: 99, ProducerEpoch: 3, BaseSequence: 12, NumRecords: 4,
	}
	b := kmsgBatch(t, want, None, sampleRecords())
	h, err := ParseHeader(b)
	must(t, err)
	want.Length, want.CRC = h.Length, h.CRC
	if h != want {
		t.Errorf("%+v\nwant %+v", h, want)
	}
	if h.Size() != len(b) || h.LastOffset() != 1<<40+3 || h.NextOffset() != 1<<40+4 || h.LastSequence() != 15 || !h.HasProducerID() ||
		!h.IsTransactional() || h.IsControl() || h.TimestampType() != LogAppendTime || h.Codec() != None {
		t.Errorf("%v", h)
	}
	if got := h.AppendTo(nil); !bytes.Equal(got, b[:HeaderSize]) {
		t.Errorf("written as % x\nwant       % x", got, b[:HeaderSize])
	}
	if !ValidCRC(b) {
		t.Error("the checksum is right and was refused")
	}
	for n := range HeaderSize {
		_, err := ParseHeader(b[:n])
		wantErr(t, err, ErrShort)
		if ValidCRC(b[:n]) {
			t.Errorf("%d bytes have a valid checksum", n)
		}
	}
}

func TestHeader_PROD_14_offset_and_epoch_lie_outside_the_checksum(t *testing.T) {
	b := kmsgBatch(t, plainHeader(0, 0), None, sampleRecords())
	SetBaseOffset(b, 1<<50)
	SetLeaderEpoch(b, 42)
	h, err := ParseHeader(b)
	must(t, err)
	if h.BaseOffset != 1<<50 || h.LeaderEpoch != 42 || !ValidCRC(b) {
		t.Errorf("%v, checksum %v", h, ValidCRC(b))
	}
	for i := offAttributes; i < len(b); i++ {
		b[i] ^= 4
		if ValidCRC(b) {
			t.Fatalf("a changed byte %d isn't seen", i)
		}
		b[i] ^= 4
	}
	b[30]++
	SetCRC(b)
	if !ValidCRC(b) {
		t.Error("SetCRC")
	}
}

func TestHeader_IDEM_04_sequences_wrap(t *testing.T) {
	for _, c := range []struct{ base, delta, want int32 }{
		{0, 0, 0}, {0, 4, 4}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 5, 2}, {NoSequence, 3, NoSequence},
	} {
		if got := (Header{BaseSequence: c.base, LastOffsetDelta: c.delta}).LastSequence(); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.base, c.delta, got, c.want)
		}
	}
}

func TestEachRecord_PROD_13_reads_what_clients_write(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			wantRecords(t, kmsgBatch(t, plainHeader(0, 5), codec, sampleRecords()), sampleRecords())
		})
	}
}

func TestAppendRecord_writes_what_clients_write(t *testing.T) {
	var got []byte
	for _, r := range sampleRecords() {
		got = AppendRecord(got, &r)
	}
	if want := kmsgRecords(sampleRecords()); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got[:100], want[:100])
	}
}

func TestEachRecord_refuses_what_is_malformed(t *testing.T) {
	good := AppendRecord(nil, &Record{Key: []byte("key"), Value: []byte("value"), Headers: []RecordHeader{{"h", []byte("x")}}})
	wrap := func(records []byte, n int32) []byte {
		h := plainHeader(0, 0)
		h.Magic, h.NumRecords, h.LastOffsetDelta = 2, n, n-1
		return finish(append(h.AppendTo(nil), records...))
	}
	must(t, EachRecord(wrap(good, 1), 1<<20, func(int, Record) error { return nil }))
	for n := range len(good) { // cut, with the length that goes with it and without
		for _, b := range [][]byte{good[:n], append(appendVarint32(nil, int32(n)-1), good[1:max(n, 1)]...)} {
			if n == 0 && len(b) > 0 {
				continue
			}
			if err := EachRecord(wrap(b, 1), 1<<20, func(int, Record) error { return nil }); !errors.Is(err, ErrInvalidRecord) {
				t.Errorf("% x: %v", b, err)
			}
		}
	}
	longer := append(appendVarint32(nil, int32(len(good))), append(bytes.Clone(good[1:]), 0)...)
	for name, b := range map[string][]byte{
		"more than counted":        wrap(append(bytes.Clone(good), good...), 1),
		"fewer than counted":       wrap(good, 2),
		"count below 0":            wrap(nil, -1),
		"no records but bytes":     wrap(good, 0),
		"length with a byte left":  wrap(longer, 1),
		"length below 0":           wrap(append(appendVarint32(nil, -5), good[1:]...), 1),
		"length that never ends":   wrap(bytes.Repeat([]byte{0xff}, 20), 1),
		"headers below 0":          wrap([]byte{14, 0, 0, 0, 1, 1, 1, 0}, 1),
		"a header key that's null": wrap([]byte{16, 0, 0, 0, 1, 1, 2, 1, 1}, 1),
		"more headers than bytes":  wrap([]byte{22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0}, 1),
	} {
		wantErr(t, EachRecord(b, 1<<20, func(int, Record) error { return nil }), ErrInvalidRecord)
		_ = name
	}
	wantErr(t, EachRecord(good[:3], 1<<20, nil), ErrShort)
	stop := errors.New("stop")
	wantErr(t, EachRecord(wrap(good, 1), 1<<20, func(int, Record) error { return stop }), stop)
}

// finish sets length and checksum of a batch.
func finish(b []byte) []byte {
	binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-Overhead))
	SetCRC(b)
	return b
}

func TestBuilder_makes_what_clients_and_this_package_read(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			b := NewBuilder().SetBaseOffset(100).SetLeaderEpoch(4).SetProducer(7, 2, 50).SetTransactional().SetCodec(codec, DefaultLevel)
			b.Append(1000, []byte("a"), nil)
			b.Append(1005, nil, []byte("b"), RecordHeader{"h", nil})
			b.Append(990, nil, nil)
			if b.Len() != 3 {
				t.Errorf("%d records", b.Len())
			}
			out := b.Build()
			if codec == None && len(out) != b.Size() {
				t.Errorf("%d bytes, %d foretold", len(out), b.Size())
			}
			if !ValidCRC(out) {
				t.Error("wrong checksum")
			}
			h, err := ParseHeader(out)
			must(t, err)
			want := Header{
				BaseOffset: 100, Length: int32(len(out) - 12), LeaderEpoch: 4, Magic: 2, CRC: h.CRC, Attributes: attrTransactional | int16(codec),
				LastOffsetDelta: 2, BaseTimestamp: 1000, MaxTimestamp: 1005, ProducerID: 7, ProducerEpoch: 2, BaseSequence: 50, NumRecords: 3,
			}
			if h != want {
				t.Errorf("%+v\nwant %+v", h, want)
			}
			wantRecords(t, out, []Record{
				{Key: []byte("a")}, {TimestampDelta: 5, OffsetDelta: 1, Value: []byte("b"), Headers: []RecordHeader{{"h", nil}}},
				{TimestampDelta: -10, OffsetDelta: 2},
			})
			var k kmsg.RecordBatch
			must(t, k.ReadFrom(out))
			d := kgo.DefaultDecompressor()
			payload, err := d.Decompress(k.Records, kgo.CompressionCodecType(codec))
			must(t, err)
			if want := kmsgRecords(collect(t, out)); !bytes.Equal(payload, want) {
				t.Errorf("franz-go unpacks % x\nwant % x", payload, want)
			}
		})
	}
}

func TestBuilder_reset(t *testing.T) {
	b := NewBuilder().SetControl().SetLogAppendTime(5)
	first := b.Append(1, nil, nil).Build()
	b.Reset()
	second := b.Append(2, []byte("x"), nil).Build()
	h, _ := ParseHeader(first)
	if !h.IsControl() || h.MaxTimestamp != 5 || h.TimestampType() != LogAppendTime || !ValidCRC(first) {
		t.Errorf("%v", h)
	}
	if h.Timestamp(collect(t, first)[0]) != 5 {
		t.Error("LogAppendTime isn't the records' time")
	}
	h, _ = ParseHeader(second)
	if h.IsControl() || h.MaxTimestamp != 2 || h.NumRecords != 1 || h.Timestamp(collect(t, second)[0]) != 2 {
		t.Errorf("%v", h)
	}
}

func TestEndTxnMarker(t *testing.T) {
	b := EndTxnMarker(1234, 9, 3, ControlCommit, 17)
	h, err := ParseHeader(b)
	must(t, err)
	if !h.IsControl() || !h.IsTransactional() || h.ProducerID != 9 || h.ProducerEpoch != 3 || h.BaseSequence != -1 || h.MaxTimestamp != 1234 ||
		h.LastSequence() != -1 || !ValidCRC(b) {
		t.Errorf("%v", h)
	}
	r := collect(t, b)[0]
	kind, err := ParseControl(r.Key)
	must(t, err)
	epoch, err := ParseEndTxnValue(r.Value)
	must(t, err)
	if kind != ControlCommit || epoch != 17 {
		t.Errorf("kind %d, epoch %d", kind, epoch)
	}
	var key kmsg.ControlRecordKey
	must(t, key.ReadFrom(r.Key))
	var value kmsg.EndTxnMarker
	must(t, value.ReadFrom(r.Value))
	if key.Type != kmsg.ControlRecordKeyTypeCommit || value.CoordinatorEpoch != 17 {
		t.Errorf("franz-go reads %+v %+v", key, value)
	}
	for _, bad := range [][]byte{nil, {0, 0, 0}, {0xff, 0xff, 0, 1, 0, 0}} {
		_, err := ParseControl(bad)
		wantErr(t, err, ErrInvalidRecord)
		_, err = ParseEndTxnValue(bad)
		wantErr(t, err, ErrInvalidRecord)
	}
}

func TestVarints(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		v := int64(rng.Uint64() >> (rng.IntN(64)))
		if i%2 == 0 {
			v = -v
		}
		b := binary.AppendVarint(nil, v)
		if got := appendVarint64(nil, v); !bytes.Equal(got, b) || sizeVarint64(v) != len(b) {
			t.Fatalf("%d is written as % x, size %d, want % x", v, got, sizeVarint64(v), b)
		}
		if got, n := varint64(append(b, 0xff)); got != v || n != len(b) {
			t.Fatalf("%d is read as %d of %d bytes", v, got, n)
		}
		w := int32(v)
		b = binary.AppendVarint(nil, int64(w))
		if got := appendVarint32(nil, w); !bytes.Equal(got, b) || sizeVarint32(w) != len(b) {
			t.Fatalf("%d is written as % x", w, got)
		}
		if got, n := varint32(append(b, 0xff)); got != w || n != len(b) {
			t.Fatalf("%d is read as %d of %d bytes", w, got, n)
		}
		if _, n := varint32(b[:len(b)-1]); n != 0 {
			t.Fatal("read a varint without an end")
		}
	}
	for _, v := range []int64{math.MaxInt64, math.MinInt64, 0, -1, math.MaxInt32, math.MinInt32} {
		if got, _ := varint64(appendVarint64(nil, v)); got != v {
			t.Errorf("%d became %d", v, got)
		}
	}
	if _, n := varint32(bytes.Repeat([]byte{0x80}, 6)); n != 0 {
		t.Error("read a varint of six bytes")
	}
	if _, n := varint64(bytes.Repeat([]byte{0x80}, 11)); n != 0 {
		t.Error("read a varlong of eleven bytes")
	}
}

func TestCodec_names(t *testing.T) {
	for name, want := range map[string]Codec{"producer": Producer, "uncompressed": None, "gzip": Gzip, "snappy": Snappy, "lz4": LZ4, "zstd": Zstd} {
		got, ok := CodecByName(name)
		if !ok || got != want || (want != None && got.String() != name) {
			t.Errorf("%s is %v", name, got)
		}
	}
	if _, ok := CodecByName("brotli"); ok {
		t.Error("brotli")
	}
	if Producer.Valid() || Codec(5).Valid() || !Zstd.Valid() || !strings.Contains(Codec(6).String(), "6") || fmt.Sprint(CreateTime, LogAppendTime) != "CreateTime LogAppendTime" {
		t.Error("names")
	}
}
