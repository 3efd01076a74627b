package storage

import (
	"errors"
	"math"
	"testing"
)

// idem is a batch of an idempotent producer.
func idem(pid int64, epoch int16, seq int32, n int) produce {
	return produce{producer: true, pid: pid, epoch: epoch, seq: seq, n: n, size: 50}
}

var restarts = []struct {
	name string
	fn   func(testing.TB, *Log) *Log
}{
	{"without a restart", func(_ testing.TB, l *Log) *Log { return l }},
	{"after a clean stop", reopenClean},
	{"after a crash", reopenCrashed},
	{"after a crash with all synced", func(t testing.TB, l *Log) *Log {
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		return reopenCrashed(t, l)
	}},
	{"on a follower that read the log", func(t testing.TB, l *Log) *Log {
		f := openTest(t, testDirFS(t), l.Config(), OpenOptions{})
		for at := int64(0); at < l.LogEndOffset(); {
			r, err := l.Read(at, l.LogEndOffset(), 700, true)
			if err != nil {
				t.Fatal(err)
			}
			at = r.Next
			if _, err := f.AppendAsFollower(testNow, contents(t, r)); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}},
}

func TestIdempotence_IDEM_03_05_10_14_window_of_five_survives(t *testing.T) {
	for _, r := range restarts {
		t.Run(r.name, func(t *testing.T) {
			l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
			var infos []AppendInfo
			for i := range 8 { // several segments
				infos = append(infos, mustAppend(t, l, produce{producer: true, pid: 7, epoch: 1, seq: int32(i * 3), n: 3, size: 400, ts: testNow + int64(i)}))
				mustAppend(t, l, produce{size: 100})
			}
			l = r.fn(t, l)
			size := l.Size()
			for i := 3; i < 8; i++ {
				info, err := l.AppendAsLeader(testNow+99, 0, OriginClient, true, produce{producer: true, pid: 7, epoch: 1, seq: int32(i * 3), n: 3, size: 400}.batch())
				if err != nil {
					t.Fatalf("batch %d: %v", i, err)
				}
				if !info.Duplicate || info.FirstOffset != infos[i].FirstOffset || info.LastOffset != infos[i].LastOffset || info.LogAppendTimeMillis != testNow+int64(i) {
					t.Fatalf("batch %d: %+v, first time %+v", i, info, infos[i])
				}
			}
			if l.Size() != size {
				t.Fatal("a duplicate was appended")
			}
			_, err := l.AppendAsLeader(testNow, 0, OriginClient, true, produce{producer: true, pid: 7, epoch: 1, seq: 6, n: 3, size: 400}.batch())
			if !errors.Is(err, ErrOutOfOrderSequence) {
				t.Fatalf("a duplicate from before the window: %v", err)
			}
			// A batch that overlaps but isn't the same is no duplicate.
			_, err = l.AppendAsLeader(testNow, 0, OriginClient, true, idem(7, 1, 21, 2).batch())
			if !errors.Is(err, ErrOutOfOrderSequence) {
				t.Fatalf("another batch with a known first sequence: %v", err)
			}
			if info := mustAppend(t, l, idem(7, 1, 24, 1)); info.Duplicate {
				t.Fatal("the next batch was taken for a duplicate")
			}
		})
	}
}

func TestIdempotence_sequence_rules(t *testing.T) {
	type step struct {
		p    produce
		want error
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"IDEM_04 the next sequence is last+1", []step{{idem(1, 0, 0, 2), nil}, {idem(1, 0, 3, 1), ErrOutOfOrderSequence}, {idem(1, 0, 2, 1), nil}}},
		{"IDEM_04 sequences wrap to 0", []step{{idem(1, 0, math.MaxInt32-1, 2), nil}, {idem(1, 0, 0, 1), nil}, {idem(1, 0, 1, 1), nil}}},
		{"IDEM_04 a batch may wrap inside", []step{{idem(1, 0, math.MaxInt32-1, 4), nil}, {idem(1, 0, 2, 1), nil}, {idem(1, 0, 4, 1), ErrOutOfOrderSequence}}},
		{"IDEM_06 a higher epoch starts at 0", []step{{idem(1, 0, 0, 1), nil}, {idem(1, 1, 1, 1), ErrOutOfOrderSequence}, {idem(1, 1, 0, 1), nil}}},
		{"IDEM_07 any first sequence without state", []step{{idem(1, 5, 77, 1), nil}, {idem(1, 5, 78, 1), nil}}},
		{"IDEM_09 a lower epoch", []step{{idem(1, 4, 0, 1), nil}, {idem(1, 3, 1, 1), ErrInvalidProducerEpoch}}},
		{"IDEM_03 the epoch counts", []step{{idem(1, 0, 0, 1), nil}, {idem(1, 1, 0, 1), nil}, {idem(1, 0, 0, 1), ErrInvalidProducerEpoch}}},
		{"producers are independent", []step{{idem(1, 0, 0, 1), nil}, {idem(2, 0, 0, 1), nil}, {idem(1, 0, 1, 1), nil}}},
		{"PROD_09 a producer id without sequence", []step{{idem(1, 0, -1, 1), ErrInvalidRecord}}},
	} {
		for _, r := range restarts {
			t.Run(c.name+"/"+r.name, func(t *testing.T) {
				l := openTest(t, testDirFS(t), testConfig(), OpenOptions{})
				for i, s := range c.steps {
					if i == len(c.steps)-1 {
						l = r.fn(t, l)
					}
					end := l.LogEndOffset()
					info, err := l.AppendAsLeader(testNow, 0, OriginClient, true, s.p.batch())
					if !errors.Is(err, s.want) || s.want == nil && err != nil {
						t.Fatalf("step %d: %v, want %v", i, err, s.want)
					}
					if err == nil && (info.Duplicate || info.FirstOffset != end) {
						t.Fatalf("step %d: %+v at end %d", i, info, end)
					}
					if err != nil {
						var ae *AppendError
						if !errors.As(err, &ae) || ae.LogStartOffset != 0 {
							t.Fatalf("step %d: %#v has no log start", i, err)
						}
						if l.LogEndOffset() != end {
							t.Fatalf("step %d: a refused batch moved the end", i)
						}
					}
				}
			})
		}
	}
}

