package cases

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kbroker/kbroker/compat-tests/kdiff/diff"
	"github.com/kbroker/kbroker/compat-tests/kdiff/kit"
)

// transactions covers the transaction coordinator and its effects on the log.
func transactions(l *diff.List) {
	l.Each("TXN/init", "TXN-02", diff.Range(0, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		diff.Do(c, "first", v, kit.Init(t.Name("x")))
		diff.Do(c, "second", v, kit.Init(t.Name("x")))
		diff.Do(c, "describe", 0, kit.DescribeTxn(t.Name("x")))
	})
	inits := map[string]func(*kmsg.InitProducerIDRequest){
		"empty_id":         func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = new("") },
		"timeout_zero":     func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 0 },
		"timeout_too_long": func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = 900001 },
		"id_without_epoch": func(r *kmsg.InitProducerIDRequest) { r.ProducerID = 5 },
		"epoch_without_id": func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 5 },
		"id_of_nobody":     func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = 123456, 3 },
	}
	for name, change := range inits {
		l.Each("TXN/init/"+name, "TXN-04 TXN-38 TXN-05", diff.Versions(3, 5), func(t *diff.T, v int16) {
			req := kit.Init(t.Name("x"))
			change(req)
			diff.Do(t.Dial(), "init", v, req)
		})
	}
	l.Each("TXN/init_with_id_and_epoch", "TXN-05", diff.Versions(3, 4, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		p := kit.NewProducer(t, c, t.Name("x"))
		with := func(p kit.Producer) *kmsg.InitProducerIDRequest {
			req := kit.Init(t.Name("x"))
			req.ProducerID, req.ProducerEpoch = p.ID, p.Epoch
			return req
		}
		resp := diff.Do(c, "current", v, with(p))
		diff.Do(c, "the same again", v, with(p))
		diff.Do(c, "ahead", v, with(kit.Producer{ID: resp.ProducerID, Epoch: resp.ProducerEpoch + 4}))
	})
	l.Each("TXN/init_aborts_an_open_transaction", "TXN-03", diff.Versions(2, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		diff.Do(c, "add", 3, kit.AddPartitions(x, p, topic.Name, 0))
		kit.FillTxn(t, c, x, topic, 0, kit.Values(t, "a").InTxn(p, 0))
		diff.Do(c, "init", v, kit.Init(x))
		t.Until("ready again", 10*time.Second, func() bool { return diff.Do(c, "init", v, kit.Init(x)).ErrorCode == 0 })
		diff.Do(c, "the old producer ends", 3, kit.End(x, p, true))
		diff.Do(c, "fetch", 12, committedOnly(kit.Fetch(topic, 0, 0)))
		diff.Do(c, "describe", 0, kit.DescribeTxn(x))
	})
	wholeTransactions(l)
	addingPartitions(l)
	ending(l)
	transactionalProduce(l)
	transactionalOffsets(l)
	transactionAdmin(l)
}

func committedOnly(req *kmsg.FetchRequest) *kmsg.FetchRequest {
	req.IsolationLevel = 1
	return req
}

