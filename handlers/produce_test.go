package handlers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// producedTo sends records to partitions of one topic, as its version names topics.
func producedTo(c *client, version int16, topic string, id cluster.TopicID, records ...[]byte) *kmsg.ProduceResponse {
	c.t.Helper()
	return do[*kmsg.ProduceResponse](c, version, produceRequestTo(topic, id, records...))
}

// produceRequestTo is a request with one batch for each partition, from 0 on.
func produceRequestTo(topic string, id cluster.TopicID, records ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	for i, r := range records {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), r
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// logEnd is the offset that the next record of a partition gets.
func (b *dataBroker) logEnd(topic string, partition int32) int64 {
	b.t.Helper()
	p, err := b.node.Partition(topic, partition)
	if err != nil {
		b.t.Fatal(err)
	}
	return p.LogEndOffset()
}

// stored is all that a partition's log holds.
func (b *dataBroker) stored(topic string, partition int32) []byte {
	b.t.Helper()
	p, err := b.node.Partition(topic, partition)
	if err != nil {
		b.t.Fatal(err)
	}
	start, _, _ := p.Offsets()
	r, err := p.Read(cluster.ReadRequest{Offset: start, MaxBytes: 1 << 30, AtLeastOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, ToLogEnd: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Records.Release()
	var out []byte
	for _, c := range r.Records.Chunks {
		out = append(out, c.Bytes...)
	}
	return out
}

// metadataChange is an operation that writes records as they are.
type metadataChange func(img *cluster.Image) []cluster.Record

func (f metadataChange) Decide(img *cluster.Image, _ cluster.Env) (cluster.Decision, error) {
	return cluster.Decision{Records: f(img)}, nil
}

func (b *dataBroker) change(f metadataChange) {
	b.t.Helper()
	if _, err := b.node.Do(context.Background(), f); err != nil {
		b.t.Fatal(err)
	}
}

// info changes what the metadata say of a partition.
func (b *dataBroker) info(topic string, partition int32, change func(*cluster.PartitionInfo)) {
	b.t.Helper()
	b.change(func(img *cluster.Image) []cluster.Record {
		p := *img.Partition(topic, partition)
		change(&p)
		p.PartitionEpoch++
		return []cluster.Record{cluster.PartitionRecord{TopicID: img.Topic(topic).ID, Partition: partition, PartitionInfo: p}}
	})
}

// hold has a second replica in sync that never fetches: nothing more is committed until letGo.
func (b *dataBroker) hold(topic string, partition int32) {
	b.info(topic, partition, func(p *cluster.PartitionInfo) { p.Replicas, p.ISR = []int32{1, 2}, []int32{1, 2} })
}

func (b *dataBroker) letGo(topic string, partition int32) {
	b.info(topic, partition, func(p *cluster.PartitionInfo) { p.ISR = []int32{1} })
}

// leadElsewhere has broker 2 lead a partition that this one hosts, too.
func (b *dataBroker) leadElsewhere(topic string, partition int32) {
	b.info(topic, partition, func(p *cluster.PartitionInfo) {
		p.Leader, p.Replicas, p.ISR = 2, []int32{1, 2}, []int32{1, 2}
		p.LeaderEpoch++
	})
}

// join registers broker 2.
func (b *dataBroker) join() {
	rack := "r2"
	b.change(func(*cluster.Image) []cluster.Record {
		return []cluster.Record{cluster.BrokerRecord{BrokerInfo: cluster.BrokerInfo{ID: 2, Epoch: 1, Rack: &rack, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "x", Port: 1}}}}}
	})
}

func TestProduce_PROD_14_15_every_version_answers_where_the_batch_is(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		plain := b.create("plain", 2)
		stamped := b.create("stamped", 2, "message.timestamp.type", "LogAppendTime")
		b.fill("plain", 0, 1, 1)
		b.fill("stamped", 0, 1, 1)
		b.deleteRecords("plain", 0, 1)
		b.deleteRecords("stamped", 0, 1)
		for v := int16(3); v <= 13; v++ {
			next := b.logEnd("plain", 0)
			for _, c := range []struct {
				topic      string
				id         cluster.TopicID
				appendTime int64
			}{{"plain", plain, -1}, {"stamped", stamped, now()}} {
				resp := producedTo(b.client, v, c.topic, c.id, values([]byte("a"), []byte("b"), []byte("c")), values([]byte("d")))
				if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
					b.t.Fatalf("v%d: %+v", v, resp)
				}
				if rt := resp.Topics[0]; v < 13 && rt.Topic != c.topic || v >= 13 && rt.TopicID != c.id {
					t.Errorf("v%d: the topic is %q, %x", v, rt.Topic, rt.TopicID)
				}
				for i, offset := range []int64{next, int64(v - 3)} {
					row := resp.Topics[0].Partitions[i]
					start := int64(1 - i)
					if v < 5 {
						start = -1
					}
					if row.Partition != int32(i) || row.ErrorCode != 0 || row.BaseOffset != offset || row.LogAppendTime != c.appendTime || row.LogStartOffset != start || row.ErrorMessage != nil || len(row.ErrorRecords) != 0 {
						t.Errorf("v%d %s-%d: %+v, want offset %d, time %d, log start %d", v, c.topic, i, row, offset, c.appendTime, start)
					}
				}
			}
		}
	})
}

func TestProduce_PROD_14_19_FETCH_33_what_is_stored_is_what_was_sent_but_for_offset_and_epoch(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.create("stamped", 1, "message.timestamp.type", "LogAppendTime")
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.LeaderEpoch = 3 })
		w := batch.NewBuilder().SetCodec(batch.Gzip, batch.DefaultLevel)
		w.Append(now(), []byte("k"), bytes.Repeat([]byte("v"), 200), batch.RecordHeader{Key: "h", Value: []byte("x")}).Append(now()+1, nil, nil)
		sent := w.Build()
		for range 2 {
			wantCode(t, "produce", b.client.produced(9, "t", bytes.Clone(sent)).ErrorCode, 0)
		}
		got := b.stored("t", 0)
		if len(got) != 2*len(sent) {
			b.t.Fatalf("%d bytes are stored, want %d", len(got), 2*len(sent))
		}
		second := got[len(sent):]
		h, err := batch.ParseHeader(second)
		if err != nil || h.BaseOffset != 2 || h.LeaderEpoch != 3 {
			b.t.Fatalf("%+v, %v", h, err)
		}
		if !bytes.Equal(second[16:], sent[16:]) {
			t.Error("a byte from the magic on was changed")
		}

		old := batch.NewBuilder().Append(now()-5000, nil, []byte("v")).Build()
		wantCode(t, "produce", b.client.produced(9, "stamped", old).ErrorCode, 0)
		h, err = batch.ParseHeader(b.stored("stamped", 0))
		if err != nil || h.MaxTimestamp != now() || h.TimestampType() != batch.LogAppendTime || !batch.ValidCRC(b.stored("stamped", 0)) {
			t.Errorf("LogAppendTime: %+v, %v", h, err)
		}
	})
}

func TestProduce_PROD_01_other_acks_are_refused(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		for _, acks := range []int16{2, -2, 32767} {
			for _, v := range []int16{3, 8, 9, 12} {
				req := produceRequestTo("t", cluster.TopicID{}, values([]byte("v")), values([]byte("v")))
				req.Acks = acks
				rows := do[*kmsg.ProduceResponse](b.client, v, req).Topics[0].Partitions
				wantCode(t, "acks", rows[0].ErrorCode, kerr.InvalidRequiredAcks.Code)
				wantCode(t, "acks, unknown partition", rows[1].ErrorCode, kerr.UnknownTopicOrPartition.Code)
			}
		}
		if end := b.logEnd("t", 0); end != 0 {
			t.Errorf("%d records were appended", end)
		}
	})
}

func TestProduce_PROD_02_CONN_17_without_acks_there_is_no_answer_and_an_error_is_the_end(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		for v := int16(3); v <= 13; v++ {
			req := produceRequestTo("t", id, values([]byte("v")))
			req.Acks = 0
			send[*kmsg.ProduceResponse](b.client, v, req)
			do[*kmsg.ApiVersionsResponse](b.client, 0, kmsg.NewPtrApiVersionsRequest()) // its answer is the next that comes
			if end := b.logEnd("t", 0); end != int64(v-2) {
				b.t.Fatalf("v%d: the log ends at %d", v, end)
			}
		}
		before := b.logEnd("t", 0)
		for name, req := range map[string]*kmsg.ProduceRequest{
			"an unknown partition": produceRequestTo("t", id, values([]byte("v")), values([]byte("v"))),
			"a bad batch":          produceRequestTo("t", id, nil),
		} {
			c := b.dial()
			req.Acks = 0
			send[*kmsg.ProduceResponse](c, 12, req)
			t.Log(name)
			c.closed()
		}
		if end := b.logEnd("t", 0); end != before+1 {
			t.Errorf("the log ends at %d: what was right beside the error is appended, nothing else", end)
		}
	})
}

// badRecord is what is wrong with the records of a partition, and how Kafka says so.
type badRecord struct {
	name     string
	topic    string // "t" where it is ""
	versions []int16
	records  func() []byte
	code     *kerr.Error
	start    int64 // log_start_offset: the real one where the log itself refused the contents, else -1
	record   int   // index of the refused record, -1 for none
	message  string
}

func badRecords() []badRecord {
	put32 := func(at int, v uint32) func([]byte) { return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) } }
	one := func() []byte { return values([]byte("v")) }
	magic := func(m byte) func() []byte {
		return func() []byte { b := one(); b[16] = m; return b }
	}
	return []badRecord{
		{name: "PROD_03 null", records: func() []byte { return nil }, code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_03 empty", records: func() []byte { return []byte{} }, code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_03 magic 0", records: magic(0), code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_03 magic 1", records: magic(1), code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_03 magic 3", records: magic(3), code: kerr.CorruptMessage, start: -1, record: -1},
		{name: "PROD_03 magic -1", records: magic(255), code: kerr.CorruptMessage, start: -1, record: -1},
		{name: "PROD_03 two batches", records: func() []byte { return append(one(), one()...) }, code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_03 too short for a batch", records: func() []byte { return one()[:40] }, code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_03 cut off", records: func() []byte { b := one(); return b[:len(b)-1] }, code: kerr.InvalidRecord, start: -1, record: -1},
		{name: "PROD_04 checksum", records: func() []byte { b := one(); b[len(b)-1] ^= 1; return b }, code: kerr.CorruptMessage, start: -1, record: -1},
		{name: "PROD_05 larger than max.message.bytes", topic: "small", records: func() []byte { return values(make([]byte, 2000)) }, code: kerr.MessageTooLarge, start: -1, record: -1},
		{name: "PROD_07 no records", records: func() []byte { return changed(one(), put32(57, 0)) }, code: kerr.InvalidRecord, record: -1},
		{name: "PROD_07 a negative count", records: func() []byte { return changed(one(), put32(57, 0xffffffff)) }, code: kerr.InvalidRecord, record: -1},
		{name: "PROD_07 a count that the offsets deny", records: func() []byte { return changed(one(), put32(57, 2)) }, code: kerr.InvalidRecord, record: -1},
		{name: "PROD_08 a control batch", records: func() []byte {
			return batch.NewBuilder().SetControl().Append(now(), []byte{0, 0, 0, 1}, nil).Build()
		}, code: kerr.InvalidRecord, record: -1},
		{name: "PROD_09 a producer without a sequence", records: func() []byte { return sequenced(7, 0, -1, 1) }, code: kerr.InvalidRecord, record: -1},
		{name: "PROD_10 a base offset", records: func() []byte { b := one(); batch.SetBaseOffset(b, 7); return b }, code: kerr.InvalidRecord, record: -1},
		{name: "PROD_11 zstd before v7", versions: []int16{3, 4, 5, 6}, records: func() []byte {
			return batch.NewBuilder().SetCodec(batch.Zstd, batch.DefaultLevel).Append(now(), nil, []byte("v")).Build()
		}, code: kerr.UnsupportedCompressionType, start: -1, record: -1},
		{name: "PROD_12 not gzip as declared", records: func() []byte {
			return changed(one(), func(b []byte) { b[22] = byte(batch.Gzip) })
		}, code: kerr.CorruptMessage, record: -1, start: 0},
		{name: "PROD_17 LogAppendTime from a client", records: func() []byte {
			return batch.NewBuilder().SetLogAppendTime(-1).Append(now(), nil, []byte("v")).Build()
		}, code: kerr.InvalidTimestamp, record: 0},
		{name: "PROD_18_21 a time too far ahead", records: func() []byte {
			return batch.NewBuilder().Append(now(), nil, []byte("v")).Append(now()+3_600_001, nil, []byte("v")).Build()
		}, code: kerr.InvalidTimestamp, record: 1, message: "One or more records have been rejected due to invalid timestamp"},
		{name: "PROD_20_21 no key where the topic is compacted", topic: "compacted", records: func() []byte {
			return batch.NewBuilder().Append(now(), []byte("k"), []byte("v")).Append(now(), nil, []byte("v")).Build()
		}, code: kerr.InvalidRecord, record: 1, message: "One or more records have been rejected"},
	}
}

func TestProduce_PROD_16_what_is_wrong_with_records_is_told_and_nothing_is_appended(t *testing.T) {
	for _, c := range badRecords() {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) { wantRefused(b, c) })
		})
	}
}

func wantRefused(b *dataBroker, c badRecord) {
	t := b.t
	if c.topic == "" {
		c.topic = "t"
	}
	if c.versions == nil {
		c.versions = []int16{3, 4, 5, 7, 8, 9, 12, 13}
	}
	id := b.create(c.topic, 1, map[string][]string{"small": {"max.message.bytes", "1000"}, "compacted": {"cleanup.policy", "compact"}}[c.topic]...)
	for _, v := range c.versions {
		row := producedTo(b.client, v, c.topic, id, c.records()).Topics[0].Partitions[0]
		start := c.start
		if v < 5 {
			start = -1
		}
		wantErrorRow(t, fmt.Sprintf("v%d", v), row, c.code.Code, start)
		switch told := v >= 8 && c.record >= 0; {
		case !told && len(row.ErrorRecords) != 0:
			t.Errorf("v%d: records %+v", v, row.ErrorRecords)
		case told && (len(row.ErrorRecords) != 1 || row.ErrorRecords[0].RelativeOffset != int32(c.record) || row.ErrorRecords[0].ErrorMessage == nil):
			t.Errorf("v%d: records %+v, want record %d", v, row.ErrorRecords, c.record)
		case told && (row.ErrorMessage == nil || !strings.HasPrefix(*row.ErrorMessage, c.message)):
			t.Errorf("v%d: message %v", v, row.ErrorMessage)
		}
	}
	if end := b.logEnd(c.topic, 0); end != 0 {
		t.Errorf("the log ends at %d", end)
	}
}

func TestProduce_PROD_12_13_what_every_codec_carries_is_read_and_kept(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		offset := int64(0)
		for _, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
			for v := int16(3); v <= 13; v++ {
				if codec == batch.Zstd && v < zstdSince {
					continue
				}
				sent := batch.NewBuilder().SetCodec(codec, batch.DefaultLevel).Append(now(), nil, bytes.Repeat([]byte("v"), 100)).Build()
				row := producedTo(b.client, v, "t", id, sent).Topics[0].Partitions[0]
				if row.ErrorCode != 0 || row.BaseOffset != offset {
					b.t.Fatalf("codec %d, v%d: %+v, want offset %d", codec, v, row, offset)
				}
				offset++
			}
		}
	})
}

func TestProduce_PROD_32_a_topic_with_a_codec_of_its_own_recompresses(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		for topic, want := range map[string]batch.Codec{"gzip": batch.Gzip, "uncompressed": batch.None, "producer": batch.LZ4} {
			b.create(topic, 1, "compression.type", topic)
			sent := batch.NewBuilder().SetCodec(batch.LZ4, batch.DefaultLevel).Append(now(), nil, bytes.Repeat([]byte("v"), 100)).Build()
			wantCode(t, topic, b.client.produced(9, topic, sent).ErrorCode, 0)
			got := b.stored(topic, 0)
			if h, err := batch.ParseHeader(got); err != nil || h.Codec() != want || !batch.ValidCRC(got) {
				t.Errorf("%s is stored with codec %v, %v", topic, h.Codec(), err)
			}
		}
	})
}

func TestProduce_PROD_26_29_rows_fail_alone_and_nothing_is_created(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 2)
		b.create("broken", 1)
		b.faults.broken("broken", 0, fmt.Errorf("%w: gone", storage.ErrStorage))
		for v := int16(3); v <= 12; v++ {
			before := b.logEnd("t", 1)
			req := produceRequestTo("missing", cluster.TopicID{}, values([]byte("v")))
			req.Topics = append(req.Topics,
				produceTopicOf("t", 2, values([]byte("v"))), produceTopicOf("t", -1, values([]byte("v"))), produceTopicOf("t", 0, []byte("rubbish")),
				produceTopicOf("broken", 0, values([]byte("v"))), produceTopicOf("t", 1, values([]byte("v"))))
			got := map[string]int16{}
			for _, rt := range do[*kmsg.ProduceResponse](b.client, v, req).Topics {
				for _, row := range rt.Partitions {
					got[fmt.Sprintf("%s/%d", rt.Topic, row.Partition)] = row.ErrorCode
				}
			}
			want := map[string]int16{"missing/0": 3, "t/2": 3, "t/-1": 3, "t/0": kerr.InvalidRecord.Code, "broken/0": kerr.KafkaStorageError.Code, "t/1": 0} // PROD_34
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("v%d: %v, want %v", v, got, want)
			}
			if end := b.logEnd("t", 1); end != before+1 {
				t.Errorf("v%d: the log ends at %d", v, end)
			}
		}
		if b.node.Image().Topic("missing") != nil {
			t.Error("the topic was created")
		}
	}, "auto.create.topics.enable", "true")
}

func TestProduce_PROD_27_who_leads_instead_is_told_from_v10_on(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 1)
		b.join()
		b.leadElsewhere("t", 0)
		for v := int16(3); v <= 13; v++ {
			resp := producedTo(b.client, v, "t", id, values([]byte("v")))
			row := resp.Topics[0].Partitions[0]
			wantCode(t, "produce", row.ErrorCode, kerr.NotLeaderForPartition.Code)
			if v < 10 {
				if len(resp.Brokers) != 0 || row.CurrentLeader.LeaderID != -1 {
					t.Errorf("v%d: %+v", v, resp)
				}
				continue
			}
			if row.CurrentLeader.LeaderID != 2 || row.CurrentLeader.LeaderEpoch != 1 {
				t.Errorf("v%d: leader %+v", v, row.CurrentLeader)
			}
			if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 2 || resp.Brokers[0].Host != "host-of-PLAINTEXT" || resp.Brokers[0].Port != 9002 || *resp.Brokers[0].Rack != "r2" {
				t.Errorf("v%d: brokers %+v", v, resp.Brokers)
			}
		}
	})
}

func TestProduce_PROD_28_META_14_an_unknown_id_is_never_another_topic(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		old := b.create("t", 1)
		b.delete("t")
		b.create("t", 1)
		for name, id := range map[string]cluster.TopicID{"an id of a topic that was deleted": old, "no id": {}, "some id": {1: 2}} {
			resp := producedTo(b.client, 13, "t", id, values([]byte("v")))
			wantCode(t, name, resp.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicID.Code)
			if resp.Topics[0].TopicID != id {
				t.Errorf("%s: answered for %x", name, resp.Topics[0].TopicID)
			}
		}
		if end := b.logEnd("t", 0); end != 0 {
			t.Errorf("the log ends at %d", end)
		}
	})
}

func TestProduce_PROD_30_internal_topics_are_for_the_admin_client_alone(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		if _, err := b.h.ensureInternalTopic(b.t.Context(), "__consumer_offsets"); err != nil {
			b.t.Fatal(err)
		}
		record := func() []byte { return batch.NewBuilder().Append(now(), []byte("k"), []byte("v")).Build() }
		wantCode(t, "a client", b.client.produced(9, "__consumer_offsets", record()).ErrorCode, kerr.InvalidTopicException.Code)
		wantCode(t, "__cluster_metadata", b.client.produced(9, "__cluster_metadata", record()).ErrorCode, kerr.UnknownTopicOrPartition.Code)
		admin := b.dial()
		admin.id = "__admin_client"
		wantCode(t, "the admin client", admin.produced(9, "__consumer_offsets", record()).ErrorCode, 0)
		if end := b.logEnd("__consumer_offsets", 0); end != 1 {
			t.Errorf("the log ends at %d", end)
		}
	}, "offsets.topic.replication.factor", "1")
}

func TestProduce_PROD_31_pipelined_batches_keep_their_order(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		const requests = 200
		go func() {
			for i := range requests {
				send[*kmsg.ProduceResponse](b.client, 9, produceOf("t", values(fmt.Append(nil, i))))
			}
		}()
		for i := range requests {
			resp := kmsg.NewPtrProduceResponse()
			resp.Version = 9
			if err := resp.ReadFrom(b.client.frame()[5:]); err != nil {
				b.t.Fatal(err)
			}
			if row := resp.Topics[0].Partitions[0]; row.ErrorCode != 0 || row.BaseOffset != int64(i) {
				b.t.Fatalf("answer %d: %+v", i, row)
			}
		}
		records := b.stored("t", 0)
		for i := range requests {
			h, err := batch.ParseHeader(records)
			if err != nil {
				b.t.Fatal(err)
			}
			if err := batch.EachRecord(records[:h.Size()], 1<<20, func(_ int, r batch.Record) error {
				if string(r.Value) != fmt.Sprint(i) {
					t.Errorf("record %d is %s", i, r.Value)
				}
				return nil
			}); err != nil {
				b.t.Fatal(err)
			}
			records = records[h.Size():]
		}
	})
}

func TestProduce_a_partition_named_twice_is_appended_once_with_the_last_records(t *testing.T) {
	many := func(req *kmsg.ProduceRequest) { // more than are compared with each other
		for range fewPartitions {
			req.Topics = append(req.Topics, produceTopicOf("t", 1, values([]byte("many"))))
		}
	}
	for name, more := range map[string]func(*kmsg.ProduceRequest){"few": func(*kmsg.ProduceRequest) {}, "many": many} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				b.create("t", 2)
				b.create("u", 1)
				req := produceOf("t", values([]byte("first")))
				req.Topics = append(req.Topics, kmsg.NewProduceRequestTopic(), produceTopicOf("u", 0, values([]byte("u"))), produceTopicOf("t", 0, values([]byte("last"), []byte("one"))))
				more(req)
				resp := do[*kmsg.ProduceResponse](b.client, 9, req)
				if len(resp.Topics) != 2 || resp.Topics[0].Topic != "t" || resp.Topics[1].Topic != "u" || len(resp.Topics[1].Partitions) != 1 {
					b.t.Fatalf("%+v", resp.Topics)
				}
				if row := resp.Topics[0].Partitions[0]; row.Partition != 0 || row.ErrorCode != 0 || row.BaseOffset != 0 {
					t.Errorf("%+v", row)
				}
				if end := b.logEnd("t", 0); end != 2 {
					t.Errorf("the log ends at %d", end)
				}
				if end := b.logEnd("t", 1); end > 1 || name == "many" && end != 1 {
					t.Errorf("the other log ends at %d", end)
				}
			})
		})
	}
}

func TestProduce_TXN_18_transactional_batches_need_an_id_and_a_coordinator(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 2)
		transactional := func() []byte {
			return batch.NewBuilder().SetProducer(7, 0, 0).SetTransactional().Append(now(), nil, []byte("v")).Build()
		}
		rows := producedTo(b.client, 9, "t", cluster.TopicID{}, values([]byte("v")), transactional()).Topics[0].Partitions
		for _, row := range rows {
			wantCode(t, "without an id", row.ErrorCode, kerr.TransactionalIDAuthorizationFailed.Code)
		}
		req := produceRequestTo("t", cluster.TopicID{}, values([]byte("v")), transactional())
		id := "tx"
		req.TransactionID = &id
		rows = do[*kmsg.ProduceResponse](b.client, 9, req).Topics[0].Partitions
		wantCode(t, "a plain batch with an id", rows[0].ErrorCode, 0)
		wantCode(t, "no coordinator", rows[1].ErrorCode, kerr.NotEnoughReplicas.Code) // TXN_17: clients try again
		if b.logEnd("t", 0) != 1 || b.logEnd("t", 1) != 0 {
			t.Errorf("the logs end at %d, %d", b.logEnd("t", 0), b.logEnd("t", 1))
		}
	})
}

func TestProduce_PROD_22_24_too_few_in_sync_refuse_acks_all_before_the_append(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1, "min.insync.replicas", "2")
		wantCode(t, "as many as there are replicas", b.client.produced(9, "t", values([]byte("v"))).ErrorCode, 0)
		b.info("t", 0, func(p *cluster.PartitionInfo) { p.Replicas = []int32{1, 2} })
		row := b.client.produced(9, "t", values([]byte("v")))
		wantCode(t, "acks all", row.ErrorCode, kerr.NotEnoughReplicas.Code)
		if row.BaseOffset != -1 || b.logEnd("t", 0) != 1 {
			t.Errorf("%+v, the log ends at %d", row, b.logEnd("t", 0))
		}
		req := produceOf("t", values([]byte("v")))
		req.Acks = 1
		wantCode(t, "acks 1", do[*kmsg.ProduceResponse](b.client, 9, req).Topics[0].Partitions[0].ErrorCode, 0)
	})
}

// held shows a partition whose appends are committed only when the test says so.
type held struct {
	mu      sync.Mutex
	waiting map[int]func(error)
	next    int
	asked   atomic.Int64
}

