package batch

import (
	"errors"
	"fmt"
	"io"
)

// Codec is how a batch's records are compressed, with Kafka's numbers.
type Codec int8

const (
	// Producer, as a topic's codec, leaves a batch as its producer compressed it. No batch carries it.
	Producer Codec = -1
	// None to Zstd are what a batch's attributes may say.
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

// DefaultLevel stands for the default level of each codec.
const DefaultLevel = -1 << 31

// Valid says whether a batch may carry the codec.
func (c Codec) Valid() bool { return c >= None && c <= Zstd }

// String is the codec's name in compression.type; "none" for None, which is "uncompressed" there.
func (c Codec) String() string {
	switch c {
	case Producer:
		return "producer"
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

// CodecByName knows the values of compression.type: uncompressed (and none), gzip, snappy, lz4, zstd and producer.
func CodecByName(name string) (Codec, bool) {
	switch name {
	case "producer":
		return Producer, true
	case "uncompressed", "none":
		return None, true
	case "gzip":
		return Gzip, true
	case "snappy":
		return Snappy, true
	case "lz4":
		return LZ4, true
	case "zstd":
		return Zstd, true
	}
	return None, false
}

var (
	// ErrCorrupt marks bytes that are not what they say: a wrong checksum, or what doesn't decompress (Kafka's CORRUPT_MESSAGE).
	ErrCorrupt = errors.New("corrupt batch")
	// ErrUnsupportedCodec marks a codec that doesn't exist or isn't allowed here (UNSUPPORTED_COMPRESSION_TYPE).
	ErrUnsupportedCodec = errors.New("unsupported compression type")
	// ErrTooLarge marks a batch that is larger, as it stands or decompressed, than it may be (MESSAGE_TOO_LARGE).
	ErrTooLarge = errors.New("batch too large")
)

const (
	// DefaultMaxDecompressedBytes is Kafka's default of max.decompressed.message.bytes: no limit of its own.
	DefaultMaxDecompressedBytes = 2147483639

	// maxDecompressedRatio and minDecompressedBytes bound what a batch may unpack to; see DecompressedLimit.
	maxDecompressedRatio = 100
	minDecompressedBytes = 64 << 20
)

// DecompressedLimit is how many bytes the records of a batch may unpack to when a leader checks it: maxDecompressedRatio times the
// batch's size, but at least minDecompressedBytes and twice the topic's max.message.bytes, so that whatever an honest client
// puts into a batch is accepted however well it compresses, and so that the work for a batch stays bounded. A max.decompressed.message.bytes that was set by hand raises the limit to its value. (Kafka has no such
// limit: there the setting bounds single records, and the default means none.)
func DecompressedLimit(batchBytes, maxMessageBytes, maxDecompressedBytes int) int {
	limit := max(maxDecompressedRatio*batchBytes, minDecompressedBytes, 2*maxMessageBytes)
	if maxDecompressedBytes < DefaultMaxDecompressedBytes {
		limit = max(limit, maxDecompressedBytes)
	}
	return min(limit, DefaultMaxDecompressedBytes)
}

// Decompress appends to dst what src unpacks to. It stops with ErrTooLarge as soon as that would pass maxBytes, and errs with
// ErrCorrupt or ErrUnsupportedCodec. Snappy may be raw or in xerial's frames.
func Decompress(dst, src []byte, codec Codec, maxBytes int) ([]byte, error) {
	if codec == None {
		if len(src) > maxBytes {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	}
	d, err := newDecompressor(codec, src, maxBytes)
	if err != nil {
		return dst, err
	}
	defer d.release()
	base := len(dst)
	if cap(dst)-base == 0 {
		grown := make([]byte, base, base+min(maxBytes, max(2*len(src), minGrow))+1)
		copy(grown, dst)
		dst = grown
	}
	for {
		if len(dst) == cap(dst) {
			// Doubling follows what was produced; the odd byte lets the end be seen without one more step.
			grown := make([]byte, len(dst), base+min(maxBytes, 2*(len(dst)-base)+minGrow)+1)
			copy(grown, dst)
			dst = grown
		}
		n, err := d.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst)-base > maxBytes {
			return dst[:base], tooManyBytes(maxBytes)
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst[:base], err
		}
	}
}

// minGrow is the least by which a buffer for decompressed bytes grows.
const minGrow = 512

func tooManyBytes(limit int) error {
	return fmt.Errorf("%w: its records unpack to more than %d bytes", ErrTooLarge, limit)
}

// Compress appends src to dst in the codec's form. Snappy is written in xerial's frames, which all clients read. Levels are
// Kafka's: gzip 1 to 9 and -1, lz4 1 to 17, zstd up to 22; DefaultLevel for the default; snappy has none.
func Compress(dst, src []byte, codec Codec, level int) ([]byte, error) {
	if codec == None {
		return append(dst, src...), nil
	}
	out := sink{b: dst, max: -1}
	w, err := newCompressor(codec, level, &out)
	if err != nil {
		return dst, err
	}
	defer w.release()
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.b, nil
}

// sink collects what is written to it, but for what would make it larger than max (-1: no limit); it notes that and takes
// everything without an error.
type sink struct {
	b    []byte
	max  int
	over bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.over || s.max >= 0 && len(s.b)+len(p) > s.max {
		s.over = true
		return len(p), nil
	}
	s.b = append(s.b, p...)
	return len(p), nil
}
