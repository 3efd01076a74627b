package vfs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
)

// ErrCrashed is what every operation of a file system says after its crash.
var ErrCrashed = errors.New("file system has crashed")

// OpKind is a kind of operation of a file system.
type OpKind int8

const (
	// OpWrite to OpSyncDir change something and are counted.
	OpWrite OpKind = iota + 1
	OpTruncate
	OpSync
	OpCreate
	OpRemove
	OpRename
	OpMkdir
	OpSyncDir
	// OpRead is ReadAt and Chunks; it is not counted.
	OpRead
)

func (k OpKind) String() string {
	switch k {
	case OpWrite:
		return "write"
	case OpTruncate:
		return "truncate"
	case OpSync:
		return "sync"
	case OpCreate:
		return "create"
	case OpRemove:
		return "remove"
	case OpRename:
		return "rename"
	case OpMkdir:
		return "mkdir"
	case OpSyncDir:
		return "syncdir"
	case OpRead:
		return "read"
	}
	return fmt.Sprintf("operation %d", int8(k))
}

// Op is an operation that is about to be done.
type Op struct {
	// N counts the operations that change something, from 1 on; 0 for reads.
	N    int64
	Kind OpKind
	// Name is the file's as it was opened, or else the clean absolute name; To is a rename's target.
	Name, To string
	// Off and Len are those of a read or write; Off is the size of a truncation.
	Off, Len int64
}

func (o Op) String() string {
	return fmt.Sprintf("%d: %v %s%s %d+%d", o.N, o.Kind, o.Name, o.To, o.Off, o.Len)
}

// Fault decides whether an operation fails, with which error. The operation is then not done, but for a write that fails with a
// *PartialWrite. An error that wraps ErrCrashed ends the file system: everything after it fails likewise. It may be called by many
// goroutines at once, and must not use the file system.
type Fault func(Op) error

// PartialWrite fails a write after its first N bytes.
type PartialWrite struct {
	N   int
	Err error
}

func (p *PartialWrite) Error() string { return p.Err.Error() }
func (p *PartialWrite) Unwrap() error { return p.Err }

// FailAt fails operation n with err.
func FailAt(n int64, err error) Fault {
	return func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	}
}

// CrashAt lets the file system crash instead of doing operation n.
func CrashAt(n int64) Fault { return FailAt(n, ErrCrashed) }

// CrashWithin lets the file system crash in operation n, after the first bytes of it if it is a write.
func CrashWithin(n int64, bytes int) Fault {
	return FailAt(n, &PartialWrite{N: bytes, Err: ErrCrashed})
}

// FailWhere fails every operation that match says with err.
func FailWhere(match func(Op) bool, err error) Fault {
	return func(op Op) error {
		if match(op) {
			return err
		}
		return nil
	}
}

// FailOnce fails the first operation that match says with err.
func FailOnce(match func(Op) bool, err error) Fault {
	var done atomic.Bool
	return func(op Op) error {
		if match(op) && done.CompareAndSwap(false, true) {
			return err
		}
		return nil
	}
}

// SetFault sets what is asked before each operation from now on; nil for nothing.
func (m *Mem) SetFault(f Fault) {
	if f == nil {
		m.fault.Store(nil)
		return
	}
	m.fault.Store(&f)
}

// Ops is how many operations that change something were tried so far.
func (m *Mem) Ops() int64 { return m.ops.Load() }

func (m *Mem) before(op Op) error {
	op.N = m.ops.Add(1)
	return m.ask(op)
}

func (m *Mem) beforeRead(name string, off, n int64) error {
	if m.fault.Load() == nil {
		return nil
	}
	return m.ask(Op{Kind: OpRead, Name: name, Off: off, Len: n})
}

func (m *Mem) ask(op Op) error {
	if m.dead.Load() {
		return ErrCrashed
	}
	f := m.fault.Load()
	if f == nil {
		return nil
	}
	err := (*f)(op)
	if errors.Is(err, ErrCrashed) {
		m.dead.Store(true)
	}
	return err
}

// Survival says what a crash leaves of what wasn't synced.
type Survival int8

const (
	// LoseUnsynced leaves nothing.
	LoseUnsynced Survival = iota
	// KeepPrefix leaves, of each file, the writes up to one of them, and likewise of all changes of folders.
	KeepPrefix
	// KeepSubset leaves any of a file's writes, in order; of the changes of folders a prefix, as journals do.
	KeepSubset
	// KeepAll leaves everything, as when only the process dies.
	KeepAll
)

// CrashOptions say what a crash leaves.
type CrashOptions struct {
	Unsynced Survival
	// Tear cuts the last unsynced write that survives of each file at some byte.
	Tear bool
	// Seed makes the choices; the same operations and options give the same result.
	Seed uint64
}

// Crash ends the file system as a loss of power would and returns what is found afterwards, with the same options but no Fault.
// It panics without TrackSync.
func (m *Mem) Crash(opts CrashOptions) *Mem {
	if !m.opts.TrackSync {
		panic("vfs: Crash without TrackSync")
	}
	m.dead.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	rng := rand.New(rand.NewPCG(opts.Seed, 0))

	kept := 0
	switch opts.Unsynced {
	case LoseUnsynced:
	case KeepPrefix, KeepSubset:
		kept = rng.IntN(len(m.meta) + 1)
	case KeepAll:
		kept = len(m.meta)
	}
	for _, entries := range m.meta[:kept] {
		entries.settle()
	}
	m.meta = nil

	out := NewMem(MemOptions{Budget: m.opts.Budget, TrackSync: true, Now: m.opts.Now})
	for name, child := range m.root.durableFirst() {
		c := out.recover(child, opts, rng)
		out.root.children[name], out.root.durableChildren[name] = c, c
	}
	return out
}

