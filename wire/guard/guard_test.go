package guard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// each calls f for every request that has a schema, in every version.
func each(t *testing.T, f func(t *testing.T, req kmsg.Request, version int16)) {
	n := 0
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for version := int16(0); version <= req.MaxVersion(); version++ {
			n++
			req := kmsg.RequestForKey(key)
			req.SetVersion(version)
			f(t, req, version)
		}
	}
	if n < 300 {
		t.Fatalf("only %d requests", n)
	}
}

func name(req kmsg.Request, version int16) string {
	return fmt.Sprintf("%s v%d", kmsg.NameForKey(req.Key()), version)
}

func TestCheck_lets_requests_of_defaults_through(t *testing.T) {
	each(t, func(t *testing.T, req kmsg.Request, version int16) {
		body := req.AppendTo(nil)
		got, err := Check(req.Key(), version, body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %v", name(req, version), err)
		}
	})
}

// fill gives v random contents: lists of up to three, strings and bytes of usual sizes.
func fill(rng *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rng.Int64N(1 << 7))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(rng.Uint64N(1 << 7))
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	case reflect.String:
		v.SetString(string(bytes.Repeat([]byte{'a' + byte(rng.IntN(26))}, rng.IntN(40))))
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String && rng.IntN(4) == 0 {
			v.Set(reflect.Zero(v.Type()))
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem(), depth)
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i), depth)
		}
	case reflect.Slice:
		n := rng.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i), depth+1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				fill(rng, f, depth)
			}
		}
	}
}

func TestCheck_lets_random_requests_through_and_they_survive(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for range 20 {
		each(t, func(t *testing.T, req kmsg.Request, version int16) {
			fill(rng, reflect.ValueOf(req).Elem(), 0)
			req.SetVersion(version)
			body := req.AppendTo(nil)
			got, err := Check(req.Key(), version, body)
			if err != nil {
				t.Fatalf("%s: %v: %+v", name(req, version), err, req)
			}
			if !bytes.Equal(got, body) {
				t.Fatalf("%s: changed", name(req, version))
			}
			again := kmsg.RequestForKey(req.Key())
			again.SetVersion(version)
			if err := again.ReadFrom(got); err != nil {
				t.Fatalf("%s: %v", name(req, version), err)
			}
			if twice := again.AppendTo(nil); !bytes.Equal(twice, body) {
				t.Fatalf("%s: %+v became %+v", name(req, version), req, again)
			}
			// The schema covers the body to its last byte: a byte less is noticed.
			if len(body) > 0 {
				if _, err := Check(req.Key(), version, body[:len(body)-1]); err == nil {
					t.Fatalf("%s: the last byte isn't in the schema", name(req, version))
				}
			}
		})
	}
}

func TestCheck_CONN_11_takes_unknown_tags_out(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	changed := 0
	each(t, func(t *testing.T, req kmsg.Request, version int16) {
		if !req.IsFlexible() {
			return
		}
		fill(rng, reflect.ValueOf(req).Elem(), 0)
		req.SetVersion(version)
		body := req.AppendTo(nil)
		tagEverything(reflect.ValueOf(req).Elem(), true)
		tagged := req.AppendTo(nil)
		got, err := Check(req.Key(), version, tagged)
		if err != nil {
			t.Fatalf("%s: %v", name(req, version), err)
		}
		if len(tagged) > len(body) {
			changed++
		}
		// Structs inside of tags keep theirs: take them out by decoding.
		again := kmsg.RequestForKey(req.Key())
		again.SetVersion(version)
		if err := again.ReadFrom(got); err != nil {
			t.Fatalf("%s: %v", name(req, version), err)
		}
		if tags := reflect.ValueOf(again).Elem().FieldByName("UnknownTags").Interface().(kmsg.Tags); tags.Len() > 0 {
			t.Errorf("%s: unknown tags are left", name(req, version))
		}
		tagEverything(reflect.ValueOf(again).Elem(), false)
		if plain := again.AppendTo(nil); !bytes.Equal(plain, body) {
			t.Errorf("%s: without tags\n% x, want\n% x", name(req, version), plain, body)
		}
	})
	if changed < 100 {
		t.Errorf("only %d requests had tags", changed)
	}
}

// tagEverything gives every struct below v two unknown tags, or none.
func tagEverything(v reflect.Value, on bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			tagEverything(v.Elem(), on)
		}
	case reflect.Slice:
		for i := range v.Len() {
			tagEverything(v.Index(i), on)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if tags, ok := v.Field(i).Addr().Interface().(*kmsg.Tags); ok {
				*tags = kmsg.Tags{}
				if on {
					tags.Set(9000, []byte("later"))
					tags.Set(9001, nil)
				}
				continue
			}
			if v.Field(i).CanSet() {
				tagEverything(v.Field(i), on)
			}
		}
	}
}

