package broker

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/config"
	"github.com/kbroker/kbroker/storage"
	"github.com/kbroker/kbroker/storage/vfs"
)

const (
	// unknownMachineBudget is the memory budget, in bytes, where none was given and the system doesn't say how much memory there is.
	unknownMachineBudget = 1 << 30
	// reliefPause is how long it takes at least until room is looked for again.
	reliefPause = 50 * time.Millisecond
	// quietTime is for how long no write may have been refused until the budget no longer counts as spent.
	quietTime = time.Second
	// relievedBelow is the share of the budget, in percent, below which it no longer counts as spent.
	relievedBelow = 95
)

// memoryBudget is how much memory records may take where they aren't kept on disk, in bytes.
func memoryBudget(cfg *config.Config) int64 {
	if cfg.MemoryBudget > 0 {
		return cfg.MemoryBudget
	}
	return unknownMachineBudget
}

// memoryKeeper looks after the memory that records take where they aren't kept on disk. When a write finds no room, it says so once and applies
// retention at once and again until there is room. What is deleted goes at once: file.delete.delay.ms is for those who hold files of a disk.
type memoryKeeper struct {
	fs      *vfs.Mem
	budget  int64
	refused chan struct{} // a write was refused; holds one
	log     *slog.Logger
}

func newMemoryKeeper(budget int64, log *slog.Logger) *memoryKeeper {
	k := &memoryKeeper{budget: budget, refused: make(chan struct{}, 1), log: log}
	k.fs = vfs.NewMem(vfs.MemOptions{Budget: budget, Refused: func() {
		select {
		case k.refused <- struct{}{}:
		default:
		}
	}})
	return k
}

// run serves until ctx ends.
func (k *memoryKeeper) run(ctx context.Context, node *cluster.Node, manager *storage.Manager) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.refused:
		}
		k.log.Warn("the memory budget is spent: a produce gets KAFKA_STORAGE_ERROR until records or topics are deleted; --memory-budget sets it",
			"budget_bytes", k.budget, "used_bytes", k.fs.Used())
		if !k.awaitRelief(ctx, node, manager) {
			return nil
		}
		k.log.Info("there is memory for records again", "budget_bytes", k.budget, "used_bytes", k.fs.Used())
	}
}

// awaitRelief looks for room, at once and again for each write that is refused, until there is some and all has been quiet. It says false where ctx ends.
func (k *memoryKeeper) awaitRelief(ctx context.Context, node *cluster.Node, manager *storage.Manager) bool {
	quiet := time.NewTimer(quietTime)
	pause := time.NewTimer(0)
	defer quiet.Stop()
	defer pause.Stop()
	for {
		node.Retain(ctx)
		k.removeDeleted(manager)
		pause.Reset(reliefPause)
		select {
		case <-ctx.Done():
			return false
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return false
		case <-k.refused:
			quiet.Reset(quietTime)
		case <-quiet.C:
			if k.fs.Used() < k.budget/100*relievedBelow {
				return true
			}
			quiet.Reset(quietTime) // time may make room: retention
		}
	}
}

// removeDeleted gives back the memory of all that is deleted.
func (k *memoryKeeper) removeDeleted(manager *storage.Manager) {
	if err := manager.RemoveDeleted(math.MaxInt64); err != nil {
		k.log.Error("files of deleted logs can't be removed", "error", err)
	}
}
