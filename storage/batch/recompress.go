package batch

import (
	"fmt"
	"io"
)

// recompress checks the batch b and makes a new one of the target codec, its offset deltas in order. The records go from the
// source's codec to the target's in a stream; no more than max.message.bytes of the result is kept.
func recompress(b []byte, target Codec, c *checker) (Validated, error) {
	r := &c.rules
	limit := r.MaxMessageBytes
	if limit <= 0 {
		limit = DefaultMaxDecompressedBytes
	}
	out := sink{b: make([]byte, HeaderSize, min(len(b)+len(b)/8+HeaderSize, limit+HeaderSize)), max: limit}
	w := rewriter{w: &out, base: r.NowMillis}
	if target != None {
		comp, err := newCompressor(target, r.level(target), &out)
		if err != nil {
			return Validated{}, asError(err)
		}
		defer comp.release()
		w.w = comp
		w.close = comp.Close
	}
	err := c.stream(b[HeaderSize:], &w)
	if err == nil {
		err = c.result()
	}
	if err == nil && w.close != nil {
		err = w.close()
	}
	if err != nil {
		return Validated{}, asError(err)
	}
	if out.over {
		return Validated{}, refuse(ErrTooLarge, "the record batch in the append to %s exceeds the maximum configured size of %d once it is compressed as the topic asks (%v)",
			r.Partition, r.MaxMessageBytes, target)
	}

	h := c.h
	h.Length = int32(len(out.b) - Overhead)
	h.Attributes = h.Attributes&^(attrCodec|attrLogAppendTime) | int16(target)
	h.BaseTimestamp, h.MaxTimestamp = w.base, c.maxTimestamp
	if r.TimestampType == LogAppendTime {
		h.Attributes |= attrLogAppendTime
		h.MaxTimestamp = r.NowMillis
	}
	h.AppendTo(out.b[:0])
	h.CRC = Checksum(out.b)
	h.AppendTo(out.b[:0])
	v := validated(out.b, h, h.MaxTimestamp)
	v.Recompressed = true
	return v, nil
}

func (r *Rules) level(c Codec) int {
	switch c {
	case Gzip:
		return r.GzipLevel
	case LZ4:
		return r.LZ4Level
	case Zstd:
		return r.ZstdLevel
	case None, Snappy, Producer:
	}
	return DefaultLevel
}

// rewriter writes records anew: offset deltas from 0 on, timestamp deltas from the first record's timestamp (on a LogAppendTime topic too,
// where the batch's maximum is what counts, as Kafka has it); no attributes. Key, value and headers stay as they are.
type rewriter struct {
	w     io.Writer
	close func() error
	base  int64
	next  int32
}

// begin writes the head of a record whose body of size bytes is to be written to the result.
func (w *rewriter) begin(st *recordStream, size int, timestamp int64) (io.Writer, error) {
	if w.next == 0 {
		w.base = timestamp
	}
	delta := timestamp - w.base
	total := 1 + sizeVarint64(delta) + sizeVarint32(w.next) + size
	if total > DefaultMaxDecompressedBytes {
		return nil, fmt.Errorf("%w: a record of %d bytes", ErrTooLarge, total)
	}
	p := appendVarint32(st.prefix[:0], int32(total))
	p = append(p, 0)
	p = appendVarint64(p, delta)
	p = appendVarint32(p, w.next)
	w.next++
	if err := write(w.w, p); err != nil {
		return nil, err
	}
	return w.w, nil
}