type heldPartition struct {
	Partition
	held *held
}

func (h *held) face(p Partition) (Partition, error) { return heldPartition{p, h}, nil }

func (p heldPartition) Offsets() (int64, int64, int64) { return 0, 0, 0 }

func (p heldPartition) AwaitCommitted(_ int64, done func(error)) (bool, func()) {
	h := p.held
	h.asked.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting == nil {
		h.waiting = map[int]func(error){}
	}
	h.next++
	n := h.next
	h.waiting[n] = done
	return false, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiting, n)
	}
}

// commit tells all who wait.
func (h *held) commit(err error) {
	h.mu.Lock()
	waiting := h.waiting
	h.waiting = nil
	h.mu.Unlock()
	for _, done := range waiting {
		done(err)
	}
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}

func TestProduce_PROD_25_acks_all_waits_for_the_high_watermark_of_every_partition(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		id := b.create("t", 3)
		for v := int16(3); v <= 13; v++ {
			b.hold("t", 0)
			b.hold("t", 1)
			c := b.dial()
			w := send[*kmsg.ProduceResponse](c, v, produceRequestTo("t", id, values([]byte("v")), values([]byte("v")), values([]byte("v")), values([]byte("v"))))
			c.silent(time.Second)
			b.letGo("t", 0)
			c.silent(time.Second)
			b.letGo("t", 1)
			resp, took := w.get()
			if took != 2*time.Second {
				t.Errorf("v%d: answered after %v", v, took)
			}
			for i, row := range resp.Topics[0].Partitions {
				want := int16(0)
				if i == 3 {
					want = 3
				}
				wantCode(t, fmt.Sprintf("v%d partition %d", v, i), row.ErrorCode, want)
				if want == 0 && row.BaseOffset != int64(v-3) {
					t.Errorf("v%d partition %d: offset %d", v, i, row.BaseOffset)
				}
			}
			if name := resp.Topics[0].Topic; v < 13 && name != "t" {
				t.Errorf("v%d: topic %q", v, name)
			}
		}
	})
}

func TestProduce_PROD_25_when_time_is_over_the_rows_that_wait_say_so_and_the_data_stay(t *testing.T) {
	for _, c := range []struct {
		timeout int32
		want    time.Duration
	}{{3000, 3 * time.Second}, {1500, 1500 * time.Millisecond}, {0, minCommitWait}, {-1, minCommitWait}} {
		bubble(t, func(b *dataBroker) {
			b.create("t", 2)
			b.hold("t", 0)
			req := produceRequestTo("t", cluster.TopicID{}, values([]byte("v")), values([]byte("v")))
			req.TimeoutMillis = c.timeout
			resp, took := send[*kmsg.ProduceResponse](b.client, 9, req).get()
			if took != c.want {
				t.Errorf("timeout %d: answered after %v, want %v", c.timeout, took, c.want)
			}
			rows := resp.Topics[0].Partitions
			wantCode(t, "held", rows[0].ErrorCode, kerr.RequestTimedOut.Code)
			wantCode(t, "committed", rows[1].ErrorCode, 0)
			if rows[0].BaseOffset != -1 || rows[1].BaseOffset != 0 {
				t.Errorf("%+v", rows)
			}
			if end := b.logEnd("t", 0); end != 1 {
				t.Errorf("the log ends at %d", end)
			}
		})
	}
}

func TestProduce_PROD_25_acks_1_and_0_dont_wait(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.hold("t", 0)
		req := produceOf("t", values([]byte("v")))
		req.Acks = 1
		resp, took := send[*kmsg.ProduceResponse](b.client, 9, req).get()
		wantCode(t, "acks 1", resp.Topics[0].Partitions[0].ErrorCode, 0)
		if took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestProduce_PROD_23_an_isr_that_became_too_small_is_told(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1, "min.insync.replicas", "2")
		b.hold("t", 0)
		c := b.dial()
		w := send[*kmsg.ProduceResponse](c, 9, produceOf("t", values([]byte("v"))))
		c.silent(time.Second)
		b.letGo("t", 0)
		resp, _ := w.get()
		wantCode(t, "produce", resp.Topics[0].Partitions[0].ErrorCode, kerr.NotEnoughReplicasAfterAppend.Code)
		if end := b.logEnd("t", 0); end != 1 {
			t.Errorf("the log ends at %d", end)
		}
	})
}

func TestProduce_a_topic_deleted_while_a_produce_waits_ends_it(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		b.hold("t", 0)
		c := b.dial()
		w := send[*kmsg.ProduceResponse](c, 9, produceOf("t", values([]byte("v"))))
		c.silent(time.Second)
		b.delete("t")
		resp, took := w.get()
		wantCode(t, "produce", resp.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		if took != time.Second || resp.Topics[0].Topic != "t" {
			t.Errorf("after %v: %+v", took, resp.Topics)
		}
	})
}

