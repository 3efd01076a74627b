package batch

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// compressor writes compressed bytes to the writer it was made for; Close ends the stream. release gives it back to its pool.
type compressor interface {
	io.WriteCloser
	release()
}

// Kafka's default levels (CompressionType).
const (
	defaultGzipLevel = gzip.DefaultCompression
	defaultLZ4Level  = 9
	defaultZstdLevel = 3
)

// The pools of compressors, one per level; like those of decompressors they hold nothing but memory.
var (
	gzipWriters   [gzip.BestCompression + 2]sync.Pool // by level+1, from -1 on
	lz4Writers    [len(lz4Levels)]sync.Pool
	zstdWriters   [zstd.SpeedBestCompression + 1]sync.Pool
	snappyWriters = sync.Pool{New: func() any { return new(snappyWriter) }}
)

// lz4Levels are the library's levels: 0 is its fast one.
var lz4Levels = [...]lz4.CompressionLevel{lz4.Fast, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7,
	lz4.Level8, lz4.Level9}

func newCompressor(codec Codec, level int, out io.Writer) (compressor, error) {
	switch codec {
	case Gzip:
		return newGzipWriter(level, out)
	case Snappy:
		w := snappyWriters.Get().(*snappyWriter)
		w.out, w.started, w.n = out, false, 0
		return w, nil
	case LZ4:
		return newLZ4Writer(level, out)
	case Zstd:
		return newZstdWriter(level, out)
	case None, Producer:
	}
	return nil, fmt.Errorf("%w: %v", ErrUnsupportedCodec, codec)
}

type gzipWriter struct {
	*gzip.Writer
	pool *sync.Pool
}

func newGzipWriter(level int, out io.Writer) (compressor, error) {
	if level == DefaultLevel {
		level = defaultGzipLevel
	}
	level = min(max(level, gzip.DefaultCompression), gzip.BestCompression)
	pool := &gzipWriters[level+1]
	if w, ok := pool.Get().(*gzipWriter); ok {
		w.Reset(out)
		return w, nil
	}
	w, err := gzip.NewWriterLevel(out, level)
	if err != nil {
		return nil, err
	}
	return &gzipWriter{w, pool}, nil
}

func (w *gzipWriter) release() {
	w.Reset(io.Discard)
	w.pool.Put(w)
}

type lz4Writer struct {
	*lz4.Writer
	pool *sync.Pool
}

// newLZ4Writer writes frames as Java's clients do: independent blocks of 64 KiB, no checksums but the descriptor's. Kafka's default
// level, 9, is the fast compressor there; the levels above it are the library's highest here.
func newLZ4Writer(level int, out io.Writer) (compressor, error) {
	n := min(max(level, 1), len(lz4Levels)-1)
	if level == DefaultLevel || level == defaultLZ4Level {
		n = 0
	}
	pool := &lz4Writers[n]
	if w, ok := pool.Get().(*lz4Writer); ok {
		w.Reset(out)
		return w, nil
	}
	w := lz4.NewWriter(out)
	err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1),
		lz4.CompressionLevelOption(lz4Levels[n]))
	if err != nil {
		return nil, err
	}
	return &lz4Writer{w, pool}, nil
}

func (w *lz4Writer) release() {
	w.Reset(io.Discard)
	w.pool.Put(w)
}

type zstdWriter struct {
	*zstd.Encoder
	pool *sync.Pool
}

func newZstdWriter(level int, out io.Writer) (compressor, error) {
	if level == DefaultLevel {
		level = defaultZstdLevel
	}
	speed := zstd.EncoderLevelFromZstd(level)
	pool := &zstdWriters[speed]
	if w, ok := pool.Get().(*zstdWriter); ok {
		w.Reset(out)
		return w, nil
	}
	w, err := zstd.NewWriter(out, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(encodeZstdWindow))
	if err != nil {
		return nil, err
	}
	return &zstdWriter{w, pool}, nil
}

// encodeZstdWindow is the window of what we compress: that of zstd's default level. Batches are rarely larger.
const encodeZstdWindow = 2 << 20

func (w *zstdWriter) release() {
	w.Reset(nil)
	w.pool.Put(w)
}

// snappyBlock is the size of xerial's blocks before compression.
const snappyBlock = 32 << 10

// xerialVersion follows xerial's magic: version 1, readable by version 1.
const xerialVersion = "\x00\x00\x00\x01\x00\x00\x00\x01"

// snappyWriter writes xerial's frames.
type snappyWriter struct {
	out     io.Writer
	started bool
	n       int
	block   [snappyBlock]byte
	packed  []byte
}

func (w *snappyWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := copy(w.block[w.n:], p)
		w.n += n
		p = p[n:]
		if w.n == snappyBlock {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (w *snappyWriter) flush() error {
	if !w.started {
		w.started = true
		if _, err := io.WriteString(w.out, xerialMagic+xerialVersion); err != nil {
			return err
		}
	}
	if w.n == 0 {
		return nil
	}
	if w.packed == nil {
		w.packed = make([]byte, 4+s2.MaxEncodedLen(snappyBlock))
	}
	packed := s2.EncodeSnappy(w.packed[4:], w.block[:w.n])
	binary.BigEndian.PutUint32(w.packed, uint32(len(packed)))
	w.n = 0
	_, err := w.out.Write(w.packed[:4+len(packed)])
	return err
}

func (w *snappyWriter) Close() error { return w.flush() }

func (w *snappyWriter) release() {
	w.out = nil
	snappyWriters.Put(w)
}
