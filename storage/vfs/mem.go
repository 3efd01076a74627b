package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBudget says that a write would take more than the in-memory file system's budget. Nothing of the write was done; removing or
// truncating files gives room back.
var ErrBudget = errors.New("memory budget of the file system exceeded")

// MemOptions are the settings of an in-memory file system; the zero value has no limit and forgets nothing.
type MemOptions struct {
	// Budget is how many bytes all files together may take; 0 means no limit. Holes take nothing.
	Budget int64
	// Refused is called after a write that found no room in the budget, with locks held: it must return at once and not use the file system.
	Refused func()
	// TrackSync keeps apart what was synced, so that Crash can be used. It keeps a second copy of everything.
	TrackSync bool
	// Fault is asked before each operation; see SetFault.
	Fault Fault
	// Now is the clock for times of modification; time.Now where it is nil.
	Now func() time.Time
}

// Mem is a file system in memory. Files are lists of blocks that never move: Chunks hands them out without a copy, and readers take
// no lock against the writer of a file. It is safe for concurrent use as FS says.
//
// With TrackSync it behaves as a disk that loses power: Crash gives what would be found afterwards. A file's contents are durable
// as of its last Sync, and its name as of the last SyncDir of its folder, no more than POSIX promises. A rename is atomic.
type Mem struct {
	opts   MemOptions
	budget memBudget
	fault  atomic.Pointer[Fault]
	ops    atomic.Int64
	dead   atomic.Bool

	mu    sync.RWMutex // guards the tree and what follows
	root  *memNode
	locks map[string]bool
	meta  []memMeta // changes of folders that no SyncDir covered, in order
}

// memNode is a file or a folder.
type memNode struct {
	content  *memContent  // nil for a folder
	modified atomic.Int64 // Unix time in ns

	// write orders the changes of a file's bytes.
	write   sync.Mutex
	durable *memContent // what Sync covered; nil where sync isn't tracked
	pending []memWrite  // what was done since

	// Guarded by the file system's mutex.
	children        map[string]*memNode // a folder's
	durableChildren map[string]*memNode // what SyncDir covered of them; nil where sync isn't tracked
	handles         int
	linked          bool
}

// memWrite is an unsynced write, or a truncation to size where data is nil.
type memWrite struct {
	off, size int64
	data      []byte
}

// memMeta is one unsynced change of folders, atomic over all its parts.
type memMeta []memEntry

// memEntry sets a folder's entry; a nil node removes it.
type memEntry struct {
	dir  *memNode
	name string
	node *memNode
}

// NewMem makes an empty file system that has a root folder and nothing else.
func NewMem(opts MemOptions) *Mem {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	m := &Mem{opts: opts, locks: make(map[string]bool)}
	m.budget.limit, m.budget.refused = opts.Budget, opts.Refused
	m.SetFault(opts.Fault)
	m.root = m.newDir()
	m.root.linked = true
	return m
}

func (m *Mem) newDir() *memNode {
	n := &memNode{children: make(map[string]*memNode)}
	if m.opts.TrackSync {
		n.durableChildren = make(map[string]*memNode)
	}
	n.modified.Store(m.opts.Now().UnixNano())
	return n
}

func (m *Mem) newFile() *memNode {
	n := &memNode{content: new(memContent)}
	if m.opts.TrackSync {
		n.durable = new(memContent)
	}
	n.modified.Store(m.opts.Now().UnixNano())
	return n
}

