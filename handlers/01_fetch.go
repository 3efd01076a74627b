package handlers

import (
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/wire"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch, v4 to v18.
//
// The partitions are read at once, in order, within the request's limits; the first one with data gives at least one batch. Where that is less than
// min_bytes, nothing is wrong, and max_wait isn't over, the fetch is parked (fetch_parked.go): it then costs memory only, until one of its partitions wakes it. v7 added
// sessions (KIP-227, fetch_session.go), v11 the rack, v12 flexible encoding and diverging epochs, v13 topic ids, v15 moved the replica id into a tag, v16 names the
// leader where it isn't here. Records go out as the log holds them (fetch_response.go).

// fetchPartition is one partition of a fetch, as asked for.
type fetchPartition struct {
	topic     string // "" from v13 on
	id        cluster.TopicID
	partition int32
	resolved  string // what a session knows the id's topic by, "" where it never was there

	offset             int64
	maxBytes           int32
	currentLeaderEpoch int32
	lastFetchedEpoch   int32
}

// fetchRow is one partition of the answer.
type fetchRow struct {
	ask  *fetchPartition
	part Partition
	code int16
	read cluster.ReadResult

	looked     bool  // it was read once without an error
	endSegment int64 // the segment of the readable end, then
}

// hasRecords says whether the row carries records.
func (row *fetchRow) hasRecords() bool { return row.code == 0 && row.read.Records.Bytes > 0 }

// fetching is a fetch on its way to its answer.
type fetching struct {
	h   *Handlers
	r   *wire.Request
	ctx fetchContext // the session it belongs to

	minBytes, maxBytes int64
	maxWait            time.Duration
	isolation          cluster.Isolation
	replicaID          int32

	rows []fetchRow // partitions that exist, in order
	bad  []fetchRow // those that don't; they come last and don't end a long poll (FETCH-07)
}

func (h *Handlers) fetch(r *wire.Request) {
	req := r.Body.(*kmsg.FetchRequest)
	f := &fetching{
		h: h, r: r, replicaID: req.ReplicaID, isolation: cluster.Isolation(req.IsolationLevel),
		maxWait: time.Duration(req.MaxWaitMillis) * time.Millisecond,
	}
	if r.Version >= 15 {
		f.replicaID = req.ReplicaState.ID
	}
	if req.IsolationLevel != int8(cluster.ReadUncommitted) && req.IsolationLevel != int8(cluster.ReadCommitted) {
		f.refuse(kerr.InvalidRequest.Code, refusedRows(req, kerr.InvalidRequest.Code))
		return
	}
	if f.replicaID >= 0 && r.Version >= 13 {
		r.Close(nil) // a stranger that would be a follower (FETCH-31)
		return
	}
	f.maxBytes = min(int64(req.MaxBytes), int64(h.Static.Int("fetch.max.bytes"))) // FETCH-12
	f.minBytes = min(int64(req.MinBytes), f.maxBytes)
	img := h.Metadata.Image()
	asked, code := f.open(req, img)
	if code != 0 {
		f.refuse(code, nil)
		return
	}
	f.resolve(asked, img)
	f.read()
	if len(f.rows) == 0 || f.maxWait <= 0 || f.satisfied() {
		f.answer()
		return
	}
	f.park()
}

// resolve finds the partitions that were asked for.
func (f *fetching) resolve(asked []fetchPartition, img *cluster.Image) {
	f.rows = make([]fetchRow, 0, len(asked))
	var unknownIDs []fetchRow
	for i := range asked {
		a := &asked[i]
		row := fetchRow{ask: a}
		name, gone := a.topic, false
		if f.r.Version >= 13 {
			if t := img.TopicByID(a.id); t != nil {
				a.resolved = t.Name
			} else if gone = true; a.resolved == "" {
				row.code = kerr.UnknownTopicID.Code
				unknownIDs = append(unknownIDs, row)
				continue
			}
			name = a.resolved
		}
		var err error
		if row.part, err = f.h.Partitions.Partition(name, a.partition); err != nil {
			if row.code = f.h.code(err); row.code == kerr.UnknownTopicOrPartition.Code {
				f.bad = append(f.bad, row)
				continue
			}
		} else if gone { // another topic has taken the name
			row.part, row.code = nil, kerr.InconsistentTopicID.Code
		}
		f.rows = append(f.rows, row)
	}
	f.bad = append(unknownIDs, f.bad...) // Kafka's order
	for i := range f.bad {
		f.bad[i].read.Aborted = []storage.AbortedTxn{} // as Kafka has it, where other error rows have none
	}
}

// read reads every partition, within the limits of the request (FETCH-01, FETCH-02).
func (f *fetching) read() {
	left, atLeastOne := f.maxBytes, true
	for i := range f.rows {
		row := &f.rows[i]
		switch {
		case row.part == nil: // its error stands
			continue
		case f.replicaID >= 0:
			row.code = kerr.NotLeaderForPartition.Code // FETCH-31
			continue
		}
		var err error
		limit := min(int64(row.ask.maxBytes), left)
		row.read, err = row.part.Read(cluster.ReadRequest{
			Offset: row.ask.offset, MaxBytes: max(limit, 0), AtLeastOne: atLeastOne, Isolation: f.isolation,
			CurrentLeaderEpoch: row.ask.currentLeaderEpoch, LastFetchedEpoch: row.ask.lastFetchedEpoch,
			ToLogEnd: f.replicaID == debugReplica && f.isolation == cluster.ReadUncommitted,
		})
		row.code = f.h.code(err)
		if err == nil && !row.looked {
			row.looked, row.endSegment = true, row.read.EndSegment
		}
		if limit < 0 && row.hasRecords() { // a negative limit lets nothing through, not even one batch
			row.release()
			row.code = kerr.InvalidRequest.Code
		}
		if row.hasRecords() {
			left, atLeastOne = max(0, left-row.read.Records.Bytes), false
		}
	}
}

// storageErrorSince is the first version whose clients know KAFKA_STORAGE_ERROR (KIP-112); others are told to look for another leader.
const storageErrorSince = 6

// debugReplica is the replica id of a debugging consumer: it reads up to the log's end.
const debugReplica = -2

// satisfied says whether the answer can go out before max_wait is over (FETCH-07, FETCH-10).
func (f *fetching) satisfied() bool {
	bytes := int64(0)
	for i := range f.rows {
		row := &f.rows[i]
		if row.code != 0 || row.read.Diverging != nil || row.read.OlderSegment || row.read.EndSegment > row.endSegment || row.full(f.isolation) {
			return true
		}
		bytes += row.read.Records.Bytes
	}
	return bytes >= f.minBytes
}

// full says that the partition has more than its limit let through: waiting would bring nothing (FETCH-11).
func (row *fetchRow) full(iso cluster.Isolation) bool {
	readable := row.read.HighWatermark
	if iso == cluster.ReadCommitted {
		readable = row.read.LastStableOffset
	}
	return row.read.Records.Bytes > 0 && row.read.Records.Next < readable
}

// release gives back what was read and isn't sent.
func (f *fetching) release() {
	for i := range f.rows {
		f.rows[i].release()
	}
}

func (row *fetchRow) release() {
	if row.read.Records.Release != nil {
		row.read.Records.Release()
	}
	row.read = cluster.ReadResult{}
}

// refuse answers with an error for the whole request.
func (f *fetching) refuse(code int16, rows []kmsg.FetchResponseTopic) {
	f.r.SetResult(code)
	resp := kmsg.NewPtrFetchResponse()
	resp.ErrorCode, resp.Topics = code, rows
	f.r.Reply(resp)
}

// refusedRows gives a request's error to each of its partitions, too: versions below 13 look there.
func refusedRows(req *kmsg.FetchRequest, code int16) []kmsg.FetchResponseTopic {
	if req.Version >= 13 {
		return nil
	}
	topics := make([]kmsg.FetchResponseTopic, 0, len(req.Topics))
	for i := range req.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.RecordBatches = req.Topics[i].Partitions[j].Partition, code, []byte{}
			rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset, rp.PreferredReadReplica = -1, -1, -1, -1
			rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			rt.Partitions = append(rt.Partitions, rp)
		}
		topics = append(topics, rt)
	}
	return topics
}

// answer sends what was read. The session has its say in it: which partitions, and whether the request still is its next one.
func (f *fetching) answer() {
	rows := append(f.rows, f.bad...)
	id, code := f.ctx.finish(&rows)
	if code != 0 {
		f.release()
		f.refuse(code, nil)
		return
	}
	result := int16(0)
	for i := range rows {
		row := &rows[i]
		if row.code == kerr.KafkaStorageError.Code && f.r.Version < storageErrorSince {
			row.code = kerr.NotLeaderForPartition.Code
		}
		if result == 0 {
			result = row.code
		}
		if row.hasRecords() {
			row.part.CountSent(row.read.Records.Bytes)
		}
	}
	f.r.SetResult(result)
	f.r.ReplyBody(f.body(id, rows))
}
