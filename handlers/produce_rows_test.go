package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const produceMin, produceMax = 3, 13

// wantErrorRow checks an error row's code and that its offsets and times are -1 (PROD-16); the log start may be the real one, as logStart.
func wantErrorRow(t testing.TB, what string, row kmsg.ProduceResponseTopicPartition, code int16, logStart int64) {
	t.Helper()
	if row.ErrorCode != code || row.BaseOffset != -1 || row.LogAppendTime != -1 || row.LogStartOffset != logStart {
		t.Errorf("%s: error %d, offset %d, time %d, log start %d; want error %d and -1, -1, %d", what, row.ErrorCode, row.BaseOffset, row.LogAppendTime, row.LogStartOffset, code, logStart)
	}
}

// failing is a partition whose appends and reads fail.
type failing struct {
	Partition
	err error
}

func (f failing) Append(cluster.AppendRequest) (storage.AppendInfo, error) {
	return storage.AppendInfo{}, f.err
}
func (f failing) Read(cluster.ReadRequest) (cluster.ReadResult, error) {
	return cluster.ReadResult{}, f.err
}

func (b *dataBroker) fails(topic string, partition int32, err error) {
	b.faults.give(topic, partition, func(p Partition) (Partition, error) { return failing{p, err}, nil })
}

func TestProduce_PROD_34_errors_of_the_log(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		for _, c := range []struct {
			err  error
			code *kerr.Error
		}{
			{fmt.Errorf("append: %w", storage.ErrStorage), kerr.KafkaStorageError}, {storage.ErrMemoryBudget, kerr.KafkaStorageError}, {storage.ErrInvalidProducerEpoch, kerr.InvalidProducerEpoch},
			{cluster.ErrShuttingDown, kerr.NotLeaderForPartition}, {cluster.ErrNotEnoughReplicas, kerr.NotEnoughReplicas}, {errors.New("never heard of"), kerr.UnknownServerError},
		} {
			b.fails("t", 0, c.err)
			wantErrorRow(t, c.err.Error(), b.client.produced(9, "t", values([]byte("v"))), c.code.Code, -1)
		}
	})
}

func TestProduce_PROD_17_18_20_21_refused_records_are_named(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("c", 1, "cleanup.policy", "compact")
		b.create("t", 1, "message.timestamp.before.max.ms", "60000")
		null := batch.NewBuilder().Append(now(), []byte("k"), nil).Append(now(), nil, nil).Build()
		for _, v := range []int16{7, 8, 12} {
			row := b.client.produced(v, "c", slices.Clone(null))
			wantErrorRow(t, "null key", row, kerr.InvalidRecord.Code, 0)
			switch {
			case v < 8 && (len(row.ErrorRecords) != 0 || row.ErrorMessage != nil):
				t.Errorf("v%d has record errors: %+v", v, row)
			case v >= 8 && (len(row.ErrorRecords) != 1 || row.ErrorRecords[0].RelativeOffset != 1 || row.ErrorRecords[0].ErrorMessage == nil || row.ErrorMessage == nil):
				t.Errorf("v%d: %+v", v, row)
			}
		}
		late := batch.NewBuilder().Append(now()-61_000, nil, nil).Append(now(), nil, nil).Append(now()+7_200_000, nil, nil).Build()
		row := b.client.produced(9, "t", late)
		wantErrorRow(t, "too old and too new", row, kerr.InvalidTimestamp.Code, 0)
		if len(row.ErrorRecords) != 2 || row.ErrorRecords[0].RelativeOffset != 0 || row.ErrorRecords[1].RelativeOffset != 2 || !strings.Contains(*row.ErrorRecords[1].ErrorMessage, "out of range") {
			t.Errorf("record errors %+v", row.ErrorRecords)
		}
		// Kafka 4.4.0 accepts the type where the records' times are good.
		stamped := batch.NewBuilder().SetLogAppendTime(now()).Append(now(), nil, nil).Build()
		wantCode(t, "LogAppendTime in a CreateTime topic", b.client.produced(9, "t", stamped).ErrorCode, 0)
	})
}

// What is named more than once has one row in the answer; of a partition's records the last count. Measured on Kafka 4.4.0.
func TestProduce_what_is_named_twice_has_one_row(t *testing.T) {
	for name, extra := range map[string]int{"few partitions": 0, "many partitions": 2 * fewPartitions} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				b.create("a", int32(3+extra))
				b.create("b", 1)
				req := kmsg.NewPtrProduceRequest()
				req.Acks, req.TimeoutMillis = -1, 1000
				empty := produceTopicOf("b", 0, nil)
				empty.Partitions = nil
				req.Topics = append(req.Topics, empty, produceTopicOf("a", 0, values([]byte("lost"))), produceTopicOf("b", 0, values([]byte("b"))),
					produceTopicOf("a", 1, values([]byte("a1"))), produceTopicOf("a", 0, values([]byte("y"), []byte("z"))))
				for i := range extra {
					req.Topics = append(req.Topics, produceTopicOf("a", int32(3+i), values(nil)))
				}
				resp := do[*kmsg.ProduceResponse](b.client, 9, req)
				if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 2+extra || len(resp.Topics[1].Partitions) != 1 {
					t.Fatalf("rows %+v", resp.Topics)
				}
				if end, err := b.node.Partition("a", 0); err != nil || end.LogEndOffset() != 2 {
					t.Errorf("the last records of a-0 should be there alone: end %d, %v", end.LogEndOffset(), err)
				}
				req.Topics = []kmsg.ProduceRequestTopic{empty}
				if resp = do[*kmsg.ProduceResponse](b.client, 9, req); len(resp.Topics) != 0 {
					t.Errorf("a topic without partitions has a row: %+v", resp.Topics)
				}
			})
		})
	}
}

