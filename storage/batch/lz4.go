package batch

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"github.com/pierrec/lz4/v4"
)

// lz4Reader reads one lz4 frame as Kafka's clients do: independent blocks only, checksums of the descriptor and of blocks are
// verified, that of the content and whatever follows the frame is not looked at.
type lz4Reader struct {
	src      []byte
	flags    byte
	maxBlock int
	done     bool
	buf      []byte
	out      []byte // what of the block wasn't read yet
}

const (
	lz4Magic        = 0x184D2204
	lz4Uncompressed = 1 << 31

	lz4FlagVersion       = 0xc0
	lz4FlagIndependent   = 0x20
	lz4FlagBlockChecksum = 0x10
	lz4FlagContentSize   = 0x08
	lz4FlagReserved      = 0x02
	lz4FlagDictionary    = 0x01
	lz4Version           = 0x40
	lz4BlockReserved     = 0x8f

	// lz4MaxRatio is what lz4 can reach at most: each byte of a match's length stands for 255.
	lz4MaxRatio = 255
	lz4Slack    = 64
)

var (
	errLZ4Frame    = errors.New("not an lz4 frame that Kafka's clients read")
	errLZ4Checksum = errors.New("checksum mismatch")
	errLZ4Block    = errors.New("block larger than the frame's maximum")
)

func (r *lz4Reader) reset(src []byte) error {
	r.out, r.done = nil, false
	if len(src) < 7 {
		return io.ErrUnexpectedEOF
	}
	flags, bd := src[4], src[5]
	switch {
	case binary.LittleEndian.Uint32(src) != lz4Magic,
		flags&lz4FlagVersion != lz4Version,
		flags&lz4FlagIndependent == 0,
		flags&(lz4FlagReserved|lz4FlagDictionary) != 0,
		bd&lz4BlockReserved != 0:
		return errLZ4Frame
	}
	size := int(bd >> 4) // 4: 64 KiB, 5: 256 KiB, 6: 1 MiB, 7: 4 MiB
	if size < 4 {
		return errLZ4Frame
	}
	r.maxBlock = 1 << (8 + 2*size)
	end := 6
	if flags&lz4FlagContentSize != 0 {
		end += 8
	}
	if len(src) <= end {
		return io.ErrUnexpectedEOF
	}
	if src[end] != byte(xxh32(src[4:end])>>8) {
		return errLZ4Checksum
	}
	r.flags, r.src = flags, src[end+1:]
	return nil
}

func (r *lz4Reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.done {
			return 0, io.EOF
		}
		if err := r.nextBlock(); err != nil {
			return 0, corrupt(LZ4, err)
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *lz4Reader) nextBlock() error {
	if len(r.src) < 4 {
		return io.ErrUnexpectedEOF
	}
	word := binary.LittleEndian.Uint32(r.src)
	r.src = r.src[4:]
	size := int(word &^ lz4Uncompressed)
	if size == 0 {
		r.done = true
		return nil
	}
	if size > r.maxBlock {
		return errLZ4Block
	}
	if size > len(r.src) {
		return io.ErrUnexpectedEOF
	}
	block := r.src[:size]
	r.src = r.src[size:]
	if r.flags&lz4FlagBlockChecksum != 0 {
		if len(r.src) < 4 {
			return io.ErrUnexpectedEOF
		}
		if binary.LittleEndian.Uint32(r.src) != xxh32(block) {
			return errLZ4Checksum
		}
		r.src = r.src[4:]
	}
	if word&lz4Uncompressed != 0 {
		r.out = block
		return nil
	}
	room := min(r.maxBlock, lz4MaxRatio*size+lz4Slack)
	if cap(r.buf) < room {
		r.buf = make([]byte, room)
	}
	n, err := lz4.UncompressBlock(block, r.buf[:room])
	if err != nil {
		return err
	}
	r.out = r.buf[:n]
	return nil
}

func (r *lz4Reader) release() {
	r.src, r.out = nil, nil
	if cap(r.buf) > maxPooledBytes {
		r.buf = nil
	}
	lz4Readers.Put(r)
}

const (
	xxhPrime1 uint32 = 2654435761
	xxhPrime2 uint32 = 2246822519
	xxhPrime3 uint32 = 3266489917
	xxhPrime4 uint32 = 668265263
	xxhPrime5 uint32 = 374761393
)

// xxh32 is the 32-bit xxHash of b with seed 0, which lz4 frames use.
func xxh32(b []byte) uint32 {
	le := binary.LittleEndian
	n := uint32(len(b))
	var h uint32
	if len(b) >= 16 {
		p1, p2 := xxhPrime1, xxhPrime2
		v1, v2, v3, v4 := p1+p2, p2, uint32(0), -p1
		for len(b) >= 16 {
			v1 = bits.RotateLeft32(v1+le.Uint32(b)*xxhPrime2, 13) * xxhPrime1
			v2 = bits.RotateLeft32(v2+le.Uint32(b[4:])*xxhPrime2, 13) * xxhPrime1
			v3 = bits.RotateLeft32(v3+le.Uint32(b[8:])*xxhPrime2, 13) * xxhPrime1
			v4 = bits.RotateLeft32(v4+le.Uint32(b[12:])*xxhPrime2, 13) * xxhPrime1
			b = b[16:]
		}
		h = bits.RotateLeft32(v1, 1) + bits.RotateLeft32(v2, 7) + bits.RotateLeft32(v3, 12) + bits.RotateLeft32(v4, 18)
	} else {
		h = xxhPrime5
	}
	h += n
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+le.Uint32(b)*xxhPrime3, 17) * xxhPrime4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*xxhPrime5, 11) * xxhPrime1
	}
	h = (h ^ h>>15) * xxhPrime2
	h = (h ^ h>>13) * xxhPrime3
	return h ^ h>>16
}