// poisons are bodies that make a decoder that believes counts allocate or loop.
func poisons(rng *rand.Rand, req kmsg.Request, version int16) map[string][]byte {
	flexible := req.IsFlexible()
	p := map[string][]byte{
		"tags":       {0xff, 0xff, 0xff, 0xff, 0x0f},
		"zeros":      make([]byte, 100_000),
		"ones":       bytes.Repeat([]byte{1}, 100_000),
		"twos":       bytes.Repeat([]byte{2}, 100_000),
		"nothing":    {},
		"all tags 2": bytes.Repeat([]byte{0, 0, 2, 100, 0}, 20_000),
	}
	// Each length of a valid body in turn becomes a huge one, with small structs behind it.
	fill(rng, reflect.ValueOf(req).Elem(), 0)
	req.SetVersion(version)
	body := req.AppendTo(nil)
	for _, count := range []uint32{math.MaxUint32, math.MaxInt32, 90_001, 2_000_000} {
		for i := 0; i < len(body) && i < 60; i++ {
			b := append([]byte(nil), body[:i]...)
			if flexible {
				b = binary.AppendUvarint(b, uint64(count))
			} else {
				b = binary.BigEndian.AppendUint32(b, count)
			}
			p[fmt.Sprintf("count %d at %d", count, i)] = b
			p[fmt.Sprintf("count %d at %d and zeros", count, i)] = append(b[:len(b):len(b)], make([]byte, 100_000)...)
		}
	}
	return p
}

func TestCheck_CONN_13_poisons_cost_at_most_eight_times_their_size(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	passed := 0
	each(t, func(t *testing.T, req kmsg.Request, version int16) {
		for what, body := range poisons(rng, req, version) {
			got, err := Check(req.Key(), version, body)
			if err != nil {
				continue
			}
			passed++
			// What passes may be decoded: measure what that takes.
			again := kmsg.RequestForKey(req.Key())
			again.SetVersion(version)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = again.ReadFrom(got)
			runtime.ReadMemStats(&after)
			if cost, most := after.TotalAlloc-before.TotalAlloc, uint64(Factor*len(body)+FreeBytes)*raceFactor; cost > most+most/4 {
				t.Errorf("%s: %s: %d bytes cost %d", name(req, version), what, len(body), cost)
			}
		}
	})
	if passed == 0 {
		t.Error("no poison was decoded: the test measures nothing")
	}
}

func TestCheck_CONN_13_counts_have_bounds(t *testing.T) {
	array := func(n int) []byte { // DeleteTopics v1: names
		b := binary.BigEndian.AppendUint32(nil, uint32(n))
		for range n {
			b = append(b, 0, 6, 'a', 'b', 'c', 'd', 'e', 'f')
		}
		return append(b, 0, 0, 0, 0)
	}
	tags := func(n int) []byte { // ListGroups v3: nothing else
		b := binary.AppendUvarint(nil, uint64(n))
		for range n {
			b = append(b, 100, 0)
		}
		return b
	}
	for _, test := range []struct {
		name         string
		key, version int16
		body         []byte
		want         error
	}{
		{"a million elements", 20, 1, array(1_000_000), nil},
		{"more than a million elements", 20, 1, array(1_000_001), ErrTooMany},
		{"ten thousand tags", 16, 3, tags(10_000), nil},
		{"more than ten thousand tags", 16, 3, tags(10_001), ErrTooMany},
		{"2^32-1 tags", 16, 3, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, ErrTooMany},
		{"an endless varint", 16, 3, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ErrShort},
		{"empty strings that cost more than they are", 20, 4, append(binary.AppendUvarint(nil, 20_001), bytes.Repeat([]byte{1}, 20_005)...), ErrTooDear},
		{"null where none may be", 20, 1, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, ErrNull},
		{"an unknown key", 4000, 0, nil, ErrNoSchema},
		{"a negative key", -1, 0, nil, ErrNoSchema},
	} {
		if _, err := Check(test.key, test.version, test.body); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestCheck_metadata_of_groups_is_opaque(t *testing.T) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.SetVersion(5)
	req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range", Metadata: bytes.Repeat([]byte{0xff}, 1000)})
	if _, err := Check(11, 5, req.AppendTo(nil)); err != nil {
		t.Error(err)
	}
}

func TestCheck_costs_no_allocation(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 1000)}}})
	body := req.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = Check(0, 9, body) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSchema_is_what_gen_writes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	out := filepath.Join(t.TempDir(), "schema.go")
	if msg, err := exec.Command("go", "run", "./gen", "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("schema_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("schema_gen.go is stale: go generate ./wire/guard")
	}
}

func BenchmarkCheckProduce(b *testing.B) {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "kperf", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 1000)}}})
	body := req.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(0, 9, body); err != nil {
			b.Fatal(err)
		}
	}
}
