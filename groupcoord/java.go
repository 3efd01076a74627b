package groupcoord

import "github.com/kbroker/kbroker/coord"

// javaBucket is the bucket of a key in a small java.util.HashMap.
func javaBucket(s string) int {
	h := uint32(coord.JavaHash(s))
	return int((h ^ h>>16) & 15)
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
