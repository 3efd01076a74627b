package wire

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestOrder_CONN_08_answers_leave_in_the_order_of_the_requests(t *testing.T) {
	park := newParking(3)
	c := start(t, Limits{}, park.handle).dial()
	var ids []int32
	for range 4 {
		ids = append(ids, c.send(1, metadata()))
		ids = append(ids, c.send(2, apiVersions()))
	}
	var parked []*Request
	for range 4 {
		parked = append(parked, park.next(t))
	}
	for _, i := range []int{3, 1, 2, 0} {
		answerEmpty(parked[i])
	}
	for _, id := range ids {
		c.want(id)
	}
}

func TestOrder_CONN_08_any_order_of_answers_from_any_goroutine(t *testing.T) {
	const requests = 3000
	park := newParking(3)
	c := start(t, Limits{}, park.handle).dial()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range requests {
			c.send(9, metadata())
		}
	}()
	go func() {
		rng := rand.New(rand.NewPCG(1, 1))
		var held []*Request
		for n := 0; n < requests || len(held) > 0; {
			if n < requests && len(held) < 50 {
				held = append(held, <-park.parked)
				n++
				continue
			}
			i := rng.IntN(len(held))
			r := held[i]
			held = append(held[:i], held[i+1:]...)
			go answerEmpty(r)
		}
	}()
	for id := int32(1); id <= requests; id++ {
		c.want(id)
	}
	<-done
}

func TestOrder_CONN_09_requests_that_come_while_one_is_parked_are_handled(t *testing.T) {
	park := newParking(3)
	var handled atomic.Int32
	c := start(t, Limits{}, func(r *Request) { handled.Add(1); park.handle(r) }).dial()
	first := c.send(1, metadata())
	for range 100 {
		c.send(2, apiVersions())
	}
	eventually(t, "all are handled behind the parked one", func() bool { return handled.Load() == 101 })
	answerEmpty(park.next(t))
	for id := first; id <= c.next; id++ {
		c.want(id)
	}
}

func TestOrder_CONN_10_a_parked_request_holds_up_its_connection_only(t *testing.T) {
	park := newParking(3)
	s := start(t, Limits{}, park.handle)
	c, other := s.dial(), s.dial()
	id := c.send(1, metadata())
	r := park.next(t)
	other.want(other.send(2, apiVersions()))
	if n := s.Stats().Parked; n != 1 {
		t.Errorf("%d parked", n)
	}
	answerEmpty(r)
	c.want(id)
}

func TestReply_CONN_17_no_reply_sends_no_bytes(t *testing.T) {
	c := start(t, Limits{}, func(r *Request) {
		if p, ok := r.Body.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
			r.NoReply()
			return
		}
		answerEmpty(r)
	}).dial()
	for range 3 {
		p := kmsg.NewPtrProduceRequest()
		p.Acks = 0
		c.send(7, p)
		c.want(c.send(9, metadata()))
	}
}

func TestReply_only_the_first_answer_counts(t *testing.T) {
	c := start(t, Limits{}, func(r *Request) {
		answerEmpty(r)
		answerEmpty(r)
		r.Close(nil)
		r.NoReply()
	}).dial()
	c.want(c.send(1, metadata()))
	c.want(c.send(1, metadata()))
}

func TestClose_lets_earlier_answers_leave_and_drops_later_requests(t *testing.T) {
	park := newParking(3)
	var later atomic.Int32
	s := start(t, Limits{}, func(r *Request) {
		switch {
		case r.Key == 10:
			r.Close(errors.New("enough"))
		case r.CorrelationID > 3:
			later.Add(1)
			answerEmpty(r)
		default:
			park.handle(r)
		}
	})
	c := s.dial()
	first := c.send(1, metadata())
	second := c.send(2, apiVersions())
	c.send(0, kmsg.NewPtrFindCoordinatorRequest())
	c.send(2, apiVersions())
	answerEmpty(park.next(t))
	c.want(first)
	c.want(second)
	c.wantClosed()
	if later.Load() > 0 {
		t.Error("a request behind the end was handled")
	}
	eventually(t, "the connection is forgotten", func() bool { return s.Stats().Connections == 0 })
}