// durableFirst walks a folder's durable entries in lexical order.
func (n *memNode) durableFirst() func(yield func(string, *memNode) bool) {
	return func(yield func(string, *memNode) bool) {
		for _, name := range slices.Sorted(maps.Keys(n.durableChildren)) {
			if !yield(name, n.durableChildren[name]) {
				return
			}
		}
	}
}

// recover copies what is left of an old node.
func (m *Mem) recover(old *memNode, opts CrashOptions, rng *rand.Rand) *memNode {
	m.budget.used.Add(memFileCost)
	if old.content == nil {
		n := m.newDir()
		n.linked = true
		for name, child := range old.durableFirst() {
			c := m.recover(child, opts, rng)
			n.children[name], n.durableChildren[name] = c, c
		}
		return n
	}
	old.write.Lock()
	defer old.write.Unlock()
	n := m.newFile()
	n.linked = true
	n.content = old.durable.clone()
	for _, w := range survivors(old.pending, opts, rng) {
		w.apply(n.content)
	}
	n.durable = n.content.clone()
	n.modified.Store(old.modified.Load())
	m.budget.used.Add(n.content.held())
	return n
}

func survivors(pending []memWrite, opts CrashOptions, rng *rand.Rand) []memWrite {
	var kept []memWrite
	switch opts.Unsynced {
	case LoseUnsynced:
		return nil
	case KeepAll:
		kept = slices.Clone(pending)
	case KeepPrefix:
		kept = slices.Clone(pending[:rng.IntN(len(pending)+1)])
	case KeepSubset:
		for _, w := range pending {
			if rng.IntN(2) == 0 {
				kept = append(kept, w)
			}
		}
	}
	if last := len(kept) - 1; opts.Tear && last >= 0 && len(kept[last].data) > 0 {
		kept[last].data = kept[last].data[:rng.IntN(len(kept[last].data))]
	}
	return kept
}

// apply does the write to durable content, which counts against no budget.
func (w memWrite) apply(c *memContent) {
	var none memBudget
	if w.data == nil {
		c.truncate(w.size, &none)
		return
	}
	if len(w.data) > 0 {
		_ = c.writeAt(w.data, w.off, &none) // without a limit it can't fail
	}
}

// settle makes the changes of a folder durable, and all earlier ones that they build on. The mutex is held.
func (m *Mem) settle(dir *memNode) {
	touched := map[*memNode]bool{dir: true}
	settled := make([]bool, len(m.meta))
	for i, entries := range slices.Backward(m.meta) {
		if slices.ContainsFunc(entries, func(e memEntry) bool { return touched[e.dir] }) {
			settled[i] = true
			for _, e := range entries {
				touched[e.dir] = true
			}
		}
	}
	rest := m.meta[:0]
	for i, entries := range m.meta {
		if settled[i] {
			entries.settle()
		} else {
			rest = append(rest, entries)
		}
	}
	clear(m.meta[len(rest):])
	m.meta = rest
}

func (entries memMeta) settle() {
	for _, e := range entries {
		if e.node != nil {
			e.dir.durableChildren[e.name] = e.node
		} else {
			delete(e.dir.durableChildren, e.name)
		}
	}
}

// Clone copies the file system as it stands, with what isn't synced and without a Fault; locks and open files stay behind.
func (m *Mem) Clone() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	opts := m.opts
	opts.Fault = nil
	out := NewMem(opts)
	nodes := make(map[*memNode]*memNode)
	out.root = out.copyNode(m.root, nodes)
	for _, entries := range m.meta {
		var copied memMeta
		for _, e := range entries {
			c := memEntry{dir: out.copyNode(e.dir, nodes), name: e.name}
			if e.node != nil {
				c.node = out.copyNode(e.node, nodes)
			}
			copied = append(copied, c)
		}
		out.meta = append(out.meta, copied)
	}
	for _, n := range nodes {
		if !n.linked {
			continue
		}
		if n != out.root {
			out.budget.used.Add(memFileCost)
		}
		if n.content != nil {
			out.budget.used.Add(n.content.held())
		}
	}
	return out
}

func (m *Mem) copyNode(old *memNode, nodes map[*memNode]*memNode) *memNode {
	if n, ok := nodes[old]; ok {
		return n
	}
	n := &memNode{linked: old.linked}
	nodes[old] = n
	n.modified.Store(old.modified.Load())
	if old.content != nil {
		old.write.Lock()
		defer old.write.Unlock()
		n.content = old.content.clone()
		if old.durable != nil {
			n.durable = old.durable.clone()
			n.pending = slices.Clone(old.pending)
		}
		return n
	}
	copyChildren := func(children map[string]*memNode) map[string]*memNode {
		if children == nil {
			return nil
		}
		out := make(map[string]*memNode, len(children))
		for name, c := range children {
			out[name] = m.copyNode(c, nodes)
		}
		return out
	}
	n.children = copyChildren(old.children)
	n.durableChildren = copyChildren(old.durableChildren)
	return n
}
