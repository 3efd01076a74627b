package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

const now = 1_700_000_000_000

// defaultRules are those of a topic with default settings.
func defaultRules() Rules {
	return Rules{
		Partition: "t-0", TimestampBeforeMaxMillis: math.MaxInt64, TimestampAfterMaxMillis: 3_600_000, TargetCodec: Producer,
		GzipLevel: -1, LZ4Level: 9, ZstdLevel: 3, MaxMessageBytes: 1_048_588, MaxDecompressedBytes: DefaultMaxDecompressedBytes,
		AllowZstd: true, NowMillis: now,
	}
}

// timed are three records with keys, at now, now+2 and now+1.
func timed() []Record {
	return []Record{
		{Key: []byte("a"), Value: []byte("1")},
		{TimestampDelta: 2, OffsetDelta: 1, Key: []byte("b"), Value: []byte("2")},
		{TimestampDelta: 1, OffsetDelta: 2, Key: []byte("c"), Value: nil, Headers: []RecordHeader{{"h", []byte("v")}}},
	}
}

func refused(t *testing.T, b []byte, r Rules, want error) Error {
	t.Helper()
	before := bytes.Clone(b)
	_, err := Validate(b, r)
	wantErr(t, err, want)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error", err)
	}
	if !bytes.Equal(b, before) {
		t.Error("a refused batch was changed")
	}
	return *e
}

func accepted(t *testing.T, b []byte, r Rules) Validated {
	t.Helper()
	v, err := Validate(b, r)
	must(t, err)
	h, err := ParseHeader(v.Batch)
	must(t, err)
	if h != v.Header || !ValidCRC(v.Batch) || h.Size() != len(v.Batch) || v.NumRecords != h.NumRecords {
		t.Fatalf("the batch %v is not what was said: %v, checksum %v", h, v.Header, ValidCRC(v.Batch))
	}
	return v
}

func TestValidate_PROD_14_a_good_batch_stays_as_it_is(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			b := kmsgBatch(t, plainHeader(now, now+2), codec, timed())
			before := bytes.Clone(b)
			v := accepted(t, b, defaultRules())
			if !bytes.Equal(v.Batch, before) || &v.Batch[0] != &b[0] || v.Recompressed {
				t.Error("the batch was copied or changed")
			}
			if v.MaxTimestamp != now+2 || v.OffsetOfMaxTimestampDelta != 2 || v.NumRecords != 3 {
				t.Errorf("%+v", v)
			}
			v = accepted(t, append(b, "some bytes"...), defaultRules())
			if !bytes.Equal(v.Batch, before) {
				t.Error("what follows the batch was not cut off")
			}
			if cap(v.Batch) != len(v.Batch) {
				t.Error("an append would write behind the batch")
			}
		})
	}
}

func TestValidate_PROD_14_a_wrong_max_timestamp_is_corrected(t *testing.T) {
	for _, codec := range codecs {
		for _, wrong := range []int64{now + 100, now, -1} {
			v := accepted(t, kmsgBatch(t, plainHeader(now, wrong), codec, timed()), defaultRules())
			if v.MaxTimestamp != now+2 || v.Header.MaxTimestamp != now+2 {
				t.Errorf("%v: %d became %d", codec, wrong, v.Header.MaxTimestamp)
			}
			wantRecords(t, v.Batch, timed())
		}
	}
}

func TestValidate_PROD_03_one_batch_of_magic_2(t *testing.T) {
	good := kmsgBatch(t, plainHeader(now, now+2), None, timed())
	magic := func(m byte) []byte {
		b := bytes.Clone(good)
		b[offMagic] = m
		return b
	}
	length := func(n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[offLength:], n)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"null", nil, ErrInvalidRecord},
		{"a few bytes", good[:11], ErrInvalidRecord},
		{"no magic", good[:16], ErrInvalidRecord},
		{"part of a batch", good[:len(good)-1], ErrInvalidRecord},
		{"magic 0", magic(0), ErrInvalidRecord},
		{"magic 1", magic(1), ErrInvalidRecord},
		{"magic 3", magic(3), ErrCorrupt},
		{"magic -1", magic(0xff), ErrCorrupt},
		{"length below any", length(13), ErrCorrupt},
		{"length below 0", length(math.MaxUint32), ErrCorrupt},
		{"length of an old magic", length(20)[:32], ErrCorrupt},
		{"length less than it is", length(uint32(len(good) - 13)), ErrCorrupt}, // the checksum
		{"two", append(bytes.Clone(good), good...), ErrInvalidRecord},
		{"a corrupt second one", append(bytes.Clone(good), magic(9)...), ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.b, defaultRules(), c.want) })
	}
	r := defaultRules()
	r.AllowControl = true
	refused(t, nil, r, ErrInvalidRecord)
}

func TestValidate_PROD_04_checksum(t *testing.T) {
	for i := offAttributes; i < HeaderSize+10; i++ {
		b := kmsgBatch(t, plainHeader(now, now+2), None, timed())
		b[i] ^= 0x10
		refused(t, b, defaultRules(), ErrCorrupt)
	}
	b := kmsgBatch(t, plainHeader(now, now+2), None, timed())
	b[offCRC]++
	refused(t, b, defaultRules(), ErrCorrupt)
}

func TestValidate_PROD_05_size(t *testing.T) {
	b := kmsgBatch(t, plainHeader(now, now+2), None, timed())
	r := defaultRules()
	r.MaxMessageBytes = len(b)
	accepted(t, b, r)
	r.MaxMessageBytes--
	refused(t, b, r, ErrTooLarge)
	b[offCRC]++ // the size comes before the checksum
	refused(t, b, r, ErrTooLarge)
	r.MaxMessageBytes = 0
	b[offCRC]--
	accepted(t, b, r)
}

// edited changes header fields of a good batch.
func edited(t *testing.T, codec Codec, f func(h *Header)) []byte {
	b := kmsgBatch(t, plainHeader(now, now+2), codec, timed())
	h, err := ParseHeader(b)
	must(t, err)
	f(&h)
	return finish(append(h.AppendTo(nil), b[HeaderSize:]...))
}

func TestValidate_PROD_07_PROD_08_PROD_09_PROD_10_headers_of_clients(t *testing.T) {
	for _, codec := range codecs {
		for _, c := range []struct {
			name string
			edit func(h *Header)
			// coordinators says that a coordinator may write it.
			coordinators bool
		}{
			{"PROD-07 no records", func(h *Header) { h.NumRecords, h.LastOffsetDelta = 0, -1 }, false},
			{"PROD-07 count below 0", func(h *Header) { h.NumRecords = -1 }, false},
			{"PROD-07 count larger than the offsets say", func(h *Header) { h.NumRecords = 4 }, false},
			{"PROD-07 count smaller than the offsets say", func(h *Header) { h.NumRecords = 2 }, false},
			{"PROD-07 offsets say more", func(h *Header) { h.LastOffsetDelta = 3 }, true},
			{"PROD-07 offsets run backwards", func(h *Header) { h.LastOffsetDelta = -5 }, true},
			{"PROD-07 fewer records than both say", func(h *Header) { h.NumRecords, h.LastOffsetDelta = 4, 3 }, false},
			{"PROD-07 more records than both say", func(h *Header) { h.NumRecords, h.LastOffsetDelta = 2, 1 }, false},
			{"PROD-08 control batch", func(h *Header) { h.Attributes |= attrControl }, true},
			{"PROD-09 producer without a sequence", func(h *Header) { h.ProducerID, h.ProducerEpoch = 5, 0 }, true},
			{"PROD-10 base offset", func(h *Header) { h.BaseOffset = 1 }, true},
		} {
			t.Run(fmt.Sprintf("%v/%s", codec, c.name), func(t *testing.T) {
				b := edited(t, codec, c.edit)
				if e := refused(t, b, defaultRules(), ErrInvalidRecord); len(e.RecordErrors) != 0 {
					t.Errorf("record errors %v", e.RecordErrors)
				}
				r := defaultRules()
				r.AllowControl = true
				if _, err := Validate(b, r); (err == nil) != c.coordinators {
					t.Errorf("from a coordinator: %v", err)
				}
			})
		}
	}
}

