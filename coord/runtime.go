package coord

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Config is what a Runtime is given.
type Config struct {
	Logger *slog.Logger
	// WallMillis is the time of day; nil: the system's.
	WallMillis func() int64
	// CommitTimeout is how long a write may wait for its commit.
	CommitTimeout time.Duration
	// ParallelLoads is how many shards may load at a time; 0: defaultParallelLoads.
	ParallelLoads int
}

const (
	defaultParallelLoads = 4
	// loadPatience is for how long after a partition was taken up requests wait for its load instead of being told to come again: most
	// loads are over sooner than a client would be back.
	loadPatience = 200 * time.Millisecond
	// loadReadBytes is how much of a log is read at a time by a load.
	loadReadBytes = 1 << 20
	// maxDecompressedBytes bounds one compressed batch of an internal topic.
	maxDecompressedBytes = 64 << 20
)

// Runtime holds the shards that this broker coordinates.
type Runtime[M Machine] struct {
	cfg        Config
	newMachine func(partition int32) M
	started    time.Time
	slots      chan struct{}
	loads      sync.WaitGroup

	mu     sync.RWMutex
	shards map[int32]*shard[M]
	closed bool
}

// New makes a Runtime without shards; newMachine makes an empty machine.
func New[M Machine](cfg Config, newMachine func(partition int32) M) *Runtime[M] {
	if cfg.WallMillis == nil {
		cfg.WallMillis = func() int64 { return time.Now().UnixMilli() }
	}
	if cfg.ParallelLoads <= 0 {
		cfg.ParallelLoads = defaultParallelLoads
	}
	return &Runtime[M]{
		cfg: cfg, newMachine: newMachine, started: time.Now(),
		slots: make(chan struct{}, cfg.ParallelLoads), shards: map[int32]*shard[M]{},
	}
}

func (r *Runtime[M]) output() *Output {
	return &Output{Now: time.Since(r.started).Milliseconds(), Wall: r.cfg.WallMillis()}
}

// LoadEmpty takes over a partition that was just made: nothing is read, and the shard is active when this returns.
func (r *Runtime[M]) LoadEmpty(partition int32, log Log) {
	if s := r.add(partition, log); s != nil {
		s.activate(r.newMachine(partition), -1)
	}
}

// Load takes over a partition and replays its log in the background, as soon as its turn comes or somebody asks for it.
func (r *Runtime[M]) Load(partition int32, log Log) {
	s := r.add(partition, log)
	if s == nil {
		return
	}
	r.loads.Go(func() {
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
			s.load()
		case <-s.loaded: // somebody asked for it
		}
	})
}

// loadNow runs a load without waiting for its turn.
func (r *Runtime[M]) loadNow(s *shard[M]) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.closed {
		r.loads.Go(s.load)
	}
}

func (r *Runtime[M]) add(partition int32, log Log) *shard[M] {
	s := &shard[M]{runtime: r, partition: partition, log: log, state: loading, taken: time.Now(), loaded: make(chan struct{})}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	old := r.shards[partition]
	r.shards[partition] = s
	r.mu.Unlock()
	if old != nil {
		old.unload()
	}
	return s
}

// Unload gives a partition up. What is parked fails with ErrNotCoordinator, and later operations do.
func (r *Runtime[M]) Unload(partition int32) {
	r.mu.Lock()
	s := r.shards[partition]
	delete(r.shards, partition)
	r.mu.Unlock()
	if s != nil {
		s.unload()
	}
}

// Close unloads everything and waits for loads to end. Nothing can be loaded afterwards.
func (r *Runtime[M]) Close() {
	r.mu.Lock()
	r.closed = true
	shards := r.shards
	r.shards = nil
	r.mu.Unlock()
	for _, p := range slices.Sorted(maps.Keys(shards)) {
		shards[p].unload()
	}
	r.loads.Wait()
}

// AwaitLoads waits until no load is going on.
func (r *Runtime[M]) AwaitLoads() { r.loads.Wait() }

// Partitions lists the partitions that are here, loading ones too, in order.
func (r *Runtime[M]) Partitions() []int32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.shards))
}

// Do runs an operation on a shard. It returns ErrNotCoordinator or ErrLoading without running it. It may wait for a load, for
// loadPatience at most after the partition was taken up.
func (r *Runtime[M]) Do(partition int32, op func(m M, out *Output)) error {
	r.mu.RLock()
	s := r.shards[partition]
	r.mu.RUnlock()
	if s == nil {
		return fmt.Errorf("%w: partition %d", ErrNotCoordinator, partition)
	}
	return s.do(op)
}
