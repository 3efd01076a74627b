package handlers

import (
	"context"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFetch_FETCH_08_thousands_that_wait_cost_no_goroutines(t *testing.T) {
	const conns, each = 20, 250
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		watching := &atomic.Int32{}
		b.faults.give("t", 0, func(p Partition) (Partition, error) { return watched{p, watching}, nil })
		var clients []*client
		for range conns {
			clients = append(clients, b.dial())
		}
		synctest.Wait()
		before := runtime.NumGoroutine()
		waits := make([][]waiting[*kmsg.FetchResponse], conns)
		for range each {
			for i, c := range clients {
				waits[i] = append(waits[i], send[*kmsg.FetchResponse](c, 12, fetchOf(600_000, fetchTopicOf("t", 0, 0))))
			}
		}
		synctest.Wait()
		if n := watching.Load(); n != conns*each {
			b.t.Fatalf("%d watch", n)
		}
		const others = 10 // that the broker has now and then
		if n := runtime.NumGoroutine() - before; n > others {
			t.Errorf("%d goroutines for %d fetches", n, conns*each)
		}
		b.fill("t", 0, 10)
		for i := range waits {
			for _, w := range waits[i] {
				if resp, took := w.get(); took != 0 || offsets(t, resp) != "0:[0] " {
					b.t.Fatalf("after %v: %s", took, offsets(t, resp))
				}
			}
		}
		synctest.Wait()
		if n := watching.Load(); n != 0 {
			t.Errorf("%d still watch", n)
		}
		if n := runtime.NumGoroutine() - before; n > others {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

// meddling has something happen in the middle of a call.
type meddling struct {
	Partition
	reads       *atomic.Int32
	afterRead   func(n int32)
	beforeWatch func(cluster.Watcher)
	after       func()
}

func (m meddling) Read(r cluster.ReadRequest) (cluster.ReadResult, error) {
	result, err := m.Partition.Read(r)
	if m.afterRead != nil {
		m.afterRead(m.reads.Add(1))
	}
	return result, err
}

func (m meddling) Watch(w cluster.Watcher) {
	if m.beforeWatch != nil {
		m.beforeWatch(w)
	}
	m.Partition.Watch(w)
	if m.after != nil {
		m.after()
	}
}

// Whatever comes while a fetch is on its way to wait, or looks again, ends the wait as if it had come later.
func TestFetch_FETCH_08_nothing_that_comes_in_between_is_missed(t *testing.T) {
	for name, meddle := range map[string]func(b *dataBroker, m *meddling){
		"before it watches": func(b *dataBroker, m *meddling) { m.beforeWatch = func(cluster.Watcher) { b.fill("t", 0, 100) } },
		"after it watches":  func(b *dataBroker, m *meddling) { m.after = func() { b.fill("t", 0, 100) } },
		"after the first read": func(b *dataBroker, m *meddling) {
			m.afterRead = func(n int32) {
				if n == 1 {
					b.fill("t", 0, 100)
				}
			}
		},
		"after the second read": func(b *dataBroker, m *meddling) {
			m.afterRead = func(n int32) {
				if n == 2 {
					b.fill("t", 0, 100)
				}
			}
		},
		"piece by piece": func(b *dataBroker, m *meddling) {
			m.afterRead = func(n int32) {
				if n <= 4 {
					b.fill("t", 0, 1)
				}
			}
			m.after = func() { b.fill("t", 0, 1) }
		},
		"the topic goes after the second read": func(b *dataBroker, m *meddling) {
			m.afterRead = func(n int32) {
				if n == 2 {
					b.remove("t")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				b.create("t", 1)
				m := &meddling{reads: &atomic.Int32{}}
				meddle(b, m)
				b.faults.give("t", 0, func(p Partition) (Partition, error) {
					face := *m
					face.Partition = p
					return face, nil
				})
				req := fetchOf(60_000, fetchTopicOf("t", 0, 0))
				req.MinBytes = int32(len(values(make([]byte, 100))))
				_, took := send[*kmsg.FetchResponse](b.client, 12, req).get()
				if took != 0 {
					t.Errorf("answered after %v", took)
				}
			})
		})
	}
}

// remove deletes a topic past the handlers.
func (b *dataBroker) remove(topic string) {
	b.t.Helper()
	b.change(func(img *cluster.Image) []cluster.Record {
		return []cluster.Record{cluster.RemoveTopicRecord{ID: img.Topic(topic).ID}}
	})
}

// Appends to several partitions from several sides, with readers that follow them by long polls: each reader sees each record once, in order.
func TestFetch_FETCH_08_09_readers_that_follow_writers_see_everything_once(t *testing.T) {
	const partitions, writers, readers, each = 3, 3, 8, 60
	bubble(t, func(b *dataBroker) {
		b.create("t", partitions)
		held, twice := &atomic.Int32{}, &atomic.Int32{}
		for p := range int32(partitions) {
			b.faults.give("t", p, func(p Partition) (Partition, error) { return releases{p, held, twice}, nil })
		}
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				for range partitions * each / writers {
					b.fill("t", int32(w), random.IntN(200))
					if random.IntN(4) == 0 {
						time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
					}
				}
			})
		}
		for i := range readers {
			c := b.dial()
			all.Go(func() {
				random := rand.New(rand.NewPCG(2, uint64(i)))
				next := make([]int64, partitions)
				for total := 0; total < partitions*each; {
					req := fetchOf(int32(1+random.IntN(1000)), fetchTopicOf("t", 0, next[0], 1, next[1], 2, next[2]))
					req.MinBytes = int32(random.IntN(2000))
					req.MaxBytes = int32(100 + random.IntN(3000))
					req.IsolationLevel = int8(i % 2)
					for _, row := range do[*kmsg.FetchResponse](c, 12, req).Topics[0].Partitions {
						for _, base := range batches(t, row.RecordBatches) {
							if base != next[row.Partition] {
								t.Errorf("reader %d, partition %d: batch %d, want %d", i, row.Partition, base, next[row.Partition])
								return
							}
							next[row.Partition]++
							total++
						}
					}
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if held.Load() != 0 || twice.Load() != 0 {
			t.Errorf("%d reads not given back, %d given back twice", held.Load(), twice.Load())
		}
	})
}

// Data, the end of the time, the client's leaving and the broker's end come at the same moment. Each fetch is answered at most once, stops
// watching, and gives back what it read.
func TestFetch_CONN_19_20_what_ends_a_wait_comes_from_all_sides_at_once(t *testing.T) {
	for round := range 20 {
		bubble(t, func(b *dataBroker) {
			ctx, stop := context.WithCancel(b.h.Context)
			defer stop()
			b.h.Context = ctx
			b.create("t", 2)
			b.fill("t", 0, 10)
			watching, held, twice := &atomic.Int32{}, &atomic.Int32{}, &atomic.Int32{}
			for p := range int32(2) {
				b.faults.give("t", p, func(p Partition) (Partition, error) { return watched{releases{p, held, twice}, watching}, nil })
			}
			const clients, each = 6, 5
			var conns []*client
			var answers sync.WaitGroup
			for i := range clients {
				c := b.dial()
				conns = append(conns, c)
				for range each {
					req := fetchOf(1000, fetchTopicOf("t", 0, 0, 1, 0))
					req.MinBytes = 400
					send[*kmsg.FetchResponse](c, 12, req)
				}
				answers.Go(func() {
					got := 0
					for {
						var size [4]byte
						if _, err := io.ReadFull(c.conn, size[:]); err != nil {
							break
						}
						if _, err := io.CopyN(io.Discard, c.conn, int64(size[2])<<8|int64(size[3])); err != nil {
							break
						}
						got++
					}
					if got > each || i%2 == 1 && got != each {
						t.Errorf("round %d: client %d got %d answers", round, i, got)
					}
				})
			}
			synctest.Wait()
			if n := watching.Load(); n != 2*clients*each {
				b.t.Fatalf("%d watch", n)
			}
			time.Sleep(time.Second - time.Nanosecond)
			var together sync.WaitGroup
			ends := []func(){func() { b.fill("t", 1, 500) }, func() { b.fill("t", 0, 500) }}
			if round%2 == 0 {
				ends = append(ends, stop)
			}
			for i := 0; i < clients; i += 2 {
				ends = append(ends, func() { conns[i].conn.Close() })
			}
			for _, end := range ends {
				together.Go(func() { time.Sleep(time.Nanosecond); end() })
			}
			together.Wait()
			synctest.Wait()
			for _, c := range conns {
				c.conn.Close()
			}
			answers.Wait()
			synctest.Wait()
			if watching.Load() != 0 || held.Load() != 0 || twice.Load() != 0 {
				t.Errorf("round %d: %d still watch, %d reads not given back, %d given back twice", round, watching.Load(), held.Load(), twice.Load())
			}
		})
	}
}

func TestFetch_CONN_10_a_parked_fetch_holds_back_its_own_connection_alone(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		waiter := b.dial()
		w := send[*kmsg.FetchResponse](waiter, 12, fetchOf(5000, fetchTopicOf("t", 0, 0)))
		behind := send[*kmsg.ApiVersionsResponse](waiter, 0, kmsg.NewPtrApiVersionsRequest())
		synctest.Wait()
		if _, took := send[*kmsg.ApiVersionsResponse](b.client, 0, kmsg.NewPtrApiVersionsRequest()).get(); took != 0 {
			t.Errorf("another connection waited %v", took)
		}
		if _, took := w.get(); took != 5*time.Second {
			t.Errorf("the fetch took %v", took)
		}
		if _, took := behind.get(); took != 5*time.Second {
			t.Errorf("the request behind it took %v", took)
		}
	})
}

func TestFetch_CONN_20_a_broker_that_stops_answers_what_waits(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		ctx, stop := context.WithCancel(b.h.Context)
		b.h.Context = ctx
		b.create("t", 1)
		b.fill("t", 0, 10)
		req := fetchOf(60_000, fetchTopicOf("t", 0, 0))
		req.MinBytes = 1 << 19
		w := send[*kmsg.FetchResponse](b.client, 12, req)
		synctest.Wait()
		stop()
		if resp, took := w.get(); took != 0 || offsets(t, resp) != "0:[0] " {
			t.Errorf("after %v: %s", took, offsets(t, resp))
		}
		// What comes from now on doesn't wait either.
		if _, took := send[*kmsg.FetchResponse](b.client, 12, req).get(); took != 0 {
			t.Errorf("answered after %v", took)
		}
	})
}

