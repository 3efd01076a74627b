package coord_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/coord/coordtest"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/batch"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a machine that keeps what it replayed.
type journal struct {
	replayed []string
	ended    []string
	loaded   bool
	parked   []func(string)
	deadline int64
	ticks    []int64
	fail     string
}

func (j *journal) Replay(at coord.Position, key, value []byte) error {
	if string(key) == j.fail && j.fail != "" {
		return errors.New("can't be read")
	}
	e := fmt.Sprintf("%d:%s=%s", at.Offset, key, value)
	if at.ProducerID >= 0 {
		e += fmt.Sprintf("@%d", at.ProducerID)
	}
	j.replayed = append(j.replayed, e)
	return nil
}

func (j *journal) EndTransaction(producerID int64, committed bool) {
	j.ended = append(j.ended, fmt.Sprintf("%d %v", producerID, committed))
}
func (j *journal) Loaded(*coord.Output) { j.loaded = true }
func (j *journal) Unloaded(out *coord.Output) {
	for _, p := range j.parked {
		out.Reply(func() { p("unloaded") })
	}
}
func (j *journal) Deadline() (int64, bool) { return j.deadline, j.deadline > 0 }
func (j *journal) Tick(out *coord.Output) {
	j.ticks = append(j.ticks, out.Now)
	j.deadline = 0
}

func newRuntime() *coord.Runtime[*journal] {
	cfg := coord.Config{Logger: slog.New(slog.DiscardHandler), CommitTimeout: 5 * time.Second}
	return coord.New(cfg, func(int32) *journal { return &journal{} })
}

// answers collects what was answered, from any goroutine.
type answers struct {
	mu   sync.Mutex
	list []string
}

func (a *answers) add(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, s)
}

func (a *answers) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}

