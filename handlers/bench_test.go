package handlers

import (
	"encoding/binary"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// exchange sends a frame and reads its answer into buf.
func exchange(b *testing.B, conn io.ReadWriter, frame, buf []byte) []byte {
	if _, err := conn.Write(frame); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(conn, buf[:4]); err != nil {
		b.Fatal(err)
	}
	n := binary.BigEndian.Uint32(buf)
	if _, err := io.ReadFull(conn, buf[:n]); err != nil {
		b.Fatal(err)
	}
	return buf[:n]
}

// BenchmarkProduce is one request with one batch of 1 KB at a time, from the socket to the answer: its allocations are the broker's.
func BenchmarkProduce(b *testing.B) {
	k := startAdmin(b, "log.retention.bytes", "67108864", "log.segment.bytes", "16777216", "log.retention.check.interval.ms", "100")
	k.create(1, "t")
	req := produceOf("t", values(make([]byte, 950)))
	req.SetVersion(9)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)
	buf := make([]byte, 1<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		exchange(b, k.conn, frame, buf)
	}
}

// BenchmarkFetch reads the same 10 KB again and again.
func BenchmarkFetch(b *testing.B) {
	k := startAdmin(b)
	k.create(1, "t")
	ask[*kmsg.ProduceResponse](k, 9, produceOf("t", values(make([]byte, 10_000))))
	req := fetchOf(1000, fetchTopicOf("t", 0, 0))
	req.SetVersion(12)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)
	buf := make([]byte, 1<<15)
	b.ReportAllocs()
	for b.Loop() {
		if got := exchange(b, k.conn, frame, buf); len(got) < 10_000 {
			b.Fatal("no records")
		}
	}
}

// BenchmarkFetchWoken is the time from a produce to the answer of a fetch that waits for it, and back.
func BenchmarkFetchWoken(b *testing.B) {
	k := startAdmin(b)
	k.create(1, "t")
	other := k.dial("PLAINTEXT")
	produce := produceOf("t", values(make([]byte, 100)))
	produce.SetVersion(9)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, produce, 7)
	buf, buf2 := make([]byte, 1<<15), make([]byte, 1<<10)
	fetch := fetchOf(10_000, fetchTopicOf("t", 0, 0))
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		fetch.Topics[0].Partitions[0].FetchOffset = offset
		fetch.SetVersion(12)
		if _, err := k.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, fetch, 7)); err != nil {
			b.Fatal(err)
		}
		exchange(b, other, frame, buf2)
		if got := exchange(b, k.conn, nil, buf); len(got) < 100 {
			b.Fatal("no records")
		}
		offset++
	}
}