func TestFetch_FETCH_08_a_wait_that_ends_in_an_error_says_so_at_once(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.join()
		w := send[*kmsg.FetchResponse](b.client, 12, fetchOf(60_000, fetchTopicOf("t", 0, 0)))
		time.Sleep(time.Second)
		b.leadElsewhere("t", 0)
		resp, took := w.get()
		wantCode(t, "led elsewhere", resp.Topics[0].Partitions[0].ErrorCode, 6)
		if took != time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// A transaction's records don't count for read_committed before they are stable, however many they are (FETCH_09).
func TestFetch_FETCH_09_what_isnt_readable_doesnt_end_a_wait(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.create("held", 1)
		b.hold("held", 0)
		for topic, isolation := range map[string]int8{"t": 1, "held": 0} {
			c := b.dial()
			req := fetchOf(5000, fetchTopicOf(topic, 0, 0))
			req.IsolationLevel = isolation
			w := send[*kmsg.FetchResponse](c, 12, req)
			for i := range 20 {
				time.Sleep(100 * time.Millisecond)
				b.append(topic, 0, 0, batch.NewBuilder().SetProducer(7, 0, int32(i)).SetTransactional().Append(now(), nil, make([]byte, 1000)).Build())
			}
			resp, took := w.get()
			if took != 5*time.Second || offsets(t, resp) != "0:[] " {
				t.Errorf("%s: after %v: %s", topic, took, offsets(t, resp))
			}
		}
	})
}