func TestClose_CONN_19_the_end_of_the_peer_withdraws_what_is_parked(t *testing.T) {
	for name, end := range map[string]func(*client){
		"close": func(c *client) { _ = c.nc.Close() },
		"reset": func(c *client) { _ = c.nc.(*net.TCPConn).SetLinger(0); _ = c.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			park := newParking(3)
			s := start(t, Limits{}, park.handle)
			c := s.dial()
			c.send(1, metadata())
			r := park.next(t)
			var gone, closed, withdrawn calls
			r.OnGone(gone.call)
			r.Conn.OnClose(closed.call)
			r.Conn.OnClose(withdrawn.call)()
			end(c)
			eventually(t, "the request is withdrawn", func() bool { return gone.count() > 0 && closed.count() > 0 })
			released := calls{}
			r.ReplyBody(Body{Release: released.call})
			answerEmpty(r)
			eventually(t, "the connection is forgotten", func() bool { return s.Stats().Connections == 0 })
			var late calls
			r.Conn.OnClose(late.call)
			if gone.count() != 1 || closed.count() != 1 || withdrawn.count() != 0 || released.count() != 1 || late.count() != 1 {
				t.Error(gone.count(), closed.count(), withdrawn.count(), released.count(), late.count())
			}
		})
	}
}

// The kernel tells of bytes and the end behind them at once; the end must be noticed nevertheless.
func TestClose_CONN_19_an_end_that_comes_along_with_the_request_is_noticed(t *testing.T) {
	park := newParking(3)
	s := start(t, Limits{}, park.handle)
	for i := range 20 {
		c := s.dial()
		for range i { // some connections count as busy, and are noticed later
			c.want(c.send(2, apiVersions()))
		}
		c.send(1, metadata())
		_ = c.nc.Close()
	}
	eventually(t, "all are gone", func() bool { return s.Stats().Connections == 0 && s.Stats().ConnectionsTotal == 20 })
}

func TestReplyBody_runs_of_memory_and_files(t *testing.T) {
	content := make([]byte, 3<<20)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	file, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	// what lists bodies by sizes: positive ones from the file, negative ones from memory.
	cases := map[string][]int{
		"nothing": {}, "memory": {-100}, "large memory": {-1 << 20}, "file": {1 << 20}, "small file": {100},
		"head, file, tail": {-50, 1 << 20, -20}, "small files": {-50, 100, -20, 5000, -20, 16 << 10, -3}, "files": {-5, 100_000, 200_000, 1},
		"many": {-3000, 10, -3000, 10, -3000, 100_000, -3000, 10, -3000, 10, -3000, 10, -3000},
	}
	for name, transport := range map[string]func(t *testing.T, handle func(*Request)) *client{
		"tcp": func(t *testing.T, handle func(*Request)) *client { return start(t, Limits{}, handle).dial() },
		"pipe": func(t *testing.T, handle func(*Request)) *client {
			return startPipe(t, Config{APIs: table(), Handle: handle})
		},
	} {
		for what, sizes := range cases {
			for _, later := range []bool{false, true} {
				t.Run(name+"/"+what, func(t *testing.T) {
					var want []byte
					var released calls
					body := Body{Release: released.call}
					at := 0
					for _, n := range sizes {
						if n < 0 {
							body.Chunks = append(body.Chunks, vfs.Chunk{Bytes: content[at : at-n]})
							want = append(want, content[at:at-n]...)
							at -= n
						} else {
							body.Chunks = append(body.Chunks, vfs.Chunk{File: file, Off: int64(at), N: int64(n)})
							want = append(want, content[at:at+n]...)
							at += n
						}
					}
					c := transport(t, func(r *Request) {
						switch {
						case r.Key != 3:
							answerEmpty(r)
						case later:
							go r.ReplyBody(body)
						default:
							r.ReplyBody(body)
						}
					})
					req, second := metadata(), apiVersions()
					req.SetVersion(1)
					second.SetVersion(2)
					b := append(c.frame(req), c.frame(second)...)
					c.write(b)
					if got := c.want(1); !bytes.Equal(got, want) {
						t.Errorf("%d bytes, want %d", len(got), len(want))
					}
					c.want(2)
					eventually(t, "released", func() bool { return released.count() == 1 })
				})
			}
		}
	}
}

