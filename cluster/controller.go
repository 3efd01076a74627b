package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Bounds of the controller.
const (
	// maxProposalBytes bounds the records of one operation.
	maxProposalBytes = 32 << 20
	// maxUncommittedBytes bounds what the leader holds that isn't committed yet.
	maxUncommittedBytes = 2 * maxProposalBytes
	// minSnapshotBytes is how much is logged at least before the next snapshot; a large image waits until the log since its
	// last snapshot is as large as that snapshot, so that the cost of snapshots stays in proportion.
	minSnapshotBytes = 1 << 20
	// maxSnapshotEntries bounds the entries that a start has to replay.
	maxSnapshotEntries = 10_000
	// keptEntries is how many entries stay behind a snapshot, for followers that are a little late.
	keptEntries = 1_000

	electionTicks  = 10
	heartbeatTicks = 1
)

var (
	// errNotController says that this node is not the Raft leader, or not ready to lead yet.
	errNotController = errors.New("not the active controller")
	// errControllerMoved says that leadership was lost while an operation was under way: it may or may not take effect.
	errControllerMoved = errors.New("the controller moved; the operation may or may not have taken effect")
	errProposalTooBig  = fmt.Errorf("the operation makes more than %d bytes of metadata", maxProposalBytes)
)

// controller is the core of the metadata quorum: etcd's Raft, and the image that the committed entries make. It has no
// goroutine, clock or I/O. Its shell feeds it (campaign, tick, step, propose), and while there is work takes it, makes it
// durable, and says so:
//
//	for c.hasWork() { w := c.work(); write w; send w.messages; applied, err := c.written(w) }
//
// One operation is under way at a time, so that each is decided on an image that holds all before it.
type controller struct {
	raft    *raft.RawNode
	storage *raftStorage
	image   *Image
	applied uint64 // index of the last entry applied
	term    uint64 // of that entry
	conf    *raftpb.ConfState

	inFlight *inFlight

	sinceSnapshotBytes   int
	sinceSnapshotEntries int
	lastSnapshotBytes    int
}

// inFlight is the operation under way, and what it makes of the image.
type inFlight struct {
	index, term uint64
	image       *Image
	delta       Delta
}

// raftStorage is what of the log and the snapshot Raft may ask for, in memory: the entries since the last snapshot and
// keptEntries before it.
type raftStorage struct {
	*raft.MemoryStorage
	bootstrap *raftpb.ConfState // the voters before the first snapshot
}

func (s *raftStorage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hard, conf, err := s.MemoryStorage.InitialState()
	if len(conf.GetVoters()) == 0 {
		conf = s.bootstrap
	}
	return hard, conf, err
}

// controllerState is what a controller starts from.
type controllerState struct {
	term, vote uint64
	voters     []uint64
	snapshot   *raftpb.Snapshot // nil: none
	entries    []*raftpb.Entry
}

// raftID is a node's id in Raft, where 0 is no node.
func raftID(nodeID int32) uint64 { return uint64(nodeID) + 1 }

func newController(nodeID int32, s controllerState, log *slog.Logger) (*controller, error) {
	c := &controller{image: &Image{}, storage: &raftStorage{raft.NewMemoryStorage(), &raftpb.ConfState{Voters: s.voters}}}
	c.conf = c.storage.bootstrap
	if s.snapshot != nil {
		if err := c.restore(s.snapshot); err != nil {
			return nil, err
		}
	}
	if err := c.storage.Append(s.entries); err != nil {
		return nil, fmt.Errorf("metadata log: %w", err)
	}
	for _, e := range s.entries {
		c.logged(e)
	}
	if s.term != 0 {
		commit := c.applied
		if err := c.storage.SetHardState(&raftpb.HardState{Term: &s.term, Vote: &s.vote, Commit: &commit}); err != nil {
			return nil, fmt.Errorf("metadata log: %w", err)
		}
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID: raftID(nodeID), ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: c.storage, Applied: c.applied,
		MaxSizePerMsg: 1 << 20, MaxUncommittedEntriesSize: maxUncommittedBytes, MaxInflightMsgs: 256,
		CheckQuorum: true, PreVote: true, DisableProposalForwarding: true, Logger: raftLogger{log},
	})
	if err != nil {
		return nil, fmt.Errorf("raft: %w", err)
	}
	c.raft = node
	return c, nil
}

// restore begins from a snapshot; what was before is void.
func (c *controller) restore(s *raftpb.Snapshot) error {
	img, err := DecodeSnapshot(s.GetData())
	if err != nil {
		return err
	}
	if err := c.storage.ApplySnapshot(s); err != nil && !errors.Is(err, raft.ErrSnapOutOfDate) {
		return fmt.Errorf("metadata snapshot: %w", err)
	}
	c.image = img
	c.applied, c.term, c.conf = s.GetMetadata().GetIndex(), s.GetMetadata().GetTerm(), s.GetMetadata().GetConfState()
	c.lastSnapshotBytes = len(s.GetData())
	c.sinceSnapshotBytes, c.sinceSnapshotEntries = 0, 0
	return nil
}

func (c *controller) logged(e *raftpb.Entry) {
	c.sinceSnapshotBytes += len(e.GetData())
	c.sinceSnapshotEntries++
}

// campaign makes this node a candidate at once. The only voter leads as soon as the work of this is written.
func (c *controller) campaign() error { return c.raft.Campaign() }

// tick is the passing of one tick of time.
func (c *controller) tick() { c.raft.Tick() }

// step takes a message from another voter.
func (c *controller) step(m *raftpb.Message) error { return c.raft.Step(m) }

// leads says whether operations can be decided here: this node is the leader and has applied all that came before.
func (c *controller) leads() bool {
	s := c.raft.BasicStatus()
	return s.RaftState == raft.StateLeader && c.term == s.GetTerm()
}

// busy says whether an operation is under way.
func (c *controller) busy() bool { return c.inFlight != nil }

// propose has op decided on the newest image and proposes what it makes. done is set where nothing has to be committed.
func (c *controller) propose(op Operation, env Env) (d Decision, done bool, err error) {
	if !c.leads() || c.busy() {
		return Decision{}, false, errNotController
	}
	d, err = op.Decide(c.image, env)
	if err != nil || len(d.Records) == 0 {
		return d, true, err
	}
	// What can't be applied must not be committed: it would stop every node at every start.
	img, delta, err := c.image.Apply(c.applied+1, d.Records)
	if err != nil {
		return Decision{}, true, err
	}
	data := EncodeRecords(nil, d.Records)
	if len(data) > maxProposalBytes {
		return Decision{}, true, errProposalTooBig
	}
	if err := c.raft.Propose(data); err != nil {
		return Decision{}, true, fmt.Errorf("raft: %w", err)
	}
	c.inFlight = &inFlight{index: c.applied + 1, term: c.term, image: img, delta: delta}
	return d, false, nil
}

// controllerWork is what the shell has to do before written: replace everything by the snapshot if there is one, store
// term and vote if they changed, append the entries (removing stored ones from the first one's index on), all in this
// order and durably if sync is set; then send the messages.
type controllerWork struct {
	snapshot   *raftpb.Snapshot
	newState   bool
	term, vote uint64
	entries    []*raftpb.Entry
	sync       bool
	messages   []*raftpb.Message

	ready raft.Ready
}

func (c *controller) hasWork() bool { return c.raft.HasReady() }

func (c *controller) work() controllerWork {
	rd := c.raft.Ready()
	w := controllerWork{entries: rd.Entries, sync: rd.MustSync, messages: rd.Messages, ready: rd}
	if !raft.IsEmptySnap(rd.Snapshot) {
		w.snapshot = rd.Snapshot
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		w.newState, w.term, w.vote = rd.MustSync, rd.GetTerm(), rd.GetVote()
	}
	return w
}

// appliedBatch is a batch of records that was committed and applied.
type appliedBatch struct {
	image *Image
	delta Delta
	// own is set where it is the operation that was proposed here.
	own bool
}

// written tells the core that work is done; it gives what was committed by that, in order. lost is set where the
// operation under way can't be known to succeed any more. An error ends the controller.
func (c *controller) written(w controllerWork) (applied []appliedBatch, lost bool, err error) {
	rd := w.ready
	if w.snapshot != nil {
		if err := c.restore(w.snapshot); err != nil {
			return nil, false, err
		}
		applied = append(applied, appliedBatch{image: c.image, delta: c.image.Everything()})
	}
	if err := c.storage.Append(rd.Entries); err != nil {
		return nil, false, fmt.Errorf("raft: %w", err)
	}
	for _, e := range rd.Entries {
		c.logged(e)
	}
	for _, e := range rd.CommittedEntries {
		b, ok, err := c.apply(e)
		if err != nil {
			return applied, false, err
		}
		if ok {
			applied = append(applied, b)
		}
	}
	c.raft.Advance(rd)
	if c.inFlight != nil {
		s := c.raft.BasicStatus()
		if s.RaftState != raft.StateLeader || s.GetTerm() != c.inFlight.term {
			c.inFlight, lost = nil, true
		}
	}
	return applied, lost, nil
}