func TestValidate_PROD_11_zstd_in_old_requests(t *testing.T) {
	r := defaultRules()
	r.AllowZstd = false
	refused(t, kmsgBatch(t, plainHeader(now, now+2), Zstd, timed()), r, ErrUnsupportedCodec)
	accepted(t, kmsgBatch(t, plainHeader(now, now+2), LZ4, timed()), r)
}

func TestValidate_PROD_12_inner_records(t *testing.T) {
	disordered := timed()
	disordered[1].OffsetDelta, disordered[2].OffsetDelta = 2, 1
	b := kmsgBatch(t, plainHeader(now, now+2), None, disordered)
	before := bytes.Clone(b)
	if v := accepted(t, b, defaultRules()); !bytes.Equal(v.Batch, before) {
		t.Error("offset deltas of an uncompressed batch are stored as sent")
	}
	for _, codec := range codecs[1:] {
		refused(t, kmsgBatch(t, plainHeader(now, now+2), codec, disordered), defaultRules(), ErrInvalidRecord)
		garbage := edited(t, None, func(h *Header) { h.Attributes |= int16(codec) })
		refused(t, garbage, defaultRules(), ErrCorrupt)
		// Compressed garbage.
		packed, err := Compress(nil, []byte("this is no record at all, no, not at all"), codec, DefaultLevel)
		must(t, err)
		h := plainHeader(now, now)
		h.Magic, h.NumRecords, h.Attributes = 2, 1, int16(codec)
		refused(t, finish(append(h.AppendTo(nil), packed...)), defaultRules(), ErrInvalidRecord)
		// A record whose length is wrong by one, though everything else is right: no consumer could read it.
		record := AppendRecord(nil, &Record{Value: []byte("value")})
		record[0] += 2
		packed, err = Compress(nil, append(record, 0), codec, DefaultLevel)
		must(t, err)
		refused(t, finish(append(h.AppendTo(nil), packed...)), defaultRules(), ErrInvalidRecord)
		// Nothing where records should be.
		refused(t, finish(h.AppendTo(nil)), defaultRules(), ErrCorrupt)
	}
	for _, unknown := range []int16{5, 6, 7} {
		refused(t, edited(t, None, func(h *Header) { h.Attributes |= unknown }), defaultRules(), ErrUnsupportedCodec)
	}
	bad := kmsgBatch(t, plainHeader(now, now+2), None, timed())
	bad[HeaderSize] = 0xfe
	SetCRC(bad)
	refused(t, bad, defaultRules(), ErrInvalidRecord)
}

func TestValidate_PROD_12_records_larger_than_the_window(t *testing.T) {
	rs := []Record{
		{Value: bytes.Repeat([]byte("v"), streamWindow-10)},
		{OffsetDelta: 1, Key: bytes.Repeat([]byte("k"), 2*streamWindow+17), Value: bytes.Repeat([]byte("v"), 3*streamWindow)},
		{OffsetDelta: 2, Key: []byte("k"), Headers: []RecordHeader{{strings.Repeat("h", streamWindow+1), bytes.Repeat([]byte("v"), streamWindow+1)}, {"x", nil}}},
		{OffsetDelta: 3, Value: bytes.Repeat([]byte("v"), streamWindow-7)},
		{OffsetDelta: 4},
	}
	for _, codec := range codecs {
		v := accepted(t, kmsgBatch(t, plainHeader(now, now), codec, rs), defaultRules())
		wantRecords(t, v.Batch, rs)
		for _, target := range codecs {
			r := defaultRules()
			r.TargetCodec = target
			r.GzipLevel = 1
			v := accepted(t, kmsgBatch(t, plainHeader(now, now), codec, rs), r)
			wantRecords(t, v.Batch, rs)
		}
	}
	for _, codec := range codecs[1:] {
		whole := kmsgRecords(rs)
		for _, cut := range []int{streamWindow, 2 * streamWindow, 5 * streamWindow, len(whole) - 1, len(whole) - streamWindow} {
			packed, err := Compress(nil, whole[:cut], codec, DefaultLevel)
			must(t, err)
			h := plainHeader(now, now)
			h.Magic, h.NumRecords, h.LastOffsetDelta, h.Attributes = 2, int32(len(rs)), int32(len(rs)-1), int16(codec)
			refused(t, finish(append(h.AppendTo(nil), packed...)), defaultRules(), ErrInvalidRecord)
		}
	}
}

