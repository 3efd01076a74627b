package batch

import "encoding/binary"

const (
	// skimHead is how many bytes of a record skimRecord reads at once, and skimLeft how many have to be left for it.
	skimHead = 8
	skimLeft = skimHead + 1
	// farTime is so far from the ends of an int64 that sums and differences of times up to it don't wrap around.
	farTime = 1 << 61
)

// skim accepts the records of an uncompressed batch in which nothing is unusual, as nearly all are, by the same rules as plain and
// in a third of its time. It refuses nothing: where it gives false, plain has to look again and say what is wrong.
func (c *checker) skim(b []byte) (maxTimestamp int64, ok bool) {
	r, base := &c.rules, c.h.BaseTimestamp
	if c.h.NumRecords <= 0 || c.h.Attributes&attrLogAppendTime != 0 || base < 0 || base > farTime || r.NowMillis < 0 || r.NowMillis > farTime {
		return 0, false
	}
	lowest, highest := int64(farTime), int64(-farTime) // timestamp deltas
	allKeyed := true
	pos := 0
	for range c.h.NumRecords {
		var delta int64
		var keyed bool
		next := -1
		if len(b)-pos >= skimLeft {
			delta, next, keyed = skimRecord(b, pos)
		}
		if next < 0 {
			var s span
			if scan(b, pos, &s) != nil {
				return 0, false
			}
			delta, next, keyed = s.timestampDelta, s.end, s.keyStart >= 0
		}
		lowest, highest = min(lowest, delta), max(highest, delta)
		allKeyed = allKeyed && keyed
		pos = next
	}
	if pos != len(b) || r.CompactedTopic && !allKeyed || lowest < -farTime || highest > farTime {
		return 0, false
	}
	if r.TimestampType == CreateTime &&
		(r.NowMillis-(base+lowest) > r.TimestampBeforeMaxMillis || base+highest-r.NowMillis > r.TimestampAfterMaxMillis) {
		return 0, false
	}
	return max(NoTimestamp, base+highest), true
}

// skimRecord is scan for a record whose numbers are short: a length of one or two bytes, and so on. next is where the following
// record begins, -1 where this one is another sort of record, or broken; skimLeft bytes have to be there at pos.
func skimRecord(b []byte, pos int) (timestampDelta int64, next int, keyed bool) {
	x := binary.LittleEndian.Uint64(b[pos:]) // from here on x begins at the byte that p names
	p := pos
	size := x & 0x7f
	if x&0x80 != 0 {
		if x&0x8000 != 0 {
			return 0, -1, false
		}
		size |= x >> 1 & 0x3f80
		x >>= 8
		p++
	}
	end := p + 1 + int(size>>1)
	if size&1 != 0 || end > len(b) {
		return 0, -1, false
	}
	x >>= 16 // the attributes are skipped
	p += 2

	d := x & 0x7f
	if x&0x80 != 0 {
		d |= x >> 1 & 0x3f80
		if x&0x8000 != 0 {
			if x&0x800000 != 0 {
				return 0, -1, false
			}
			d |= x >> 2 & 0x1fc000
			x >>= 8
			p++
		}
		x >>= 8
		p++
	}
	x >>= 8
	p++
	timestampDelta = int64(d>>1) ^ -int64(d&1)

	if x&0x80 != 0 { // the offset delta
		if x&0x8000 != 0 {
			return 0, -1, false
		}
		p++
	}
	p++

	b = b[:end]
	if p >= len(b) {
		return 0, -1, false
	}
	n := int(b[p])
	p++
	if n >= 0x80 {
		if p >= len(b) || b[p] >= 0x80 {
			return 0, -1, false
		}
		n = n&0x7f | int(b[p])<<7
		p++
	}
	if n&1 == 0 {
		p += n >> 1
		keyed = true
	}

	if p >= len(b) {
		return 0, -1, false
	}
	n = int(b[p])
	p++
	if n >= 0x80 {
		if p >= len(b) || b[p] >= 0x80 {
			return 0, -1, false
		}
		n = n&0x7f | int(b[p])<<7
		p++
	}
	if n&1 == 0 {
		p += n >> 1
	}

	if p >= len(b) {
		return 0, -1, false
	}
	if n = int(b[p]); n != 0 {
		p = skimHeaders(b, p+1, n)
	} else {
		p++
	}
	if p != len(b) {
		return 0, -1, false
	}
	return timestampDelta, end, keyed
}

// skimHeaders is where the headers at pos end, so many as the zig-zag number says. It gives -1 as skimRecord does.
func skimHeaders(b []byte, pos, number int) int {
	if number >= 0x80 || number&1 != 0 {
		return -1
	}
	for range number {
		// Keys and values take turns: number is twice the count of headers.
		if pos >= len(b) {
			return -1
		}
		n := int(b[pos])
		pos++
		if n >= 0x80 {
			if pos >= len(b) || b[pos] >= 0x80 {
				return -1
			}
			n = n&0x7f | int(b[pos])<<7
			pos++
		}
		if n&1 != 0 {
			return -1
		}
		pos += n >> 1
	}
	return pos
}
