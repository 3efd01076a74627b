package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// opFunc is an operation made of its decision.
type opFunc func(img *Image, env Env) (Decision, error)

func (f opFunc) Decide(img *Image, env Env) (Decision, error) { return f(img, env) }

func records(rs ...Record) Operation {
	return opFunc(func(*Image, Env) (Decision, error) { return Decision{Records: rs}, nil })
}

// quorum drives some controllers by hand: what each stored is kept apart, messages are delivered when the test says so.
type quorum struct {
	t     *testing.T
	cores []*controller
	disks []controllerState
	mail  []*raftpb.Message
	cut   map[uint64]bool // nodes that nothing comes from or gets to
}

func newQuorum(t *testing.T, nodes int) *quorum {
	q := &quorum{t: t, cut: map[uint64]bool{}, cores: make([]*controller, nodes), disks: make([]controllerState, nodes)}
	for i := range nodes {
		for j := range nodes {
			q.disks[i].voters = append(q.disks[i].voters, raftID(int32(j)))
		}
		q.restart(i)
	}
	return q
}

// restart has a node begin again from what it stored.
func (q *quorum) restart(i int) {
	q.t.Helper()
	d := q.disks[i]
	d.entries = append([]*raftpb.Entry(nil), d.entries...)
	c, err := newController(int32(i), d, slog.New(slog.DiscardHandler))
	if err != nil {
		q.t.Fatal(err)
	}
	q.cores[i] = c
}

func (q *quorum) store(i int, w controllerWork) {
	d := &q.disks[i]
	if w.snapshot != nil {
		d.snapshot, d.entries = w.snapshot, nil
	}
	if w.newState {
		d.term, d.vote = w.term, w.vote
	}
	for _, e := range w.entries {
		for n, old := range d.entries {
			if old.GetIndex() >= e.GetIndex() {
				d.entries = d.entries[:n]
				break
			}
		}
		d.entries = append(d.entries, e)
	}
}

// settle works and delivers until nothing is left to do. It gives how many own and lost operations there were.
func (q *quorum) settle() (own, lost int) {
	q.t.Helper()
	for again := true; again; {
		again = false
		for i, c := range q.cores {
			for c.hasWork() {
				again = true
				w := c.work()
				q.store(i, w)
				q.mail = append(q.mail, w.messages...)
				applied, gone, err := c.written(w)
				if err != nil {
					q.t.Fatal(err)
				}
				for _, b := range applied {
					if b.own {
						own++
					}
				}
				if gone {
					lost++
				}
			}
		}
		mail := q.mail
		q.mail = nil
		for _, m := range mail {
			if q.cut[m.GetTo()] || q.cut[m.GetFrom()] {
				continue
			}
			again = true
			if err := q.cores[m.GetTo()-1].step(m); err != nil {
				q.t.Fatal(err)
			}
		}
	}
	return own, lost
}

// lead makes a node the leader.
func (q *quorum) lead(i int) {
	q.t.Helper()
	// The voters forget the old leader, so that they vote; what they say meanwhile nobody hears.
	others := q.cut
	q.cut = map[uint64]bool{}
	for j, c := range q.cores {
		q.cut[raftID(int32(j))] = true
		for range electionTicks {
			if j != i && !others[raftID(int32(j))] {
				c.tick()
			}
		}
	}
	q.settle()
	q.cut = others
	if err := q.cores[i].campaign(); err != nil {
		q.t.Fatal(err)
	}
	q.settle()
	if !q.cores[i].leads() {
		q.t.Fatalf("node %d doesn't lead", i)
	}
}

func (q *quorum) propose(i int, op Operation) {
	q.t.Helper()
	if _, done, err := q.cores[i].propose(op, Env{}); done || err != nil {
		q.t.Fatalf("done %v, %v", done, err)
	}
}

