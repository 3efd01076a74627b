package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is what the tests' servers serve.
func table() []API {
	return []API{
		{Key: 0, Name: "Produce", MinVersion: 3, MaxVersion: 13, ReusesFrame: true, UnsafeStrings: true, ReusesBody: true},
		{Key: 1, Name: "Fetch", MinVersion: 4, MaxVersion: 18, ReusesFrame: true},
		{Key: 3, Name: "Metadata", MinVersion: 0, MaxVersion: 13},
		{Key: 10, Name: "FindCoordinator", MinVersion: 0, MaxVersion: 6},
		{Key: 11, Name: "JoinGroup", MinVersion: 0, MaxVersion: 9},
		{Key: 18, Name: "ApiVersions", MinVersion: 0, MaxVersion: 4},
		{Key: 45, Name: "AlterPartitionAssignments", MinVersion: 0, MaxVersion: 0, MayBlock: true},
	}
}

// running is a server under test.
type running struct {
	*Server
	t    testing.TB
	addr string
	done chan error
	stop context.CancelFunc
}

// start runs a server on a loopback port. handle may be nil: then everything is answered at once with an empty response.
func start(t testing.TB, limits Limits, handle func(*Request)) *running {
	t.Helper()
	if handle == nil {
		handle = func(r *Request) { answerEmpty(r) }
	}
	return startConfig(t, Config{APIs: table(), Handle: handle, Limits: limits})
}

func startConfig(t testing.TB, cfg Config) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &running{Server: New(cfg), t: t, addr: l.Addr().String(), done: make(chan error, 1), stop: stop}
	go func() { s.done <- s.Serve(ctx, []Listener{{Name: "PLAINTEXT", Net: l}}) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-s.done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve didn't return")
		}
	})
	return s
}

func answerEmpty(r *Request) {
	if r.Body == nil {
		r.Reply(kmsg.NewPtrApiVersionsResponse())
		return
	}
	r.Reply(r.Body.ResponseKind())
}

// client speaks to a server byte by byte.
type client struct {
	t    testing.TB
	nc   net.Conn
	next int32
	id   *string
}

func (s *running) dial() *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	return newClient(s.t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	id := "test"
	return &client{t: t, nc: nc, id: &id}
}

// frame encodes a request with its size.
func (c *client) frame(req kmsg.Request, headerTags ...byte) []byte {
	c.next++
	b := make([]byte, 4)
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, uint32(c.next))
	if c.id == nil {
		b = append(b, 0xff, 0xff)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(*c.id)))
		b = append(b, *c.id...)
	}
	if req.IsFlexible() {
		if headerTags == nil {
			headerTags = []byte{0}
		}
		b = append(b, headerTags...)
	}
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// send sends a request and gives its correlation id.
func (c *client) send(version int16, req kmsg.Request) int32 {
	c.t.Helper()
	req.SetVersion(version)
	c.write(c.frame(req))
	return c.next
}

// read reads a response's frame.
func (c *client) read() (correlation int32, rest []byte, err error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.nc, b); err != nil {
		return 0, nil, err
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:], nil
}

// want reads a response and wants it to be the one to a request.
func (c *client) want(correlation int32) []byte {
	c.t.Helper()
	got, rest, err := c.read()
	if err != nil {
		c.t.Fatalf("response %d: %v", correlation, err)
	}
	if got != correlation {
		c.t.Fatalf("correlation id %d, want %d", got, correlation)
	}
	return rest
}

// wantClosed wants the connection to end without another byte.
func (c *client) wantClosed() {
	c.t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	var b [1]byte
	n, err := c.nc.Read(b[:])
	var timeout net.Error
	if n > 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("got %d bytes, %v; want the end of the connection", n, err)
	}
}

func apiVersions() kmsg.Request { return kmsg.NewPtrApiVersionsRequest() }

func metadata() *kmsg.MetadataRequest { return kmsg.NewPtrMetadataRequest() }

// parking is a handler that parks the requests of an API, and answers the others at once.
type parking struct {
	key    int16
	parked chan *Request
}

func newParking(key int16) *parking { return &parking{key: key, parked: make(chan *Request, 5000)} }

func (p *parking) handle(r *Request) {
	if r.Key == p.key {
		p.parked <- r
		return
	}
	answerEmpty(r)
}

func (p *parking) next(t testing.TB) *Request {
	t.Helper()
	select {
	case r := <-p.parked:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no request arrived")
		return nil
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// once collects a callback's calls.
type calls struct {
	mu sync.Mutex
	n  int
}

func (c *calls) call() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *calls) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }
