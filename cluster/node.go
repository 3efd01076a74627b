package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/vfs"
)

// Durability says when a record counts as written.
type Durability int8

const (
	// DurabilityOS: when the operating system has it. That survives the end of the process, not a power cut.
	DurabilityOS Durability = iota
	// DurabilityFsync: when it is fsynced; many appends share one fsync. That survives a power cut.
	DurabilityFsync
)

// Config is what a Node is made of.
type Config struct {
	NodeID int32
	// ClusterID is the id that a new cluster gets and an existing one must have; empty: a random one, whatever it is.
	ClusterID string
	// Manager has the partitions' logs. Its owner closes it after Run has returned: that writes the mark of a clean stop.
	Manager *storage.Manager
	// FS and MetadataDir are where the metadata log is; its folder is MetadataDir/__cluster_metadata-0. FS need not be the
	// Manager's: metadata must not fail because records spent the memory budget.
	FS          vfs.FS
	MetadataDir string
	Static      *config.Static
	Logger      *slog.Logger
	// Endpoints and Rack are what this broker is registered with.
	Endpoints  []Endpoint
	Rack       *string
	Durability Durability
	// Random is where uuids come from; nil is the operating system's.
	Random io.Reader
}

// Node is one node of the cluster: the shell of its controller, and the partitions that it hosts. New starts nothing, Run does.
//
// One goroutine, the loop in Run, owns the controller's core, applies what is committed and calls the subscribers. Image,
// Partition, Do and NextProducerID may be called from anywhere; Partition and Do of use once Ready is closed.
//
// A committed change is carried out in this order: topics that went are stopped and forgotten, new partitions are opened,
// settings are applied, then the new image shows, then the subscribers are called, then Do returns. So whatever an image
// names can be used.
type Node struct {
	cfg Config
	log *slog.Logger

	ops     chan *proposal
	ready   chan struct{}
	stopped chan struct{} // closed when no operation is decided any more

	image  atomic.Pointer[Image]
	newest atomic.Pointer[Image] // what logs take their settings from; ahead of image while a change is carried out
	hosted atomic.Pointer[shardMap[string, *hostedTopic]]
	host   *partitionHost

	subscribing sync.Mutex
	subscribers []func(Delta, *Image)
	started     bool

	producerIDs *producerIDs
	flushes     flushQueue
	background  sync.WaitGroup
}

// hostedTopic is what this node hosts of a topic. It is replaced, never changed.
type hostedTopic struct {
	id         TopicID
	partitions []*Partition // by number; nil where another node hosts it
	stats      *TopicStats
}

// proposal is an operation on its way through the loop.
type proposal struct {
	ctx    context.Context
	op     Operation
	result any
	err    error
	done   chan struct{}
}

func (p *proposal) finish(result any, err error) {
	p.result, p.err = result, err
	close(p.done)
}

// New makes a node that does nothing yet.
func New(cfg Config) *Node {
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger,
		ops: make(chan *proposal), ready: make(chan struct{}), stopped: make(chan struct{}),
		producerIDs: newProducerIDs(),
	}
	n.image.Store(&Image{})
	n.newest.Store(&Image{})
	n.hosted.Store(&shardMap[string, *hostedTopic]{})
	n.flushes.changed = make(chan struct{}, 1)
	n.host = &partitionHost{
		nodeID: cfg.NodeID, fsync: cfg.Durability == DurabilityFsync, nowMillis: nowMillis,
		open: n.openLog, flushLater: n.flushes.add, openFailed: n.openFailed,
	}
	return n
}

func nowMillis() int64 { return time.Now().UnixMilli() }

// Ready is closed once the node leads, knows the cluster's metadata and is registered.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Image is the newest metadata.
func (n *Node) Image() *Image { return n.image.Load() }

// NodeID is this node's id.
func (n *Node) NodeID() int32 { return n.cfg.NodeID }

// Partition gives a partition that this node hosts: ErrUnknownTopicOrPartition where the cluster has none, ErrNotLeader where
// other nodes host it.
func (n *Node) Partition(topic string, partition int32) (*Partition, error) {
	t, ok := n.hosted.Load().get(shardOfString(topic), topic)
	if ok && partition >= 0 && int(partition) < len(t.partitions) && t.partitions[partition] != nil {
		return t.partitions[partition], nil
	}
	if info := n.Image().Partition(topic, partition); info != nil && !hosts(info, n.cfg.NodeID) {
		return nil, ErrNotLeader
	}
	return nil, ErrUnknownTopicOrPartition
}