// clean makes absolute and relative names one: both begin at the root.
func clean(name string) string { return path.Clean("/" + name) }

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// find looks a clean name up; the mutex is held.
func (m *Mem) find(name string) (*memNode, error) {
	n := m.root
	for rest := name[1:]; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if n.children == nil {
			return nil, errNotDir
		}
		next, ok := n.children[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parent looks up the folder that a clean name is in.
func (m *Mem) parent(name string) (dir *memNode, base string, err error) {
	if name == "/" {
		return nil, "", fs.ErrInvalid
	}
	dirName, base := path.Split(name)
	dir, err = m.find(clean(dirName))
	if err == nil && dir.children == nil {
		err = errNotDir
	}
	return dir, base, err
}

var (
	errNotDir   = errors.New("not a directory")
	errIsDir    = errors.New("is a directory")
	errNotEmpty = errors.New("directory not empty")
	errReadOnly = fmt.Errorf("file opened for reading only: %w", fs.ErrPermission)
)

// change sets entries, now and, with the next SyncDir, durably. The mutex is held.
func (m *Mem) change(entries ...memEntry) {
	for _, e := range entries {
		if e.node != nil {
			e.dir.children[e.name] = e.node
		} else {
			delete(e.dir.children, e.name)
		}
		e.dir.modified.Store(m.opts.Now().UnixNano())
	}
	if m.opts.TrackSync {
		m.meta = append(m.meta, entries)
	}
}

// unlink takes a node out of the tree for good; a file that is open keeps its memory until it is closed. The mutex is held.
func (m *Mem) unlink(n *memNode) {
	n.linked = false
	m.reclaim(n)
}

func (m *Mem) reclaim(n *memNode) {
	if n.linked || n.handles > 0 {
		return
	}
	m.budget.give(memFileCost)
	if n.content != nil {
		n.write.Lock()
		m.budget.give(n.content.held())
		n.write.Unlock()
	}
}

// Open opens a file; a folder can't be opened.
func (m *Mem) Open(name string, flag int) (File, error) {
	if m.dead.Load() {
		return nil, failed("open", name, ErrCrashed)
	}
	key := clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(key)
	switch {
	case err == nil && n.children != nil:
		return nil, failed("open", name, errIsDir)
	case err == nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, failed("open", name, fs.ErrExist)
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0:
		if n, err = m.create(key); err != nil {
			return nil, failed("open", name, err)
		}
	default:
		return nil, failed("open", name, err)
	}
	f := &memFile{fs: m, node: n, name: name, readOnly: flag&(os.O_RDWR|os.O_WRONLY) == 0}
	if flag&os.O_TRUNC != 0 && n.content.size.Load() > 0 {
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
	}
	n.handles++
	return f, nil
}

func (m *Mem) create(key string) (*memNode, error) {
	dir, base, err := m.parent(key)
	if err != nil {
		return nil, err
	}
	if err := m.before(Op{Kind: OpCreate, Name: key}); err != nil {
		return nil, err
	}
	if err := m.budget.take(memFileCost); err != nil {
		return nil, err
	}
	n := m.newFile()
	n.linked = true
	m.change(memEntry{dir, base, n})
	return n, nil
}

// Remove removes a file or an empty folder.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.remove(clean(name)); err != nil {
		return failed("remove", name, err)
	}
	return nil
}

func (m *Mem) remove(key string) error {
	if m.dead.Load() {
		return ErrCrashed
	}
	dir, base, err := m.parent(key)
	if err != nil {
		return err
	}
	n, ok := dir.children[base]
	if !ok {
		return fs.ErrNotExist
	}
	if len(n.children) > 0 {
		return errNotEmpty
	}
	if err := m.before(Op{Kind: OpRemove, Name: key}); err != nil {
		return err
	}
	m.change(memEntry{dir: dir, name: base})
	m.unlink(n)
	return nil
}

// RemoveAll removes name and what is below it, one after the other in lexical order: a failure or a crash leaves the rest.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead.Load() {
		return failed("removeall", name, ErrCrashed)
	}
	key := clean(name)
	n, err := m.find(key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
		return nil
	}
	if err == nil {
		err = m.removeAll(key, n)
	}
	if err != nil {
		return failed("removeall", name, err)
	}
	return nil
}

func (m *Mem) removeAll(key string, n *memNode) error {
	for _, base := range slices.Sorted(maps.Keys(n.children)) {
		if err := m.removeAll(path.Join(key, base), n.children[base]); err != nil {
			return err
		}
	}
	if key == "/" {
		return nil
	}
	return m.remove(key)
}