func TestValidate_PROD_17_timestamp_type_bit(t *testing.T) {
	lat := func(maxTimestamp int64, codec Codec) []byte {
		return kmsgBatch(t, Header{BaseTimestamp: now, MaxTimestamp: maxTimestamp, Attributes: attrLogAppendTime, LeaderEpoch: -1,
			ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, codec, timed())
	}
	for _, codec := range codecs {
		// On a CreateTime topic Kafka takes the batch's timestamp for that of all records, and clears the bit where it is in range ...
		v := accepted(t, lat(now+7, codec), defaultRules())
		if v.Header.TimestampType() != CreateTime || v.MaxTimestamp != now+7 {
			t.Errorf("%v", v.Header)
		}
		// ... and refuses it where there is none.
		e := refused(t, lat(-1, codec), defaultRules(), ErrInvalidTimestamp)
		kind := "PartialDefaultRecord(offset=2, timestamp=-1, key=1 bytes, value=-1 bytes)"
		if codec == None {
			kind = "DefaultRecord(offset=2, timestamp=-1, key=1 bytes, value=0 bytes)"
		}
		if want := "Invalid timestamp type in message " + kind + ". Producer should not set timestamp type to LogAppendTime."; len(e.RecordErrors) != 3 ||
			e.RecordErrors[2].Message != want {
			t.Errorf("%v\nwant %s", e.RecordErrors, want)
		}
		r := defaultRules()
		r.TimestampType = LogAppendTime
		refused(t, lat(now, codec), r, ErrInvalidTimestamp)
	}
}

func TestValidate_PROD_18_PROD_21_timestamps_out_of_range(t *testing.T) {
	for _, codec := range codecs {
		r := defaultRules()
		r.TimestampBeforeMaxMillis, r.TimestampAfterMaxMillis = 1000, 500
		at := func(deltas ...int64) []byte {
			var rs []Record
			for i, d := range deltas {
				rs = append(rs, Record{TimestampDelta: d, OffsetDelta: int32(i)})
			}
			return kmsgBatch(t, plainHeader(now, now), codec, rs)
		}
		accepted(t, at(-1000, 500, 0), r)
		accepted(t, at(-1-now), r) // no timestamp at all
		e := refused(t, at(0, -1001, 0, 501), r, ErrInvalidTimestamp)
		if e.Message != "One or more records have been rejected due to invalid timestamp" {
			t.Error(e.Message)
		}
		want := []RecordError{
			{1, fmt.Sprintf("Timestamp %d of message with offset 1 is out of range. The timestamp should be within [%d, %d]", now-1001, now-1000, now+500)},
			{3, fmt.Sprintf("Timestamp %d of message with offset 3 is out of range. The timestamp should be within [%d, %d]", now+501, now-1000, now+500)},
		}
		if fmt.Sprint(e.RecordErrors) != fmt.Sprint(want) {
			t.Errorf("%v\nwant %v", e.RecordErrors, want)
		}
		r.TimestampType = LogAppendTime
		accepted(t, at(-1001, 501), r)
		accepted(t, at(-now), defaultRules()) // 1970 is fine by default
	}
}

func TestValidate_PROD_19_log_append_time(t *testing.T) {
	r := defaultRules()
	r.TimestampType = LogAppendTime
	for _, codec := range codecs {
		b := kmsgBatch(t, plainHeader(now-50, now-48), codec, timed())
		v := accepted(t, b, r)
		if v.Header.TimestampType() != LogAppendTime || v.Header.MaxTimestamp != now || v.MaxTimestamp != now ||
			v.OffsetOfMaxTimestampDelta != 2 || v.Header.BaseTimestamp != now-50 || v.Header.Codec() != codec || &v.Batch[0] != &b[0] {
			t.Errorf("%+v", v)
		}
		wantRecords(t, v.Batch, timed())
		_ = EachRecord(v.Batch, 1<<20, func(_ int, rec Record) error {
			if v.Header.Timestamp(rec) != now {
				t.Error("a record has another time")
			}
			return nil
		})
	}
}

func TestValidate_PROD_20_PROD_21_COMPACT_11_null_keys(t *testing.T) {
	r := defaultRules()
	r.CompactedTopic = true
	rs := []Record{{Key: []byte("k")}, {OffsetDelta: 1}, {OffsetDelta: 2, Key: []byte{}}, {OffsetDelta: 3}, {OffsetDelta: 4}, {OffsetDelta: 5}}
	for _, codec := range codecs {
		e := refused(t, kmsgBatch(t, plainHeader(now, now), codec, rs), r, ErrInvalidRecord)
		const each = "Compacted topic cannot accept message without key in topic partition t-0"
		if len(e.RecordErrors) != 4 || e.RecordErrors[0] != (RecordError{1, each}) || e.RecordErrors[3] != (RecordError{5, each}) {
			t.Errorf("%v", e.RecordErrors)
		}
		want := "One or more records have been rejected due to 4 record errors in total, and only showing the first three errors at most: [" +
			"RecordError(batchIndex=1, message='" + each + "'), RecordError(batchIndex=3, message='" + each + "'), RecordError(batchIndex=4, message='" + each + "')]"
		if e.Message != want {
			t.Errorf("%s\nwant %s", e.Message, want)
		}
		accepted(t, kmsgBatch(t, plainHeader(now, now+2), codec, timed()), r)
	}
	// With a bad timestamp among them the whole is of the other kind.
	r.TimestampAfterMaxMillis = 1
	e := refused(t, kmsgBatch(t, plainHeader(now, now), None, []Record{{}, {OffsetDelta: 1, TimestampDelta: 2, Key: []byte("k")}}), r, ErrInvalidTimestamp)
	if len(e.RecordErrors) != 2 {
		t.Errorf("%v", e.RecordErrors)
	}
	many := make([]Record, 5*maxRecordErrors)
	for i := range many {
		many[i].OffsetDelta = int32(i)
	}
	e = refused(t, kmsgBatch(t, plainHeader(now, now), Gzip, many), r, ErrInvalidRecord)
	if len(e.RecordErrors) != maxRecordErrors || !strings.Contains(e.Message, "5000 record errors") {
		t.Errorf("%d: %s", len(e.RecordErrors), e.Message)
	}
}

func TestValidate_PROD_32_recompression(t *testing.T) {
	for _, source := range codecs {
		for _, target := range codecs {
			t.Run(fmt.Sprintf("%v to %v", source, target), func(t *testing.T) {
				r := defaultRules()
				r.TargetCodec = target
				h := plainHeader(now-10, now)
				h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.Attributes = 5, 1, 77, attrTransactional
				rs := timed()
				rs[0].TimestampDelta = 10 // the base isn't the first record's
				rs[2].Attributes = 0
				b := kmsgBatch(t, h, source, rs)
				before := bytes.Clone(b)
				v := accepted(t, b, r)
				if v.Recompressed != (source != target) {
					t.Errorf("recompressed: %v", v.Recompressed)
				}
				if !v.Recompressed {
					if !bytes.Equal(v.Batch, before) {
						t.Error("changed")
					}
					return
				}
				if !bytes.Equal(b, before) {
					t.Error("the original was changed")
				}
				if v.Header.Codec() != target || v.Header.ProducerID != 5 || v.Header.ProducerEpoch != 1 || v.Header.BaseSequence != 77 ||
					!v.Header.IsTransactional() || v.Header.BaseTimestamp != now || v.MaxTimestamp != now || v.Header.MaxTimestamp != now ||
					v.Header.LastOffsetDelta != 2 || v.OffsetOfMaxTimestampDelta != 2 {
					t.Errorf("%+v", v)
				}
				rs[0].TimestampDelta, rs[1].TimestampDelta, rs[2].TimestampDelta = 0, -8, -9
				wantRecords(t, v.Batch, rs)

				r.TimestampType = LogAppendTime
				v = accepted(t, b, r)
				if v.Header.TimestampType() != LogAppendTime || v.Header.MaxTimestamp != now || v.Header.BaseTimestamp != now || v.MaxTimestamp != now {
					t.Errorf("%+v", v)
				}

				// What is wrong is refused all the same, and what can be mended is.
				r = defaultRules()
				r.TargetCodec = target
				r.CompactedTopic = true
				refused(t, kmsgBatch(t, plainHeader(now, now), source, []Record{{Key: []byte("k")}, {OffsetDelta: 1}}), r, ErrInvalidRecord)
				disordered := timed()
				disordered[0].OffsetDelta, disordered[1].OffsetDelta, disordered[2].OffsetDelta = 500, 3, 0
				wantRecords(t, accepted(t, kmsgBatch(t, plainHeader(now, now+2), source, disordered), r).Batch, timed())
			})
		}
	}
}

func TestValidate_PROD_05_PROD_32_too_large_once_recompressed(t *testing.T) {
	b := kmsgBatch(t, plainHeader(now, now), Gzip, []Record{{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 10_000)}})
	r := defaultRules()
	r.MaxMessageBytes, r.TargetCodec = 5000, None
	refused(t, b, r, ErrTooLarge)
	r.TargetCodec = LZ4
	accepted(t, b, r)
	// The records' errors come first.
	r.TargetCodec, r.TimestampAfterMaxMillis, r.NowMillis = None, 0, now-1
	refused(t, b, r, ErrInvalidTimestamp)
	// Exactly as large as allowed.
	r = defaultRules()
	r.TargetCodec = None
	r.MaxMessageBytes = len(accepted(t, b, r).Batch)
	accepted(t, b, r)
	r.MaxMessageBytes--
	refused(t, b, r, ErrTooLarge)
}

