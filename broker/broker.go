// Package broker puts the parts together. Start brings a broker up in this order, each part needing those before it:
//
//  1. the addresses are bound, so that a port in use is said before anything is written;
//  2. data directories: lock, checkpoints; after a crash, recovery;
//  3. the controller: leads at once, knows the cluster's metadata, opens the partitions;
//  4. seeded topics; the group coordinator takes up its partitions;
//  5. HTTP;
//  6. the Kafka port: when it opens, a produce succeeds.
//
// Stop goes the other way, so that nothing is answered that isn't kept: not ready any more; what is parked is answered (fetches with what
// there is, joins with NOT_COORDINATOR); connections end; the coordinator's shards go; the controller stops; logs are flushed and the directories
// marked as cleanly closed.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// drainTime bounds how long Stop waits for answers that are on their way to slow clients.
const drainTime = 5 * time.Second

// Broker is a running broker.
type Broker struct {
	cfg       *config.Config
	log       *slog.Logger
	fs        vfs.FS
	dirs      []string
	memory    *vfs.Mem // nil on disk
	manager   *storage.Manager
	node      *cluster.Node
	groups    *groupcoord.Service
	endpoints *endpoints
	server    *wire.Server
	http      *httpapi.Server
	reserved  []reservation // until the port opens
	listeners []wire.Listener
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

// Run runs a broker until ctx ends or a part of it fails.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	b, err := Start(ctx, cfg, log)
	if err != nil {
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
func Start(ctx context.Context, cfg *config.Config, log *slog.Logger) (b *Broker, err error) {
	began := time.Now()
	b = &Broker{cfg: cfg, log: log, stopNode: func() {}, stopWire: func() {}, stopReqs: func() {}, stopHTTP: func() {}}
	specs := listenerSpecs(cfg)
	reserved, err := reserve(ctx, specs)
	if err != nil {
		return nil, err
	}
	b.reserved = reserved
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Stop())
			b = nil
		}
	}()
	// What runs outlives the start's context: Stop ends it.
	b.parts, b.failed = errgroup.WithContext(context.WithoutCancel(ctx))
	if len(cfg.Ignored) > 0 {
		log.Info("settings without a meaning here are ignored", "settings", strings.Join(cfg.Ignored, ", "))
	}
	if err := b.openStorage(ctx); err != nil {
		return b, err
	}
	if err := b.startNode(ctx); err != nil {
		return b, err
	}
	h := b.newHandlers()
	if err := b.newHTTP(); err != nil {
		return b, err
	}
	if err := seedTopics(ctx, h, cfg.Topics); err != nil {
		return b, err
	}
	b.startGroups()
	if err := b.startHTTP(ctx); err != nil {
		return b, err
	}
	if err := b.startWire(ctx, h); err != nil {
		return b, err
	}
	b.ready.Store(true)
	log.Info("ready", "listen", strings.Join(b.Addrs(), ","), "data", dataName(cfg), "profile", cfg.Profile, "durability", cfg.Durability,
		"cluster", b.node.Image().ClusterID, "node", cfg.NodeID, "took", time.Since(began).Round(100*time.Microsecond))
	return b, nil
}

func dataName(cfg *config.Config) string {
	if cfg.InMemory() {
		return config.MemoryDataDir
	}
	return strings.Join(cfg.DataDirs, ",")
}

func listenerSpecs(cfg *config.Config) []listenerSpec {
	var specs []listenerSpec
	for _, l := range cfg.Listeners {
		specs = append(specs, listenerSpec{l.Name, l.Addresses})
	}
	return specs
}