// What comes while a fetch looks again counts towards its next look: three pieces are wanted, the first comes in the middle of a look.
func TestFetch_FETCH_08_what_comes_during_a_look_is_counted(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.fill("t", 0, 1) // the first of a segment has everybody look
		reads := &atomic.Int32{}
		var fetch cluster.Watcher
		b.faults.give("t", 0, func(p Partition) (Partition, error) {
			return meddling{Partition: p, reads: reads, beforeWatch: func(w cluster.Watcher) { fetch = w }, afterRead: func(n int32) {
				if n == 3 {
					b.fill("t", 0, 100)
				}
			}}, nil
		})
		c := b.dial()
		req := fetchOf(60_000, fetchTopicOf("t", 0, 1))
		req.MinBytes = int32(3 * len(values(make([]byte, 100))))
		w := send[*kmsg.FetchResponse](c, 12, req)
		c.silent(time.Second)
		synctest.Wait()
		fetch.Wake(0) // something happened: it looks
		c.silent(time.Second)
		if n := reads.Load(); n != 3 {
			b.t.Fatalf("%d reads", n)
		}
		b.fill("t", 0, 100)
		c.silent(time.Second)
		b.fill("t", 0, 100)
		if resp, took := w.get(); took != 3*time.Second || offsets(t, resp) != "0:[1 2 3] " {
			t.Errorf("after %v: %s", took, offsets(t, resp))
		}
	})
}
