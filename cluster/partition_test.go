package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"github.com/kbroker/kbroker/storage/vfs"
)

type testWatcher struct {
	mu    sync.Mutex
	wakes []int64
}

func newTestWatcher() *testWatcher { return &testWatcher{} }

func (w *testWatcher) Wake(more int64) {
	w.mu.Lock()
	w.wakes = append(w.wakes, more)
	w.mu.Unlock()
}

// take gives how often w was woken since the last time, and by how many bytes together.
func (w *testWatcher) take() (n int, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = len(w.wakes)
	for _, b := range w.wakes {
		bytes += b
	}
	w.wakes = nil
	return n, bytes
}

func fetch(offset int64) ReadRequest {
	return ReadRequest{Offset: offset, MaxBytes: 1 << 20, AtLeastOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}
}

func read(t testing.TB, p *Partition, r ReadRequest) ReadResult {
	t.Helper()
	result, err := p.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	result.Records.Release()
	return result
}

func TestNodePartition(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	n.do(opFunc(func(_ *Image, env Env) (Decision, error) {
		id := env.NewUUID()
		return Decision{Records: []Record{TopicRecord{Name: "elsewhere", ID: id},
			PartitionRecord{TopicID: id, PartitionInfo: PartitionInfo{Replicas: []int32{2}, ISR: []int32{2}, Leader: 2}}}}, nil
	}))
	for _, c := range []struct {
		topic     string
		partition int32
		want      error
	}{
		{"a", 0, nil}, {"a", 1, ErrUnknownTopicOrPartition}, {"a", -1, ErrUnknownTopicOrPartition}, {"b", 0, ErrUnknownTopicOrPartition},
		{"elsewhere", 0, ErrNotLeader}, {"elsewhere", 1, ErrUnknownTopicOrPartition},
	} {
		t.Run(fmt.Sprintf("PROD_26_FETCH_22 %s-%d", c.topic, c.partition), func(t *testing.T) {
			if _, err := n.Partition(c.topic, c.partition); !errors.Is(err, c.want) {
				t.Fatal(err)
			}
		})
	}
}