func committedOnlyOffsets(req *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsRequest {
	req.IsolationLevel = 1
	return req
}

// wholeTransactions follows one transaction through what readers see.
func wholeTransactions(l *diff.List) {
	for name, commit := range map[string]bool{"commit": true, "abort": false} {
		for _, v := range []int16{0, 3, 4, 5} {
			l.Add(fmt.Sprintf("TXN/seen_by_readers/%s/v%d", name, v), "TXN-11 TXN-12 TXN-21 TXN-22 FETCH-16 FETCH-17 FETCH-18 FETCH-19", func(t *diff.T) {
				c := t.Dial()
				topic := kit.NewTopic(t, c, "t", 1)
				x := t.Name("x")
				kit.Fill(t, c, topic, 0, kit.Values(t, "plain"))
				p := kit.NewProducer(t, c, x)
				if v < 5 {
					diff.Do(c, "add", min(v, 3), kit.AddPartitions(x, p, topic.Name, 0))
					diff.Do(c, "produce", 9, kit.ProduceTxn(x, topic, 0, kit.Values(t, "one", "two").InTxn(p, 0).Bytes()))
				} else {
					diff.Do(c, "produce", 12, kit.ProduceTxn(x, topic, 0, kit.Values(t, "one", "two").InTxn(p, 0).Bytes()))
				}
				kit.Fill(t, c, topic, 0, kit.Values(t, "after"))
				diff.Do(c, "open, read committed", 11, committedOnly(kit.Fetch(topic, 0, 0)))
				diff.Do(c, "open, read uncommitted", 12, kit.Fetch(topic, 0, 0))
				diff.Do(c, "open, latest committed", 5, committedOnlyOffsets(kit.ListOffsets(topic, 0, -1)))
				diff.Do(c, "open, latest", 5, kit.ListOffsets(topic, 0, -1))
				diff.Do(c, "open, described", 0, kit.DescribeTxn(x))
				diff.Do(c, "open, producers", 0, kit.DescribeProducers(topic.Name, 0))
				diff.Do(c, "end", v, kit.End(x, p, commit))
				kit.AwaitComplete(t, c, x)
				diff.Do(c, "ended, read committed", 12, committedOnly(kit.Fetch(topic, 0, 0)))
				diff.Do(c, "ended, read committed from the marker", 12, committedOnly(kit.Fetch(topic, 0, 4)))
				diff.Do(c, "ended, latest committed", 5, committedOnlyOffsets(kit.ListOffsets(topic, 0, -1)))
				diff.Do(c, "ended, described", 0, kit.DescribeTxn(x))
				diff.Do(c, "ended, producers", 0, kit.DescribeProducers(topic.Name, 0))
			})
		}
	}
	l.Add("TXN/two_interleaved", "TXN-22 FETCH-17 FETCH-19", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x, y := t.Name("x"), t.Name("y")
		px, py := kit.NewProducer(t, c, x), kit.NewProducer(t, c, y)
		kit.FillTxn(t, c, x, topic, 0, kit.Values(t, "x0").InTxn(px, 0))
		kit.FillTxn(t, c, y, topic, 0, kit.Values(t, "y0", "y1").InTxn(py, 0))
		kit.FillTxn(t, c, x, topic, 0, kit.Values(t, "x1").InTxn(px, 1))
		kit.EndAndAwait(t, c, y, py, true)
		diff.Do(c, "second committed, first open", 12, committedOnly(kit.Fetch(topic, 0, 0)))
		kit.EndAndAwait(t, c, x, px, false)
		diff.Do(c, "first aborted", 12, committedOnly(kit.Fetch(topic, 0, 0)))
		diff.Do(c, "from the middle", 12, committedOnly(kit.Fetch(topic, 0, 3)))
	})
	l.Add("TXN/parked_reader_is_woken_by_commit", "FETCH-21", func(t *diff.T) {
		c, reader := t.Dial(), t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, t.Name("x"))
		kit.FillTxn(t, c, t.Name("x"), topic, 0, kit.Values(t, "a").InTxn(p, 0))
		req := committedOnly(kit.Fetch(topic, 0, 0))
		req.MaxWaitMillis = 8000
		parked := diff.Start(reader, "parked", 12, req)
		reader.Silent("nothing yet", 300*time.Millisecond)
		kit.EndAndAwait(t, c, t.Name("x"), p, true)
		parked.Wait(diff.Waits(8 * time.Second))
	})
	l.Add("TXN/three_in_a_row", "TXN-12 TXN-14", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		for i, commit := range []bool{true, false, true} {
			kit.FillTxn(t, c, x, topic, int32(i%2), kit.Values(t, fmt.Sprint(i)).InTxn(p, 0))
			resp := diff.Do(c, "end", 5, kit.End(x, p, commit))
			p = kit.Producer{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}
			kit.AwaitComplete(t, c, x)
		}
		diff.Do(c, "partition 0", 12, committedOnly(kit.Fetch(topic, 0, 0)))
		diff.Do(c, "partition 1", 12, committedOnly(kit.Fetch(topic, 1, 0)))
	})
}

