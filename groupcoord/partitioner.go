package groupcoord

import "unicode/utf16"

// javaHash is String.hashCode of Java.
func javaHash(s string) int32 {
	h := int32(0)
	for _, r := range s {
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			h = 31*(31*h+hi) + lo
			continue
		}
		h = 31*h + r
	}
	return h
}

// javaBucket is the bucket of a key in a small java.util.HashMap.
func javaBucket(s string) int {
	h := uint32(javaHash(s))
	return int((h ^ h>>16) & 15)
}

// partitionFor is the partition of __consumer_offsets, of n, that a group's state is kept in.
func partitionFor(group string, n int32) int32 {
	h := javaHash(group)
	if h == -1<<31 {
		return 0
	}
	if h < 0 {
		h = -h
	}
	return h % n
}

// utf16Len is how many UTF-16 units a string has: Java's length.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		if n++; r >= 0x10000 {
			n++
		}
	}
	return n
}