func TestAppend_PROD(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	t.Run("31 offsets are dense in order of arrival", func(t *testing.T) {
		for i := range 5 {
			if info := mustAppend(t, p, fmt.Sprint(i), "b"); info.FirstOffset != int64(2*i) || info.LastOffset != int64(2*i+1) {
				t.Fatalf("%+v", info)
			}
		}
	})
	t.Run("22 too few in sync refuse acks=all and append nothing", func(t *testing.T) {
		n.configure(ConfigResource{ResourceTopic, "a"}, "min.insync.replicas", "2")
		n.info("a", 0, func(p *PartitionInfo) { p.Replicas = []int32{1, 2}; p.PartitionEpoch++ })
		before := p.LogEndOffset()
		if _, err := p.Append(AppendRequest{Records: testBatch("x"), Acks: -1}); !errors.Is(err, ErrNotEnoughReplicas) || p.LogEndOffset() != before {
			t.Fatalf("%v, log end %d", err, p.LogEndOffset())
		}
	})
	t.Run("24 acks 0 and 1 don't ask who is in sync", func(t *testing.T) {
		for _, acks := range []int16{0, 1} {
			if _, err := p.Append(AppendRequest{Records: testBatch("x"), Acks: acks}); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("24 min.insync.replicas counts as far as there are replicas", func(t *testing.T) {
		n.info("a", 0, func(p *PartitionInfo) { p.Replicas = []int32{1}; p.PartitionEpoch++ })
		mustAppend(t, p, "x")
	})
	t.Run("26 another leader refuses", func(t *testing.T) {
		n.info("a", 0, func(p *PartitionInfo) { p.Leader, p.Replicas = 2, []int32{1, 2}; p.LeaderEpoch++; p.PartitionEpoch++ })
		if _, err := p.Append(AppendRequest{Records: testBatch("x"), Acks: 1}); !errors.Is(err, ErrNotLeader) {
			t.Fatal(err)
		}
		if _, err := p.Read(fetch(0)); !errors.Is(err, ErrNotLeader) {
			t.Fatal(err)
		}
		debug := fetch(0)
		debug.ToLogEnd = true
		if r := read(t, p, debug); r.Records.Bytes == 0 {
			t.Fatal("FETCH_31 a debugging consumer reads from any replica")
		}
	})
}

// wait gives what done is called with.
func await(t testing.TB, p *Partition, offset int64) (already bool, err func() error) {
	t.Helper()
	var mu sync.Mutex
	var got []error
	already, _ = p.AwaitCommitted(offset, func(err error) {
		mu.Lock()
		got = append(got, err)
		mu.Unlock()
	})
	return already, func() error {
		mu.Lock()
		defer mu.Unlock()
		switch len(got) {
		case 0:
			return errStillWaiting
		case 1:
			return got[0]
		}
		return fmt.Errorf("done was called %d times", len(got))
	}
}

var errStillWaiting = errors.New("still waiting")

func TestAwaitCommitted(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	t.Run("is done at once in os mode", func(t *testing.T) {
		info := mustAppend(t, p, "x")
		if already, _ := await(t, p, info.LastOffset); !already {
			t.Fatal("it isn't")
		}
	})
	// A second replica in sync that never fetches holds the high watermark.
	n.info("a", 0, func(p *PartitionInfo) { p.Replicas, p.ISR = []int32{1, 2}, []int32{1, 2}; p.PartitionEpoch++ })
	info := mustAppend(t, p, "y")
	w := newTestWatcher()
	p.Watch(w)
	t.Run("PROD_25 waits for the high watermark, which readers wait for too", func(t *testing.T) {
		already, err := await(t, p, info.LastOffset)
		if already || !errors.Is(err(), errStillWaiting) {
			t.Fatal("committed")
		}
		if r := read(t, p, fetch(info.LastOffset)); r.Records.Bytes != 0 || r.HighWatermark != info.LastOffset {
			t.Fatalf("REPL_01 read above the high watermark: %+v", r)
		}
		n.info("a", 0, func(p *PartitionInfo) { p.ISR = []int32{1}; p.PartitionEpoch++ })
		if err() != nil {
			t.Fatal(err())
		}
		if woken, _ := w.take(); woken == 0 {
			t.Fatal("readers sleep on")
		}
	})
	t.Run("PROD_23 an ISR that became too small is told, the record stays", func(t *testing.T) {
		n.configure(ConfigResource{ResourceTopic, "a"}, "min.insync.replicas", "2")
		n.info("a", 0, func(p *PartitionInfo) { p.ISR = []int32{1, 2}; p.PartitionEpoch++ })
		info := mustAppend(t, p, "z")
		already, err := await(t, p, info.LastOffset)
		n.info("a", 0, func(p *PartitionInfo) { p.ISR = []int32{1}; p.PartitionEpoch++ })
		if already || !errors.Is(err(), ErrNotEnoughReplicasAfterAppend) {
			t.Fatalf("already %v, %v", already, err())
		}
		if _, err := await(t, p, info.LastOffset); !errors.Is(err(), ErrNotEnoughReplicasAfterAppend) {
			t.Fatal(err())
		}
		if got := contents(t, p); !slices.Contains(got, "z") {
			t.Fatal(got)
		}
	})
	t.Run("withdrawn is withdrawn", func(t *testing.T) {
		n.info("a", 0, func(p *PartitionInfo) { p.ISR = []int32{1, 2}; p.PartitionEpoch++ })
		info := mustAppend(t, p, "w")
		called := false
		_, withdraw := p.AwaitCommitted(info.LastOffset, func(error) { called = true })
		withdraw()
		withdraw()
		n.info("a", 0, func(p *PartitionInfo) { p.ISR = []int32{1}; p.PartitionEpoch++ })
		if called {
			t.Fatal("called")
		}
	})
}

func TestDeletion_META_34(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	mustAppend(t, p, "old")
	n.info("a", 0, func(p *PartitionInfo) { p.Replicas, p.ISR = []int32{1, 2}, []int32{1, 2}; p.PartitionEpoch++ })
	info := mustAppend(t, p, "uncommitted")
	_, committed := await(t, p, info.LastOffset)
	w := newTestWatcher()
	p.Watch(w)
	w.take()
	n.remove("a")
	t.Run("FETCH_32 who waits is told", func(t *testing.T) {
		if !errors.Is(committed(), ErrUnknownTopicOrPartition) {
			t.Fatal(committed())
		}
		if woken, _ := w.take(); woken == 0 {
			t.Fatal("the watcher sleeps on")
		}
	})
	t.Run("nothing can be done with it any more", func(t *testing.T) {
		_, appended := p.Append(AppendRequest{Records: testBatch("x"), Acks: 1})
		_, readable := p.Read(fetch(0))
		_, deleted := p.DeleteRecords(-1)
		_, found := n.Partition("a", 0)
		_, waited := await(t, p, 100)
		for what, err := range map[string]error{"append": appended, "read": readable, "delete": deleted, "find": found, "wait": waited()} {
			if !errors.Is(err, ErrUnknownTopicOrPartition) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("the name is free and means another topic", func(t *testing.T) {
		n.create("a", 1)
		again := n.partition("a", 0)
		if again.TopicID() == p.TopicID() || len(contents(t, again)) != 0 {
			t.Fatal("META_14 it is the old one")
		}
		mustAppend(t, again, "new")
	})
}

// Appends race with deletion and creation: each fails with unknown topic, or its record is in the partition it went to.
func TestAppendsRaceWithDeletion(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	var wg sync.WaitGroup
	var end atomic.Bool
	for range 4 {
		wg.Go(func() {
			for !end.Load() {
				p, err := n.Partition("a", 0)
				if err == nil {
					_, err = p.Append(AppendRequest{Records: testBatch("x"), Acks: -1})
				}
				if err != nil && !errors.Is(err, ErrUnknownTopicOrPartition) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 50 {
		n.remove("a")
		n.create("a", 1)
	}
	end.Store(true)
	wg.Wait()
}

func TestRead_FETCH(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	for range 10 {
		mustAppend(t, p, "x", "y")
	}
	if _, err := p.DeleteRecords(3); err != nil {
		t.Fatal(err)
	}
	t.Run("13 outside of the log is out of range", func(t *testing.T) {
		for _, offset := range []int64{-1, 0, 2, 21, 1 << 40} {
			if _, err := p.Read(fetch(offset)); !errors.Is(err, storage.ErrOffsetOutOfRange) {
				t.Errorf("%d: %v", offset, err)
			}
		}
	})
	t.Run("13 at the end is empty", func(t *testing.T) {
		if r := read(t, p, fetch(20)); r.Records.Bytes != 0 || r.Records.Next != 20 {
			t.Fatalf("%+v", r)
		}
	})
	t.Run("15 the offsets are one view", func(t *testing.T) {
		if r := read(t, p, fetch(5)); r.HighWatermark != 20 || r.LastStableOffset != 20 || r.LogStartOffset != 3 || r.Records.Next != 20 {
			t.Fatalf("%+v", r)
		}
	})
	t.Run("17 aborted transactions are a list for read_committed only", func(t *testing.T) {
		r := fetch(5)
		if read(t, p, r).Aborted != nil {
			t.Fatal("not nil")
		}
		r.Isolation = ReadCommitted
		if read(t, p, r).Aborted == nil {
			t.Fatal("nil")
		}
		r.Offset = 20
		if read(t, p, r).Aborted == nil {
			t.Fatal("nil at the end")
		}
	})
	t.Run("24 leader epochs are compared", func(t *testing.T) {
		n.info("a", 0, func(p *PartitionInfo) { p.LeaderEpoch = 5; p.PartitionEpoch++ })
		mustAppend(t, p, "z")
		for epoch, want := range map[int32]error{-1: nil, -7: nil, 5: nil, 4: ErrFencedLeaderEpoch, 0: ErrFencedLeaderEpoch, 6: ErrUnknownLeaderEpoch} {
			r := fetch(5)
			r.CurrentLeaderEpoch = epoch
			if result, err := p.Read(r); !errors.Is(err, want) {
				t.Errorf("%d: %v", epoch, err)
			} else if err == nil {
				result.Records.Release()
			}
		}
	})
	t.Run("29 another history is told by its end", func(t *testing.T) {
		for _, c := range []struct {
			offset    int64
			epoch     int32
			diverging *storage.EpochEnd
			err       error
		}{
			{20, 0, nil, nil},
			{21, 0, &storage.EpochEnd{Epoch: 0, EndOffset: 20}, nil},
			{20, 3, &storage.EpochEnd{Epoch: 0, EndOffset: 20}, nil},
			{21, 5, nil, nil},
			{20, 6, nil, storage.ErrOffsetOutOfRange},
			{2, 0, nil, storage.ErrOffsetOutOfRange},
		} {
			r := fetch(c.offset)
			r.LastFetchedEpoch = c.epoch
			result, err := p.Read(r)
			if !errors.Is(err, c.err) {
				t.Errorf("%+v: %v", c, err)
				continue
			}
			if err != nil {
				continue
			}
			if (result.Diverging == nil) != (c.diverging == nil) || c.diverging != nil && *result.Diverging != *c.diverging {
				t.Errorf("%+v: diverging %+v", c, result.Diverging)
			}
			if result.Diverging != nil && result.Records.Bytes != 0 {
				t.Errorf("%+v: records of another history", c)
			}
			result.Records.Release()
		}
	})
}

func TestRead_FETCH_10_tells_an_older_segment(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	n.configure(ConfigResource{ResourceTopic, "a"}, "segment.bytes", "1048576")
	p := n.partition("a", 0)
	for range 3 {
		mustAppend(t, p, strings.Repeat("x", 600_000))
	}
	if !read(t, p, fetch(0)).OlderSegment || read(t, p, fetch(2)).OlderSegment {
		t.Fatal("wrong")
	}
}

func TestDeleteRecords_DREC(outer *testing.T) {
	t := outer
	fs := newMem()
	n := runNode(t, fs)
	n.create("a", 1)
	p := n.partition("a", 0)
	mustAppend(t, p, "0", "1", "2", "3", "4")
	w := newTestWatcher()
	p.Watch(w)
	for _, c := range []struct {
		name         string
		before, want int64
		err          error
	}{
		{"02 below -1", -2, -1, storage.ErrOffsetOutOfRange},
		{"02 above the high watermark", 6, -1, storage.ErrOffsetOutOfRange},
		{"04 in the middle of a batch", 3, 3, nil},
		{"02 at the log start", 3, 3, nil},
		{"02 below the log start", 1, 3, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := p.DeleteRecords(c.before); got != c.want || !errors.Is(err, c.err) {
				t.Fatalf("%d, %v", got, err)
			}
		})
	}
	t.Run("04 reads below are out of range", func(t *testing.T) {
		if _, err := p.Read(fetch(2)); !errors.Is(err, storage.ErrOffsetOutOfRange) {
			t.Fatal(err)
		}
		if woken, _ := w.take(); woken != 1 {
			t.Fatalf("woken %d times", woken)
		}
	})
	t.Run("05 a kill doesn't take it back", func(t *testing.T) {
		n = runNode(outer, n.kill())
		p = n.partition("a", 0)
		if start, _, _ := p.Offsets(); start != 3 {
			t.Fatal(start)
		}
	})
	t.Run("01 up to the high watermark", func(t *testing.T) {
		if got, err := p.DeleteRecords(-1); got != 5 || err != nil {
			t.Fatalf("%d, %v", got, err)
		}
		if start, hw, lso := p.Offsets(); start != 5 || hw != 5 || lso != 5 {
			t.Fatal(start, hw, lso)
		}
	})
}

func TestOffsets_LOFF(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	none := func(t *testing.T, got storage.TimestampOffset, err error) {
		t.Helper()
		if err != nil || got.Offset != -1 || got.TimestampMillis != -1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	t.Run("04 an empty log has nothing", func(t *testing.T) {
		got, err := p.OffsetForTimestamp(0, ReadUncommitted)
		none(t, got, err)
		got, err = p.MaxTimestamp()
		none(t, got, err)
	})
	at := func(millis ...int64) {
		t.Helper()
		b := batch.NewBuilder()
		for _, m := range millis {
			b.Append(m, nil, []byte("x"))
		}
		if _, err := p.Append(AppendRequest{Records: b.Build(), Acks: 1}); err != nil {
			t.Fatal(err)
		}
	}
	at(100, 200)
	n.info("a", 0, func(p *PartitionInfo) { p.Replicas, p.ISR = []int32{1, 2}, []int32{1, 2}; p.PartitionEpoch++ })
	at(50) // above the high watermark
	t.Run("03 the first record at or after", func(t *testing.T) {
		if got, err := p.OffsetForTimestamp(0, ReadUncommitted); err != nil || got != (storage.TimestampOffset{Offset: 0, TimestampMillis: 100}) {
			t.Fatalf("%+v, %v", got, err)
		}
		if got, err := p.OffsetForTimestamp(101, ReadCommitted); err != nil || got != (storage.TimestampOffset{Offset: 1, TimestampMillis: 200}) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
	t.Run("04 what only a record above the high watermark could be isn't found", func(t *testing.T) {
		got, err := p.OffsetForTimestamp(201, ReadUncommitted)
		none(t, got, err)
	})
	t.Run("05 the largest timestamp, not above the high watermark", func(t *testing.T) {
		if got, err := p.MaxTimestamp(); err != nil || got.Offset != 1 || got.TimestampMillis != 200 {
			t.Fatalf("%+v, %v", got, err)
		}
	})
	t.Run("02 latest is the high watermark", func(t *testing.T) {
		if _, hw, lso := p.Offsets(); hw != 2 || lso != 2 || p.LogEndOffset() != 3 {
			t.Fatal(hw, lso)
		}
	})
	t.Run("13 an epoch ends where the next begins, the latest at the log's end", func(t *testing.T) {
		n.info("a", 0, func(p *PartitionInfo) { p.LeaderEpoch = 4; p.PartitionEpoch++ })
		mustAppend(t, p, "z")
		for epoch, want := range map[int32]storage.EpochEnd{0: {Epoch: 0, EndOffset: 3}, 3: {Epoch: 0, EndOffset: 3}, 4: {Epoch: 4, EndOffset: 4}, 5: {Epoch: -1, EndOffset: -1}} {
			if got := p.EndOffsetForEpoch(epoch); got != want {
				t.Errorf("%d: %+v, want %+v", epoch, got, want)
			}
		}
		if p.EpochOf(0) != 0 || p.EpochOf(3) != 4 || p.EpochOf(4) != 4 {
			t.Error(p.EpochOf(0), p.EpochOf(3), p.EpochOf(4))
		}
	})
}

func TestLiveSettings_LOG_15(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	maxBytes := func() int {
		l, err := p.log()
		if err != nil {
			t.Fatal(err)
		}
		return l.Config().MaxMessageBytes
	}
	before := maxBytes()
	for _, c := range []struct {
		r          ConfigResource
		key, value string
		want       int
	}{
		{ConfigResource{ResourceBroker, ""}, "message.max.bytes", "2000", 2000},
		{ConfigResource{ResourceBroker, "1"}, "message.max.bytes", "3000", 3000},
		{ConfigResource{ResourceBroker, "2"}, "message.max.bytes", "9000", 3000},
		{ConfigResource{ResourceTopic, "a"}, "max.message.bytes", "4000", 4000},
		{ConfigResource{ResourceTopic, "b"}, "max.message.bytes", "9000", 4000},
	} {
		n.configure(c.r, c.key, c.value)
		if got := maxBytes(); got != c.want {
			t.Errorf("after %v %s=%s: %d", c.r, c.key, c.value, got)
		}
	}
	n.do(records(ConfigRecord{Resource: ConfigResource{ResourceTopic, "a"}, Key: "max.message.bytes"},
		ConfigRecord{Resource: ConfigResource{ResourceBroker, ""}, Key: "message.max.bytes"},
		ConfigRecord{Resource: ConfigResource{ResourceBroker, "1"}, Key: "message.max.bytes"}))
	if got := maxBytes(); got != before {
		t.Errorf("%d, was %d", got, before)
	}
}

// slowSync is a file system whose syncs take as long as before does.
type slowSync struct {
	vfs.FS
	before func(name string)
}

func (s slowSync) Open(name string, flag int) (vfs.File, error) {
	f, err := s.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return slowSyncFile{f, s.before}, nil
}

type slowSyncFile struct {
	vfs.File
	before func(name string)
}

func (f slowSyncFile) Sync() error {
	f.before(f.Name())
	return f.File.Sync()
}

func TestFsync(t *testing.T) {
	fsyncing := func(c *Config) { c.Durability = DurabilityFsync }
	t.Run("many appends share a sync", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var syncs atomic.Int64
			n := runNode(t, slowSync{newMem(), func(name string) {
				if strings.HasPrefix(name, "/data/a-0/") && strings.HasSuffix(name, ".log") {
					syncs.Add(1)
					<-release
				}
			}}, fsyncing)
			n.create("a", 1)
			p := n.partition("a", 0)
			first := mustAppend(t, p, "first")
			_, committed := await(t, p, first.LastOffset)
			synctest.Wait()
			var later []func() error
			for range 100 {
				info := mustAppend(t, p, "later")
				_, done := await(t, p, info.LastOffset)
				later = append(later, done)
			}
			if !errors.Is(committed(), errStillWaiting) {
				t.Fatal("acknowledged before the sync")
			}
			if r := read(t, p, fetch(0)); r.HighWatermark != 0 || r.Records.Bytes != 0 {
				t.Fatalf("what isn't durable is read: %+v", r)
			}
			w := newTestWatcher()
			p.Watch(w)
			close(release)
			synctest.Wait()
			for _, done := range append(later, committed) {
				if done() != nil {
					t.Fatal(done())
				}
			}
			if got := syncs.Load(); got != 2 {
				t.Errorf("%d syncs for 101 appends", got)
			}
			if _, bytes := w.take(); bytes != p.Size() {
				t.Errorf("woken for %d bytes of %d", bytes, p.Size())
			}
			n.stop()
		})
	})
	t.Run("PROD_34 the first failed sync stops that log and no other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fs := newMem()
			n, err := newTestNode(t, fs, fsyncing)
			if err != nil {
				t.Fatal(err)
			}
			n.run()
			<-n.Ready()
			n.create("a", 2)
			p, other := n.partition("a", 0), n.partition("a", 1)
			broken := errors.New("disk gone")
			fs.SetFault(vfs.FailOnce(func(op vfs.Op) bool { return op.Kind == vfs.OpSync && strings.HasPrefix(op.Name, "/data/a-0/") }, broken))
			w := newTestWatcher()
			p.Watch(w)
			info := mustAppend(t, p, "x")
			_, committed := await(t, p, info.LastOffset)
			synctest.Wait()
			if !errors.Is(committed(), storage.ErrStorage) {
				t.Fatal(committed())
			}
			if woken, _ := w.take(); woken == 0 {
				t.Error("readers sleep on")
			}
			if _, err := p.Append(AppendRequest{Records: testBatch("y"), Acks: 1}); !errors.Is(err, storage.ErrStorage) {
				t.Errorf("RELIABILITY fail-stop: %v", err)
			}
			if _, late := await(t, p, info.LastOffset); !errors.Is(late(), storage.ErrStorage) {
				t.Error(late())
			}
			info = mustAppend(t, other, "z")
			_, _ = await(t, other, info.LastOffset)
			synctest.Wait()
			if already, _ := await(t, other, info.LastOffset); !already {
				t.Error("the other log stands still")
			}
			n.stopped = true
			n.cancel()
			if err := <-n.done; err != nil {
				t.Error(err)
			}
			if err := n.manager.Close(); !errors.Is(err, broken) {
				t.Errorf("Close: %v", err)
			}
		})
	})
	t.Run("Durable: what was acknowledged survives a power cut", func(t *testing.T) {
		for seed := range uint64(10) {
			fs := vfs.NewMem(vfs.MemOptions{TrackSync: true})
			n := runNode(t, fs, fsyncing)
			n.create("a", 1)
			p := n.partition("a", 0)
			var want []string
			for i := range 20 {
				v := fmt.Sprint(i)
				info := mustAppend(t, p, v)
				done := make(chan error, 1)
				if already, _ := p.AwaitCommitted(info.LastOffset, func(err error) { done <- err }); !already {
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				want = append(want, v)
			}
			left := fs.Crash(vfs.CrashOptions{Unsynced: vfs.KeepSubset, Tear: true, Seed: seed})
			n.stopped = true
			n.cancel()
			<-n.done
			n.manager.Close()
			again := runNode(t, left, fsyncing)
			if got := contents(t, again.partition("a", 0)); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %v", seed, got)
			}
			again.stop()
		}
	})
}

func TestLogThatCannotBeOpened(t *testing.T) {
	fs := newMem()
	n := runNode(t, fs)
	fs.SetFault(vfs.FailWhere(func(op vfs.Op) bool { return strings.HasPrefix(op.Name, "/data/a-1") }, errors.New("disk gone")))
	n.create("a", 3)
	fs.SetFault(nil)
	p := n.partition("a", 1)
	w := fetch(0)
	_, readable := p.Read(w)
	_, appended := p.Append(AppendRequest{Records: testBatch("x"), Acks: 1})
	_, looked := p.MaxTimestamp()
	for what, err := range map[string]error{"read": readable, "append": appended, "look up": looked} {
		if !errors.Is(err, storage.ErrStorage) {
			t.Errorf("LOG_16 PROD_34 %s: %v", what, err)
		}
	}
	for _, other := range []int32{0, 2} {
		mustAppend(t, n.partition("a", other), "x")
	}
}

func TestShutdown(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	n.info("a", 0, func(p *PartitionInfo) { p.Replicas, p.ISR = []int32{1, 2}, []int32{1, 2}; p.PartitionEpoch++ })
	info := mustAppend(t, p, "x")
	_, committed := await(t, p, info.LastOffset)
	n.stop()
	if !errors.Is(committed(), ErrShuttingDown) {
		t.Error(committed())
	}
	if _, err := p.Append(AppendRequest{Records: testBatch("y"), Acks: 1}); !errors.Is(err, ErrShuttingDown) {
		t.Error(err)
	}
}

func TestWatchers(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 1)
	p := n.partition("a", 0)
	var ws []*testWatcher
	for range 1000 {
		w := newTestWatcher()
		ws = append(ws, w)
		p.Watch(w)
		p.Watch(w)
	}
	info := mustAppend(t, p, "x")
	for i, w := range ws {
		if woken, bytes := w.take(); woken != 1 || bytes != int64(info.Bytes) {
			t.Fatalf("watcher %d: woken %d times, %d bytes", i, woken, bytes)
		}
		p.Unwatch(w)
		p.Unwatch(w)
	}
	mustAppend(t, p, "x")
	for _, w := range ws {
		if woken, _ := w.take(); woken != 0 {
			t.Fatal("woken after Unwatch")
		}
	}
}

func TestTopicStats(t *testing.T) {
	n := runNode(t, newMem())
	n.create("a", 2)
	in := mustAppend(t, n.partition("a", 0), "x", "y").Bytes + mustAppend(t, n.partition("a", 1), "z").Bytes
	out := read(t, n.partition("a", 0), fetch(0)).Records.Bytes
	n.partition("a", 0).CountSent(out)
	s := n.TopicStats("a")
	if s.MessagesIn.Load() != 3 || s.BytesIn.Load() != int64(in) || s.BytesOut.Load() != out || n.TopicStats("b") != nil {
		t.Fatalf("%d, %d, %d", s.MessagesIn.Load(), s.BytesIn.Load(), s.BytesOut.Load())
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, watchers := range []int{0, 1} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			n := runNode(b, newMem())
			n.create("a", 1)
			n.configure(ConfigResource{ResourceTopic, "a"}, "retention.bytes", "1048576")
			p := n.partition("a", 0)
			for range watchers {
				p.Watch(nopWatcher{})
			}
			records := testBatch(strings.Repeat("x", 1000))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Append(AppendRequest{Records: records, Acks: -1, AllowZstd: true}); err != nil {
					b.Fatal(err)
				}
				clear(records[:8]) // the base offset is the client's again
			}
		})
	}
}

type nopWatcher struct{}

func (nopWatcher) Wake(int64) {}
