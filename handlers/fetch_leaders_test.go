package handlers

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fixedImage is metadata that don't change.
type fixedImage struct {
	Metadata
	img *cluster.Image
}

func (f fixedImage) Image() *cluster.Image { return f.img }

// responseHandlers are handlers over an image with the topics a and b, of which broker 2 leads everything but b-1, and broker 3 that. Broker 3
// has no rack, and broker 4, the leader of b-2, isn't there.
func responseHandlers(t *testing.T) *Handlers {
	t.Helper()
	rack := "r2"
	records := []cluster.Record{
		cluster.BrokerRecord{BrokerInfo: cluster.BrokerInfo{ID: 2, Rack: &rack}}, cluster.BrokerRecord{BrokerInfo: cluster.BrokerInfo{ID: 3}},
		cluster.TopicRecord{Name: "a", ID: cluster.TopicID{15: 1}}, cluster.TopicRecord{Name: "b", ID: cluster.TopicID{15: 2}},
		cluster.PartitionRecord{TopicID: cluster.TopicID{15: 1}, PartitionInfo: cluster.PartitionInfo{Leader: 2, LeaderEpoch: 7}},
	}
	for p := range int32(3) {
		records = append(records, cluster.PartitionRecord{TopicID: cluster.TopicID{15: 2}, Partition: p, PartitionInfo: cluster.PartitionInfo{Leader: 2 + p, LeaderEpoch: 20 + p}})
	}
	img, _, err := new(cluster.Image).Apply(1, records)
	if err != nil {
		t.Fatal(err)
	}
	return &Handlers{NodeID: 1, Metadata: fixedImage{img: img}, Endpoints: testEndpoints{"": true}}
}

// responseCase is a row of an answer as the handler has it and as kmsg has it.
type responseCase struct {
	name string
	row  fetchRow
	want func(v int16) kmsg.FetchResponseTopicPartition
}

func plainRow(partition int32, code int16) kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition, p.ErrorCode, p.HighWatermark, p.RecordBatches = partition, code, -1, []byte{}
	return p
}

func responseCases() []responseCase {
	records := func(chunks ...string) storage.Records {
		r := storage.Records{}
		for _, c := range chunks {
			r.Chunks = append(r.Chunks, vfs.Chunk{Bytes: []byte(c)})
			r.Bytes += int64(len(c))
		}
		return r
	}
	success := func(partition int32, v int16, data string) kmsg.FetchResponseTopicPartition {
		p := plainRow(partition, 0)
		p.HighWatermark, p.LastStableOffset, p.RecordBatches = 1<<40, 9, []byte(data)
		if v >= 5 {
			p.LogStartOffset = 3
		}
		return p
	}
	offsets := cluster.ReadResult{HighWatermark: 1 << 40, LastStableOffset: 9, LogStartOffset: 3}
	read := func(change func(*cluster.ReadResult)) cluster.ReadResult {
		r := offsets
		change(&r)
		return r
	}
	ask := func(partition int32) *fetchPartition { return &fetchPartition{partition: partition} }
	led := func(partition int32, v int16, code int16, leader, epoch int32) kmsg.FetchResponseTopicPartition {
		p := plainRow(partition, code)
		if v >= 16 {
			p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = leader, epoch
		}
		return p
	}
	return []responseCase{
		{"nothing new", fetchRow{ask: ask(0), read: offsets}, func(v int16) kmsg.FetchResponseTopicPartition { return success(0, v, "") }},
		{"records in one piece", fetchRow{ask: ask(0), read: read(func(r *cluster.ReadResult) { r.Records = records("hello") })},
			func(v int16) kmsg.FetchResponseTopicPartition { return success(0, v, "hello") }},
		{"records in pieces", fetchRow{ask: ask(0), read: read(func(r *cluster.ReadResult) { r.Records = records("he", "l", "lo", string(make([]byte, 300))) })},
			func(v int16) kmsg.FetchResponseTopicPartition {
				return success(0, v, "hello"+string(make([]byte, 300)))
			}},
		{"FETCH_17 no aborted transactions", fetchRow{ask: ask(0), read: read(func(r *cluster.ReadResult) { r.Aborted = []storage.AbortedTxn{}; r.Records = records("x") })},
			func(v int16) kmsg.FetchResponseTopicPartition {
				p := success(0, v, "x")
				p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
				return p
			}},
		{"FETCH_17 aborted transactions", fetchRow{ask: ask(0), read: read(func(r *cluster.ReadResult) {
			for i := range int64(200) { // the length takes two bytes
				r.Aborted = append(r.Aborted, storage.AbortedTxn{ProducerID: 1000 + i, FirstOffset: i, LastOffset: i + 1, LastStableOffset: i + 2})
			}
			r.Records = records("x")
		})}, func(v int16) kmsg.FetchResponseTopicPartition {
			p := success(0, v, "x")
			for i := range int64(200) {
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID, a.FirstOffset = 1000+i, i
				p.AbortedTransactions = append(p.AbortedTransactions, a)
			}
			return p
		}},
		{"FETCH_29 a diverging epoch", fetchRow{ask: ask(0), read: read(func(r *cluster.ReadResult) { r.Diverging = &storage.EpochEnd{Epoch: 4, EndOffset: 1 << 33} })},
			func(v int16) kmsg.FetchResponseTopicPartition {
				p := success(0, v, "")
				if v >= 12 {
					p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = 4, 1<<33
				}
				return p
			}},
		{"FETCH_14 an error", fetchRow{ask: ask(5), code: kerr.OffsetOutOfRange.Code}, func(int16) kmsg.FetchResponseTopicPartition { return plainRow(5, kerr.OffsetOutOfRange.Code) }},
		{"FETCH_14 an error whose offsets are known", fetchRow{ask: ask(5), code: kerr.OffsetOutOfRange.Code, read: offsets},
			func(int16) kmsg.FetchResponseTopicPartition { return plainRow(5, kerr.OffsetOutOfRange.Code) }},
		{"FETCH_25 fenced", fetchRow{ask: ask(0), code: kerr.FencedLeaderEpoch.Code}, func(v int16) kmsg.FetchResponseTopicPartition { return led(0, v, kerr.FencedLeaderEpoch.Code, 2, 20) }},
		{"FETCH_25 led elsewhere", fetchRow{ask: ask(1), code: kerr.NotLeaderForPartition.Code}, func(v int16) kmsg.FetchResponseTopicPartition {
			return led(1, v, kerr.NotLeaderForPartition.Code, 3, 21)
		}},
		{"FETCH_25 led by nobody there is", fetchRow{ask: ask(2), code: kerr.NotLeaderForPartition.Code}, func(v int16) kmsg.FetchResponseTopicPartition {
			return led(2, v, kerr.NotLeaderForPartition.Code, 4, 22)
		}},
		{"FETCH_25 led elsewhere, but not known", fetchRow{ask: ask(9), code: kerr.NotLeaderForPartition.Code}, func(int16) kmsg.FetchResponseTopicPartition { return plainRow(9, kerr.NotLeaderForPartition.Code) }},
		{"an unknown epoch names nobody", fetchRow{ask: ask(0), code: kerr.UnknownLeaderEpoch.Code}, func(int16) kmsg.FetchResponseTopicPartition { return plainRow(0, kerr.UnknownLeaderEpoch.Code) }},
	}
}

