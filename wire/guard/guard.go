// Package guard judges an encoded request body before it is decoded. kmsg believes counts: a body of seven bytes that declares 2^32-1
// tags burns a minute of CPU, and arrays of small structs grow sixty times. The guard walks the body along kmsg's own schema
// (schema_gen.go, written by gen from kmsg's decoders) and refuses
//
//   - what ends too early, and null where the protocol has none (Kafka refuses both);
//   - an array of more than MaxElements elements, a tag section of more than MaxTags tags;
//   - what would cost more than Factor times its size in memory once it is decoded, apart from FreeBytes.
//
// It takes time linear in the body, allocates nothing, and keeps no state. Unknown tags, which nobody reads, are taken out of the
// body where that is possible, because kmsg would make a map for each section that has one; only then a new body is made.
//
// Byte fields (records, group metadata) are opaque to it: whoever decodes them has to bound that himself.
package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
)

//go:generate go run ./gen -o schema_gen.go

const (
	// MaxElements is the most elements that an array may have, as in Kafka 4.4.
	MaxElements = 1_000_000
	// MaxTags is the most tags that a tag section may have, as in Kafka 4.4.
	MaxTags = 10_000
	// Factor is how many times its own size a body may cost in memory.
	Factor = 8
	// FreeBytes is what any body may cost, however small it is.
	FreeBytes = 16 << 10

	// What kmsg's unknown tags cost: a map with its first group of slots, then each further entry, growth included.
	firstTagCost, nextTagCost = 400, 80
)

// Reasons for which a body is refused. The errors that Check gives wrap one of them.
var (
	ErrShort    = errors.New("the body ends too early")
	ErrNull     = errors.New("null where none may be")
	ErrTooMany  = errors.New("too many elements or tags")
	ErrTooDear  = errors.New("the body would take too much memory once decoded")
	ErrTagSize  = errors.New("a tag's size is not that of its field")
	ErrNoSchema = errors.New("no schema for this request")
)

type kind uint8

const (
	fixed    kind = iota // size bytes
	text                 // a string
	data                 // bytes
	array                // of object
	inline               // object
	optional             // a byte, then object unless that is -1
)

const never = 1<<15 - 1

// field is one field of an object. Which versions have it is in min and max.
type field struct {
	kind     kind
	size     uint8
	pointer  bool  // decoded as a pointer
	min, max int16 // versions
	nullFrom int16 // the first version in which it may be null
	object   *object
}

// object is a struct, or what an array that has no structs consists of (bare).
type object struct {
	size   uint32 // of the Go value
	bare   bool
	tags   bool // has a tag section in flexible versions
	fields []field
	tagged []field // by tag
}

type request struct {
	flexibleFrom int16
	body         object
}

type walker struct {
	src      []byte
	at       int
	version  int16
	flexible bool
	nested   int // inside so many tags, whose sizes can't change
	cost     int
	limit    int

	out    []byte // the body without unknown tags, up to copied
	copied int
}

// Check judges the body of a request and gives the body to decode: body itself, or a new one without its unknown tags. Bytes after
// the body's end are let through, as Kafka does.
func Check(key, version int16, body []byte) ([]byte, error) {
	if key < 0 || int(key) >= len(requests) || requests[key] == nil {
		return nil, ErrNoSchema
	}
	r := requests[key]
	w := walker{
		src: body, version: version, flexible: version >= r.flexibleFrom,
		cost: int(r.body.size), limit: FreeBytes + Factor*len(body),
	}
	if err := w.object(&r.body); err != nil {
		return nil, fmt.Errorf("%w (at byte %d of %d)", err, w.at, len(body))
	}
	if w.copied > 0 {
		return append(w.out, body[w.copied:]...), nil
	}
	return body, nil
}

func (w *walker) object(o *object) error {
	for i := range o.fields {
		f := &o.fields[i]
		if w.version < f.min || w.version > f.max {
			continue
		}
		if f.kind == fixed {
			if len(w.src)-w.at < int(f.size) {
				return ErrShort
			}
			w.at += int(f.size)
			continue
		}
		if err := w.field(f); err != nil {
			return err
		}
	}
	if !w.flexible || !o.tags {
		return nil
	}
	if w.at < len(w.src) && w.src[w.at] == 0 {
		w.at++
		return nil
	}
	return w.tags(o)
}