func (c *controller) apply(e *raftpb.Entry) (b appliedBatch, ok bool, err error) {
	c.applied, c.term = e.GetIndex(), e.GetTerm()
	switch e.GetType() {
	case raftpb.EntryNormal:
		if len(e.GetData()) == 0 {
			return appliedBatch{}, false, nil
		}
		if p := c.inFlight; p != nil && p.index == e.GetIndex() && p.term == e.GetTerm() {
			c.inFlight, c.image = nil, p.image
			return appliedBatch{image: p.image, delta: p.delta, own: true}, true, nil
		}
		records, err := DecodeRecords(e.GetData())
		if err != nil {
			return appliedBatch{}, false, fmt.Errorf("metadata entry %d: %w", e.GetIndex(), err)
		}
		img, delta, err := c.image.Apply(e.GetIndex(), records)
		if err != nil {
			return appliedBatch{}, false, err
		}
		c.image = img
		return appliedBatch{image: img, delta: delta}, true, nil
	default:
		return appliedBatch{}, false, fmt.Errorf("metadata entry %d has type %v, which this program doesn't know", e.GetIndex(), e.GetType())
	}
}

// snapshotDue says whether it is time for a snapshot.
func (c *controller) snapshotDue() bool {
	return c.sinceSnapshotEntries >= maxSnapshotEntries || c.sinceSnapshotBytes >= max(minSnapshotBytes, c.lastSnapshotBytes)
}

// snapshotPoint is what a snapshot is to hold; data is made of image later, off the core.
type snapshotPoint struct {
	image       *Image
	index, term uint64
	conf        *raftpb.ConfState
	data        []byte
}

// snapshot begins a snapshot of what is applied now.
func (c *controller) snapshot() snapshotPoint {
	c.sinceSnapshotBytes, c.sinceSnapshotEntries = 0, 0
	return snapshotPoint{image: c.image, index: c.applied, term: c.term, conf: c.conf}
}

// snapshotStored says that a snapshot is stored durably. It gives the index up to which (inclusively) the log isn't needed any more.
func (c *controller) snapshotStored(s snapshotPoint) (trim uint64, err error) {
	c.lastSnapshotBytes = len(s.data)
	if _, err := c.storage.CreateSnapshot(s.index, s.conf, s.data); err != nil {
		if errors.Is(err, raft.ErrSnapOutOfDate) {
			return 0, nil
		}
		return 0, fmt.Errorf("metadata snapshot: %w", err)
	}
	if s.index <= keptEntries {
		return 0, nil
	}
	trim = s.index - keptEntries
	if err := c.storage.Compact(trim); err != nil && !errors.Is(err, raft.ErrCompacted) {
		return 0, fmt.Errorf("metadata snapshot: %w", err)
	}
	return trim, nil
}

// raftLogger has Raft's own messages at debug level: what an operator needs to know the shell says itself.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) print(level slog.Level, v ...any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "raft", "says", fmt.Sprint(v...))
	}
}

func (l raftLogger) printf(level slog.Level, format string, v ...any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "raft", "says", fmt.Sprintf(format, v...))
	}
}

func (l raftLogger) Debug(v ...any)                   { l.print(slog.LevelDebug, v...) }
func (l raftLogger) Debugf(format string, v ...any)   { l.printf(slog.LevelDebug, format, v...) }
func (l raftLogger) Info(v ...any)                    { l.print(slog.LevelDebug, v...) }
func (l raftLogger) Infof(format string, v ...any)    { l.printf(slog.LevelDebug, format, v...) }
func (l raftLogger) Warning(v ...any)                 { l.print(slog.LevelWarn, v...) }
func (l raftLogger) Warningf(format string, v ...any) { l.printf(slog.LevelWarn, format, v...) }
func (l raftLogger) Error(v ...any)                   { l.print(slog.LevelError, v...) }
func (l raftLogger) Errorf(format string, v ...any)   { l.printf(slog.LevelError, format, v...) }
func (l raftLogger) Fatal(v ...any)                   { l.Panic(v...) }
func (l raftLogger) Fatalf(format string, v ...any)   { l.Panicf(format, v...) }
func (l raftLogger) Panic(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
