package handlers

import (
	"slices"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
)

// body encodes the answer of a fetch: in memory all but the records, which stay ranges of the log's files or memory. The rows' records
// are given back when it was sent.
func (f *fetching) body(sessionID int32, rows []fetchRow) wire.Body {
	v := f.r.Version
	size, chunks := 64, 1
	for i := range rows {
		size += 96 + len(rows[i].ask.topic)
		chunks += len(rows[i].read.Records.Chunks) + 1
	}
	out := fetchEncoder{encoder: encoder{buf: make([]byte, 0, size), flexible: v >= 12}, chunks: make([]vfs.Chunk, 0, chunks)}
	out.int32(0) // throttle time
	if v >= 7 {
		out.int16(0)
		out.int32(sessionID)
	}
	topics := 0
	for i := range rows {
		if i == 0 || !sameTopic(rows[i].ask, rows[i-1].ask) {
			topics++
		}
	}
	out.arrayLen(topics)
	img := f.h.Metadata.Image()
	var leaders []int32
	for i := 0; i < len(rows); {
		n := 1
		for i+n < len(rows) && sameTopic(rows[i].ask, rows[i+n].ask) {
			n++
		}
		if v >= 13 {
			out.buf = append(out.buf, rows[i].ask.id[:]...)
		} else {
			out.string(rows[i].ask.topic)
		}
		out.arrayLen(n)
		for j := i; j < i+n; j++ {
			leaders = out.row(&rows[j], v, img, leaders)
		}
		out.noTags()
		i += n
	}
	f.nodeEndpoints(&out, img, leaders)
	return out.finish(rows)
}

func sameTopic(a, b *fetchPartition) bool { return a.topic == b.topic && a.id == b.id }

// fetchEncoder is an encoder whose output is cut where records go.
type fetchEncoder struct {
	encoder
	chunks []vfs.Chunk
	start  int // of the bytes that aren't a chunk yet
}

// cut ends the run of bytes and has records follow.
func (e *fetchEncoder) cut(records []vfs.Chunk) {
	if e.start < len(e.buf) {
		e.chunks = append(e.chunks, vfs.Chunk{Bytes: e.buf[e.start:len(e.buf):len(e.buf)]})
		e.start = len(e.buf)
	}
	e.chunks = append(e.chunks, records...)
}

// row encodes a partition.
func (e *fetchEncoder) row(row *fetchRow, v int16, img *cluster.Image, leaders []int32) []int32 {
	highWatermark, lastStable, logStart := row.read.HighWatermark, row.read.LastStableOffset, row.read.LogStartOffset
	if row.code != 0 {
		highWatermark, lastStable, logStart = -1, -1, -1 // FETCH-14
	}
	e.int32(row.ask.partition)
	e.int16(row.code)
	e.int64(highWatermark)
	e.int64(lastStable)
	if v >= 5 {
		e.int64(logStart)
	}
	e.aborted(row)
	if v >= 11 {
		e.int32(-1) // preferred read replica
	}
	if row.hasRecords() {
		e.bytesLen(int(row.read.Records.Bytes))
		e.cut(row.read.Records.Chunks)
	} else {
		e.bytesLen(0)
	}
	if v >= 12 {
		leaders = e.rowTags(row, v, img, leaders)
	}
	return leaders
}

// aborted encodes the aborted transactions: none for read_uncommitted is null (FETCH-17).
func (e *fetchEncoder) aborted(row *fetchRow) {
	if row.read.Aborted == nil {
		e.arrayLen(-1)
		return
	}
	e.arrayLen(len(row.read.Aborted))
	for _, a := range row.read.Aborted {
		e.int64(a.ProducerID)
		e.int64(a.FirstOffset)
		e.noTags()
	}
}

// rowTags encodes a partition's tagged fields: 0 the diverging epoch, 1 the current leader (v16 on, as KIP-951 has it).
func (e *fetchEncoder) rowTags(row *fetchRow, v int16, img *cluster.Image, leaders []int32) []int32 {
	var leader *cluster.PartitionInfo
	if v >= 16 && (row.code == kerr.NotLeaderForPartition.Code || row.code == kerr.FencedLeaderEpoch.Code) { // FETCH-25
		leader = partitionOf(img, row.ask.topic, row.ask.id, row.ask.partition)
	}
	tags := 0
	if row.read.Diverging != nil {
		tags++
	}
	if leader != nil {
		tags++
	}
	e.uvarint(tags)
	if d := row.read.Diverging; d != nil {
		e.uvarint(0)
		e.uvarint(4 + 8 + 1)
		e.int32(d.Epoch)
		e.int64(d.EndOffset)
		e.noTags()
	}
	if leader != nil {
		e.uvarint(1)
		e.uvarint(4 + 4 + 1)
		e.int32(leader.Leader)
		e.int32(leader.LeaderEpoch)
		e.noTags()
		if !slices.Contains(leaders, leader.Leader) {
			leaders = append(leaders, leader.Leader)
		}
	}
	return leaders
}

// nodeEndpoints encodes the answer's own tagged fields: the addresses of the leaders that were named.
func (f *fetching) nodeEndpoints(out *fetchEncoder, img *cluster.Image, leaders []int32) {
	if f.r.Version < 12 {
		return
	}
	nodes := encoder{flexible: true}
	n := 0
	for _, id := range leaders {
		host, port, ok := f.h.endpoint(f.r, id)
		if !ok {
			continue
		}
		n++
		nodes.int32(id)
		nodes.string(host)
		nodes.int32(port)
		if rack := img.Broker(id).Rack; rack != nil {
			nodes.string(*rack)
		} else {
			nodes.nullString()
		}
		nodes.noTags()
	}
	if n == 0 {
		out.noTags()
		return
	}
	list := encoder{flexible: true}
	list.arrayLen(n)
	list.buf = append(list.buf, nodes.buf...)
	out.uvarint(1)
	out.uvarint(0)
	out.uvarint(len(list.buf))
	out.buf = append(out.buf, list.buf...)
}

// finish gives the body.
func (e *fetchEncoder) finish(rows []fetchRow) wire.Body {
	e.cut(nil)
	held := 0
	for i := range rows {
		if rows[i].read.Records.Release != nil {
			held++
		}
	}
	body := wire.Body{Chunks: e.chunks}
	if held > 0 {
		body.Release = func() {
			for i := range rows {
				rows[i].release()
			}
		}
	}
	return body
}