func TestProduce_CONN_20_a_stopping_broker_answers_what_waits_with_a_retriable_error(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		ctx, stop := context.WithCancel(b.h.Context)
		defer stop()
		b.h.Context = ctx // handlers are told first; the connections stay
		b.create("t", 1)
		held := &held{}
		b.faults.give("t", 0, held.face)
		w := send[*kmsg.ProduceResponse](b.client, 9, produceOf("t", values([]byte("v"))))
		synctest.Wait()
		if n := held.count(); n != 1 {
			b.t.Fatalf("%d wait", n)
		}
		stop()
		resp, took := w.get()
		row := resp.Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(row.ErrorCode); took != 0 || !kerr.IsRetriable(err) {
			t.Errorf("after %v: %v", took, err)
		}
		if n := held.count(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestProduce_CONN_19_a_client_that_goes_leaves_nothing_behind(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 2)
		held := &held{}
		b.faults.give("t", 0, held.face)
		b.faults.give("t", 1, held.face)
		c := b.dial()
		send[*kmsg.ProduceResponse](c, 9, produceRequestTo("t", cluster.TopicID{}, values([]byte("v")), values([]byte("v"))))
		synctest.Wait()
		if n := held.count(); n != 2 {
			b.t.Fatalf("%d wait", n)
		}
		c.conn.Close()
		synctest.Wait()
		if n := held.count(); n != 0 {
			t.Errorf("%d still wait", n)
		}
		if end := b.logEnd("t", 0); end != 1 {
			t.Errorf("the log ends at %d", end)
		}
	})
}

// The frame and the structs of a produce are used again for the next one. What waits must not look at them any more.
func TestProduce_what_waits_keeps_nothing_of_its_request(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		const requests = 20
		name := func(i int) string { return strings.Repeat(string(rune('a'+i)), 60) }
		ids := map[string]cluster.TopicID{}
		holds := &held{}
		for i := range requests {
			ids[name(i)] = b.create(name(i), 2)
			b.faults.give(name(i), 0, holds.face)
		}
		for _, v := range []int16{3, 9, 12, 13} {
			var asked []waiting[*kmsg.ProduceResponse]
			for i := range requests {
				req := produceRequestTo(name(i), ids[name(i)], values([]byte(name(i))), []byte(name(i)))
				asked = append(asked, send[*kmsg.ProduceResponse](b.client, v, req))
			}
			synctest.Wait()
			if n := holds.count(); n != requests {
				b.t.Fatalf("%d wait", n)
			}
			go holds.commit(nil)
			for i, w := range asked {
				resp, _ := w.get()
				rt := resp.Topics[0]
				if v < 13 && rt.Topic != name(i) || v >= 13 && rt.TopicID != ids[name(i)] {
					t.Errorf("v%d: answer %d is for %q %x", v, i, rt.Topic, rt.TopicID)
				}
				if len(rt.Partitions) != 2 || rt.Partitions[0].ErrorCode != 0 || rt.Partitions[1].Partition != 1 || rt.Partitions[1].ErrorCode != kerr.CorruptMessage.Code {
					t.Errorf("v%d: answer %d: %+v", v, i, rt.Partitions)
				}
			}
		}
		for i := range requests {
			rest := b.stored(name(i), 0)
			for len(rest) > 0 {
				h, err := batch.ParseHeader(rest)
				if err != nil || !batch.ValidCRC(rest[:h.Size()]) || !bytes.Contains(rest[:h.Size()], []byte(name(i))) {
					b.t.Fatalf("topic %d holds something else: %v", i, err)
				}
				rest = rest[h.Size():]
			}
		}
	})
}

// Commits, timeouts, disconnects and the broker's end come at the same moment: each request is answered at most once, and none waits for ever.
func TestProduce_what_ends_a_wait_comes_from_all_sides_at_once(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 3)
		holds := [3]*held{{}, {}, {}}
		for i, h := range holds {
			b.faults.give("t", int32(i), h.face)
		}
		const clients = 12
		for round := range 10 {
			var conns []*client
			var answers sync.WaitGroup
			for i := range clients {
				c := b.dial()
				conns = append(conns, c)
				req := produceRequestTo("t", cluster.TopicID{}, values([]byte("v")), values([]byte("v")), values([]byte("v")))
				req.TimeoutMillis = 1000
				send[*kmsg.ProduceResponse](c, 9, req)
				answers.Go(func() {
					buf := make([]byte, 4096)
					n := 0
					for {
						m, err := c.conn.Read(buf)
						n += m
						if err != nil {
							break
						}
					}
					if i%2 == 1 && n < 4 { // those that stay
						t.Errorf("round %d: client %d got no answer", round, i)
					}
				})
			}
			synctest.Wait()
			time.Sleep(time.Second - time.Nanosecond)
			var at sync.WaitGroup
			for i, h := range holds {
				at.Go(func() {
					time.Sleep(time.Nanosecond)
					h.commit(map[bool]error{true: errors.New("x"), false: nil}[i == 0])
				})
			}
			for i, c := range conns {
				if i%2 == 0 {
					at.Go(func() { time.Sleep(time.Nanosecond); c.conn.Close() })
				}
			}
			at.Wait()
			synctest.Wait()
			time.Sleep(time.Second)
			for i, h := range holds {
				if n := h.count(); n != 0 {
					t.Errorf("round %d: %d still wait for partition %d", round, n, i)
				}
			}
			for _, c := range conns {
				c.conn.Close()
			}
			answers.Wait()
		}
	})
}

// syncGate holds the syncs of a topic's records.
type syncGate struct {
	topic string
	open  chan error
}