// Rename moves a file or folder, over a file or an empty folder of its kind where there is one.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(clean(from), clean(to)); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (m *Mem) rename(from, to string) error {
	if m.dead.Load() {
		return ErrCrashed
	}
	fromDir, fromBase, err := m.parent(from)
	if err != nil {
		return err
	}
	n, ok := fromDir.children[fromBase]
	if !ok {
		return fs.ErrNotExist
	}
	toDir, toBase, err := m.parent(to)
	if err != nil {
		return err
	}
	if from == to {
		return nil
	}
	if strings.HasPrefix(to, from+"/") {
		return fs.ErrInvalid
	}
	old := toDir.children[toBase]
	switch {
	case old == nil:
	case (old.children != nil) != (n.children != nil):
		return fs.ErrExist
	case len(old.children) > 0:
		return errNotEmpty
	}
	if err := m.before(Op{Kind: OpRename, Name: from, To: to}); err != nil {
		return err
	}
	m.change(memEntry{dir: fromDir, name: fromBase}, memEntry{toDir, toBase, n})
	if old != nil {
		m.unlink(old)
	}
	return nil
}

// MkdirAll makes name and the folders above it that are missing.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead.Load() {
		return failed("mkdir", name, ErrCrashed)
	}
	n, at := m.root, ""
	for rest := clean(name)[1:]; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		at += "/" + part
		next, ok := n.children[part]
		if !ok {
			if err := m.before(Op{Kind: OpMkdir, Name: at}); err != nil {
				return failed("mkdir", name, err)
			}
			if err := m.budget.take(memFileCost); err != nil {
				return failed("mkdir", name, err)
			}
			next = m.newDir()
			next.linked = true
			m.change(memEntry{n, part, next})
		}
		if next.children == nil {
			return failed("mkdir", name, errNotDir)
		}
		n = next
	}
	return nil
}

// ReadDir lists a folder.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.look(name)
	if err == nil && n.children == nil {
		err = errNotDir
	}
	if err != nil {
		return nil, failed("readdir", name, err)
	}
	out := make([]fs.DirEntry, 0, len(n.children))
	for _, base := range slices.Sorted(maps.Keys(n.children)) {
		out = append(out, fs.FileInfoToDirEntry(info(base, n.children[base])))
	}
	return out, nil
}

func (m *Mem) look(name string) (*memNode, error) {
	if m.dead.Load() {
		return nil, ErrCrashed
	}
	return m.find(clean(name))
}

// Stat describes a file or folder.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.look(name)
	if err != nil {
		return nil, failed("stat", name, err)
	}
	return info(path.Base(clean(name)), n), nil
}

// SyncDir makes the folder's entries durable.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.look(name)
	if err == nil && n.children == nil {
		err = errNotDir
	}
	if err == nil {
		err = m.before(Op{Kind: OpSyncDir, Name: clean(name)})
	}
	if err != nil {
		return failed("syncdir", name, err)
	}
	if m.opts.TrackSync {
		m.settle(n)
	}
	return nil
}

// Lock holds name against other users of this file system.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	key := clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[key] {
		f.(*memFile).closeLocked()
		return nil, failed("lock", name, ErrLocked)
	}
	m.locks[key] = true
	return &memLock{m: m, key: key, file: f.(*memFile)}, nil
}

type memLock struct {
	m    *Mem
	key  string
	file *memFile
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.file.closed.Load() {
		return fs.ErrClosed
	}
	delete(l.m.locks, l.key)
	l.file.closeLocked()
	return nil
}

// Usage is the budget and what is left of it; -1 where there is none.
func (m *Mem) Usage(string) (total, free int64) {
	if m.budget.limit <= 0 {
		return -1, -1
	}
	return m.budget.limit, max(0, m.budget.limit-m.budget.used.Load())
}

// Used is how many bytes count against the budget now.
func (m *Mem) Used() int64 { return m.budget.used.Load() }

func info(name string, n *memNode) memInfo {
	i := memInfo{name: name, modified: time.Unix(0, n.modified.Load()), dir: n.children != nil}
	if n.content != nil {
		i.size = n.content.size.Load()
	}
	return i
}

type memInfo struct {
	name     string
	size     int64
	modified time.Time
	dir      bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }

func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirPerm
	}
	return filePerm
}
