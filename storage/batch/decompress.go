package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// decompressor streams what a batch's records unpack to. Read errs with io.EOF at the end, and else with what wraps ErrCorrupt or
// ErrTooLarge. It belongs to one goroutine until release, which gives it back to its pool.
type decompressor interface {
	io.Reader
	release()
}

// The pools hold nothing but memory: what is taken from them is reset before use. A package-level pool is shared by all brokers
// of the process.
var (
	gzipReaders   = sync.Pool{New: func() any { return new(gzipReader) }}
	snappyReaders = sync.Pool{New: func() any { return new(snappyReader) }}
	lz4Readers    = sync.Pool{New: func() any { return new(lz4Reader) }}
	zstdReaders   = sync.Pool{New: func() any { return newZstdReader() }}
)

// maxPooledBytes is the largest buffer that goes back to a pool.
const maxPooledBytes = 4 << 20

// newDecompressor opens src. limit is how much the caller will take in all; a decompressor that must unpack a whole block at once
// refuses one that is larger. It doesn't count for the caller.
func newDecompressor(codec Codec, src []byte, limit int) (decompressor, error) {
	switch codec {
	case Gzip:
		r := gzipReaders.Get().(*gzipReader)
		r.src.Reset(src)
		if err := r.z.Reset(&r.src); err != nil {
			r.release()
			return nil, unopened(codec, err)
		}
		return r, nil
	case Snappy:
		r := snappyReaders.Get().(*snappyReader)
		r.reset(src, limit)
		return r, nil
	case LZ4:
		r := lz4Readers.Get().(*lz4Reader)
		if err := r.reset(src); err != nil {
			r.release()
			return nil, corrupt(codec, err)
		}
		return r, nil
	case Zstd:
		return openZstd(src, limit)
	case None, Producer:
	}
	return nil, fmt.Errorf("%w: %v", ErrUnsupportedCodec, codec)
}

func corrupt(codec Codec, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: %v: %w", ErrCorrupt, codec, err)
}

// unopened is the error of a stream that doesn't even begin; here an end is one as well.
func unopened(codec Codec, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return corrupt(codec, err)
}

type gzipReader struct {
	src bytes.Reader
	z   gzip.Reader
}

func (r *gzipReader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	if err != nil {
		err = corrupt(Gzip, err)
	}
	return n, err
}

func (r *gzipReader) release() {
	r.src.Reset(nil)
	gzipReaders.Put(r)
}

// xerialHeader is what Java's snappy streams begin with: a magic of 8 bytes, the version and the oldest version that can read it.
// Of the versions nothing is believed.
const (
	xerialMagic      = "\x82SNAPPY\x00"
	xerialHeaderSize = len(xerialMagic) + 8
)

// maxSnappyRatio is what snappy can reach at most: a copy of 64 bytes takes 3.
const maxSnappyRatio = 22

// snappyReader reads raw snappy, which is one block, and xerial's frames: the header, then blocks with a big-endian int32 of their
// length before each.
type snappyReader struct {
	src     []byte
	framed  bool
	started bool
	left    int // bytes that the blocks to come may still unpack to
	limit   int
	buf     []byte
	out     []byte // what of buf wasn't read yet
}