// pipeListener hands out one end of an in-memory pipe.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// startPipe runs a server with one connection, which is an in-memory pipe.
func startPipe(t *testing.T, cfg Config) *client {
	t.Helper()
	near, far := net.Pipe()
	l := &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conns <- far
	s := New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []Listener{{Name: "PIPE", Net: l}}) }()
	t.Cleanup(func() {
		stop()
		_ = near.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return newClient(t, near)
}

func TestShutdown_answers_what_is_in_flight(t *testing.T) {
	park := newParking(3)
	var handled atomic.Int32
	s := start(t, Limits{}, func(r *Request) { park.handle(r); handled.Add(1) })
	idle, busy := s.dial(), s.dial()
	idle.want(idle.send(2, apiVersions()))
	first, second := busy.send(1, metadata()), busy.send(2, apiVersions())
	r := park.next(t)
	eventually(t, "both are in flight", func() bool { return handled.Load() == 3 })
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(context.Background()) }()
	idle.wantClosed()
	answerEmpty(r)
	busy.want(first)
	busy.want(second)
	busy.wantClosed()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if nc, err := net.Dial("tcp", s.addr); err == nil {
		_ = nc.Close()
		t.Error("still accepting")
	}
}

func TestShutdown_ends_with_its_context(t *testing.T) {
	park := newParking(3)
	s := start(t, Limits{}, park.handle)
	c := s.dial()
	c.send(1, metadata())
	r := park.next(t)
	var gone calls
	r.OnGone(gone.call)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.wantClosed()
	eventually(t, "withdrawn", func() bool { return gone.count() == 1 })
}

func TestHandle_a_panic_ends_its_connection_only(t *testing.T) {
	s := start(t, Limits{}, func(r *Request) {
		if r.Key == 3 {
			panic("no")
		}
		answerEmpty(r)
	})
	c, other := s.dial(), s.dial()
	first := c.send(2, apiVersions())
	c.send(1, metadata())
	c.want(first)
	c.wantClosed()
	other.want(other.send(2, apiVersions()))
}

func TestObserve_sees_each_request_once(t *testing.T) {
	var mu sync.Mutex
	var seen []Observation
	s := startConfig(t, Config{APIs: table(), Observe: func(o Observation) { mu.Lock(); seen = append(seen, o); mu.Unlock() }, Handle: func(r *Request) {
		switch r.Key {
		case 0:
			r.NoReply()
		case 3:
			r.SetResult(5)
			answerEmpty(r)
		default:
			r.ReplyBody(Body{Chunks: []vfs.Chunk{{Bytes: make([]byte, 10)}}})
		}
	}})
	c := s.dial()
	c.send(7, kmsg.NewPtrProduceRequest())
	c.want(c.send(1, metadata()))
	n := len(c.want(c.send(2, apiVersions())))
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 3 || seen[0].Key != 0 || seen[0].BytesOut != 0 || seen[1].Result != 5 || seen[1].Version != 1 || seen[2].BytesOut != int64(4+n) || seen[2].BytesIn != 14 {
		t.Errorf("%+v", seen)
	}
	for _, o := range seen {
		if o.Duration < 0 || o.Duration > time.Minute {
			t.Error(o.Duration)
		}
	}
}
