package wire

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quick wants an answer within a second, whatever else goes on.
func quick(t *testing.T, c *client) {
	t.Helper()
	start := time.Now()
	c.want(c.send(2, apiVersions()))
	if took := time.Since(start); took > time.Second {
		t.Errorf("answered after %v", took)
	}
}

func produceOf(bytes int) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, bytes)}}})
	return req
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func TestHostile_declared_sizes_cost_nothing_and_stop_nobody(t *testing.T) {
	limits := DefaultLimits()
	limits.FrameMemory = 8 << 20
	s := start(t, limits, nil)
	before := heap()
	for range 500 {
		c := s.dial()
		c.write(binary.BigEndian.AppendUint32(nil, 100<<20))
		c.write([]byte{0, 0, 0, 7})
	}
	eventually(t, "all have begun", func() bool { return s.Stats().ConnectionsTotal == 500 })
	c := s.dial()
	quick(t, c)
	c.want(c.send(7, produceOf(5<<20)))
	if used := int64(heap()) - int64(before); used > 16<<20 {
		t.Errorf("500 connections that declared 50 GB took %d bytes", used)
	}
	if used := s.Stats().FrameMemoryInUse; used != 0 {
		eventually(t, "the budget is free", func() bool { return s.Stats().FrameMemoryInUse == 0 })
	}
}

// Frames that each hold a part of the memory and never come to their end are ended where others wait for it.
func TestHostile_CONN_22_stalled_frames_give_their_memory_to_those_who_wait(t *testing.T) {
	limits := DefaultLimits()
	limits.FrameMemory = 4 << 20
	s := start(t, limits, nil)
	for range 40 {
		c := s.dial()
		c.write(binary.BigEndian.AppendUint32(nil, 50<<20))
		c.write(make([]byte, 200<<10))
	}
	eventually(t, "they wait for each other", func() bool { return s.Stats().FramesWaiting > 0 })
	if st := s.Stats(); st.FrameMemoryInUse > st.FrameMemory+50<<20 {
		t.Errorf("%d of %d in use", st.FrameMemoryInUse, st.FrameMemory)
	}
	small := s.dial()
	quick(t, small) // needs none of it
	large := s.dial()
	large.want(large.send(7, produceOf(2<<20)))
	quick(t, small)
}

func TestBudget_CONN_22_frames_beyond_it_wait_and_are_not_dropped(t *testing.T) {
	limits := DefaultLimits()
	limits.FrameMemory = 1 << 20
	s := start(t, limits, nil)
	const conns, each = 12, 5
	done := make(chan struct{}, conns)
	for range conns {
		c := s.dial()
		go func() {
			defer func() { done <- struct{}{} }()
			for range each {
				c.want(c.send(7, produceOf(900_000)))
			}
		}()
	}
	for range conns {
		<-done
	}
	eventually(t, "all is given back", func() bool { return s.Stats().FrameMemoryInUse == 0 })
}

func TestBudget_serves_in_order_and_overdraws_for_one(t *testing.T) {
	b := newBudget(100)
	var a, c, d, e share
	if !b.try(&a, 60) || b.try(&c, 60) {
		t.Fatal("try")
	}
	if b.wait(&c, 60) != nil || !c.over {
		t.Fatal("the overdraft was free")
	}
	w := b.wait(&d, 60)
	if w == nil {
		t.Fatal("only one may overdraw")
	}
	if b.try(&e, 1) {
		t.Error("passed one who waits")
	}
	we := b.wait(&e, 10)
	if we == nil {
		t.Fatal("passed one who waits")
	}
	if b.wait(&c, 1000) != nil {
		t.Fatal("who overdraws goes on")
	}
	b.release(&a)
	if ok := <-w.ready; !ok || d.n != 60 {
		t.Error("not served", d)
	}
	if ok := <-we.ready; !ok || e.n != 10 {
		t.Error("not served", e)
	}
	w = b.wait(&a, 90)
	b.giveUp(w)
	if ok := <-w.ready; ok || a.n != 0 {
		t.Error("given up")
	}
	b.releasePart(&c, 60)
	b.release(&c)
	b.release(&d)
	b.release(&e)
	if used, _, waiting := b.state(); used != 0 || waiting != 0 {
		t.Error(used, waiting)
	}
}

