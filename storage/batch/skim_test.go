package batch

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// checkSkim holds skim against each, which it must never contradict: what skim accepts, each accepts with the same max timestamp.
func checkSkim(t testing.TB, h Header, records []byte, r Rules) (skimmed bool) {
	t.Helper()
	c := checker{rules: r, h: h, maxTimestamp: NoTimestamp}
	newest, ok := c.skim(records)
	if !ok {
		return false
	}
	err := c.each(records)
	if err == nil {
		err = c.result()
	}
	if err != nil {
		t.Fatalf("skim accepts %v %x: %v", h, records, err)
	}
	if newest != c.maxTimestamp {
		t.Fatalf("skim says that %v %x is as new as %d, and it is %d", h, records, newest, c.maxTimestamp)
	}
	return true
}

// usual makes records as clients send them.
func usual(rnd *rand.Rand, n int) []Record {
	rs := make([]Record, n)
	for i := range rs {
		rs[i] = Record{OffsetDelta: int32(i), TimestampDelta: rnd.Int64N(1000), Value: make([]byte, rnd.IntN(300))}
		if rnd.IntN(2) == 0 {
			rs[i].Key = make([]byte, rnd.IntN(100))
		}
		if rnd.IntN(10) == 0 {
			rs[i].Value = nil
		}
		for range rnd.IntN(3) {
			rs[i].Headers = append(rs[i].Headers, RecordHeader{Key: "key", Value: make([]byte, rnd.IntN(80))})
		}
	}
	return rs
}

func TestValidate_PROD_12_the_fast_scan_agrees_with_the_thorough_one(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		b := kmsgBatch(t, plainHeader(now, now+1000), None, usual(rnd, 1+rnd.IntN(20)))
		h, err := ParseHeader(b)
		must(t, err)
		r := defaultRules()
		if !checkSkim(t, h, b[HeaderSize:], r) {
			t.Fatalf("batch %d isn't skimmed: %x", i, b)
		}
		r.CompactedTopic = rnd.IntN(2) == 0
		if rnd.IntN(2) == 0 {
			r.TimestampType = LogAppendTime
		}
		r.NowMillis += rnd.Int64N(3000) - 1500
		r.TimestampBeforeMaxMillis, r.TimestampAfterMaxMillis = rnd.Int64N(2000), rnd.Int64N(2000)
		checkSkim(t, h, b[HeaderSize:], r)
		// One byte of the records, or of what the header says, is another one.
		for range 20 {
			records, h := bytes.Clone(b[HeaderSize:]), h
			switch at := rnd.IntN(len(records)); rnd.IntN(4) {
			case 0:
				records[at] ^= 1 << rnd.IntN(8)
			case 1:
				records[at] = byte(rnd.IntN(256))
			case 2:
				records = records[:at]
			case 3:
				h.NumRecords += int32(rnd.IntN(3) - 1)
				h.BaseTimestamp = []int64{-1, 0, math.MaxInt64, math.MinInt64, now - 1}[rnd.IntN(5)]
			}
			checkSkim(t, h, records, r)
		}
	}
}

// Each number of a record in all its lengths, also written with more bytes than it needs.
func TestValidate_PROD_12_the_fast_scan_and_long_numbers(t *testing.T) {
	h := plainHeader(now, now)
	h.NumRecords = 1
	numbers := []int32{-1, 0, 1, 63, 64, 8191, 8192, 1<<20 - 1, 1 << 20, math.MaxInt32, -64, -65, math.MinInt32}
	padded := func(dst []byte, v int32, pad int) []byte {
		dst = appendVarint32(dst, v)
		for range pad {
			dst[len(dst)-1] |= 0x80
			dst = append(dst, 0)
		}
		return dst
	}
	for field := range 5 {
		for _, v := range numbers {
			for pad := range 4 {
				values := [5]int32{0, 0, 1, 1, 0} // timestamp delta, offset delta, key, value, number of headers
				values[field] = v
				var body []byte
				body = append(body, 0)
				for i, v := range values {
					p := 0
					if i == field {
						p = pad
					}
					body = padded(body, v, p)
					if (i == 2 || i == 3) && v > 0 {
						body = append(body, make([]byte, min(v, 9000))...)
					}
				}
				for _, size := range []int{len(body) - 1, len(body), len(body) + 1} {
					for _, tail := range []int{0, 1, 20} {
						records := append(appendVarint32(nil, int32(size)), body...)
						records = append(records, make([]byte, tail)...)
						for _, compacted := range []bool{false, true} {
							r := defaultRules()
							r.CompactedTopic = compacted
							r.TimestampBeforeMaxMillis = int64(math.MaxInt64)
							checkSkim(t, h, records, r)
						}
					}
				}
			}
		}
	}
}

// BenchmarkRecords is the check of records of 100 bytes alone, without the checksum of the batch.
func BenchmarkRecords(b *testing.B) {
	for _, headers := range []int{0, 2} {
		for _, n := range []int{10, 100, 1000} {
			var rs []Record
			for i := range n {
				r := Record{OffsetDelta: int32(i), TimestampDelta: int64(i % 128), Value: make([]byte, 92-10*headers)}
				for range headers {
					r.Headers = append(r.Headers, RecordHeader{"name", make([]byte, 4)})
				}
				rs = append(rs, r)
			}
			batch := kmsgBatch(b, plainHeader(now, now), None, rs)
			h, err := ParseHeader(batch)
			must(b, err)
			c := checker{rules: defaultRules(), h: h, maxTimestamp: NoTimestamp}
			b.Run(fmt.Sprintf("%d headers/%d records", headers, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := c.plain(batch[HeaderSize:]); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
			})
		}
	}
}