func TestValidate_control_batches_of_coordinators(t *testing.T) {
	r := defaultRules()
	r.AllowControl, r.TargetCodec = true, Gzip
	b := EndTxnMarker(now, 4, 1, ControlAbort, 2)
	v := accepted(t, b, r)
	if v.Recompressed || v.Header.Codec() != None || !v.Header.IsControl() {
		t.Errorf("%v", v.Header)
	}
}

func TestValidate_PROD_33_decompressed_size(t *testing.T) {
	r := defaultRules()
	r.MaxDecompressedBytes = 1000
	for _, codec := range codecs[1:] {
		// As in Kafka the setting is for single records.
		rs := make([]Record, 5)
		for i := range rs {
			rs[i] = Record{OffsetDelta: int32(i), Value: make([]byte, 900)}
		}
		accepted(t, kmsgBatch(t, plainHeader(now, now), codec, rs), r)
		rs[3].Value = make([]byte, 1000)
		refused(t, kmsgBatch(t, plainHeader(now, now), codec, rs), r, ErrInvalidRecord)
	}
	accepted(t, kmsgBatch(t, plainHeader(now, now), None, []Record{{Value: make([]byte, 1000)}}), r)

	for _, c := range []struct{ batch, message, set, want int }{
		{100, 1000, DefaultMaxDecompressedBytes, minDecompressedBytes},
		{1 << 20, 1000, DefaultMaxDecompressedBytes, 100 << 20},
		{1, 40 << 20, 10, 80 << 20},
		{1, 1000, 70 << 20, 70 << 20},
		{1 << 30, 1 << 30, DefaultMaxDecompressedBytes, DefaultMaxDecompressedBytes},
	} {
		if got := DecompressedLimit(c.batch, c.message, c.set); got != c.want {
			t.Errorf("batch of %d, max.message.bytes %d, max.decompressed.message.bytes %d: limit %d, want %d", c.batch, c.message, c.set, got, c.want)
		}
	}
}