func (w *walker) field(f *field) error {
	switch f.kind {
	case fixed:
		return w.skip(int(f.size))
	case text:
		n, err := w.length(2)
		if err != nil {
			return err
		}
		if n < 0 {
			if w.version < f.nullFrom {
				return ErrNull
			}
			return nil
		}
		if err := w.skip(n); err != nil {
			return err
		}
		cost := (n + 7) &^ 7
		if f.pointer {
			cost += 16
		}
		return w.pay(cost)
	case data:
		n, err := w.length(4)
		if err != nil {
			return err
		}
		if n < 0 {
			if w.version < f.nullFrom {
				return ErrNull
			}
			return nil
		}
		return w.skip(n)
	case array:
		return w.array(f)
	case inline:
		return w.object(f.object)
	case optional:
		if w.at >= len(w.src) {
			return ErrShort
		}
		present := int8(w.src[w.at])
		w.at++
		if present == -1 {
			return nil
		}
		if present < 0 {
			return ErrNull
		}
		if err := w.pay(int(f.object.size)); err != nil {
			return err
		}
		return w.object(f.object)
	default:
		return ErrNoSchema
	}
}

func (w *walker) array(f *field) error {
	n, err := w.length(4)
	if err != nil {
		return err
	}
	if n < 0 {
		if w.version < f.nullFrom {
			return ErrNull
		}
		return nil
	}
	if n > MaxElements {
		return ErrTooMany
	}
	if n > len(w.src)-w.at { // kmsg wants a byte for each, and without one a walk wouldn't be linear
		return ErrShort
	}
	o := f.object
	if err := w.pay(n * int(o.size)); err != nil {
		return err
	}
	if o.bare && o.fields[0].kind == fixed {
		return w.skip(n * int(o.fields[0].size))
	}
	for range n {
		if err := w.object(o); err != nil {
			return err
		}
	}
	return nil
}

// tags walks a tag section. Unknown tags are dropped from the body, but for those inside a tag: these stay, and are paid for.
func (w *walker) tags(o *object) error {
	start := w.at
	count, err := w.uvarint()
	if err != nil {
		return err
	}
	if count > MaxTags {
		return ErrTooMany
	}
	unknown, drop := 0, w.nested == 0
	var known [16][2]int
	kept := known[:0]
	for range count {
		from := w.at
		tag, err := w.uvarint()
		if err != nil {
			return err
		}
		size, err := w.uvarint()
		if err != nil {
			return err
		}
		if int64(size) > int64(len(w.src)-w.at) {
			return ErrShort
		}
		end := w.at + int(size)
		if int64(tag) >= int64(len(o.tagged)) {
			w.at = end
			if unknown++; !drop {
				cost := nextTagCost
				if unknown == 1 {
					cost = firstTagCost
				}
				if err := w.pay(cost); err != nil {
					return err
				}
			}
			continue
		}
		src := w.src
		w.src = src[:end]
		w.nested++
		err = w.field(&o.tagged[tag])
		w.nested--
		w.src = src
		if err != nil {
			return err
		}
		if w.at != end {
			return ErrTagSize
		}
		if drop {
			kept = append(kept, [2]int{from, end})
		}
	}
	if !drop || unknown == 0 {
		return nil
	}
	if w.out == nil {
		w.out = make([]byte, 0, len(w.src))
	}
	w.out = append(w.out, w.src[w.copied:start]...)
	w.out = binary.AppendUvarint(w.out, uint64(len(kept)))
	for _, k := range kept {
		w.out = append(w.out, w.src[k[0]:k[1]]...)
	}
	w.copied = w.at
	return nil
}

// length reads the length of a string, bytes or an array, -1 for null: a number of so many bytes, or a compact one.
func (w *walker) length(bytes int) (int, error) {
	if w.flexible {
		n, err := w.uvarint()
		// kmsg computes some of these as int32.
		if n > 1<<31-1 {
			return 0, ErrShort
		}
		return int(n) - 1, err
	}
	if len(w.src)-w.at < bytes {
		return 0, ErrShort
	}
	n := 0
	if bytes == 2 {
		n = int(int16(binary.BigEndian.Uint16(w.src[w.at:])))
	} else {
		n = int(int32(binary.BigEndian.Uint32(w.src[w.at:])))
	}
	w.at += bytes
	return max(n, -1), nil
}

func (w *walker) uvarint() (uint32, error) {
	if w.at < len(w.src) && w.src[w.at] < 0x80 {
		w.at++
		return uint32(w.src[w.at-1]), nil
	}
	var n uint32
	for i := range 5 {
		if w.at >= len(w.src) {
			return 0, ErrShort
		}
		c := w.src[w.at]
		w.at++
		if i == 4 && c > 0x0f {
			return 0, ErrShort
		}
		n |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, nil
		}
	}
	return 0, ErrShort
}

func (w *walker) skip(n int) error {
	if n > len(w.src)-w.at {
		return ErrShort
	}
	w.at += n
	return nil
}

func (w *walker) pay(cost int) error {
	if w.cost += cost; w.cost > w.limit {
		return ErrTooDear
	}
	return nil
}
