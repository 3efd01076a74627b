// Package broker puts the parts together. Start brings a broker up in this order, each part needing those before it:
//
//  1. the addresses are bound, so that a port in use is said before anything is written;
//  2. HTTP: live, not ready;
//  3. data directories: lock, checkpoints; after a crash, recovery;
//  4. the controller: leads at once, knows the cluster's metadata, opens the partitions;
//  5. seeded topics; the group coordinator takes up its partitions;
//  6. the Kafka port: when it opens, a produce succeeds.
//
// Stop goes the other way, so that nothing is answered that isn't kept: not ready any more; nothing new is read; what was appended is committed and
// answered; what is parked is answered (fetches with what there is, joins with NOT_COORDINATOR); connections end; the coordinator's shards go; the
// controller stops; logs are flushed and the directories marked as cleanly closed.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/groupcoord"
	"github.com/kbroker/kbroker/handlers"
	"github.com/kbroker/kbroker/httpapi"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/vfs"
	"github.com/kbroker/kbroker/wire"
)

const (
	// drainTime bounds how long Stop waits for answers that are on their way to slow clients.
	drainTime = 5 * time.Second
	// commitTime bounds how much of that it waits for what was appended to be committed.
	commitTime = 2 * time.Second
)

// Broker is a running broker.
type Broker struct {
	cfg       *config.Config
	log       *slog.Logger
	fs        vfs.FS
	dirs      []string
	memory    *memoryKeeper // nil on disk
	manager   *storage.Manager
	metadata  io.Closer // the lock of a metadata directory of its own
	node      *cluster.Node
	groups    *groupcoord.Service
	endpoints *endpoints
	server    *wire.Server
	http      *httpapi.Server
	reserved  []reservation // until the port opens
	listeners []wire.Listener
	httpAddr  net.Addr // nil where HTTP is off
	limitedBy [len(connectionSettings)]string
	up        atomic.Bool // the parts are there, so that metrics may look at them
	ready     atomic.Bool

	parts    *errgroup.Group    // everything that runs
	failed   context.Context    // ends with the first part that fails
	stopNode context.CancelFunc // ends the controller
	stopWire context.CancelFunc
	stopReqs context.CancelFunc // ends what handlers wait for
	stopHTTP context.CancelFunc
	stopOnce sync.Once
	stopErr  error
}

