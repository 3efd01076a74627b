package handlers

import (
	"encoding/binary"

	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
)

// plainProduceBody encodes an answer whose rows have codes, offsets and times only: what nearly every produce gets. It is what kmsg would
// write, without the structs in between.
func plainProduceBody(version int16, topics []produceTopic) wire.Body {
	size := 16
	for i := range topics {
		size += 24 + len(topics[i].name) + 40*len(topics[i].rows)
	}
	e := encoder{buf: make([]byte, 0, size), flexible: version >= 9}
	e.arrayLen(len(topics))
	for i := range topics {
		t := &topics[i]
		if version >= 13 {
			e.buf = append(e.buf, t.id[:]...)
		} else {
			e.string(t.name)
		}
		e.arrayLen(len(t.rows))
		for j := range t.rows {
			row := &t.rows[j]
			e.int32(row.partition)
			e.int16(row.code)
			e.int64(row.info.FirstOffset)
			e.int64(row.info.LogAppendTimeMillis)
			if version >= 5 {
				e.int64(row.info.LogStartOffset)
			}
			if version >= 8 {
				e.arrayLen(0)
				e.nullString()
			}
			e.noTags()
		}
		e.noTags()
	}
	e.int32(0) // throttle time
	e.noTags()
	return wire.Body{Chunks: []vfs.Chunk{{Bytes: e.buf}}}
}

// encoder appends Kafka's primitive types, in the flexible or the older encoding.
type encoder struct {
	buf      []byte
	flexible bool
}

func (e *encoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *encoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *encoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }
func (e *encoder) uvarint(v int) { e.buf = binary.AppendUvarint(e.buf, uint64(v)) }

// arrayLen begins an array of n elements; -1 is null.
func (e *encoder) arrayLen(n int) {
	if e.flexible {
		e.uvarint(n + 1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.uvarint(len(s) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

func (e *encoder) nullString() {
	if e.flexible {
		e.uvarint(0)
	} else {
		e.int16(-1)
	}
}

// bytesLen begins bytes of length n, which follow.
func (e *encoder) bytesLen(n int) { e.arrayLen(n) }

// noTags ends a struct without tagged fields; older encodings have none.
func (e *encoder) noTags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}