// put writes a record and says in results how that went.
func put(t *testing.T, r *coord.Runtime[*journal], results *answers, keys ...string) {
	t.Helper()
	err := r.Do(0, func(_ *journal, out *coord.Output) {
		var records []coord.Record
		for _, k := range keys {
			records = append(records, coord.Record{Key: []byte(k), Value: []byte("v")})
		}
		out.Write(coord.Write{Records: records, Done: func(out *coord.Output, err error) {
			out.Reply(func() { results.add(fmt.Sprintf("%s: %v", strings.Join(keys, "+"), err)) })
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func replayed(t *testing.T, r *coord.Runtime[*journal]) (list []string) {
	t.Helper()
	if err := r.Do(0, func(j *journal, _ *coord.Output) { list = slices.Clone(j.replayed) }); err != nil {
		t.Fatal(err)
	}
	return list
}

func wantAll[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestWrite_is_done_once_it_is_committed(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	defer r.Close()
	r.LoadEmpty(0, l)
	var results answers
	put(t, r, &results, "a")
	wantAll(t, "committed at once", results.all(), "a: <nil>")
	l.Hold()
	put(t, r, &results, "b", "c")
	put(t, r, &results, "d")
	put(t, r, &results) // a barrier: nothing to write, but all before it
	wantAll(t, "before the commit", results.all(), "a: <nil>")
	wantAll(t, "the state is ahead", replayed(t, r), "0:a=v", "1:b=v", "2:c=v", "3:d=v")
	l.Release()
	wantAll(t, "after the commit", results.all(), "a: <nil>", "b+c: <nil>", "d: <nil>", ": <nil>")
}

func TestWrite_that_cannot_be_appended_changes_nothing(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	defer r.Close()
	r.LoadEmpty(0, l)
	var results answers
	l.FailAppends(storage.ErrStorage)
	put(t, r, &results, "a")
	l.FailAppends(nil)
	put(t, r, &results, "b")
	wantAll(t, "results", results.all(), "a: storage failure", "b: <nil>")
	wantAll(t, "state", replayed(t, r), "0:b=v")
}

func TestWrite_fails_after_the_commit_timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l := newRuntime(), &coordtest.Log{}
		defer r.Close()
		r.LoadEmpty(0, l)
		l.Hold()
		var results answers
		put(t, r, &results, "a")
		time.Sleep(3 * time.Second)
		put(t, r, &results, "b")
		time.Sleep(1999 * time.Millisecond)
		synctest.Wait()
		wantAll(t, "before", results.all())
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		wantAll(t, "the first", results.all(), "a: "+coord.ErrTimeout.Error())
		if n := l.Waiters(); n != 1 {
			t.Errorf("%d wait for a commit, want 1", n)
		}
		l.Release()
		wantAll(t, "the second", results.all(), "a: "+coord.ErrTimeout.Error(), "b: <nil>")
	})
}

func TestWrite_fails_when_its_commit_is_refused(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	defer r.Close()
	r.LoadEmpty(0, l)
	l.Hold()
	var results answers
	put(t, r, &results, "a")
	l.FailWaiters(errors.New("no longer the leader"))
	wantAll(t, "results", results.all(), "a: no longer the leader")
}

func TestWrite_commits_that_are_reported_from_within_an_append(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	defer r.Close()
	r.LoadEmpty(0, l)
	l.Hold()
	var results answers
	put(t, r, &results, "a")
	l.CommitOnAppend() // the next append calls the first one's waiter on this goroutine, with the shard's mutex held
	put(t, r, &results, "b")
	sorted := results.all()
	slices.Sort(sorted)
	wantAll(t, "results", sorted, "a: <nil>", "b: <nil>")
}

func TestWrite_is_split_only_where_it_may_be(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	defer r.Close()
	r.LoadEmpty(0, l)
	l.SetMaxBatchBytes(1000)
	big := strings.Repeat("x", 300)
	for _, splits := range []bool{false, true} {
		got := errors.New("not answered")
		err := r.Do(0, func(_ *journal, out *coord.Output) {
			var records []coord.Record
			for i := range 10 {
				records = append(records, coord.Record{Key: fmt.Append(nil, i), Value: []byte(big)})
			}
			out.Write(coord.Write{Records: records, Splits: splits, Done: func(_ *coord.Output, err error) { got = err }})
		})
		if err != nil {
			t.Fatal(err)
		}
		if splits && (got != nil || l.Batches() < 4) {
			t.Errorf("split: %v in %d batches", got, l.Batches())
		}
		if !splits && (!errors.Is(got, coord.ErrTooLarge) || l.Batches() != 0) {
			t.Errorf("not split: %v in %d batches", got, l.Batches())
		}
	}
	if n := len(replayed(t, r)); n != 10 {
		t.Errorf("%d records replayed, want 10", n)
	}
}

func TestLoad_replays_the_log(t *testing.T) {
	l := &coordtest.Log{}
	l.Put(batch.NewBuilder().Append(1, []byte("a"), []byte("1")).Append(1, []byte("b"), nil).Build())
	l.Put(batch.NewBuilder().SetProducer(7, 0, 0).SetTransactional().Append(1, []byte("t"), []byte("2")).Build())
	l.Put(batch.EndTxnMarker(1, 7, 0, batch.ControlCommit, 0))
	l.Put(batch.EndTxnMarker(1, 8, 0, batch.ControlAbort, 0))
	l.Put(batch.NewBuilder().SetCodec(batch.Gzip, 0).Append(1, []byte("c"), []byte("3")).Build())
	r := newRuntime()
	defer r.Close()
	r.Load(0, l)
	r.AwaitLoads()
	wantAll(t, "replayed", replayed(t, r), "0:a=1", "1:b=", "2:t=2@7", "5:c=3")
	err := r.Do(0, func(j *journal, _ *coord.Output) {
		wantAll(t, "transactions", j.ended, "7 true", "8 false")
		if !j.loaded {
			t.Error("Loaded was not called")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var results answers
	put(t, r, &results, "d")
	wantAll(t, "goes on behind the log", replayed(t, r)[4:], "6:d=v")
}

func TestLoad_CGRP_39_answers_loading_meanwhile(t *testing.T) {
	l := &coordtest.Log{}
	l.Put(batch.NewBuilder().Append(1, []byte("a"), []byte("1")).Build())
	open := l.GateReads()
	r := newRuntime()
	defer r.Close()
	r.Load(0, l)
	nothing := func(*journal, *coord.Output) { t.Error("the operation ran") }
	if err := r.Do(0, nothing); !errors.Is(err, coord.ErrLoading) {
		t.Errorf("while loading: %v", err)
	}
	if err := r.Do(1, nothing); !errors.Is(err, coord.ErrNotCoordinator) {
		t.Errorf("another partition: %v", err)
	}
	open()
	r.AwaitLoads()
	wantAll(t, "replayed", replayed(t, r), "0:a=1")
}

func TestLoad_begins_when_somebody_asks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := coord.Config{Logger: slog.New(slog.DiscardHandler), ParallelLoads: 1}
		r := coord.New(cfg, func(int32) *journal { return &journal{} })
		slow, quick := &coordtest.Log{}, &coordtest.Log{}
		for _, l := range []*coordtest.Log{slow, quick} {
			l.Put(batch.NewBuilder().Append(1, []byte("a"), []byte("1")).Build())
		}
		open := slow.GateReads()
		r.Load(1, slow)
		synctest.Wait()
		r.Load(0, quick) // its turn comes after the slow one
		start := time.Now()
		wantAll(t, "replayed", replayed(t, r), "0:a=1")
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v", took)
		}
		// Who asks for the slow one waits for a while, and no longer once that is over.
		for _, want := range []time.Duration{200 * time.Millisecond, 0} {
			start = time.Now()
			if err := r.Do(1, func(*journal, *coord.Output) {}); !errors.Is(err, coord.ErrLoading) || time.Since(start) != want {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
		open()
		r.Close()
	})
}

func TestLoad_that_fails_is_no_coordinator(t *testing.T) {
	l := &coordtest.Log{}
	l.Put(batch.NewBuilder().Append(1, []byte("a"), []byte("1")).Build())
	l.FailReads(storage.ErrStorage)
	r := newRuntime()
	defer r.Close()
	r.Load(0, l)
	r.AwaitLoads()
	if err := r.Do(0, func(*journal, *coord.Output) {}); !errors.Is(err, coord.ErrNotCoordinator) {
		t.Errorf("got %v", err)
	}
	// A later load of the same partition starts over.
	l.FailReads(nil)
	r.Load(0, l)
	r.AwaitLoads()
	wantAll(t, "replayed", replayed(t, r), "0:a=1")
}

func TestUnload_races_a_load(t *testing.T) {
	l := &coordtest.Log{}
	l.Put(batch.NewBuilder().Append(1, []byte("a"), []byte("1")).Build())
	open := l.GateReads()
	r := newRuntime()
	r.Load(0, l)
	r.Unload(0)
	open()
	r.AwaitLoads()
	if err := r.Do(0, func(*journal, *coord.Output) {}); !errors.Is(err, coord.ErrNotCoordinator) {
		t.Errorf("got %v", err)
	}
	r.Close()
	r.LoadEmpty(0, l) // nothing comes after Close
	if err := r.Do(0, func(*journal, *coord.Output) {}); !errors.Is(err, coord.ErrNotCoordinator) {
		t.Errorf("after Close: %v", err)
	}
}

func TestUnload_fails_what_waits(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	r.LoadEmpty(0, l)
	l.Hold()
	var results answers
	put(t, r, &results, "a")
	err := r.Do(0, func(j *journal, _ *coord.Output) {
		j.parked = append(j.parked, results.add)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Unload(0)
	wantAll(t, "results", results.all(), "a: "+coord.ErrNotCoordinator.Error(), "unloaded")
	if n := l.Waiters(); n != 0 {
		t.Errorf("%d still wait for a commit", n)
	}
	l.Release()
	wantAll(t, "nothing twice", results.all(), "a: "+coord.ErrNotCoordinator.Error(), "unloaded")
	r.Close()
}

func TestLoad_over_a_shard_that_is_active(t *testing.T) {
	r, l := newRuntime(), &coordtest.Log{}
	defer r.Close()
	r.LoadEmpty(0, l)
	var results answers
	put(t, r, &results, "a")
	l.Hold()
	put(t, r, &results, "b")
	r.Load(0, l)
	r.AwaitLoads()
	wantAll(t, "results", results.all(), "a: <nil>", "b: "+coord.ErrNotCoordinator.Error())
	wantAll(t, "replayed", replayed(t, r), "0:a=v", "1:b=v")
	// what was loaded isn't committed yet: a barrier waits for it
	put(t, r, &results)
	if all := results.all(); len(all) != 2 {
		t.Errorf("the barrier didn't wait: %v", all)
	}
	l.Release()
	wantAll(t, "then", results.all()[2:], ": <nil>")
}

func TestTimer_ticks_at_the_machine_s_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime()
		defer r.Close()
		r.LoadEmpty(0, &coordtest.Log{})
		set := func(in int64) {
			if err := r.Do(0, func(j *journal, out *coord.Output) { j.deadline = out.Now + in }); err != nil {
				t.Fatal(err)
			}
		}
		ticks := func() (ticks []int64) {
			if err := r.Do(0, func(j *journal, _ *coord.Output) { ticks = slices.Clone(j.ticks) }); err != nil {
				t.Fatal(err)
			}
			return ticks
		}
		set(1000)
		set(500) // earlier
		time.Sleep(501 * time.Millisecond)
		wantAll(t, "an earlier deadline", ticks(), 500)
		set(1000)
		time.Sleep(1001 * time.Millisecond)
		if n := len(ticks()); n != 2 {
			t.Errorf("%d ticks, want 2", n)
		}
		time.Sleep(time.Hour)
		if n := len(ticks()); n != 2 {
			t.Errorf("%d ticks without a deadline, want 2", n)
		}
	})
}

func TestReplies_are_delivered_without_the_shard_s_mutex(t *testing.T) {
	r := newRuntime()
	defer r.Close()
	r.LoadEmpty(0, &coordtest.Log{})
	ran := false
	err := r.Do(0, func(_ *journal, out *coord.Output) {
		out.Reply(func() {
			if err := r.Do(0, func(*journal, *coord.Output) { ran = true }); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil || !ran {
		t.Errorf("ran %v, %v", ran, err)
	}
}

func TestPartitionFor_CGRP_38_is_Kafka_s(t *testing.T) {
	for _, c := range []struct {
		key  string
		n    int32
		want int32
	}{
		{"", 50, 0},
		{"my-group", 50, 12},
		{"test", 50, 48},
		{"polygenelubricants", 50, 0}, // hashes to the smallest int
		{"größe", 50, coord.PartitionFor("gr\u00f6\u00dfe", 50)},
	} {
		if got := coord.PartitionFor(c.key, c.n); got != c.want {
			t.Errorf("PartitionFor(%q, %d) = %d, want %d", c.key, c.n, got, c.want)
		}
	}
	for s, want := range map[string]int32{"hello": 99162322, "polygenelubricants": -2147483648, "😀": 1772899} {
		if got := coord.JavaHash(s); got != want {
			t.Errorf("JavaHash(%q) = %d, want %d", s, got, want)
		}
	}
}
