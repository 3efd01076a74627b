package handlers

import (
	"errors"
	"strings"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce, v3 to v13 (v0 to v2 are advertised and refused: AV-03).
//
// Each partition carries one batch, which is appended at once, in the order of arrival; with acks -1 the answer waits for the high
// watermark to pass all of them. acks 0 gets no answer; an error then ends the connection. v5 added the log start offset, v8 the
// refused records and a message, v9 is flexible, v10 names the leader where it isn't here (KIP-951), v13 names topics by id.

// adminClientID is the client that may write to internal topics (Kafka's AdminUtils).
const adminClientID = "__admin_client"

// zstdSince is the first version whose clients know zstd (KIP-110).
const zstdSince = 7

// produceRow is one partition of the answer.
type produceRow struct {
	partition int32
	code      int16
	info      storage.AppendInfo
	records   []storage.RecordError
	message   *string
}

// produceTopic is one topic of the answer.
type produceTopic struct {
	name string
	id   cluster.TopicID
	rows []produceRow
}

// failed makes an error row. Its offsets and times are -1 (PROD-16).
func (row *produceRow) failed(code int16) {
	row.code = code
	row.info = storage.AppendInfo{FirstOffset: -1, LastOffset: -1, LogAppendTimeMillis: -1, LogStartOffset: -1}
}

// producing is a produce request on its way to its answer.
type producing struct {
	h       *Handlers
	r       *wire.Request
	topics  []produceTopic
	pending []pendingAppend
	errs    bool // some row has an error
	plain   bool // no row has more than a code, offsets and times
}

// pendingAppend is an append that acks -1 waits for.
type pendingAppend struct {
	p          Partition
	topic, row int
	offset     int64
}

func (h *Handlers) produce(r *wire.Request) {
	req := r.Body.(*kmsg.ProduceRequest)
	p := producing{h: h, r: r, topics: make([]produceTopic, len(req.Topics)), plain: true}
	img := h.Metadata.Image()
	refused := req.TransactionID == nil && transactional(req) // TXN-18
	oneRowEach(req)
	p.topics = p.topics[:len(req.Topics)]
	for i := range req.Topics {
		t := &req.Topics[i]
		out := &p.topics[i]
		out.name, out.id, out.rows = t.Topic, t.TopicID, make([]produceRow, len(t.Partitions))
		name := t.Topic
		if r.Version >= 13 {
			name = ""
			if topic := img.TopicByID(t.TopicID); topic != nil {
				name = topic.Name
			}
		}
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			row := &out.rows[j]
			row.partition = rp.Partition
			switch {
			case refused:
				row.failed(kerr.TransactionalIDAuthorizationFailed.Code)
			case r.Version >= 13 && name == "":
				row.failed(kerr.UnknownTopicID.Code)
			default:
				p.appendOne(req, name, rp, i, j)
			}
			p.errs = p.errs || row.code != 0
		}
	}
	if req.Acks == 0 {
		if p.errs {
			r.Close(nil) // PROD-02: all that a client without answers can see
		} else {
			r.NoReply()
		}
		return
	}
	if p.wait(time.Duration(req.TimeoutMillis) * time.Millisecond) {
		return
	}
	p.answer()
}

// transactional says whether a batch of the request is part of a transaction.
func transactional(req *kmsg.ProduceRequest) bool {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			if h, err := batch.ParseHeader(req.Topics[i].Partitions[j].Records); err == nil && h.Magic == batch.Magic && h.IsTransactional() {
				return true
			}
		}
	}
	return false
}

// appendOne appends one partition's batch.
func (p *producing) appendOne(req *kmsg.ProduceRequest, topic string, rp *kmsg.ProduceRequestTopicPartition, i, j int) {
	row := &p.topics[i].rows[j]
	part, err := p.h.Partitions.Partition(topic, rp.Partition)
	if err != nil {
		p.fail(row, err)
		return
	}
	header, records, err := oneBatch(rp.Records, p.r.Version)
	switch {
	case err != nil:
		p.fail(row, err)
		return
	case req.Acks < -1 || req.Acks > 1:
		p.fail(row, kerr.InvalidRequiredAcks) // PROD-01
		return
	case cluster.IsInternalTopic(topic) && p.r.ClientID != adminClientID:
		p.fail(row, kerr.InvalidTopicException) // PROD-30
		return
	case header.IsTransactional():
		// The partition would have to be verified with the transaction's coordinator, which isn't there: clients try again (TXN-17).
		p.fail(row, &rowError{kerr.NotEnoughReplicas, "Unable to verify the partition has been added to the transaction. Underlying error: COORDINATOR_NOT_AVAILABLE"})
		return
	}
	info, err := part.Append(cluster.AppendRequest{
		Records: records, Acks: req.Acks, Origin: storage.OriginClient, AllowZstd: p.r.Version >= zstdSince,
	})
	if err != nil {
		p.fail(row, err)
		return
	}
	row.info = info
	if req.Acks == -1 {
		p.pending = append(p.pending, pendingAppend{part, i, j, info.LastOffset})
	}
}