func TestIdempotence_IDEM_11_12_expiry_is_by_silence_not_by_deletion(t *testing.T) {
	cfg := testConfig()
	cfg.RetentionMillis = 1000
	l := openTest(t, testDirFS(t), cfg, OpenOptions{ProducerExpiryMillis: 5000})
	old := idem(1, 0, 0, 1)
	old.ts = testNow - 10*24*3600*1000 // clients choose timestamps; the producer is alive all the same
	mustAppend(t, l, old)
	if n, err := l.Retain(testNow+2000, l.LogEndOffset()); err != nil || n != 1 {
		t.Fatalf("%d segments deleted, %v", n, err)
	}
	l.ExpireProducers(testNow + 4999)
	if len(l.Producers()) != 1 {
		t.Fatal("expired with its data")
	}
	if _, err := l.AppendAsLeader(testNow+4999, 0, OriginClient, true, idem(1, 0, 5, 1).batch()); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Fatalf("the sequence was forgotten: %v", err)
	}
	l.ExpireProducers(testNow + 5000)
	if len(l.Producers()) != 0 {
		t.Fatal("not expired")
	}
}

func TestIdempotence_producer_ids_are_bounded(t *testing.T) {
	l := openTest(t, testDirFS(t), testConfig(), OpenOptions{MaxProducers: 3, ProducerExpiryMillis: 1000})
	for pid := range int64(3) {
		mustAppend(t, l, idem(pid, 0, 0, 1))
	}
	if _, err := l.AppendAsLeader(testNow, 0, OriginClient, true, idem(9, 0, 0, 1).batch()); !errors.Is(err, ErrTooManyProducers) {
		t.Fatalf("a fourth producer: %v", err)
	}
	mustAppend(t, l, idem(2, 0, 1, 1))
	if _, err := l.AppendAsLeader(testNow+1000, 0, OriginClient, true, idem(9, 0, 0, 1).batch()); err != nil {
		t.Fatalf("after the others expired: %v", err)
	}
}

func TestProducerSnapshot_reads_what_Kafka_writes(t *testing.T) {
	// One entry, as Kafka's ProducerStateManager.writeSnapshot lays it out.
	var kafka producerState
	kafka.producers = map[int64]*producer{4: {epoch: 2, coordinatorEpoch: 3, lastTimestamp: 99, txnFirstOffset: 10, count: 1,
		batches: [dedupWindow]sentBatch{{lastOffset: 12, lastSequence: 6, delta: 2, timestamp: 99}}}}
	b := kafka.encode()
	if len(b) != 2+4+4+46 {
		t.Fatalf("%d bytes", len(b))
	}
	var s producerState
	if err := s.decode(b, 13, testNow); err != nil {
		t.Fatal(err)
	}
	p := s.producers[4]
	if p.epoch != 2 || p.coordinatorEpoch != 3 || p.count != 1 || p.batches[0].firstSequence() != 4 || s.firstUnstable.Load() != 10 {
		t.Fatalf("%+v", p)
	}
	for i := range b {
		bad := append([]byte(nil), b...)
		bad[i] ^= 0x40
		if err := new(producerState).decode(bad, 13, testNow); !errors.Is(err, errBadSnapshot) {
			t.Fatalf("byte %d damaged: %v", i, err)
		}
	}
}
