package coord

import "unicode/utf16"

// JavaHash is String.hashCode of Java, by which Kafka spreads keys over a coordinator's partitions.
func JavaHash(s string) int32 {
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

// PartitionFor is which of a coordinator topic's n partitions a key (group id, transactional id) belongs to.
func PartitionFor(key string, n int32) int32 {
	h := JavaHash(key)
	switch {
	case h == -1<<31: // has no absolute value
		return 0
	case h < 0:
		h = -h
	}
	return h % n
}