func addingPartitions(l *diff.List) {
	l.Each("TXN/add_partitions", "TXN-08", diff.Range(0, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		diff.Do(c, "add", v, kit.AddPartitions(x, p, topic.Name, 0))
		diff.Do(c, "add the same and one more", v, kit.AddPartitions(x, p, topic.Name, 0, 1))
		diff.Do(c, "describe", 0, kit.DescribeTxn(x))
	})
	errors := map[string]func(t *diff.T, x *string, p *kit.Producer){
		"unknown_id":     func(t *diff.T, x *string, _ *kit.Producer) { *x = t.Name("nobody") },
		"wrong_producer": func(_ *diff.T, _ *string, p *kit.Producer) { p.ID = 424242 },
		"older_epoch":    func(_ *diff.T, _ *string, p *kit.Producer) { p.Epoch-- },
		"newer_epoch":    func(_ *diff.T, _ *string, p *kit.Producer) { p.Epoch++ },
		"empty_id":       func(_ *diff.T, x *string, _ *kit.Producer) { *x = "" },
	}
	for name, change := range errors {
		l.Each("TXN/add_partitions/"+name, "TXN-07 TXN-08", diff.Versions(1, 2, 3), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 2)
			x := t.Name("x")
			kit.NewProducer(t, c, x)
			p := kit.NewProducer(t, c, x) // epoch 1, so that there is an older one
			change(t, &x, &p)
			diff.Do(c, "add", v, kit.AddPartitions(x, p, topic.Name, 0))
		})
		l.Each("TXN/end/"+name, "TXN-07 TXN-11 TXN-12", diff.Versions(1, 4, 5), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			x := t.Name("x")
			kit.NewProducer(t, c, x)
			p := kit.NewProducer(t, c, x)
			t.Quiet(func() { diff.Do(c, "add", 3, kit.AddPartitions(x, p, topic.Name, 0)) })
			change(t, &x, &p)
			diff.Do(c, "end", v, kit.End(x, p, true))
		})
	}
	l.Each("TXN/add_partitions/one_is_missing", "TXN-09", diff.Versions(0, 3), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, t.Name("x"))
		diff.Do(c, "add", v, kit.AddPartitions(t.Name("x"), p, topic.Name, 0, 5))
		diff.Do(c, "describe", 0, kit.DescribeTxn(t.Name("x")))
	})
	l.Each("TXN/add_partitions/verify_only", "TXN-16", diff.Versions(4, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 2)
		p := kit.NewProducer(t, c, t.Name("x"))
		t.Quiet(func() { diff.Do(c, "add", 3, kit.AddPartitions(t.Name("x"), p, topic.Name, 0)) })
		req := kit.AddPartitions(t.Name("x"), p, topic.Name, 0, 1)
		req.Transactions[0].VerifyOnly = true
		diff.Do(c, "verify", v, req)
	})
	l.Each("TXN/add_offsets", "TXN-08", diff.Range(0, 4), func(t *diff.T, v int16) {
		c := t.Dial()
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		diff.Do(c, "add", v, kit.AddOffsets(x, p, t.Name("g")))
		diff.Do(c, "describe", 0, kit.DescribeTxn(x), diff.Ignore("the partition is a hash of the group's name and the count of partitions", "TransactionStates[].Topics[].Partitions"))
		p.Epoch += 2
		diff.Do(c, "newer epoch", v, kit.AddOffsets(x, p, t.Name("g")))
		diff.Do(c, "unknown id", v, kit.AddOffsets(t.Name("nobody"), p, t.Name("g")))
	})
}

func ending(l *diff.List) {
	l.Each("TXN/end_without_a_transaction", "TXN-11 TXN-13", diff.Range(0, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		diff.Do(c, "abort", v, kit.End(x, p, false))
		kit.AwaitComplete(t, c, x)
		diff.Do(c, "commit", v, kit.End(x, p, true))
		diff.Do(c, "describe", 0, kit.DescribeTxn(x))
	})
	l.Each("TXN/end_again", "TXN-11 TXN-12", diff.Versions(1, 3, 4, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		t.Quiet(func() { diff.Do(c, "add", 3, kit.AddPartitions(x, p, topic.Name, 0)) })
		diff.Do(c, "commit", v, kit.End(x, p, true))
		kit.AwaitComplete(t, c, x)
		diff.Do(c, "commit again", v, kit.End(x, p, true))
		diff.Do(c, "abort", v, kit.End(x, p, false))
	})
}