func (b *Broker) openStorage(ctx context.Context) error {
	b.fs, b.dirs = vfs.OS(), b.cfg.DataDirs
	if b.cfg.InMemory() {
		b.memory = vfs.NewMem(vfs.MemOptions{Budget: b.cfg.MemoryBudget})
		b.fs, b.dirs = b.memory, []string{"/data"}
	}
	m, err := storage.OpenManager(ctx, storage.ManagerConfig{
		FS: b.fs, Dirs: b.dirs, ClusterID: b.cfg.ClusterID, NodeID: b.cfg.NodeID, Logger: b.log,
		NowMillis:            func() int64 { return time.Now().UnixMilli() },
		RecoveryThreads:      b.cfg.Static.Int("num.recovery.threads.per.data.dir"),
		ProducerExpiryMillis: b.cfg.Static.Long("producer.id.expiration.ms"),
	})
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	b.manager = m
	return nil
}

func (b *Broker) startNode(ctx context.Context) error {
	var metadataFS vfs.FS = vfs.OS()
	metadataDir := ""
	if b.cfg.InMemory() {
		// A file system of its own: metadata must not fail because records spent the budget.
		metadataFS, metadataDir = vfs.NewMem(vfs.MemOptions{}), "/data"
	} else {
		metadataDir = b.cfg.MetadataDir
		if metadataDir == "" {
			metadataDir = b.cfg.DataDirs[0]
		}
		metadataDir = filepath.ToSlash(metadataDir)
	}
	durability := cluster.DurabilityOS
	if b.cfg.Durability == config.DurabilityFsync {
		durability = cluster.DurabilityFsync
	}
	var rack *string
	if r := b.cfg.Static.String("broker.rack"); r != "" {
		rack = &r
	}
	var names []string
	for _, l := range b.cfg.Listeners {
		names = append(names, l.Name)
	}
	b.endpoints = newEndpoints(b.cfg.NodeID, names, advertised(b.cfg))
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
		return nil
	case err := <-stopped:
		if err == nil {
			err = errors.New("the controller stopped")
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func advertised(cfg *config.Config) map[string]hostPort {
	m := map[string]hostPort{}
	for _, l := range cfg.Listeners {
		if l.AdvertisedHost != "" {
			m[l.Name] = hostPort{l.AdvertisedHost, l.AdvertisedPort}
		}
	}
	return m
}

func (b *Broker) newHandlers() *handlers.Handlers {
	reqCtx, stop := context.WithCancel(context.Background())
	b.stopReqs = stop
	b.groups = groupcoord.New(groupConfig(b.cfg.Static), b.log, groupcoord.ImageTopics(b.node.Image))
	h := &handlers.Handlers{
		NodeID: b.cfg.NodeID, Metadata: b.node, Partitions: partitions{b.node}, Groups: groups{b.groups}, ProducerIDs: b.node,
		Endpoints: b.endpoints, Static: b.cfg.Static, Log: b.log, Now: time.Now,
		ClampReplicas: b.cfg.ClampReplicas, LogDirs: b.logDirs, Context: reqCtx,
	}
	h.Init()
	return h
}

func (b *Broker) startWire(ctx context.Context, h *handlers.Handlers) error {
	b.server = wire.New(wire.Config{
		APIs: handlers.WireAPIs(), Handle: h.Handle, Limits: wireLimits(b.cfg), Logger: b.log, Observe: b.http.Observe,
	})
	reserved := b.reserved
	b.reserved = nil
	bound, err := open(reserved)
	if err != nil {
		return err
	}
	b.listeners = bound
	wireCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopWire = stop
	b.parts.Go(func() error { return b.server.Serve(wireCtx, bound) })
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
	b.stopReqs()
	if b.groups != nil {
		b.groups.Close()
	}
	var err error
	if b.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		if e := b.server.Shutdown(ctx); e != nil && !errors.Is(e, context.DeadlineExceeded) {
			err = errors.Join(err, e)
		}
		cancel()
	}
	b.stopWire()
	b.stopHTTP()
	b.stopNode()
	if b.parts != nil {
		err = errors.Join(err, b.parts.Wait())
	}
	if b.manager != nil {
		err = errors.Join(err, b.manager.Close())
	}
	return err
}
