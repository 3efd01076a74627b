package batch

import "math/bits"

// uvarint32 reads an unsigned varint of at most five bytes at the beginning of b; n is 0 where there is none. As in Kafka, bits
// beyond the 32nd are dropped.
func uvarint32(b []byte) (v uint32, n int) {
	for i := 0; i < len(b) && i < 5; i++ {
		c := b[i]
		v |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// varint32 reads a zig-zag varint of at most five bytes; n is 0 where there is none.
func varint32(b []byte) (v int32, n int) {
	u, n := uvarint32(b)
	return int32(u>>1) ^ -int32(u&1), n
}

// varint32At is varint32 of b[pos:] for the most frequent case, one byte, and is inlined; n is 0 also where there are more.
func varint32At(b []byte, pos int) (v int32, n int) {
	if uint(pos) < uint(len(b)) && b[pos] < 0x80 {
		return int32(b[pos]>>1) ^ -int32(b[pos]&1), 1
	}
	return 0, 0
}

// varint64 reads a zig-zag varint of at most ten bytes; n is 0 where there is none.
func varint64(b []byte) (v int64, n int) {
	var u uint64
	for i := 0; i < len(b) && i < 10; i++ {
		c := b[i]
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

func appendVarint32(dst []byte, v int32) []byte {
	u := uint32(v<<1) ^ uint32(v>>31)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func appendVarint64(dst []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func sizeVarint32(v int32) int {
	u := uint32(v<<1) ^ uint32(v>>31)
	return (bits.Len32(u|1) + 6) / 7
}

func sizeVarint64(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}