func transactionalProduce(l *diff.List) {
	// Alone: Kafka verifies the transactions of one moment in one batch, and the
	// error that all of them get is that of the first one's version.
	l.EachExclusive("TXN/produce_without_adding", "TXN-15 TXN-16", diff.Versions(7, 10, 11, 12, 13), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		diff.Do(c, "produce", v, kit.ProduceTxn(x, topic, 0, kit.Values(t, "a").InTxn(p, 0).Bytes()))
		diff.Do(c, "describe", 0, kit.DescribeTxn(x))
	})
	l.Each("TXN/produce_without_transactional_id", "TXN-18", diff.Versions(9, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, t.Name("x"))
		diff.Try(c, "produce", v, kit.Produce(topic, 0, kit.Values(t, "a").InTxn(p, 0).Bytes()))
	})
	l.Each("TXN/plain_batch_with_transactional_id", "TXN-18", diff.Versions(9, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		diff.Try(c, "produce", v, kit.ProduceTxn(t.Name("x"), topic, 0, kit.Values(t, "a").Bytes()))
	})
	l.Add("TXN/plain_batch_inside_a_transaction", "TXN-19", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		kit.FillTxn(t, c, x, topic, 0, kit.Values(t, "a").InTxn(p, 0))
		diff.Do(c, "same producer, not transactional", 12, kit.Produce(topic, 0, kit.Values(t, "b").From(p, 1).Bytes()))
	})
	l.Each("TXN/late_batch_after_the_marker", "TXN-20", diff.Versions(9, 12), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x := t.Name("x")
		p := kit.NewProducer(t, c, x)
		kit.FillTxn(t, c, x, topic, 0, kit.Values(t, "a").InTxn(p, 0))
		kit.EndAndAwait(t, c, x, p, false)
		diff.Do(c, "the old epoch", v, kit.ProduceTxn(x, topic, 0, kit.Values(t, "b").InTxn(p, 1).Bytes()))
		diff.Do(c, "last stable offset", 12, committedOnly(kit.Fetch(topic, 0, 0)))
	})
	l.Add("TXN/fenced_producer_produces", "TXN-02 IDEM-09", func(t *diff.T) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x := t.Name("x")
		old := kit.NewProducer(t, c, x)
		p := kit.NewProducer(t, c, x)
		kit.FillTxn(t, c, x, topic, 0, kit.Values(t, "new").InTxn(p, 0))
		diff.Do(c, "produce", 12, kit.ProduceTxn(x, topic, 0, kit.Values(t, "old").InTxn(old, 0).Bytes()))
	})
}