func (r *snappyReader) reset(src []byte, limit int) {
	r.src, r.left, r.limit, r.out, r.started = src, limit, limit, nil, false
	r.framed = len(src) >= xerialHeaderSize && string(src[:len(xerialMagic)]) == xerialMagic
	if r.framed {
		r.src = src[xerialHeaderSize:]
	}
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		block, err := r.nextBlock()
		if err != nil {
			return 0, corrupt(Snappy, err)
		}
		if err := r.unpack(block); err != nil {
			return 0, corrupt(Snappy, err)
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *snappyReader) nextBlock() ([]byte, error) {
	if !r.framed {
		if r.started {
			return nil, io.EOF
		}
		r.started = true
		return r.src, nil
	}
	// Streams may be joined: another header may stand where a length would.
	for len(r.src) >= xerialHeaderSize && string(r.src[:len(xerialMagic)]) == xerialMagic {
		r.src = r.src[xerialHeaderSize:]
	}
	if len(r.src) == 0 {
		return nil, io.EOF
	}
	if len(r.src) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	size := binary.BigEndian.Uint32(r.src)
	r.src = r.src[4:]
	if uint64(size) > uint64(len(r.src)) {
		return nil, io.ErrUnexpectedEOF
	}
	block := r.src[:size]
	r.src = r.src[size:]
	return block, nil
}

func (r *snappyReader) unpack(block []byte) error {
	size, err := snappy.DecodedLen(block)
	if err != nil {
		return err
	}
	if size > maxSnappyRatio*len(block) {
		return snappy.ErrCorrupt
	}
	if size > r.left {
		return tooManyBytes(r.limit)
	}
	r.left -= size
	// The strict decoder: what only this library can read must not get into a log.
	out, err := snappy.DecodeStrict(r.buf[:0], block)
	if err != nil {
		return err
	}
	r.buf, r.out = out, out
	return nil
}

func (r *snappyReader) release() {
	r.src, r.out = nil, nil
	if cap(r.buf) > maxPooledBytes {
		r.buf = nil
	}
	snappyReaders.Put(r)
}

const (
	// pooledZstdWindow is the largest window of a pooled zstd decoder, which holds that much memory. What Java, librdkafka and Go
	// clients write with their usual levels fits.
	pooledZstdWindow = 8 << 20
	// maxZstdWindow is the largest window that the reference decoder takes by default. Such frames are unpacked as a whole, so that
	// memory follows what they hold and not what they declare.
	maxZstdWindow = 128 << 20
)

type zstdReader struct {
	src bytesReader
	z   *zstd.Decoder
}

// bytesReader is a bytes.Reader that shows no more than Read, so that nobody takes what it holds all at once.
type bytesReader struct{ r bytes.Reader }

func (r *bytesReader) Read(p []byte) (int, error) { return r.r.Read(p) }

func newZstdReader() *zstdReader {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(pooledZstdWindow), zstd.WithDecodeBuffersBelow(0))
	if err != nil {
		panic("batch: zstd options: " + err.Error()) // they are constants
	}
	return &zstdReader{z: z}
}

func openZstd(src []byte, limit int) (decompressor, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return nil, unopened(Zstd, err)
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	switch {
	case h.Skippable, window <= pooledZstdWindow:
	case window > maxZstdWindow && !h.SingleSegment:
		return nil, corrupt(Zstd, zstd.ErrWindowSizeExceeded)
	case h.SingleSegment && window > uint64(limit):
		return nil, tooManyBytes(limit)
	default:
		return openLargeZstd(src, &h, limit)
	}
	r := zstdReaders.Get().(*zstdReader)
	r.src.r.Reset(src)
	if err := r.z.Reset(&r.src); err != nil {
		r.release()
		return nil, unopened(Zstd, err)
	}
	return r, nil
}

func (r *zstdReader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	if err != nil {
		err = corrupt(Zstd, err)
	}
	return n, err
}

func (r *zstdReader) release() {
	r.src.r.Reset(nil)
	if err := r.z.Reset(nil); err != nil {
		return // not worth keeping
	}
	zstdReaders.Put(r)
}

// largeZstd is what a frame with a large window was unpacked to.
type largeZstd struct{ bytes.Reader }

func (*largeZstd) release() {}

const (
	zstdMagic        = "\x28\xb5\x2f\xfd"
	zstdChecksumFlag = 0x04

	// A window's descriptor has the logarithm of its size, less minZstdWindowLog, from bit 3 on.
	minZstdWindowLog = 10
	maxZstdWindowLog = 27
)

// openLargeZstd unpacks src, whose frame has a large window, into memory that grows with the result. For that the frame's header is
// exchanged for one that doesn't declare how large the content is.
func openLargeZstd(src []byte, h *zstd.Header, limit int) (decompressor, error) {
	if h.DictionaryID != 0 {
		return nil, corrupt(Zstd, zstd.ErrUnknownDictionary)
	}
	flags := byte(0)
	if h.HasCheckSum {
		flags |= zstdChecksumFlag
	}
	// A window as large as the limit does as well as the declared one: whatever needs more is refused.
	windowLog := min(max(bits.Len(uint(limit)), minZstdWindowLog), maxZstdWindowLog)
	frame := append([]byte(zstdMagic), flags, byte(windowLog-minZstdWindowLog)<<3)
	frame = append(frame, src[h.HeaderSize:]...)

	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderMaxMemory(uint64(max(limit, 1<<windowLog))))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	out, err := z.DecodeAll(frame, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, tooManyBytes(limit)
	case err != nil:
		return nil, corrupt(Zstd, err)
	}
	r := new(largeZstd)
	r.Reset(out)
	return r, nil
}
