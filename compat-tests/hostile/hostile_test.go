// Package hostile sends the built broker what no honest client sends, and checks that honest clients beside it are served within a
// second throughout, and that what it costs stays in named limits.
package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kbroker/kbroker/compat-tests/proc"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// memoryLimitMB is what the broker may hold at its peak in each of these tests. Its frame memory is a part of it.
const memoryLimitMB = 400

// patience is how long an honest request may take beside the attack.
const patience = time.Second

// honest produces and reads back one record after another until ctx ends, and complains where one takes too long.
func honest(ctx context.Context, t *testing.T, addr string) (stop func()) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("honest"), kgo.ConsumeTopics("honest"), kgo.ProducerLinger(0),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	turn := func() (time.Duration, error) {
		began := time.Now()
		limit, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := cl.ProduceSync(limit, kgo.StringRecord("x")).FirstErr(); err != nil {
			return 0, err
		}
		fetches := cl.PollFetches(limit)
		return time.Since(began), fetches.Err()
	}
	if _, err := turn(); err != nil { // connections and metadata
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		turns, slowest := 0, time.Duration(0)
		for ctx.Err() == nil {
			took, err := turn()
			if ctx.Err() != nil {
				break
			}
			if err != nil || took > patience {
				t.Errorf("an honest client waited %s beside the attack (error: %v)", took, err)
				return
			}
			turns, slowest = turns+1, max(slowest, took)
		}
		t.Logf("%d honest turns, the slowest %s", turns, slowest)
		if turns == 0 {
			t.Error("no honest turn ended")
		}
	}()
	return func() {
		cancel()
		<-done
		cl.Close()
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// peakMB is the most memory that the process ever held.
func peakMB(t *testing.T, b *proc.Broker) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Pid()))
	if err != nil {
		t.Skip("no /proc here: the broker's memory can't be seen")
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb >> 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

func checkMemory(t *testing.T, b *proc.Broker) {
	t.Helper()
	peak := peakMB(t, b)
	t.Logf("peak memory %d MB", peak)
	if peak > memoryLimitMB {
		t.Errorf("the broker held %d MB at its peak, limit %d", peak, memoryLimitMB)
	}
}

func TestConnectionsThatDeclareMuchAndSendNothing_CONN_05(t *testing.T) {
	b := proc.Start(t, "--topic", "honest")
	stop := honest(t.Context(), t, b.Addr)
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], 100<<20)
	for i := range 500 {
		c := dial(t, b.Addr)
		if _, err := c.Write(append(size[:], make([]byte, i%64)...)); err != nil {
			t.Fatal(err)
		}
	}
	// The attack stands; honest clients go on for a while.
	time.Sleep(2 * time.Second)
	stop()
	checkMemory(t, b)
}

// frame puts a size and a request header around a body. Flexible headers end in an empty tag section.
func frame(key, version int16, flexible bool, body []byte) []byte {
	f := make([]byte, 4, 64+len(body))
	f = binary.BigEndian.AppendUint16(f, uint16(key))
	f = binary.BigEndian.AppendUint16(f, uint16(version))
	f = binary.BigEndian.AppendUint32(f, 7)
	f = binary.BigEndian.AppendUint16(f, 0xffff)
	if flexible {
		f = append(f, 0)
	}
	f = append(f, body...)
	binary.BigEndian.PutUint32(f, uint32(len(f)-4))
	return f
}

// Eleven kilobytes of forged counts: each body is a few bytes that declare 2^32-1 tags or array elements.
func TestForgedCounts_CONN_13(t *testing.T) {
	b := proc.Start(t, "--topic", "honest")
	stop := honest(t.Context(), t, b.Addr)
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for i := range 200 {
		key, version := kmsg.Metadata.Int16(), int16(12)
		body := append([]byte{1, 0, 0}, huge...) // no topics, two flags, then the tags
		switch i % 4 {
		case 1:
			key, version, body = kmsg.ApiVersions.Int16(), 3, append([]byte{2, 'a', 2, 'b'}, huge...)
		case 2:
			key, version, body = kmsg.Metadata.Int16(), 12, append(append([]byte{}, huge...), 0, 0)
		case 3:
			key, version, body = kmsg.FindCoordinator.Int16(), 3, append([]byte{2, 'g', 0}, huge...)
		}
		c := dial(t, b.Addr)
		if _, err := c.Write(frame(key, version, true, body)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 16)); !errors.Is(err, io.EOF) && !strings.Contains(fmt.Sprint(err), "reset") {
			t.Fatalf("request %d: %d bytes, error %v; want the connection closed", i, n, err)
		}
	}
	stop()
	checkMemory(t, b)
}

// A batch of some 100 KB whose records unpack to a gigabyte.
func bomb(t *testing.T, codec int16) []byte {
	t.Helper()
	var packed bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case 1:
		w, _ = gzip.NewWriterLevel(&packed, gzip.BestCompression)
	default:
		var err error
		if w, err = zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
			t.Fatal(err)
		}
	}
	const size = 1 << 30
	// One record: length, attributes, timestamp, offset, no key, a value of zeros.
	head := binary.AppendVarint(nil, size)
	head = append(head, 0, 0, 0)
	head = binary.AppendVarint(head, -1)
	head = binary.AppendVarint(head, size-32)
	if _, err := w.Write(head); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	batch := kmsg.RecordBatch{Magic: 2, PartitionLeaderEpoch: -1, Attributes: codec, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: packed.Bytes()}
	batch.Length = int32(len(batch.AppendTo(nil))) - 12
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

func TestDecompressionBombs_PROD_33(t *testing.T) {
	b := proc.Start(t, "--topic", "honest", "--topic", "target:6", "--set", "message.max.bytes=2000000")
	bombs := [][]byte{bomb(t, 1), bomb(t, 4)}
	stop := honest(t.Context(), t, b.Addr)
	var conns []net.Conn
	for i := range 6 {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 9, -1, 5000
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = "target"
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = int32(i), bombs[i%2]
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		c := dial(t, b.Addr)
		if _, err := c.Write(frame(0, 9, true, req.AppendTo(nil))); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for i, c := range conns {
		if err := c.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatalf("bomb %d got no answer: %v", i, err)
		}
		answer := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = 9
		if err := resp.ReadFrom(answer[5:]); err != nil {
			t.Fatal(err)
		}
		if code := resp.Topics[0].Partitions[0].ErrorCode; code == 0 {
			t.Errorf("bomb %d was accepted", i)
		}
	}
	stop()
	checkMemory(t, b)
}