// wantBody compares with what kmsg writes, and with what it reads.
func wantBody(t *testing.T, got []byte, want *kmsg.FetchResponse) {
	t.Helper()
	if b := want.AppendTo(nil); !bytes.Equal(got, b) {
		t.Errorf("v%d: the body is\n%x\nwant\n%x", want.Version, got, b)
	}
	read := kmsg.NewPtrFetchResponse()
	read.Version = want.Version
	if err := read.ReadFrom(got); err != nil {
		t.Errorf("v%d: %v", want.Version, err)
	}
}

func nodeOf(id int32, rack *string) kmsg.FetchResponseBroker {
	n := kmsg.NewFetchResponseBroker()
	n.NodeID, n.Host, n.Port, n.Rack = id, "host-of-", 9000+id, rack
	return n
}

func TestFetch_FETCH_14_17_25_29_rows_are_encoded_as_kmsg_does(t *testing.T) {
	h := responseHandlers(t)
	rack := "r2"
	nodes := map[int32]*string{2: &rack, 3: nil}
	for v := int16(fetchMin); v <= fetchMax; v++ {
		// Each row alone, then all of them in one answer: with the topic before, and by itself.
		var all []responseCase
		for _, c := range responseCases() {
			all = append(all, c)
			t.Run(fmt.Sprintf("%s v%d", c.name, v), func(t *testing.T) { compareBody(t, h, v, nodes, c) })
		}
		t.Run(fmt.Sprintf("together v%d", v), func(t *testing.T) { compareBody(t, h, v, nodes, all...) })
	}
}

// compareBody puts the cases into an answer as partitions of topic b.
func compareBody(t *testing.T, h *Handlers, v int16, nodes map[int32]*string, cases ...responseCase) {
	t.Helper()
	want := kmsg.NewPtrFetchResponse()
	want.Version = v
	if v >= 7 {
		want.SessionID = 77
	}
	rt := kmsg.NewFetchResponseTopic()
	var rows []fetchRow
	named := map[int32]bool{}
	for _, c := range cases {
		row, ask := c.row, *c.row.ask
		row.ask = &ask
		if v >= 13 {
			ask.id, rt.TopicID = cluster.TopicID{15: 2}, cluster.TopicID{15: 2}
		} else {
			ask.topic, rt.Topic = "b", "b"
		}
		rows = append(rows, row)
		p := c.want(v)
		if v < 11 {
			p.PreferredReadReplica = -1
		}
		rt.Partitions = append(rt.Partitions, p)
		if id := p.CurrentLeader.LeaderID; id > 0 && !named[id] && id != 4 {
			named[id] = true
			want.Brokers = append(want.Brokers, nodeOf(id, nodes[id]))
		}
	}
	want.Topics = append(want.Topics, rt)
	f := &fetching{h: h, r: &wire.Request{Conn: &wire.Conn{}, Version: v}}
	wantBody(t, flat(t, f.body(77, rows)), want)
}
