package handlers

import (
	"bytes"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// flat is a body as it goes out, all of its runs in memory.
func flat(t testing.TB, b wire.Body) (out []byte) {
	t.Helper()
	for _, chunk := range b.Chunks {
		if chunk.File == nil {
			out = append(out, chunk.Bytes...)
			continue
		}
		p := make([]byte, chunk.N)
		if _, err := chunk.File.ReadAt(p, chunk.Off); err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	return out
}

// The answer is encoded byte for byte as kmsg would, in every version, with every tagged field that this broker sends.
func TestFetch_answers_are_encoded_as_kmsg_does(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 3)
		other := b.create("u", 1)
		records := [][]byte{values([]byte("one")), values([]byte("two"), []byte("three"))}
		released := 0
		read := func(chunks ...[]byte) storage.Records {
			r := storage.Records{Release: func() { released++ }}
			for _, c := range chunks {
				r.Chunks = append(r.Chunks, vfs.Chunk{Bytes: c})
				r.Bytes += int64(len(c))
			}
			return r
		}
		ask := func(topic string, id cluster.TopicID, partition int32) *fetchPartition {
			return &fetchPartition{topic: topic, id: id, partition: partition}
		}
		for name, rows := range map[string][]fetchRow{
			"no rows": nil,
			"records, uncommitted": {{ask: ask("t", id, 0), read: cluster.ReadResult{Records: read(records...), HighWatermark: 3, LastStableOffset: 3}},
				{ask: ask("u", other, 0), read: cluster.ReadResult{Records: read(records[0]), HighWatermark: 1 << 40, LastStableOffset: 2, LogStartOffset: 1}}},
			"an empty row between": {{ask: ask("t", id, 2), read: cluster.ReadResult{Records: read(records[0])}}, {ask: ask("t", id, 0), read: cluster.ReadResult{Records: read()}},
				{ask: ask("t", id, 1), read: cluster.ReadResult{Records: read(records[1])}}},
			"aborted transactions": {{ask: ask("t", id, 0), read: cluster.ReadResult{Records: read(records...), HighWatermark: 3, LastStableOffset: 2,
				Aborted: []storage.AbortedTxn{{ProducerID: 1 << 33, FirstOffset: 7}, {ProducerID: 5, FirstOffset: 9}}}},
				{ask: ask("t", id, 1), read: cluster.ReadResult{Aborted: []storage.AbortedTxn{}}}},
			"a diverging epoch": {{ask: ask("t", id, 0), read: cluster.ReadResult{Diverging: &storage.EpochEnd{Epoch: 3, EndOffset: 300}, HighWatermark: 1}}},
			"errors": {{ask: ask("t", id, 0), code: kerr.OffsetOutOfRange.Code, read: cluster.ReadResult{HighWatermark: 7}}, {ask: ask("u", other, 0), code: kerr.NotLeaderForPartition.Code},
				{ask: ask("t", id, 1), code: kerr.FencedLeaderEpoch.Code}, {ask: ask("t", id, 99), code: kerr.NotLeaderForPartition.Code}},
			"topics by turns": {{ask: ask("t", id, 0)}, {ask: ask("u", other, 0)}, {ask: ask("t", id, 1)}},
		} {
			for v := int16(fetchMin); v <= fetchMax; v++ {
				request := &wire.Request{Version: v, Conn: &wire.Conn{}}
				f := &fetching{h: b.h, r: request}
				f.h.Endpoints = testEndpoints{"": true}
				want := expectedFetch(v, rows)
				released = 0
				body := f.body(77, append([]fetchRow(nil), rows...))
				if got := flat(t, body); !bytes.Equal(got, want.AppendTo(nil)) {
					t.Errorf("%s, v%d:\n%x, want\n%x", name, v, got, want.AppendTo(nil))
				}
				held := 0
				for _, row := range rows {
					if row.read.Records.Release != nil {
						held++
					}
				}
				if released != 0 {
					t.Errorf("%s, v%d: given back before it was sent", name, v)
				}
				if body.Release != nil {
					body.Release()
				}
				if released != held {
					t.Errorf("%s, v%d: %d of %d reads given back", name, v, released, held)
				}
			}
		}
	})
}

// expectedFetch is what the rows should read as.
func expectedFetch(v int16, rows []fetchRow) *kmsg.FetchResponse {
	want := kmsg.NewPtrFetchResponse()
	want.SetVersion(v)
	want.SessionID = 77
	named := false
	for i, row := range rows {
		if i == 0 || rows[i-1].ask.topic != row.ask.topic {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = row.ask.topic, row.ask.id
			want.Topics = append(want.Topics, rt)
		}
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.PreferredReadReplica, rp.RecordBatches = row.ask.partition, row.code, -1, []byte{}
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = row.read.HighWatermark, row.read.LastStableOffset, row.read.LogStartOffset
		if row.code != 0 {
			rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = -1, -1, -1
		}
		if row.read.Aborted != nil {
			rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		}
		for _, a := range row.read.Aborted {
			ra := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			ra.ProducerID, ra.FirstOffset = a.ProducerID, a.FirstOffset
			rp.AbortedTransactions = append(rp.AbortedTransactions, ra)
		}
		for _, c := range row.read.Records.Chunks {
			rp.RecordBatches = append(rp.RecordBatches, c.Bytes...)
		}
		if d := row.read.Diverging; d != nil {
			rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = d.Epoch, d.EndOffset
		}
		if v >= 16 && row.ask.partition < 3 && (row.code == kerr.NotLeaderForPartition.Code || row.code == kerr.FencedLeaderEpoch.Code) {
			rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = 1, 0
			named = true
		}
		topic := &want.Topics[len(want.Topics)-1]
		topic.Partitions = append(topic.Partitions, rp)
	}
	if named {
		broker := kmsg.NewFetchResponseBroker()
		rack := "r1"
		broker.NodeID, broker.Host, broker.Port, broker.Rack = 1, "host-of-", 9001, &rack
		want.Brokers = append(want.Brokers, broker)
	}
	return want
}
