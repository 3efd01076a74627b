package cluster

import "iter"

// numShards is how many parts a shardMap has. A change copies one part and the table of parts: with 10,000 topics that is some 40 entries and 2 KB.
const numShards = 256

// shardMap is a map that is never changed in place: set and remove give a new map that shares all parts but one with
// the old one, so that an image with thousands of topics is cheap to succeed. The zero value is empty. Reading needs no lock.
type shardMap[K comparable, V any] struct {
	shards *[numShards]map[K]V
	n      int
}

func (m shardMap[K, V]) get(h uint8, k K) (V, bool) {
	if m.shards == nil {
		var none V
		return none, false
	}
	v, ok := m.shards[h][k]
	return v, ok
}

// all ranges over the entries in no particular order.
func (m shardMap[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.shards == nil {
			return
		}
		for i := range m.shards {
			for k, v := range m.shards[i] {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// shardEdit changes a shardMap: every part is copied at most once, however many changes there are.
type shardEdit[K comparable, V any] struct {
	m     shardMap[K, V]
	owned *[numShards]bool // nil: nothing was changed yet
}

func edit[K comparable, V any](m shardMap[K, V]) shardEdit[K, V] { return shardEdit[K, V]{m: m} }

func (e *shardEdit[K, V]) get(h uint8, k K) (V, bool) { return e.m.get(h, k) }

func (e *shardEdit[K, V]) own(h uint8) map[K]V {
	if e.owned == nil {
		e.owned = new([numShards]bool)
		shards := new([numShards]map[K]V)
		if e.m.shards != nil {
			*shards = *e.m.shards
		}
		e.m.shards = shards
	}
	if !e.owned[h] {
		e.owned[h] = true
		old := e.m.shards[h]
		part := make(map[K]V, len(old)+1)
		for k, v := range old {
			part[k] = v
		}
		e.m.shards[h] = part
	}
	return e.m.shards[h]
}

func (e *shardEdit[K, V]) set(h uint8, k K, v V) {
	part := e.own(h)
	if _, had := part[k]; !had {
		e.m.n++
	}
	part[k] = v
}

func (e *shardEdit[K, V]) remove(h uint8, k K) {
	if _, had := e.m.get(h, k); !had {
		return
	}
	delete(e.own(h), k)
	e.m.n--
}

// shardOfString is FNV-1a, folded.
func shardOfString(s string) uint8 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return uint8(h ^ h>>8 ^ h>>16 ^ h>>24)
}

func shardOfID(id TopicID) uint8 { return id[7] ^ id[15] }