func TestController_one_node(t *testing.T) {
	q := newQuorum(t, 1)
	if _, _, err := q.cores[0].propose(records(ClusterRecord{"a"}), Env{}); !errors.Is(err, errNotController) {
		t.Fatalf("decided before leading: %v", err)
	}
	q.lead(0)
	q.propose(0, records(ClusterRecord{"a"}))
	if _, _, err := q.cores[0].propose(records(ClusterRecord{"a"}), Env{}); !errors.Is(err, errNotController) {
		t.Fatalf("a second operation was decided while one is under way: %v", err)
	}
	if own, lost := q.settle(); own != 1 || lost != 0 || q.cores[0].image.ClusterID != "a" {
		t.Fatalf("own %d, lost %d, image %+v", own, lost, q.cores[0].image)
	}
	t.Run("what contradicts the image is refused, not committed", func(t *testing.T) {
		before := q.cores[0].applied
		if _, done, err := q.cores[0].propose(records(ClusterRecord{"b"}), Env{}); !done || err == nil {
			t.Fatalf("done %v, %v", done, err)
		}
		q.settle()
		if q.cores[0].applied != before {
			t.Fatal("something was committed")
		}
	})
	t.Run("all is there after a restart", func(t *testing.T) {
		q.restart(0)
		q.lead(0)
		if q.cores[0].image.ClusterID != "a" {
			t.Fatalf("image %+v", q.cores[0].image)
		}
	})
	t.Run("a snapshot and what follows make the same image", func(t *testing.T) {
		q.propose(0, records(topicRecords("t", 1, 2)...))
		q.settle()
		s := q.cores[0].snapshot()
		s.data = s.image.EncodeSnapshot()
		if _, err := q.cores[0].snapshotStored(s); err != nil {
			t.Fatal(err)
		}
		q.propose(0, records(topicRecords("u", 2, 1)...))
		q.settle()
		want := q.cores[0].image.EncodeSnapshot()
		snap, err := q.cores[0].storage.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		d := &q.disks[0]
		d.snapshot = snap
		for len(d.entries) > 0 && d.entries[0].GetIndex() <= s.index {
			d.entries = d.entries[1:]
		}
		q.restart(0)
		q.lead(0)
		if got := q.cores[0].image.EncodeSnapshot(); string(got) != string(want) {
			t.Fatal("another image")
		}
	})
}

func TestController_three_nodes(t *testing.T) {
	q := newQuorum(t, 3)
	q.lead(0)
	q.propose(0, records(ClusterRecord{"a"}))
	q.settle()
	// Node 0 proposes while nobody hears it; the others go on without it.
	q.cut[1] = true
	q.propose(0, records(topicRecords("lost", 1, 1)...))
	q.settle()
	q.lead(1)
	q.propose(1, records(topicRecords("kept", 2, 1)...))
	if own, _ := q.settle(); own != 1 {
		t.Fatal("two of three can't commit")
	}
	q.cut[1] = false
	q.cores[1].tick()
	if _, lost := q.settle(); lost != 1 {
		t.Fatal("the operation of the deposed leader isn't given up")
	}
	for i, c := range q.cores {
		if c.image.Topic("kept") == nil || c.image.Topic("lost") != nil {
			t.Errorf("node %d has %v", i, c.image.TopicNames())
		}
	}
	t.Run("what was overwritten stays overwritten after a restart", func(t *testing.T) {
		q.restart(0)
		q.cores[1].tick()
		q.settle()
		if c := q.cores[0]; c.image.Topic("kept") == nil || c.image.Topic("lost") != nil {
			t.Errorf("node 0 has %v", c.image.TopicNames())
		}
	})
	t.Run("a late node gets a snapshot", func(t *testing.T) {
		q.cut[3] = true
		for n := range keptEntries + 10 {
			q.propose(1, records(topicRecords(fmt.Sprint("t", n), 10+n, 1)...))
			q.settle()
		}
		s := q.cores[1].snapshot()
		s.data = s.image.EncodeSnapshot()
		if trim, err := q.cores[1].snapshotStored(s); err != nil || trim == 0 {
			t.Fatal(trim, err)
		}
		q.cut[3] = false
		for range 5 {
			q.cores[1].tick()
			q.settle()
		}
		if got := q.cores[2].image; got.NumTopics() != q.cores[1].image.NumTopics() || q.disks[2].snapshot == nil {
			t.Fatalf("%d topics, snapshot %v", got.NumTopics(), q.disks[2].snapshot != nil)
		}
	})
}
