package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// samples are payloads of many sizes, some of which compress and some don't.
func samples() [][]byte {
	rng := rand.New(rand.NewPCG(3, 4))
	var out [][]byte
	for _, n := range []int{1, 10, 1000, 32 << 10, 32<<10 + 1, 64 << 10, 200_000, 3 << 20} {
		random := make([]byte, n)
		for i := range random {
			random[i] = byte(rng.Uint32())
		}
		text := bytes.Repeat([]byte("some text that compresses well; "), n/32+1)[:n]
		mixed := append(bytes.Clone(random[:n/2]), text[n/2:]...)
		out = append(out, random, text, mixed)
	}
	return out
}

func TestCodecs_PROD_13_round_trips(t *testing.T) {
	d := kgo.DefaultDecompressor()
	for _, codec := range codecs {
		levels := map[Codec][]int{Gzip: {-1, 1, 9}, LZ4: {1, 9, 17}, Zstd: {-5, 1, 3, 22}}[codec]
		for _, level := range append(levels, DefaultLevel) {
			for _, src := range samples() {
				packed, err := Compress([]byte("before"), src, codec, level)
				must(t, err)
				packed = bytes.TrimPrefix(packed, []byte("before"))
				got, err := Decompress([]byte("also before"), packed, codec, len(src))
				must(t, err)
				if !bytes.Equal(bytes.TrimPrefix(got, []byte("also before")), src) {
					t.Fatalf("%v level %d: %d bytes came back as %d", codec, level, len(src), len(got))
				}
				_, err = Decompress(nil, packed, codec, len(src)-1)
				wantErr(t, err, ErrTooLarge)
				if codec == None {
					continue
				}
				other, err := d.Decompress(packed, kgo.CompressionCodecType(codec))
				must(t, err)
				if !bytes.Equal(other, src) {
					t.Fatalf("%v level %d: franz-go reads something else", codec, level)
				}
				for _, cut := range []int{0, 1, len(packed) / 2, len(packed) - 1} {
					if got, err := Decompress(nil, packed[:cut], codec, len(src)); err == nil && len(got) == len(src) {
						t.Fatalf("%v: %d of %d bytes were enough", codec, cut, len(packed))
					}
				}
			}
		}
	}
}

func TestCodecs_PROD_13_snappy_raw_and_xerial(t *testing.T) {
	for _, src := range samples() {
		got, err := Decompress(nil, s2.EncodeSnappy(nil, src), Snappy, len(src))
		must(t, err)
		if !bytes.Equal(got, src) {
			t.Fatal("raw snappy came back changed")
		}
	}
	one, _ := Compress(nil, []byte("one "), Snappy, 0)
	two, _ := Compress(nil, []byte("two"), Snappy, 0)
	got, err := Decompress(nil, append(bytes.Clone(one), two...), Snappy, 100)
	must(t, err)
	if string(got) != "one two" {
		t.Errorf("joined streams gave %q", got)
	}
	for name, bad := range map[string][]byte{
		"nothing":                     {},
		"a length that isn't true":    {0xff, 0xff, 0xff, 0x7f, 0, 'x'},
		"part of a block's length":    append(bytes.Clone(one), 0, 0),
		"a block longer than there":   append(bytes.Clone(one), 0x7f, 0xff, 0xff, 0xff, 1),
		"an empty block":              append(bytes.Clone(one), 0, 0, 0, 0),
		"a repeat that only s2 knows": {8, 0, 'x', 0x15, 0},
	} {
		if _, err := Decompress(nil, bad, Snappy, 1<<20); err == nil {
			t.Errorf("%s was accepted", name)
		} else {
			wantErr(t, err, ErrCorrupt)
		}
	}
}

func TestCodecs_lz4_frames_as_Kafka_reads_them(t *testing.T) {
	src := bytes.Repeat([]byte("some text that compresses well; "), 10_000)
	frame := func(opts ...lz4.Option) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		must(t, w.Apply(opts...))
		_, err := w.Write(src)
		must(t, err)
		must(t, w.Close())
		return out.Bytes()
	}
	for name, b := range map[string][]byte{
		"defaults":        frame(),
		"4 MiB blocks":    frame(lz4.BlockSizeOption(lz4.Block4Mb)),
		"block checksums": frame(lz4.BlockChecksumOption(true)),
		"content size":    frame(lz4.SizeOption(uint64(len(src)))),
		"trailing bytes":  append(frame(), "whatever"...),
	} {
		got, err := Decompress(nil, b, LZ4, len(src))
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: %v", name, err)
		}
	}
	edit := func(at int, with byte) []byte {
		b := frame(lz4.BlockChecksumOption(true))
		b[at] = with
		if at > 10 {
			b[at] ^= frame(lz4.BlockChecksumOption(true))[at]
		}
		return b
	}
	for name, b := range map[string][]byte{
		"magic":             edit(0, 5),
		"version":           edit(4, 0xb0),
		"dependent blocks":  edit(4, 0x50),
		"block size":        edit(5, 0x30),
		"reserved bits":     edit(5, 0x71),
		"header checksum":   edit(6, 1),
		"block checksum":    edit(100, 0xff),
		"block too long":    edit(10, 0x40),
		"no end":            frame(lz4.ChecksumOption(false))[:100],
		"legacy frame":      {0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0},
		"a header only":     frame()[:6],
		"content size only": frame(lz4.SizeOption(uint64(len(src))))[:10],
	} {
		_, err := Decompress(nil, b, LZ4, 1<<30)
		if err == nil {
			t.Errorf("%s was accepted", name)
			continue
		}
		wantErr(t, err, ErrCorrupt)
	}
}

