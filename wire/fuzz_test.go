package wire

import (
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/kbroker/kbroker/wire/guard"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzFrame sends arbitrary bytes, in two pieces, over a connection: the server answers or closes, and serves the next one.
func FuzzFrame(f *testing.F) {
	c := &client{id: new(string)}
	meta := metadata()
	meta.SetVersion(9)
	api := apiVersions()
	api.SetVersion(3)
	whole := append(c.frame(meta), c.frame(api)...)
	f.Add(whole, 3)
	f.Add(append(whole, 0xff, 0xff, 0xff, 0xff), len(whole)+1)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 5)
	f.Add(append(produceFrame(20_000), produceFrame(5)...), 9000)
	limits := DefaultLimits()
	limits.MaxRequestBytes = 1 << 20
	s := start(f, limits, nil)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
		cut = min(max(cut, 0), len(b))
		_, _ = nc.Write(b[:cut])
		_, _ = nc.Write(b[cut:])
		_ = nc.(*net.TCPConn).CloseWrite()
		buf := make([]byte, 4096)
		for {
			if _, err := nc.Read(buf); err != nil {
				if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
					t.Fatal("neither answered nor closed")
				}
				return
			}
		}
	})
}

// FuzzHeader wants every header to be refused or to be inside its frame.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 1, 0, 1, 'a', 0, 1})
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 2, 77, 3, 1, 2, 3, 80, 0})
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, flexible := range []bool{false, true} {
			h, body, err := parseHeader(frame, func(int16, int16) bool { return flexible })
			if err != nil {
				continue
			}
			if 10+len(h.clientID)+len(body) > len(frame) {
				t.Fatalf("%d bytes of client id and %d of body in %d", len(h.clientID), len(body), len(frame))
			}
			if h.correlationID != int32(binary.BigEndian.Uint32(frame[4:])) {
				t.Fatal(h.correlationID)
			}
		}
	})
}

// FuzzBodies wants every body of every API to be refused or decoded at a bounded cost.
func FuzzBodies(f *testing.F) {
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for version := int16(0); version <= req.MaxVersion(); version++ {
			req.SetVersion(version)
			f.Add(key, version, req.AppendTo(nil))
		}
	}
	f.Add(int16(1), int16(17), append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1}, 0xff, 0xff, 0xff, 0xff, 0x0f))
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req := kmsg.RequestForKey(key)
		if req == nil || version < 0 || version > req.MaxVersion() || len(body) > 1<<20 {
			return
		}
		checked, err := guard.Check(key, version, body)
		if err != nil {
			return
		}
		req.SetVersion(version)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = req.ReadFrom(checked)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatalf("passed the guard, but: %v", err)
		}
		// Other goroutines of the test allocate too.
		if cost := after.TotalAlloc - before.TotalAlloc; cost > uint64(2*guard.Factor*len(body)+16*guard.FreeBytes) {
			t.Fatalf("%d bytes cost %d", len(body), cost)
		}
	})
}