// Run runs a broker until ctx ends or a part of it fails. It is no error that ctx ends, at the start or later.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	b, err := Start(ctx, cfg, log)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			log.Info("stopped before it was ready")
			return nil
		}
		return err
	}
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case <-b.failed.Done():
	}
	if err := b.Stop(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// Start brings a broker up and returns once it is ready. Where it fails nothing stays behind.
func Start(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Broker, error) {
	b := &Broker{cfg: cfg, log: log, stopNode: func() {}, stopWire: func() {}, stopReqs: func() {}, stopHTTP: func() {}}
	// What runs outlives the start's context: Stop ends it.
	b.parts, b.failed = errgroup.WithContext(context.WithoutCancel(ctx))
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

func (b *Broker) start(ctx context.Context) (err error) {
	began := time.Now()
	if b.reserved, err = reserve(ctx, listenerSpecs(b.cfg)); err != nil {
		return err
	}
	b.endpoints = newEndpoints(b.cfg)
	if err := b.startHTTP(ctx); err != nil {
		return err
	}
	if len(b.cfg.Ignored) > 0 {
		b.log.Info("settings without a meaning here are ignored", "settings", strings.Join(b.cfg.Ignored, ", "))
	}
	if err := b.openStorage(ctx); err != nil {
		return err
	}
	if err := b.startNode(ctx); err != nil {
		return err
	}
	h := b.newHandlers()
	if err := seedTopics(ctx, h, b.cfg.Topics); err != nil {
		return err
	}
	b.startGroups()
	if err := b.startWire(ctx, h); err != nil {
		return err
	}
	b.ready.Store(true)
	attrs := []any{"listen", strings.Join(b.Addrs(), ",")}
	if b.httpAddr != nil {
		attrs = append(attrs, "http", b.httpAddr.String())
	}
	b.log.Info("ready", append(attrs, "data", dataName(b.cfg), "profile", b.cfg.Profile, "durability", b.cfg.Durability,
		"cluster", b.node.Image().ClusterID, "node", b.cfg.NodeID, "took", time.Since(began).Round(100*time.Microsecond))...)
	return nil
}

func dataName(cfg *config.Config) string {
	if cfg.InMemory() {
		return config.MemoryDataDir
	}
	return strings.Join(cfg.DataDirs, ",")
}

func (b *Broker) openStorage(ctx context.Context) error {
	b.fs, b.dirs = vfs.OS(), b.cfg.DataDirs
	if b.cfg.InMemory() {
		b.memory = newMemoryKeeper(memoryBudget(b.cfg), b.log)
		b.fs, b.dirs = b.memory.fs, []string{memoryDir}
	}
	idle := maxIdleFiles
	if n, known := maxOpenFiles(); known {
		idle = min(idle, max(1, n/idleFileShare))
	}
	m, err := storage.OpenManager(ctx, storage.ManagerConfig{
		FS: b.fs, Dirs: b.dirs, ClusterID: b.cfg.ClusterID, NodeID: b.cfg.NodeID, Logger: b.log,
		NowMillis:            func() int64 { return time.Now().UnixMilli() },
		RecoveryThreads:      b.cfg.Static.Int("num.recovery.threads.per.data.dir"),
		MaxOpenFiles:         idle,
		ProducerExpiryMillis: b.cfg.Static.Long("producer.id.expiration.ms"),
	})
	if err != nil {
		return dataDirProblem(err)
	}
	b.manager = m
	return nil
}

// memoryDir is the data directory in the memory's file system.
const memoryDir = "/data"

// dataDirProblem says which setting an error of the data directories is about, and what is allowed.
func dataDirProblem(err error) error {
	switch {
	case errors.Is(err, storage.ErrDirLocked):
		return fmt.Errorf("data-dir: %w (allowed: a directory that no running broker uses)", err)
	case errors.Is(err, storage.ErrForeignCluster):
		return fmt.Errorf("data-dir: %w (allowed: a directory of the cluster that CLUSTER_ID names, or of none)", err)
	case errors.Is(err, storage.ErrForeignNode):
		return fmt.Errorf("data-dir: %w (allowed: the directory's own number as --node-id, or another directory)", err)
	}
	return fmt.Errorf("data-dir: %w", err)
}

func (b *Broker) startNode(ctx context.Context) error {
	var metadataFS vfs.FS = vfs.OS()
	metadataDir := ""
	if b.cfg.InMemory() {
		// A file system of its own: metadata must not fail because records spent the budget.
		metadataFS, metadataDir = vfs.NewMem(vfs.MemOptions{}), memoryDir
	} else {
		metadataDir = b.cfg.MetadataDir
		if metadataDir == "" {
			metadataDir = b.cfg.DataDirs[0]
		}
		metadataDir = filepath.ToSlash(metadataDir)
		if err := b.lockMetadata(metadataDir); err != nil {
			return err
		}
	}
	durability := cluster.DurabilityOS
	if b.cfg.Durability == config.DurabilityFsync {
		durability = cluster.DurabilityFsync
	}
	var rack *string
	if r := b.cfg.Static.String("broker.rack"); r != "" {
		rack = &r
	}
	b.node = cluster.New(cluster.Config{
		NodeID: b.cfg.NodeID, ClusterID: b.cfg.ClusterID, Manager: b.manager, FS: metadataFS, MetadataDir: metadataDir,
		Static: b.cfg.Static, Logger: b.log, Rack: rack, Durability: durability,
	})
	nodeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopNode = stop
	stopped := make(chan error, 1)
	b.parts.Go(func() error {
		err := b.node.Run(nodeCtx)
		stopped <- err
		return err
	})
	select {
	case <-b.node.Ready():
	case err := <-stopped:
		if err == nil {
			err = errors.New("the controller stopped")
		} else if errors.Is(err, storage.ErrForeignCluster) {
			err = dataDirProblem(err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if k := b.memory; k != nil {
		b.parts.Go(func() error { return k.run(nodeCtx, b.node, b.manager) })
		b.node.Subscribe(func(d cluster.Delta, _ *cluster.Image) {
			if len(d.DeletedTopics) > 0 {
				k.removeDeleted(b.manager)
			}
		})
	}
	return nil
}

func (b *Broker) newHandlers() *handlers.Handlers {
	reqCtx, stop := context.WithCancel(context.Background())
	b.stopReqs = stop
	b.groups = groupcoord.New(groupConfig(b.cfg.Static), b.log, groupcoord.ImageTopics(b.node.Image))
	h := &handlers.Handlers{
		NodeID: b.cfg.NodeID, Metadata: b.node, Partitions: partitions{b.node}, Groups: b.groups, ProducerIDs: b.node,
		Endpoints: b.endpoints, Static: b.cfg.Static, Log: b.log, Now: time.Now,
		ClampReplicas: b.cfg.ClampReplicas, LogDirs: b.logDirs, Context: reqCtx,
	}
	h.Init()
	return h
}

func (b *Broker) startWire(ctx context.Context, h *handlers.Handlers) error {
	limits, err := b.wireLimits(ctx, config.Layers{Static: b.cfg.Static})
	if err != nil {
		return err
	}
	b.server = wire.New(wire.Config{
		APIs: handlers.WireAPIs(), Handle: h.Handle, Limits: limits, Logger: b.log, Observe: b.http.Observe,
	})
	b.node.Subscribe(b.followLimits)
	b.up.Store(true)
	reserved := b.reserved
	b.reserved = nil
	bound, err := open(reserved)
	if err != nil {
		return err
	}
	b.listeners = bound
	wireCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopWire = stop
	b.parts.Go(func() error {
		err := b.server.Serve(wireCtx, bound)
		if errors.Is(err, wire.ErrServed) { // it is served once only: Stop came first
			return nil
		}
		return err
	})
	return nil
}

// Addrs lists the addresses of the Kafka listeners.
func (b *Broker) Addrs() []string {
	var addrs []string
	for _, l := range b.listeners {
		addrs = append(addrs, l.Net.Addr().String())
	}
	return addrs
}

// HTTPAddr is where HTTP is served, nil where it is off.
func (b *Broker) HTTPAddr() net.Addr { return b.httpAddr }

// Failed is closed when a part of the broker fails while it runs; Stop then gives the reason.
func (b *Broker) Failed() <-chan struct{} { return b.failed.Done() }

// Stop stops the broker, in order, and returns when nothing of it runs any more. The error is the first part's that failed.
func (b *Broker) Stop() error {
	b.stopOnce.Do(func() { b.stopErr = b.stop() })
	return b.stopErr
}

func (b *Broker) stop() error {
	b.ready.Store(false)
	release(b.reserved)
	var err error
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if b.server != nil {
		b.awaitCommits(ctx)
	}
	b.stopReqs()
	if b.groups != nil {
		b.groups.Close()
	}
	if b.server != nil {
		if e := b.server.Shutdown(ctx); e != nil && !errors.Is(e, context.DeadlineExceeded) {
			err = errors.Join(err, e)
		}
	}
	b.stopWire()
	b.stopHTTP()
	b.stopNode()
	err = errors.Join(err, b.parts.Wait())
	if b.manager != nil {
		err = errors.Join(err, b.manager.Close())
	}
	if b.metadata != nil {
		err = errors.Join(err, b.metadata.Close())
	}
	return err
}

// lockMetadata locks a metadata directory that is none of the data directories, which the Manager has locked.
func (b *Broker) lockMetadata(dir string) (err error) {
	for _, d := range b.dirs {
		if filepath.Clean(d) == filepath.Clean(dir) {
			return nil
		}
	}
	if err := b.fs.MkdirAll(dir); err != nil {
		return fmt.Errorf("metadata.log.dir: %w", err)
	}
	if b.metadata, err = b.fs.Lock(path.Join(dir, ".lock")); err != nil {
		return fmt.Errorf("metadata.log.dir: %w (allowed: a directory that no running broker uses)", err)
	}
	return nil
}

// awaitCommits has nothing more read and waits, not for long, until all that was appended is committed, so that produces that wait for it are answered
// with what became of them.
func (b *Broker) awaitCommits(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	b.server.Drain(ctx)
	var left sync.WaitGroup
	for _, l := range b.manager.Logs() {
		p, err := b.node.Partition(l.Partition().Topic, l.Partition().Partition)
		end := l.LogEndOffset()
		if err != nil || end == 0 {
			continue
		}
		left.Add(1)
		done := sync.OnceFunc(left.Done)
		already, withdraw := p.AwaitCommitted(end-1, func(error) { done() })
		if already {
			done()
			continue
		}
		defer context.AfterFunc(ctx, func() { withdraw(); done() })()
	}
	left.Wait()
}
