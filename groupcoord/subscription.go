package groupcoord

import "encoding/binary"

// addSubscription adds the topics of a consumer's metadata (Kafka's ConsumerProtocolSubscription) to topics. It reads version
// 0, which all versions begin with. It says false where the bytes are none. Time and memory are linear in the bytes.
func addSubscription(topics map[string]struct{}, metadata []byte) bool {
	b := metadata
	if len(b) < 6 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 || int64(n)*2 > int64(len(b)) { // each has a length of 2 bytes
		return false
	}
	names := make([]string, 0, n)
	for range n {
		if len(b) < 2 {
			return false
		}
		size := int(int16(binary.BigEndian.Uint16(b)))
		b = b[2:]
		if size < 0 || size > len(b) {
			return false
		}
		names = append(names, string(b[:size]))
		b = b[size:]
	}
	// user data: null or as many bytes as it says
	if len(b) < 4 {
		return false
	}
	if size := int32(binary.BigEndian.Uint32(b)); int64(size) > int64(len(b)-4) {
		return false
	}
	for _, name := range names {
		topics[name] = struct{}{}
	}
	return true
}