// Partitions calls fn for every partition that this node hosts, in no particular order, until it returns false.
func (n *Node) Partitions(fn func(*Partition) bool) {
	for _, t := range n.hosted.Load().all() {
		for _, p := range t.partitions {
			if p != nil && !fn(p) {
				return
			}
		}
	}
}

// TopicStats gives the counters of a topic of which this node hosts something, nil for others.
func (n *Node) TopicStats(topic string) *TopicStats {
	if t, ok := n.hosted.Load().get(shardOfString(topic), topic); ok {
		return t.stats
	}
	return nil
}

// Subscribe has fn called with every change, in order, from the loop, after this node has carried it out and before the
// operation that made it returns. The first call shows all there is as created. fn must not wait for the controller.
func (n *Node) Subscribe(fn func(Delta, *Image)) {
	n.subscribing.Lock()
	defer n.subscribing.Unlock()
	n.subscribers = append(n.subscribers, fn)
	if n.started {
		img := n.image.Load()
		fn(img.Everything(), img)
	}
}

// Do has the controller decide an operation and commit what it makes, and returns its result once this node has carried it
// out. An error of ctx leaves open whether the operation takes effect, unless ctx had ended before. ErrShuttingDown
// where the node stops.
func (n *Node) Do(ctx context.Context, op Operation) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &proposal{ctx: ctx, op: op, done: make(chan struct{})}
	select {
	case n.ops <- p:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.stopped:
		return nil, ErrShuttingDown
	}
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Run starts the node and serves until ctx ends or something fails for good. When it returns all partitions refuse work
// with ErrShuttingDown and nothing of the node runs any more; the logs are left to the Manager's Close.
func (n *Node) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		n.stopPartitions()
		n.background.Wait()
		n.host.syncers.Wait()
	}()
	l, err := n.newLoop()
	if err != nil {
		close(n.stopped)
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	defer close(n.stopped)
	if err := l.start(ctx); err != nil {
		return err
	}
	n.background.Go(func() { n.openAll(ctx) })
	n.background.Go(func() { n.maintain(ctx) })
	close(n.ready)
	return l.run(ctx)
}

// loop is the state of Run's goroutine.
type loop struct {
	n       *Node
	core    *controller
	storage *metadataLog
	env     Env
	current *proposal // the operation under way
	result  any
	// replaying is set while the node starts: what is committed is applied to the image only.
	replaying bool

	snapshotting bool
	snapshots    chan storedSnapshot
}

type storedSnapshot struct {
	point snapshotPoint
	err   error
}

func (n *Node) newLoop() (*loop, error) {
	l := &loop{n: n, snapshots: make(chan storedSnapshot, 1), env: Env{NodeID: n.cfg.NodeID, NewUUID: newUUID(n.cfg.Random)}}
	m, state, err := openMetadataLog(n.cfg.FS, path.Join(n.cfg.MetadataDir, MetadataTopic+"-0"), raftID(n.cfg.NodeID), n.host.fsync, n.host.nowMillis, n.log)
	if err != nil {
		return nil, err
	}
	if l.core, err = newController(n.cfg.NodeID, state, n.log); err != nil {
		return nil, errors.Join(err, m.close())
	}
	l.storage = m
	return l, nil
}

func (l *loop) close() error {
	if l.current != nil {
		l.current.finish(nil, ErrShuttingDown)
	}
	if l.snapshotting {
		<-l.snapshots
	}
	return l.storage.close()
}

// start leads the quorum, replays what is committed, registers the node and takes up its partitions.
func (l *loop) start(ctx context.Context) error {
	n := l.n
	l.replaying = true
	if err := l.core.campaign(); err != nil {
		return fmt.Errorf("raft: %w", err)
	}
	if err := l.drive(ctx); err != nil {
		return err
	}
	if id := l.core.image.ClusterID; id != "" && n.cfg.ClusterID != "" && id != n.cfg.ClusterID {
		return fmt.Errorf("%w: the metadata belong to cluster %s, this is to be cluster %s", storage.ErrForeignCluster, id, n.cfg.ClusterID)
	}
	clusterID := n.cfg.ClusterID
	if clusterID == "" {
		clusterID = n.cfg.Manager.ClusterID()
	}
	l.propose(&proposal{ctx: ctx, done: make(chan struct{}), op: startNode{
		clusterID: clusterID, minInSyncReplicas: strconv.Itoa(n.cfg.Static.Int("min.insync.replicas")), unclean: !n.cfg.Manager.CleanStart(),
		broker: BrokerInfo{ID: n.cfg.NodeID, Rack: n.cfg.Rack, Endpoints: n.cfg.Endpoints},
	}})
	p := l.current
	if err := l.drive(ctx); err != nil {
		return err
	}
	if p == nil || l.current != nil {
		return fmt.Errorf("this node can't register: %w", errNotController)
	}
	if p.err != nil {
		return fmt.Errorf("this node can't register: %w", p.err)
	}
	l.replaying = false
	img := l.core.image
	if err := n.cfg.Manager.SetClusterID(img.ClusterID); err != nil {
		return err
	}
	n.adopt(img)
	return nil
}

