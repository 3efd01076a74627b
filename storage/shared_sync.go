package storage

import (
	"sync"
	"sync/atomic"

	"github.com/kbroker/kbroker/storage/vfs"
)

// sharedSync makes changes in one folder durable for many logs: one sync covers all changes before it. The first failure stays,
// as a sync that is tried again may succeed without having done anything.
type sharedSync struct {
	fs      vfs.FS
	dir     string
	changes atomic.Int64

	mu     sync.Mutex
	synced int64 // changes up to this one are durable
	err    error
}

func newSharedSync(fsys vfs.FS, dir string) *sharedSync { return &sharedSync{fs: fsys, dir: dir} }

// changed is called after a change, and gives the number to sync for it.
func (s *sharedSync) changed() int64 { return s.changes.Add(1) }

// sync makes that change durable, unless it is.
func (s *sharedSync) sync(change int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.synced >= change || s.err != nil {
		return s.err
	}
	upTo := s.changes.Load()
	if s.err = s.fs.SyncDir(s.dir); s.err == nil {
		s.synced = upTo
	}
	return s.err
}