func TestCodecs_zstd_large_windows(t *testing.T) {
	src := bytes.Repeat([]byte("some text that compresses well; "), 20_000)
	for _, window := range []int{1 << 20, 32 << 20, 128 << 20} {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window))
		must(t, err)
		for range 4 { // in pieces, so that the frame doesn't know its size
			_, err = w.Write(src)
			must(t, err)
			must(t, w.Flush())
		}
		must(t, w.Close())
		got, err := Decompress(nil, out.Bytes(), Zstd, 4*len(src))
		must(t, err)
		if len(got) != 4*len(src) {
			t.Errorf("window %d: %d bytes", window, len(got))
		}
		_, err = Decompress(nil, out.Bytes(), Zstd, 4*len(src)-1)
		wantErr(t, err, ErrTooLarge)
	}
	// A frame that only claims to be large: 128 MiB of window, 3 bytes of content.
	tiny := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 3<<3 | 1, 0, 0, 'a', 'b', 'c'}
	// The same as a single segment that claims 100 MiB of content.
	segment := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0x40, 6, 3<<3 | 1, 0, 0, 'a', 'b', 'c'}
	if n := allocated(func() {
		for _, b := range [][]byte{tiny, segment} {
			got, err := Decompress(nil, b, Zstd, 1<<30)
			if err != nil || string(got) != "abc" {
				t.Errorf("%q, %v", got, err)
			}
		}
	}); n > 8<<20 {
		t.Errorf("%d bytes of memory for 3", n)
	}
	tiny[5] = 20 << 3
	_, err := Decompress(nil, tiny, Zstd, 1<<30)
	wantErr(t, err, ErrCorrupt)
}

// allocated is how many bytes f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestCodecs_unknown(t *testing.T) {
	for _, c := range []Codec{Producer, 5, 6, 7} {
		_, err := Compress(nil, []byte("x"), c, 0)
		wantErr(t, err, ErrUnsupportedCodec)
		_, err = Decompress(nil, []byte("x"), c, 10)
		wantErr(t, err, ErrUnsupportedCodec)
	}
	_, err := Decompress(nil, []byte("xy"), None, 1)
	wantErr(t, err, ErrTooLarge)
}

func TestCodecs_a_declared_size_costs_nothing(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<31-1)
	for codec, b := range map[Codec][]byte{
		Snappy: append(huge, 0, 'x'),
		// single segment, content size 1 GiB
		Zstd: {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 3<<3 | 1, 0, 0, 'a', 'b', 'c'},
	} {
		if n := allocated(func() {
			_, err := Decompress(nil, b, codec, 1<<20)
			if err == nil {
				t.Error("accepted")
			}
		}); n > 4<<20 {
			t.Errorf("%v: %d bytes of memory", codec, n)
		}
	}
}

func TestXXH32_is_lz4s(t *testing.T) {
	// Block checksums are xxh32, and the reader that checks them is ours, the writer isn't; see the lz4 test. Here the lengths.
	for n := range 100 {
		src := bytes.Repeat([]byte{byte(n), 7, 1}, n+1)
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		must(t, w.Apply(lz4.BlockChecksumOption(true)))
		_, err := w.Write(src)
		must(t, err)
		must(t, w.Close())
		if got, err := Decompress(nil, out.Bytes(), LZ4, len(src)); err != nil || !bytes.Equal(got, src) {
			t.Fatalf("%d: %v", n, err)
		}
	}
}

func BenchmarkDecompress(b *testing.B) {
	src := bytes.Repeat([]byte("some text that compresses well; "), 3000)
	for _, codec := range codecs[1:] {
		packed, err := Compress(nil, src, codec, DefaultLevel)
		must(b, err)
		b.Run(fmt.Sprint(codec), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			dst := make([]byte, 0, len(src)+1)
			for b.Loop() {
				if _, err := Decompress(dst, packed, codec, len(src)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