func TestTimeout_a_frame_that_takes_too_long_ends_its_connection(t *testing.T) {
	limits := DefaultLimits()
	limits.FrameTimeout = 100 * time.Millisecond
	s := start(t, limits, nil)
	slow, fine := s.dial(), s.dial()
	req := metadata()
	req.SetVersion(1)
	b := slow.frame(req)
	stop := make(chan struct{})
	go func() { // a byte now and then doesn't help
		defer close(stop)
		for i := range b[:len(b)-1] {
			if _, err := slow.nc.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	slow.wantClosed()
	<-stop
	fine.want(fine.send(2, apiVersions())) // it was silent all the time
}

func TestTimeout_CONN_14_idle_connections_are_closed_but_not_parked_ones(t *testing.T) {
	limits := DefaultLimits()
	limits.IdleTimeout = 100 * time.Millisecond
	park := newParking(3)
	s := start(t, limits, park.handle)
	parked, idle := s.dial(), s.dial()
	id := parked.send(1, metadata())
	idle.want(idle.send(2, apiVersions()))
	r := park.next(t)
	idle.wantClosed()
	answerEmpty(r)
	parked.want(id)
	parked.wantClosed()
}

func TestTimeout_peers_that_take_no_answers_are_closed_and_block_no_one(t *testing.T) {
	limits := DefaultLimits()
	limits.WriteTimeout = 200 * time.Millisecond
	large := make([]byte, 32<<20)
	park := newParking(3)
	s := start(t, limits, park.handle)
	deaf := s.dial()
	deaf.send(1, metadata())
	r := park.next(t)
	var gone calls
	r.Conn.OnClose(gone.call)
	released := calls{}
	start := time.Now()
	r.ReplyBody(Body{Chunks: []vfs.Chunk{{Bytes: large}}, Release: released.call})
	if took := time.Since(start); took > 100*time.Millisecond {
		t.Errorf("the one who answers waited %v for the peer", took)
	}
	eventually(t, "the peer is given up", func() bool { return gone.count() == 1 && released.count() == 1 })
}

func TestQueue_parked_requests_of_a_connection_have_a_bound(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxParked = 10
	park := newParking(3)
	var arrived atomic.Int32
	s := start(t, limits, func(r *Request) { arrived.Add(1); park.handle(r) })
	c := s.dial()
	for range 100 {
		c.send(1, metadata())
	}
	for answered := range 100 {
		r := park.next(t)
		if n := int(arrived.Load()) - answered; n > 10 {
			t.Fatalf("%d parked", n)
		}
		answerEmpty(r)
		c.want(int32(answered + 1))
	}
}

func TestQueue_the_end_of_a_peer_is_noticed_while_its_requests_are_held_back(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxParked = 2
	park := newParking(3)
	s := start(t, limits, park.handle)
	c := s.dial()
	for range 10 {
		c.send(1, metadata())
	}
	var gone calls
	park.next(t).OnGone(gone.call)
	_ = c.nc.Close()
	eventually(t, "the connection ends", func() bool { return gone.count() == 1 && s.Stats().Connections == 0 })
}

func TestQueue_ready_answers_behind_a_parked_one_have_a_bound(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxQueuedBytes = 100_000
	text := string(make([]byte, 10_000))
	park := newParking(3)
	var arrived atomic.Int32
	s := start(t, limits, func(r *Request) {
		arrived.Add(1)
		if r.Key == 3 {
			park.handle(r)
			return
		}
		resp := kmsg.NewPtrFindCoordinatorResponse()
		resp.Host = text
		r.Reply(resp)
	})
	c := s.dial()
	first := c.send(1, metadata())
	r := park.next(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 200 {
			c.send(1, kmsg.NewPtrFindCoordinatorRequest())
		}
	}()
	eventually(t, "the queue is full", func() bool { return arrived.Load() >= 10 })
	<-sent
	if n := arrived.Load(); n > 13 {
		t.Errorf("%d requests were handled", n)
	}
	answerEmpty(r)
	for id := first; id <= first+200; id++ {
		c.want(id)
	}
}

func TestAccept_CONN_18_connections_beyond_the_most_wait(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxConnections = 2
	s := start(t, limits, nil)
	a, b := s.dial(), s.dial()
	a.want(a.send(2, apiVersions()))
	b.want(b.send(2, apiVersions()))
	third := s.dial()
	id := third.send(2, apiVersions())
	if n := s.Stats().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
	_ = a.nc.Close()
	third.want(id)
}

func TestAccept_CONN_18_connections_of_an_address_have_a_bound(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxConnectionsPerIP = 1
	s := start(t, limits, nil)
	first := s.dial()
	first.want(first.send(2, apiVersions()))
	s.dial().wantClosed()
	first.want(first.send(2, apiVersions()))
	if n := s.Stats().ConnectionsRefused; n != 1 {
		t.Errorf("%d refused", n)
	}
	limits.MaxConnectionsOfIP = map[netip.Addr]int{netip.MustParseAddr("127.0.0.1"): 2}
	s.SetLimits(limits)
	second := s.dial()
	second.want(second.send(2, apiVersions()))
	s.dial().wantClosed()
	_ = first.nc.Close()
	eventually(t, "the place is free", func() bool { return s.Stats().Connections == 1 })
	again := s.dial()
	again.want(again.send(2, apiVersions()))
}

func TestAccept_CONN_18_creation_has_a_rate(t *testing.T) {
	now := time.Unix(1000, 0)
	var r creationRate
	var waited time.Duration
	for range 30 { // ten at once, then ten a second
		w := r.take(now, 10)
		waited += w
		now = now.Add(w)
	}
	if waited != 2*time.Second {
		t.Errorf("30 connections waited %v", waited)
	}
	if w := r.take(now, 0); w != 0 {
		t.Errorf("unbounded, but waited %v", w)
	}
}

func TestQuiet_connections_go_on_after_their_reader_was_renewed(t *testing.T) {
	s := start(t, DefaultLimits(), nil)
	c, partial := s.dial(), s.dial()
	c.want(c.send(2, apiVersions()))
	b := partial.frame(func() kmsg.Request { r := produceOf(200_000); r.SetVersion(7); return r }())
	partial.write(b[:50_000])
	eventually(t, "both are quiet", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		for c := range s.conns {
			if c.quiet.Load() {
				n++
			}
		}
		return n == 2
	})
	c.want(c.send(2, apiVersions()))
	partial.write(b[50_000:])
	partial.want(partial.next)
}

func TestIdle_connections_hold_no_buffer(t *testing.T) {
	s := start(t, DefaultLimits(), nil)
	clients := make([]*client, 300)
	before := heap()
	for i := range clients {
		clients[i] = s.dial()
		clients[i].want(clients[i].send(3, apiVersions()))
	}
	if each := (int64(heap()) - int64(before)) / int64(len(clients)); each > 8<<10 {
		t.Errorf("%d bytes of heap for each", each)
	}
}

func TestBudget_CONN_22_parked_requests_are_in_it(t *testing.T) {
	limits := DefaultLimits()
	limits.FrameMemory = 1 << 20
	limits.MaxQueuedBytes = 64 << 20
	park := newParking(11)
	var arrived atomic.Int32
	s := start(t, limits, func(r *Request) {
		if r.Key == 11 {
			arrived.Add(1)
		}
		park.handle(r)
	})
	join := kmsg.NewPtrJoinGroupRequest()
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: make([]byte, 10_000)}}
	c, other := s.dial(), s.dial()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 1000 {
			c.send(5, join)
		}
	}()
	eventually(t, "the memory is used up", func() bool { return s.Stats().FramesWaiting > 0 })
	if n := arrived.Load(); n > 150 {
		t.Errorf("%d requests of 10 KB are parked in 1 MB", n)
	}
	quick(t, other)
	for range 1000 {
		answerEmpty(park.next(t))
	}
	for id := int32(1); id <= 1000; id++ {
		c.want(id)
	}
	<-sent
	eventually(t, "all is given back", func() bool { return s.Stats().FrameMemoryInUse == 0 })
}

func TestFlush_ready_answers_do_not_wait_for_slow_handlers(t *testing.T) {
	entered, goOn := make(chan struct{}, 1), make(chan struct{})
	c := start(t, DefaultLimits(), func(r *Request) {
		switch {
		case r.Key == 45 || r.CorrelationID == 3:
			entered <- struct{}{}
			<-goOn
		case r.CorrelationID == 2:
			time.Sleep(2 * flushAfter)
		}
		answerEmpty(r)
	}).dial()
	m := metadata()
	m.SetVersion(1)
	c.write(append(append(c.frame(m), c.frame(m)...), c.frame(m)...))
	<-entered
	c.want(1)
	c.want(2)
	goOn <- struct{}{}
	c.want(3)
	reassign := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	c.write(append(c.frame(m), c.frame(reassign)...))
	<-entered
	c.want(4) // the table says that this one may block
	goOn <- struct{}{}
	c.want(5)
}
