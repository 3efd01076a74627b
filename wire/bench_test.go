package wire

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceFrame is a Produce request with a batch of so many bytes, as kperf sends it.
func produceFrame(bytes int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks = -1
	req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "kperf", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, bytes)}}})
	c := &client{id: new(string)}
	return c.frame(req)
}

func produceAnswer(r *Request) {
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = append(resp.Topics, kmsg.ProduceResponseTopic{Topic: "kperf", Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}})
	r.Reply(resp)
}

// floorServer is the least that a server can do, as kperf's floor: a buffered reader, the frame, a ready answer.
func floorServer(b *testing.B, answerBytes int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 64<<10)
				answer := make([]byte, answerBytes)
				binary.BigEndian.PutUint32(answer, uint32(answerBytes-4))
				var head [4]byte
				var frame []byte
				for {
					if _, err := io.ReadFull(r, head[:]); err != nil {
						return
					}
					n := int(binary.BigEndian.Uint32(head[:]))
					if cap(frame) < n {
						frame = make([]byte, n)
					}
					if _, err := io.ReadFull(r, frame[:n]); err != nil {
						return
					}
					copy(answer[4:8], frame[4:8])
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// load sends frame b.N times with so many in flight. The client costs the same for every server.
func load(b *testing.B, addr string, frame []byte, inflight int) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	window := make(chan struct{}, inflight)
	go func() {
		for range b.N {
			window <- struct{}{}
			if _, err := nc.Write(frame); err != nil {
				return
			}
		}
	}()
	r := bufio.NewReaderSize(nc, 64<<10)
	var head [4]byte
	start := cpu()
	b.ResetTimer()
	for range b.N {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint32(head[:]))); err != nil {
			b.Fatal(err)
		}
		<-window
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
}

// cpu is the processor time of this process so far, client and server together.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkProduce(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KB", 1000}, {"10KB", 10_000}, {"100KB", 100_000}} {
		for _, inflight := range []struct {
			name string
			n    int
		}{{"1_in_flight", 1}, {"5_in_flight", 5}} {
			frame := produceFrame(size.bytes)
			b.Run(size.name+"/"+inflight.name+"/floor", func(b *testing.B) {
				load(b, floorServer(b, 60), frame, inflight.n)
			})
			b.Run(size.name+"/"+inflight.name+"/wire", func(b *testing.B) {
				b.ReportAllocs()
				load(b, start(b, DefaultLimits(), produceAnswer).addr, frame, inflight.n)
			})
		}
	}
}

func BenchmarkFetch1MBFromFile(b *testing.B) {
	file, err := os.Create(b.TempDir() + "/f")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, 1<<20)); err != nil {
		b.Fatal(err)
	}
	head, tail := make([]byte, 60), make([]byte, 10)
	s := start(b, DefaultLimits(), func(r *Request) {
		r.ReplyBody(Body{Chunks: []vfs.Chunk{{Bytes: head}, {File: file, N: 1 << 20}, {Bytes: tail}}})
	})
	req := metadata()
	req.SetVersion(1)
	b.SetBytes(1 << 20)
	load(b, s.addr, (&client{id: new(string)}).frame(req), 1)
}

// BenchmarkIdleConnection says what a connection that has asked for ApiVersions takes while it is idle.
func BenchmarkIdleConnection(b *testing.B) {
	s := start(b, DefaultLimits(), nil)
	const conns = 2000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		clients := make([]*client, conns)
		for i := range clients {
			clients[i] = s.dial()
			clients[i].want(clients[i].send(3, apiVersions()))
		}
		time.Sleep(2 * quietAfter)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/conns, "stack-B/conn")
		b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/conns, "heap-B/conn(both-ends)")
		for _, c := range clients {
			_ = c.nc.Close()
		}
	}
}