func (g *syncGate) fault(op vfs.Op) error {
	if op.Kind != vfs.OpSync || !strings.Contains(op.Name, "/"+g.topic+"-") || !strings.HasSuffix(op.Name, ".log") {
		return nil
	}
	return <-g.open
}

func TestProduce_PROD_25_in_fsync_mode_what_isnt_durable_isnt_acknowledged_or_read(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fs *vfs.Mem
		b := startDataAs(t, func(cfg *cluster.Config) {
			cfg.Durability = cluster.DurabilityFsync
			fs = cfg.FS.(*vfs.Mem)
		})
		b.create("t", 1)
		gate := &syncGate{topic: "t", open: make(chan error)}
		fs.SetFault(gate.fault)
		for i := range 3 {
			c := b.dial()
			w := send[*kmsg.ProduceResponse](c, 9, produceOf("t", values([]byte("v"))))
			c.silent(4 * time.Second)
			row := b.client.fetched(12, fetchOf(0, fetchTopicOf("t", 0, int64(i))))
			if row.HighWatermark != int64(i) || len(row.RecordBatches) != 0 {
				t.Errorf("high watermark %d, %d bytes before the sync", row.HighWatermark, len(row.RecordBatches))
			}
			gate.open <- nil
			resp, took := w.get()
			if got := resp.Topics[0].Partitions[0]; took != 4*time.Second || got.ErrorCode != 0 || got.BaseOffset != int64(i) {
				t.Errorf("after %v: %+v", took, got)
			}
			synctest.Wait()
			if row = b.client.fetched(12, fetchOf(0, fetchTopicOf("t", 0, int64(i)))); row.HighWatermark != int64(i+1) || len(row.RecordBatches) == 0 {
				t.Errorf("high watermark %d, %d bytes after the sync", row.HighWatermark, len(row.RecordBatches))
			}
		}
		// PROD_34: a sync that fails is the log's end, and whoever waits for it is told.
		c := b.dial()
		w := send[*kmsg.ProduceResponse](c, 9, produceOf("t", values([]byte("v"))))
		c.silent(time.Second)
		gate.open <- errors.New("disk")
		resp, took := w.get()
		wantCode(t, "a failed sync", resp.Topics[0].Partitions[0].ErrorCode, kerr.KafkaStorageError.Code)
		if took != time.Second {
			t.Errorf("answered after %v", took)
		}
		fs.SetFault(nil)
		wantCode(t, "a log that failed", b.client.produced(9, "t", values([]byte("v"))).ErrorCode, kerr.KafkaStorageError.Code)
	})
}

// hastyPartition is committed, or the wait for it ends, while it is asked to tell when.
type hastyPartition struct {
	Partition
	await func(done func(error)) (already bool)
	left  *atomic.Int32 // who still waits for it
}

func (p hastyPartition) Offsets() (int64, int64, int64) { return 0, 0, 0 }

func (p hastyPartition) AwaitCommitted(_ int64, done func(error)) (bool, func()) {
	already := p.await(done)
	if !already {
		p.left.Add(1)
	}
	return already, func() { p.left.Add(-1) }
}

func TestProduce_PROD_25_what_happens_while_it_begins_to_wait(t *testing.T) {
	for name, c := range map[string]struct {
		await func(b *dataBroker, stop func(), done func(error)) (already bool)
		code  *kerr.Error
	}{
		"committed meanwhile":         {func(_ *dataBroker, _ func(), _ func(error)) bool { return true }, nil},
		"committed before it returns": {func(_ *dataBroker, _ func(), done func(error)) bool { done(nil); return false }, nil},
		"failed before it returns": {func(_ *dataBroker, _ func(), done func(error)) bool {
			done(cluster.ErrNotEnoughReplicasAfterAppend)
			return false
		}, kerr.NotEnoughReplicasAfterAppend},
		"told twice": {func(_ *dataBroker, _ func(), done func(error)) bool {
			done(nil)
			done(errors.New("again"))
			return true
		}, nil},
		"the broker stops meanwhile": {func(_ *dataBroker, stop func(), _ func(error)) bool {
			stop()
			time.Sleep(time.Microsecond) // until all others stand still
			return false
		}, kerr.RequestTimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				ctx, stop := context.WithCancel(b.h.Context)
				defer stop()
				b.h.Context = ctx
				b.create("t", 2)
				left := &atomic.Int32{}
				for p := range int32(2) {
					b.faults.give("t", p, func(p Partition) (Partition, error) {
						return hastyPartition{p, func(done func(error)) bool { return c.await(b, stop, done) }, left}, nil
					})
				}
				resp, took := send[*kmsg.ProduceResponse](b.client, 9, produceRequestTo("t", cluster.TopicID{}, values([]byte("v")), values([]byte("v")))).get()
				for _, row := range resp.Topics[0].Partitions {
					want := int16(0)
					if c.code != nil {
						want = c.code.Code
					}
					wantCode(t, "produce", row.ErrorCode, want)
				}
				if took > time.Millisecond {
					t.Errorf("answered after %v", took)
				}
				time.Sleep(time.Second)
				if n := left.Load(); n != 0 && c.code == kerr.RequestTimedOut {
					t.Errorf("%d still wait", n)
				}
			})
		})
	}
}
