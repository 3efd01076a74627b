package batch

import (
	"bytes"
	"errors"
	"testing"
)

// seeds are good batches of each codec.
func seeds(f *testing.F) [][]byte {
	var out [][]byte
	for _, codec := range codecs {
		out = append(out, kmsgBatch(f, plainHeader(now, now+2), codec, timed()), kmsgBatch(f, plainHeader(now, now), codec, sampleRecords()[:3]))
	}
	return append(out, EndTxnMarker(now, 1, 2, ControlCommit, 3))
}

// fuzzLimit bounds what a fuzzed input may unpack to.
const fuzzLimit = 1 << 20

func FuzzParse(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
		f.Add(append(bytes.Clone(b), b...))
	}
	f.Fuzz(func(t *testing.T, records []byte) {
		for rest := records; ; {
			b, next, ok, err := Split(rest)
			if !ok {
				if err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				return
			}
			if len(b)+len(next) != len(rest) || len(b) < headerUpToMagic {
				t.Fatalf("%d bytes were split into %d and %d", len(rest), len(b), len(next))
			}
			rest = next
			h, err := ParseHeader(b)
			if err != nil {
				if len(b) >= HeaderSize {
					t.Fatal(err)
				}
				continue
			}
			if h.Size() != len(b) || !bytes.Equal(h.AppendTo(nil), b[:HeaderSize]) {
				t.Fatal("the header doesn't come back")
			}
			n := 0
			err = EachRecord(b, fuzzLimit, func(_ int, r Record) error {
				again := AppendRecord(nil, &r)
				var s span
				if err := scan(again, 0, &s); err != nil || !sameRecord(s.record(again), r) {
					t.Fatalf("%+v came back as %+v, %v", r, s.record(again), err)
				}
				n++
				return nil
			})
			if err == nil && n != int(h.NumRecords) {
				t.Fatalf("%d records of %d", n, h.NumRecords)
			}
		}
	})
}

func FuzzValidate(f *testing.F) {
	for i, b := range seeds(f) {
		f.Add(b, byte(i), i%2 == 0, i%3 == 0, i%4 == 0, true)
	}
	f.Fuzz(func(t *testing.T, records []byte, target byte, compacted, logAppendTime, control, fixCRC bool) {
		records = bytes.Clone(records) // what is fuzzed must not be written to
		if fixCRC && len(records) >= HeaderSize {
			SetCRC(records)
		}
		r := defaultRules()
		r.TargetCodec = Codec(target%6) - 1
		r.MaxMessageBytes = fuzzLimit
		r.CompactedTopic, r.AllowControl = compacted, control
		if logAppendTime {
			r.TimestampType = LogAppendTime
		}
		before := bytes.Clone(records)
		if h, err := ParseHeader(records); err == nil {
			checkSkim(t, h, records[HeaderSize:], r)
		}
		v, err := Validate(records, r)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Err == nil {
				t.Fatalf("%T", err)
			}
			if !bytes.Equal(records, before) {
				t.Fatal("a refused batch was changed")
			}
			return
		}
		h, err := ParseHeader(v.Batch)
		if err != nil || h != v.Header || h.Size() != len(v.Batch) || !ValidCRC(v.Batch) {
			t.Fatalf("%v, %v, %v", h, v.Header, err)
		}
		var want []Record
		original, err := ParseHeader(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := EachRecord(before[:original.Size()], 1<<30, func(_ int, r Record) error { want = append(want, r); return nil }); err != nil {
			t.Fatalf("the accepted batch can't be read: %v", err)
		}
		i := 0
		if err := EachRecord(v.Batch, 1<<30, func(_ int, got Record) error {
			if !sameBytes(got.Key, want[i].Key) || !sameBytes(got.Value, want[i].Value) || len(got.Headers) != len(want[i].Headers) {
				t.Fatalf("record %d: %+v became %+v", i, want[i], got)
			}
			if ts := original.Timestamp(want[i]); !logAppendTime && v.Recompressed && h.Timestamp(got) != ts {
				t.Fatalf("record %d had time %d and has %d", i, ts, h.Timestamp(got))
			}
			i++
			return nil
		}); err != nil || i != len(want) {
			t.Fatalf("%d of %d records, %v", i, len(want), err)
		}
		if logAppendTime || original.TimestampType() == LogAppendTime {
			return // the records' time is another one now
		}
		stored := bytes.Clone(v.Batch)
		again, err := Validate(v.Batch, r)
		if err != nil || again.Recompressed || !bytes.Equal(again.Batch, stored) {
			t.Fatalf("an accepted batch was changed or refused: %v", err)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, codec := range codecs {
		for _, src := range samples()[:12] {
			packed, err := Compress(nil, src, codec, DefaultLevel)
			must(f, err)
			if len(packed) < 4<<10 {
				f.Add(packed, byte(codec), uint32(len(src)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, codec byte, limit uint32) {
		c := Codec(codec % 5)
		limit %= fuzzLimit
		out, err := Decompress(nil, src, c, int(limit))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		if len(out) > int(limit) {
			t.Fatalf("%d bytes, limit %d", len(out), limit)
		}
		if len(out) > 0 {
			if _, err := Decompress(nil, src, c, len(out)-1); !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%d bytes in %d: %v", len(out), len(out)-1, err)
			}
		}
		packed, err := Compress(nil, out, c, DefaultLevel)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) == 0 {
			return
		}
		if back, err := Decompress(nil, packed, c, len(out)); err != nil || !bytes.Equal(back, out) {
			t.Fatalf("came back changed: %v", err)
		}
	})
}