func TestProduce_IDEM_03_04_05_06_07_09_sequences(t *testing.T) {
	type step struct {
		epoch    int16
		sequence int32
		records  int
		code     *kerr.Error // nil: fine
		offset   int64
	}
	for name, steps := range map[string][]step{
		"IDEM-03 a duplicate of the last five has its own offset": {{0, 0, 2, nil, 0}, {0, 2, 1, nil, 2}, {0, 3, 1, nil, 3}, {0, 0, 2, nil, 0}, {0, 3, 1, nil, 3}, {0, 4, 1, nil, 4}},
		"IDEM-04 a gap":                         {{0, 0, 1, nil, 0}, {0, 2, 1, kerr.OutOfOrderSequenceNumber, -1}, {0, 1, 1, nil, 1}},
		"IDEM-04 wraps":                         {{0, 1<<31 - 2, 3, nil, 0}, {0, 1, 1, nil, 3}},
		"IDEM-04 same begin, other end":         {{0, 0, 1, nil, 0}, {0, 0, 2, kerr.OutOfOrderSequenceNumber, -1}},
		"IDEM-05 older than the window":         {{0, 0, 1, nil, 0}, {0, 1, 1, nil, 1}, {0, 2, 1, nil, 2}, {0, 3, 1, nil, 3}, {0, 4, 1, nil, 4}, {0, 5, 1, nil, 5}, {0, 0, 1, kerr.OutOfOrderSequenceNumber, -1}, {0, 1, 1, nil, 1}},
		"IDEM-06 a higher epoch begins at 0":    {{0, 0, 1, nil, 0}, {1, 1, 1, kerr.OutOfOrderSequenceNumber, -1}, {1, 0, 1, nil, 1}},
		"IDEM-07 a stranger may begin anywhere": {{3, 77, 1, nil, 0}, {3, 78, 1, nil, 1}},
		"IDEM-09 a lower epoch":                 {{2, 0, 1, nil, 0}, {1, 0, 1, kerr.InvalidProducerEpoch, -1}, {2, 1, 1, nil, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *dataBroker) {
				b.create("t", 1)
				for i, s := range steps {
					row := b.client.produced(9, "t", sequenced(4711, s.epoch, s.sequence, s.records))
					code := int16(0)
					if s.code != nil {
						code = s.code.Code
					}
					if row.ErrorCode != code || row.BaseOffset != s.offset {
						t.Errorf("step %d, epoch %d sequence %d: error %d, offset %d; want %d and %d", i, s.epoch, s.sequence, row.ErrorCode, row.BaseOffset, code, s.offset)
					}
				}
			})
		})
	}
}

func TestProduce_IDEM_13_idempotence_does_not_need_acks_all(t *testing.T) {
	bubble(t, func(b *dataBroker) {
		b.create("t", 1)
		for i, acks := range []int16{1, 0, -1} {
			req := produceOf("t", sequenced(4711, 0, int32(i), 1))
			req.Acks = acks
			w := send[*kmsg.ProduceResponse](b.client, 9, req)
			if acks == 0 {
				continue
			}
			resp, _ := w.get()
			if row := resp.Topics[0].Partitions[0]; row.ErrorCode != 0 || row.BaseOffset != int64(i) {
				t.Errorf("acks %d: %+v", acks, row)
			}
		}
	})
}

func TestProduce_plain_answers_are_encoded_as_kmsg_does(t *testing.T) {
	topics := []produceTopic{
		{name: "some-topic", id: cluster.TopicID{1, 2, 3}, rows: []produceRow{
			{partition: 0, info: storage.AppendInfo{FirstOffset: 1 << 40, LogAppendTimeMillis: -1, LogStartOffset: 7}},
			{partition: 300, code: 19, info: storage.AppendInfo{FirstOffset: -1, LogAppendTimeMillis: 12345678901, LogStartOffset: -1}},
		}},
		{name: strings.Repeat("n", 249), id: cluster.TopicID{9}, rows: []produceRow{{partition: 1}}},
	}
	for _, list := range [][]produceTopic{topics, topics[:1], nil} {
		for v := int16(produceMin); v <= produceMax; v++ {
			want := kmsg.NewPtrProduceResponse()
			want.SetVersion(v)
			for _, topic := range list {
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic, rt.TopicID = topic.name, topic.id
				for _, row := range topic.rows {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition, rp.ErrorCode, rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = row.partition, row.code, row.info.FirstOffset, row.info.LogAppendTimeMillis, row.info.LogStartOffset
					rt.Partitions = append(rt.Partitions, rp)
				}
				want.Topics = append(want.Topics, rt)
			}
			var got []byte
			for _, chunk := range plainProduceBody(v, list).Chunks {
				got = append(got, chunk.Bytes...)
			}
			if !bytes.Equal(got, want.AppendTo(nil)) {
				t.Errorf("v%d, %d topics:\n%x, want\n%x", v, len(list), got, want.AppendTo(nil))
			}
		}
	}
}