// bomb is a batch that unpacks to some 200 MB, in one record or in many.
func bomb(t testing.TB, codec Codec, one bool) []byte {
	t.Helper()
	const size = 200 << 20
	out := sink{b: make([]byte, HeaderSize), max: -1}
	w, err := newCompressor(codec, DefaultLevel, &out)
	must(t, err)
	h := plainHeader(now, now)
	h.Magic, h.Attributes = 2, int16(codec)
	if one {
		h.NumRecords = 1
		head := appendVarint32(nil, size)
		_, err = w.Write(append(appendVarint32(append(head, 0, 0, 0, 1), size-15), make([]byte, 1<<20)...))
		must(t, err)
		for range 199 {
			_, err = w.Write(make([]byte, 1<<20))
			must(t, err)
		}
	} else {
		h.NumRecords = size / 8
		r := AppendRecord(nil, &Record{})
		chunk := bytes.Repeat(r, (1<<20)/len(r))
		for range 200 {
			_, err = w.Write(chunk)
			must(t, err)
		}
	}
	h.LastOffsetDelta = h.NumRecords - 1
	must(t, w.Close())
	w.release()
	copy(out.b, h.AppendTo(nil))
	return finish(out.b)
}

func TestValidate_bombs_cost_little(t *testing.T) {
	for _, codec := range []Codec{Gzip, Zstd} {
		for _, one := range []bool{true, false} {
			if codec == Gzip && !one && testing.Short() {
				continue
			}
			b := bomb(t, codec, one)
			r := defaultRules()
			if len(b) > r.MaxMessageBytes {
				r.MaxMessageBytes = len(b)
			}
			for _, target := range []Codec{Producer, None} {
				r.TargetCodec = target
				_, _ = Validate(b, r) // so that the pools are filled
				if n := allocated(func() { refused(t, b, r, ErrTooLarge) }); n > uint64(4*len(b)+8<<20) {
					t.Errorf("%v, %d bytes: %d bytes of memory", codec, len(b), n)
				}
			}
		}
	}
}

