package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

// What a tail can look like where no good batch stands. Recovery cuts all of them; the log line says which it was.
var (
	errTornBatch    = errors.New("torn batch: the file ends inside of it")
	errZeroedBatch  = errors.New("zeroed: the file has zeros where a batch should begin")
	errInvalidBatch = errors.New("invalid batch")
)

// notABatch says whether an error is one of them.
func notABatch(err error) bool {
	return errors.Is(err, errTornBatch) || errors.Is(err, errZeroedBatch) || errors.Is(err, errInvalidBatch)
}

// walkBuffer is how many bytes a walk over batch headers reads at once. It reads single headers where batches are larger.
const walkBuffer = 16 << 10

var walkBuffers = sync.Pool{New: func() any { return new([walkBuffer]byte) }}

// walker steps through the batch headers of a .log file between two positions.
//
//	for w.next() { use w.header, w.pos }
//	if w.err != nil { no good batch stands at w.pos, before w.end }
type walker struct {
	file   vfs.File
	end    int64
	pos    int64        // where the current batch begins
	header batch.Header // of the current batch
	err    error

	size   int64 // of the current batch; the next one is behind it
	buf    *[walkBuffer]byte
	bufPos int64
	bufLen int
}

func newWalker(f vfs.File, pos, end int64) walker { return walker{file: f, pos: pos, end: end} }

func (w *walker) close() {
	if w.buf != nil {
		walkBuffers.Put(w.buf)
		w.buf = nil
	}
}

// next goes to the next batch; false at the end, and with err set where no whole batch stands.
func (w *walker) next() bool {
	w.pos += w.size
	w.size = 0
	left := w.end - w.pos
	if left <= 0 || w.err != nil {
		return false
	}
	if left < batch.HeaderSize {
		w.err = errTornBatch
		if b, err := w.bytes(int(left)); err == nil && allZero(b) {
			w.err = errZeroedBatch
		}
		return false
	}
	b, err := w.bytes(batch.HeaderSize)
	if err != nil {
		w.err = err
		return false
	}
	h, err := batch.ParseHeader(b)
	if err != nil {
		w.err = err
		return false
	}
	if w.err = checkStored(&h, left, b); w.err != nil {
		return false
	}
	w.header, w.size = h, int64(h.Size())
	return true
}

// checkStored says whether the header of a stored batch makes sense where left bytes of file are left.
func checkStored(h *batch.Header, left int64, b []byte) error {
	switch {
	case allZero(b):
		return errZeroedBatch
	case h.Magic != batch.Magic:
		return fmt.Errorf("%w: magic %d", errInvalidBatch, h.Magic)
	case int64(h.Length) < batch.HeaderSize-batch.Overhead:
		return fmt.Errorf("%w: length %d", errInvalidBatch, h.Length)
	case h.BaseOffset < 0 || h.LastOffsetDelta < 0 || h.LastOffset() < h.BaseOffset:
		return fmt.Errorf("%w: offsets %d to %d", errInvalidBatch, h.BaseOffset, h.LastOffset())
	case int64(h.Size()) > left:
		return errTornBatch
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// bytes gives the n bytes at pos, n being at most a header.
func (w *walker) bytes(n int) ([]byte, error) {
	if w.buf == nil {
		w.buf = walkBuffers.Get().(*[walkBuffer]byte)
	}
	if w.pos < w.bufPos || w.pos+int64(n) > w.bufPos+int64(w.bufLen) {
		want := int64(walkBuffer)
		if w.header.Size() >= walkBuffer/2 {
			want = batch.HeaderSize
		}
		want = max(int64(n), min(want, w.end-w.pos))
		m, err := w.file.ReadAt(w.buf[:want], w.pos)
		if m < n {
			if err == nil || errors.Is(err, io.EOF) {
				err = errTornBatch
			}
			return nil, err
		}
		w.bufPos, w.bufLen = w.pos, m
	}
	i := int(w.pos - w.bufPos)
	return w.buf[i : i+n], nil
}

// batch reads the current batch whole. Its size was checked against the file's.
func (w *walker) batch() ([]byte, error) {
	b := make([]byte, w.size)
	if err := readFull(w.file, b, w.pos); err != nil {
		return nil, err
	}
	return b, nil
}

// castagnoli is never written after its making.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// attributesAt is where the bytes begin that a batch's checksum covers.
const attributesAt = 21

// validCRC checks the current batch's checksum, piece by piece: a batch may be larger than memory should be.
func (w *walker) validCRC(buf []byte) (bool, error) {
	crc := uint32(0)
	for pos, end := w.pos+attributesAt, w.pos+w.size; pos < end; {
		n := min(int64(len(buf)), end-pos)
		if err := readFull(w.file, buf[:n], pos); err != nil {
			return false, err
		}
		crc = crc32.Update(crc, castagnoli, buf[:n])
		pos += n
	}
	return crc == w.header.CRC, nil
}

// parseMarker reads the transaction marker in a control batch; false where it holds something else or nothing any more.
func parseMarker(b []byte) (m marker, ok bool) {
	err := batch.EachRecord(b, maxControlBatch, func(i int, r batch.Record) error {
		if i > 0 || len(r.Key) < 4 || len(r.Value) < 6 {
			return nil
		}
		kind := int16(binary.BigEndian.Uint16(r.Key[2:]))
		if kind != markerAbort && kind != markerCommit {
			return nil
		}
		m = marker{abort: kind == markerAbort, coordinatorEpoch: int32(binary.BigEndian.Uint32(r.Value[2:]))}
		ok = true
		return nil
	})
	return m, ok && err == nil
}

const (
	markerAbort  = 0
	markerCommit = 1
	// maxControlBatch bounds what a control batch may unpack to.
	maxControlBatch = 1 << 20
)

// marker is the end of a transaction.
type marker struct {
	abort            bool
	coordinatorEpoch int32
}