func transactionalOffsets(l *diff.List) {
	l.Each("TXN/offsets", "TXN-15 TXN-28 TXN-29 OFFS-11 OFFS-12", diff.Range(0, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		x, g := t.Name("x"), t.Name("g")
		p := kit.NewProducer(t, c, x)
		t.Quiet(func() { diff.Do(c, "plain commit", 7, kit.Commit(g, topic, 0, 3)) })
		if v < 5 {
			diff.Do(c, "add offsets", 3, kit.AddOffsets(x, p, g))
		}
		diff.Do(c, "commit in the transaction", v, kit.TxnCommit(x, p, g, topic, 8))
		diff.Do(c, "not visible yet", 7, kit.Committed(g, topic, 0))
		stable := kit.Committed(g, topic, 0)
		stable.RequireStable = true
		diff.Do(c, "not stable yet", 7, stable)
		diff.Do(c, "end", v, kit.End(x, p, v%2 == 1))
		kit.AwaitComplete(t, c, x)
		diff.Do(c, "after the end", 8, stable)
	})
	l.EachExclusive("TXN/offsets_without_adding", "TXN-15", diff.Versions(2, 4, 5), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, t.Name("x"))
		diff.Do(c, "commit", v, kit.TxnCommit(t.Name("x"), p, t.Name("g"), topic, 8))
		diff.Do(c, "describe", 0, kit.DescribeTxn(t.Name("x")), diff.Ignore("the partition is a hash", "TransactionStates[].Topics[].Partitions"))
	})
	members := map[string]func(*kmsg.TxnOffsetCommitRequest){
		"unknown_member":    func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID = "stranger" },
		"wrong_generation":  func(r *kmsg.TxnOffsetCommitRequest) { r.Generation += 3 },
		"member":            func(*kmsg.TxnOffsetCommitRequest) {},
		"nobody":            func(r *kmsg.TxnOffsetCommitRequest) { r.Generation, r.MemberID = -1, "" },
		"unknown_instance":  func(r *kmsg.TxnOffsetCommitRequest) { r.InstanceID = new("i9") },
		"missing_topic":     func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Topic += "x" },
		"missing_partition": func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 9 },
		"wrong_epoch":       func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerEpoch += 2 },
		"wrong_producer":    func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerID = 31337 },
	}
	for name, change := range members {
		l.Each("TXN/offsets/"+name, "TXN-28", diff.Versions(3, 5), func(t *diff.T, v int16) {
			c := t.Dial()
			topic := kit.NewTopic(t, c, "t", 1)
			m := kit.JoinAlone(t, c, t.Name("g"))
			p := kit.NewProducer(t, c, t.Name("x"))
			t.Quiet(func() { diff.Do(c, "add offsets", 3, kit.AddOffsets(t.Name("x"), p, m.Group)) })
			req := kit.TxnCommit(t.Name("x"), p, m.Group, topic, 8)
			req.Generation, req.MemberID = m.Generation, m.ID
			change(req)
			diff.Do(c, "commit", v, req)
		})
	}
}

func transactionAdmin(l *diff.List) {
	l.Each("TXN/list", "TXN-34", diff.Range(0, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, t.Name("open"))
		kit.NewProducer(t, c, t.Name("idle"))
		kit.FillTxn(t, c, t.Name("open"), topic, 0, kit.Values(t, "a").InTxn(p, 0))
		diff.Do(c, "all", v, kmsg.NewPtrListTransactionsRequest(), diff.Own("TransactionStates"))
		req := kmsg.NewPtrListTransactionsRequest()
		req.StateFilters = []string{"Ongoing", "Bogus"}
		diff.Do(c, "by state", v, req, diff.Own("TransactionStates"))
		req = kmsg.NewPtrListTransactionsRequest()
		req.ProducerIDFilters = []int64{p.ID, 99999999}
		diff.Do(c, "by producer", v, req, diff.Own("TransactionStates"))
	})
	l.Add("TXN/list_by_pattern", "TXN-34", func(t *diff.T) {
		c := t.Dial()
		kit.NewProducer(t, c, t.Name("one"))
		kit.NewProducer(t, c, t.Name("two"))
		for _, pattern := range []string{"one-.*", "o", "(", ""} {
			req := kmsg.NewPtrListTransactionsRequest()
			req.TransactionalIDPattern = &pattern
			diff.Do(c, "pattern "+pattern, 2, req, diff.Own("TransactionStates"))
		}
	})
	l.Add("TXN/describe_missing", "TXN-34", func(t *diff.T) {
		diff.Do(t.Dial(), "describe", 0, kit.DescribeTxn(t.Name("nobody"), ""))
	})
	l.Each("TXN/write_markers", "TXN-32 TXN-33", diff.Versions(1, 2), func(t *diff.T, v int16) {
		c := t.Dial()
		topic := kit.NewTopic(t, c, "t", 1)
		p := kit.NewProducer(t, c, t.Name("x"))
		kit.FillTxn(t, c, t.Name("x"), topic, 0, kit.Values(t, "a").InTxn(p, 0))
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch = p.ID, p.Epoch
		tp := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		tp.Topic, tp.Partitions = topic.Name, []int32{0, 5}
		m.Topics = append(m.Topics, tp)
		req.Markers = append(req.Markers, m)
		diff.Do(c, "abort by hand", v, req)
		diff.Do(c, "fetch", 12, committedOnly(kit.Fetch(topic, 0, 0)))
	})
}