func TestValidate_allocates_nothing_for_an_uncompressed_batch(t *testing.T) {
	var rs []Record
	for i := range 100 {
		rs = append(rs, Record{OffsetDelta: int32(i), Key: []byte("key"), Value: make([]byte, 90), Headers: []RecordHeader{{"h", []byte("v")}}})
	}
	b := kmsgBatch(t, plainHeader(now, now), None, rs)
	for _, compacted := range []bool{false, true} {
		for _, typ := range []TimestampType{CreateTime, LogAppendTime} {
			r := defaultRules()
			r.CompactedTopic, r.TimestampType = compacted, typ
			original := bytes.Clone(b)
			if n := testing.AllocsPerRun(100, func() {
				copy(b, original)
				if _, err := Validate(b, r); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		h, _ := ParseHeader(b)
		SetBaseOffset(b, h.BaseOffset+1)
		SetLeaderEpoch(b, 3)
		if !ValidCRC(b) {
			t.Fatal("checksum")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		for _, codec := range codecs {
			var rs []Record
			for i := range size / 100 {
				rs = append(rs, Record{OffsetDelta: int32(i), Value: bytes.Repeat([]byte("0123456789"), 9)})
			}
			batch := kmsgBatch(b, plainHeader(now, now), codec, rs)
			r := defaultRules()
			b.Run(fmt.Sprintf("%dKB/%v", size>>10, codec), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Validate(batch, r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