// run decides operations until ctx ends.
func (l *loop) run(ctx context.Context) error {
	for {
		ops := l.n.ops
		if l.current != nil || !l.core.leads() {
			ops = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case p := <-ops:
			l.propose(p)
		case s := <-l.snapshots:
			if err := l.snapshotStored(s); err != nil {
				return err
			}
		}
		if err := l.drive(ctx); err != nil {
			return err
		}
		if l.core.snapshotDue() && !l.snapshotting {
			l.takeSnapshot()
		}
	}
}

func (l *loop) propose(p *proposal) {
	if err := p.ctx.Err(); err != nil {
		p.finish(nil, err)
		return
	}
	env := l.env
	env.NowMillis = l.n.host.nowMillis()
	d, done, err := l.core.propose(p.op, env)
	if err != nil {
		p.finish(nil, err)
		return
	}
	if done {
		p.finish(d.Result, nil)
		return
	}
	l.current, l.result = p, d.Result
}

// lastingOperation is an operation whose records are fsynced before it is answered, whatever the durability.
type lastingOperation interface {
	Operation
	lasting() bool
}

// storageRetry is how long the loop waits before it tries again to store what found no room in memory.
const storageRetry = 100 * time.Millisecond

// store has the core's work stored. While the memory budget is spent it waits: the core can't take the work back.
func (l *loop) store(ctx context.Context, w controllerWork) error {
	lasting := false
	if l.current != nil {
		if op, ok := l.current.op.(lastingOperation); ok {
			lasting = op.lasting()
		}
	}
	for warned := false; ; warned = true {
		err := l.storage.write(w, lasting)
		if !errors.Is(err, storage.ErrMemoryBudget) && !errors.Is(err, vfs.ErrBudget) {
			return err
		}
		if !warned {
			l.n.log.Warn("metadata can't be stored until memory is free", "error", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(storageRetry):
		}
	}
}

// drive does what the core has to do. An error is the end: the core's state is ahead of what is stored.
func (l *loop) drive(ctx context.Context) error {
	for l.core.hasWork() {
		w := l.core.work()
		if err := l.store(ctx, w); err != nil {
			return fmt.Errorf("metadata log: %w", err)
		}
		applied, lost, err := l.core.written(w)
		for _, b := range applied {
			if !l.replaying {
				l.n.carryOut(b.delta, b.image)
			}
			if b.own {
				p := l.current
				l.current = nil
				p.finish(l.result, nil)
			}
		}
		if err != nil {
			return err
		}
		if lost && l.current != nil {
			p := l.current
			l.current = nil
			p.finish(nil, errControllerMoved)
		}
	}
	return nil
}

// takeSnapshot stores a snapshot beside the loop.
func (l *loop) takeSnapshot() {
	l.snapshotting = true
	point := l.core.snapshot()
	l.n.background.Go(func() {
		err := l.storage.storeSnapshot(&point)
		l.snapshots <- storedSnapshot{point, err}
	})
}

func (l *loop) snapshotStored(s storedSnapshot) error {
	l.snapshotting = false
	if s.err != nil {
		// The log still has everything; the next one may succeed.
		l.n.log.Error("a metadata snapshot can't be stored", "index", s.point.index, "error", s.err)
		return nil
	}
	trim, err := l.core.snapshotStored(s.point)
	if err != nil {
		return err
	}
	return l.storage.trim(trim, s.point.index)
}

// newUUID gives Env.NewUUID: version 4 uuids, of which neither Kafka's reserved ones nor zero is one.
func newUUID(random io.Reader) func() TopicID {
	return func() (id TopicID) {
		for {
			if _, err := io.ReadFull(random, id[:]); err != nil {
				panic("no randomness: " + err.Error())
			}
			id[6] = id[6]&0x0f | 0x40
			id[8] = id[8]&0x3f | 0x80
			if id[0]>>2 != 0x3e { // the text form would begin with '-'
				return id
			}
		}
	}
}