// rowError is an error with what the client is told beside its code.
type rowError struct {
	err     error
	message string
}

func (e *rowError) Error() string { return e.err.Error() + ": " + e.message }
func (e *rowError) Unwrap() error { return e.err }

// oneBatch cuts the batch out of a partition's records, where they are one batch, of a format that this version may carry, and perhaps the begin of
// another one, which Kafka ignores. What is in it is the log's business.
func oneBatch(records []byte, version int16) (batch.Header, []byte, error) {
	b, rest, ok, err := batch.Split(records)
	switch {
	case err != nil:
		return batch.Header{}, nil, malformed(err)
	case !ok || b[offsetOfMagic] != batch.Magic:
		return batch.Header{}, nil, storage.ErrInvalidRecord
	}
	h, err := batch.ParseHeader(b)
	if err != nil {
		return h, nil, storage.ErrCorruptMessage
	}
	if h.Codec() == batch.Zstd && version < zstdSince {
		return h, nil, storage.ErrUnsupportedCodec // PROD-11
	}
	_, _, more, err := batch.Split(rest)
	if err == nil && more {
		err = storage.ErrInvalidRecord
	}
	return h, b, err
}

// malformed is a batch whose frame can't be read; the client is told what about it, as Kafka words it.
func malformed(err error) error {
	var refused *batch.Error
	if errors.As(err, &refused) && refused.Message != "" {
		return &rowError{storage.ErrCorruptMessage, strings.ToUpper(refused.Message[:1]) + refused.Message[1:]}
	}
	return storage.ErrCorruptMessage
}

// offsetOfMagic is where every message format has its version.
const offsetOfMagic = 16

func (p *producing) fail(row *produceRow, err error) {
	row.failed(p.h.code(err))
	var refused *storage.AppendError
	if errors.As(err, &refused) {
		row.info.LogStartOffset = refused.LogStartOffset
		row.records = refused.RecordErrors
		if refused.Message != "" && len(refused.RecordErrors) > 0 {
			row.message = &refused.Message
		}
	}
	var told *rowError
	if errors.As(err, &told) {
		row.message = &told.message
	}
	p.plain = false
}

// wait has the answer given once every append is committed, or the time is over. It returns false where there is nothing to wait for.
func (p *producing) wait(timeout time.Duration) bool {
	open := 0
	for _, a := range p.pending {
		if _, highWatermark, _ := a.p.Offsets(); highWatermark <= a.offset {
			p.pending[open] = a
			open++
		}
	}
	if open == 0 {
		return false
	}
	parked := &parkedProduce{producing: *p, left: open}
	parked.pending = p.pending[:open]
	for i := range parked.topics { // the request's strings go back to wire with its frame
		parked.topics[i].name = strings.Clone(parked.topics[i].name)
	}
	parked.park(timeout)
	return true
}

// answer sends what is in the rows.
func (p *producing) answer() {
	for i := range p.topics {
		for j := range p.topics[i].rows {
			if code := p.topics[i].rows[j].code; code != 0 {
				p.r.SetResult(code)
			}
		}
	}
	if p.plain {
		p.r.ReplyBody(plainProduceBody(p.r.Version, p.topics))
		return
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = p.r.Version
	img := p.h.Metadata.Image()
	leaders := map[int32]bool{}
	for _, t := range p.topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.name, t.id
		for _, row := range t.rows {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = row.partition, row.code
			rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = row.info.FirstOffset, row.info.LogAppendTimeMillis, row.info.LogStartOffset
			rp.ErrorMessage = row.message
			for _, e := range row.records {
				re := kmsg.NewProduceResponseTopicPartitionErrorRecord()
				re.RelativeOffset = e.BatchIndex
				if e.Message != "" {
					re.ErrorMessage = &e.Message
				}
				rp.ErrorRecords = append(rp.ErrorRecords, re)
			}
			if p.r.Version >= 10 && row.code == kerr.NotLeaderForPartition.Code { // PROD-27
				if info := partitionOf(img, t.name, t.id, row.partition); info != nil {
					rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = info.Leader, info.LeaderEpoch
					leaders[info.Leader] = true
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	for id := range leaders {
		if host, port, ok := p.h.endpoint(p.r, id); ok {
			b := kmsg.NewProduceResponseBroker()
			b.NodeID, b.Host, b.Port, b.Rack = id, host, port, img.Broker(id).Rack
			resp.Brokers = append(resp.Brokers, b)
		}
	}
	p.r.Reply(resp)
}

// partitionOf finds a partition by whichever of name and id is given.
func partitionOf(img *cluster.Image, name string, id cluster.TopicID, partition int32) *cluster.PartitionInfo {
	if name == "" {
		t := img.TopicByID(id)
		if t == nil {
			return nil
		}
		name = t.Name
	}
	return img.Partition(name, partition)
}
