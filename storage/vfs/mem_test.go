package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestMem_budget(t *testing.T) {
	m := NewMem(MemOptions{Budget: 64 << 10})
	f := create(t, m, "/f")
	if _, err := f.WriteAt(make([]byte, 30<<10), 0); err != nil {
		t.Fatal(err)
	}
	used := m.Used()
	n, err := f.WriteAt(make([]byte, 40<<10), 30<<10)
	wantErr(t, err, ErrBudget)
	if size, _ := f.Size(); n != 0 || size != 30<<10 || m.Used() != used {
		t.Errorf("a refused write left %d bytes, size %d, %d used where %d were", n, size, m.Used(), used)
	}
	if got := all(t, f); len(got) != 30<<10 { // reading goes on
		t.Errorf("read %d", len(got))
	}
	must(t, f.Truncate(1))
	if want := int64(memFirstBlock + memFileCost); m.Used() != want {
		t.Errorf("%d used after truncation, want %d", m.Used(), want)
	}
	must(t, m.Remove("/f"))
	if m.Used() == 0 {
		t.Error("a file that is open gave its memory back")
	}
	must(t, f.Close())
	if m.Used() != 0 {
		t.Errorf("%d used by nothing", m.Used())
	}

	must(t, m.MkdirAll("/d/e"))
	g := create(t, m, "/d/e/g")
	writeAt(t, g, "x", 0)
	must(t, g.Close())
	h := create(t, m, "/d/e/h")
	writeAt(t, h, "x", 0)
	must(t, h.Close())
	must(t, m.Rename("/d/e/g", "/d/e/h"))
	must(t, m.RemoveAll("/d"))
	if m.Used() != 0 {
		t.Errorf("%d used after RemoveAll", m.Used())
	}

	files := 0
	for ; files < 1000; files++ { // empty files aren't free either
		if _, err = m.Open(fmt.Sprint(files), os.O_RDWR|os.O_CREATE); err != nil {
			break
		}
	}
	wantErr(t, err, ErrBudget)
	wantErr(t, m.MkdirAll("/more"), ErrBudget)
}

func TestMem_holes_take_no_memory(t *testing.T) {
	m := NewMem(MemOptions{Budget: 16 << 20})
	for i := range 1000 {
		f := create(t, m, fmt.Sprint(i))
		must(t, f.Truncate(10<<20))
		writeAt(t, f, "entry", 0)
		must(t, f.Truncate(10<<20)) // as it is
		if got := all(t, f); len(got) != 10<<20 || string(got[:5]) != "entry" || bytes.Count(got, []byte{0}) != 10<<20-5 {
			t.Fatal("wrong contents")
		}
		must(t, f.Close())
		if i == 2 && testing.Short() {
			break
		}
	}
	if per := m.Used() / 1000; per > 5<<10 {
		t.Errorf("%d bytes per file", per)
	}
}

func TestMem_chunks_are_not_copies_and_keep_what_they_show(t *testing.T) {
	m := NewMem(MemOptions{})
	f := create(t, m, "/f")
	writeAt(t, f, "hello", 0)
	first, err := f.Chunks(nil, 0, 5)
	must(t, err)
	again, err := f.Chunks(nil, 0, 5)
	must(t, err)
	if &first[0].Bytes[0] != &again[0].Bytes[0] {
		t.Error("chunks were copied")
	}
	if cap(first[0].Bytes) != 5 {
		t.Error("a chunk's user can append into the file")
	}
	writeAt(t, f, " world", 5)
	must(t, f.Truncate(2))
	writeAt(t, f, "XXXXXX", 2) // what a follower does after it was cut
	if got := string(sent(t, first)); got != "hello" {
		t.Errorf("chunk shows %q", got)
	}
	if _, err := f.Chunks(nil, 0, 9); err == nil {
		t.Error("chunks behind the end")
	}
	must(t, f.Close())
	if got := string(sent(t, first)); got != "hello" {
		t.Errorf("chunk shows %q", got)
	}
}

func TestMem_readers_beside_an_appending_writer(t *testing.T) {
	m := NewMem(MemOptions{})
	f := create(t, m, "/f")
	const total = 5 << 20
	var published atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			b := make([]byte, 10_000)
			var chunks []Chunk
			for at := int64(0); at < total; {
				end := published.Load()
				n := min(end-at, int64(len(b)))
				if n == 0 {
					continue
				}
				if _, err := f.ReadAt(b[:n], at); err != nil {
					t.Error(err)
					return
				}
				var err error
				if chunks, err = f.Chunks(chunks[:0], at, n); err != nil {
					t.Error(err)
					return
				}
				seen := 0
				for _, c := range chunks {
					if !bytes.Equal(c.Bytes, b[seen:seen+len(c.Bytes)]) {
						t.Error("chunks and reads differ")
						return
					}
					seen += len(c.Bytes)
				}
				for i, c := range b[:n] {
					if c != byte((at+int64(i))>>8) {
						t.Errorf("byte %d is %d", at+int64(i), c)
						return
					}
				}
				at += n
			}
		})
	}
	b := make([]byte, 1<<16)
	for at := int64(0); at < total; at = published.Load() {
		n := min(at%30_000+1, total-at, int64(len(b)))
		for i := range b[:n] {
			b[i] = byte((at + int64(i)) >> 8)
		}
		if _, err := f.WriteAt(b[:n], at); err != nil {
			t.Fatal(err)
		}
		published.Store(at + n)
	}
	wg.Wait()
}

func TestMem_crash_keeps_what_was_synced(t *testing.T) {
	for _, survival := range []Survival{LoseUnsynced, KeepPrefix, KeepSubset, KeepAll} {
		for seed := range uint64(20) {
			m := NewMem(MemOptions{TrackSync: true})
			must(t, m.MkdirAll("/data/t-0"))
			must(t, m.SyncDir("/"))
			must(t, m.SyncDir("/data"))
			f := create(t, m, "/data/t-0/log")
			must(t, m.SyncDir("/data/t-0"))
			writeAt(t, f, "synced.", 0)
			must(t, f.Sync())
			writeAt(t, f, "first.", 7)
			writeAt(t, f, "second.", 13)
			writeAt(t, f, "third.", 20)
			create(t, m, "/data/t-0/index")
			must(t, m.Rename("/data/t-0/log", "/data/t-0/log2"))
			must(t, m.MkdirAll("/data/t-1"))

			after := m.Crash(CrashOptions{Unsynced: survival, Tear: survival != KeepAll, Seed: seed})
			_, err := f.WriteAt([]byte("x"), 0)
			wantErr(t, err, ErrCrashed)
			_, err = m.Stat("/")
			wantErr(t, err, ErrCrashed)

			name := "/data/t-0/log"
			if _, err := after.Stat(name); err != nil {
				name = "/data/t-0/log2"
			}
			got := contents(t, after, name)
			_, index := after.Stat("/data/t-0/index")
			_, dir := after.Stat("/data/t-1")
			switch survival {
			case LoseUnsynced:
				if got != "synced." || name != "/data/t-0/log" || index == nil || dir == nil {
					t.Fatalf("%s has %q; index %v, folder %v", name, got, index, dir)
				}
			case KeepAll:
				if got != "synced.first.second.third." || name != "/data/t-0/log2" || index != nil || dir != nil {
					t.Fatalf("%s has %q; index %v, folder %v", name, got, index, dir)
				}
			case KeepPrefix:
				if !bytes.HasPrefix([]byte("synced.first.second.third."), []byte(got)) || len(got) < 7 {
					t.Fatalf("%q is no prefix", got)
				}
				if name == "/data/t-0/log2" && index != nil || dir == nil && name == "/data/t-0/log" {
					t.Fatal("later changes of folders survived, earlier ones did not")
				}
			case KeepSubset:
				if len(got) < 7 || got[:7] != "synced." {
					t.Fatalf("%q lost what was synced", got)
				}
			}
			if m2 := after.Crash(CrashOptions{}); contents(t, m2, name) != got {
				t.Fatal("what survived one crash did not survive the next")
			}
		}
	}
}

func TestMem_crash_is_repeatable(t *testing.T) {
	run := func(seed uint64) string {
		m := NewMem(MemOptions{TrackSync: true})
		out := ""
		for i := range 10 {
			f := create(t, m, fmt.Sprintf("/%d", i))
			for j := range 10 {
				writeAt(t, f, fmt.Sprint(j), int64(j))
			}
		}
		must(t, m.SyncDir("/"))
		after := m.Crash(CrashOptions{Unsynced: KeepSubset, Tear: true, Seed: seed})
		for i := range 10 {
			out += fmt.Sprintf("%q ", contents(t, after, fmt.Sprintf("/%d", i)))
		}
		return out
	}
	if a, b := run(1), run(1); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if a, b := run(1), run(2); a == b {
		t.Error("the seed chooses nothing")
	}
}

func TestMem_crash_with_renames_between_folders(t *testing.T) {
	m := NewMem(MemOptions{TrackSync: true})
	must(t, m.MkdirAll("/a"))
	must(t, m.MkdirAll("/b"))
	f := create(t, m, "/a/y")
	writeAt(t, f, "y", 0)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, m.SyncDir("/a"))
	create(t, m, "/b/x")
	must(t, m.Rename("/a/y", "/b/x"))
	must(t, m.SyncDir("/a")) // the file must not vanish from both
	clone := m.Clone()
	must(t, m.SyncDir("/b"))
	for i, after := range []*Mem{clone.Crash(CrashOptions{}), m.Crash(CrashOptions{})} {
		if got := contents(t, after, "/b/x"); got != "y" {
			t.Errorf("%d: %q", i, got)
		}
		if _, err := after.Stat("/a/y"); err == nil {
			t.Errorf("%d: both names", i)
		}
	}
}

func TestMem_truncation_is_unsynced_too(t *testing.T) {
	m := NewMem(MemOptions{TrackSync: true})
	f := create(t, m, "/f")
	must(t, m.SyncDir("/"))
	writeAt(t, f, "0123456789", 0)
	must(t, f.Sync())
	must(t, f.Truncate(4))
	if got := contents(t, m.Clone().Crash(CrashOptions{}), "/f"); got != "0123456789" {
		t.Errorf("%q", got)
	}
	must(t, f.Sync())
	if got := contents(t, m.Crash(CrashOptions{}), "/f"); got != "0123" {
		t.Errorf("%q", got)
	}
}

func TestMem_clone_is_apart(t *testing.T) {
	m := NewMem(MemOptions{TrackSync: true, Budget: 1 << 20})
	must(t, m.MkdirAll("/d"))
	f := create(t, m, "/d/f")
	writeAt(t, f, "one", 0)
	l, err := m.Lock("/d/lock")
	must(t, err)
	c := m.Clone()
	if c.Used() != m.Used() {
		t.Errorf("%d used, %d in the clone", m.Used(), c.Used())
	}
	writeAt(t, f, "two", 0)
	must(t, l.Close())
	if got := contents(t, c, "/d/f"); got != "one" {
		t.Errorf("%q", got)
	}
	if _, err := c.Lock("/d/lock"); err != nil {
		t.Error(err)
	}
	if _, err := c.Crash(CrashOptions{}).Stat("/d"); err == nil {
		t.Error("cloning made things durable")
	}
	if contents(t, m, "/d/f") != "two" {
		t.Error("the clone's crash reached the original")
	}
}

// script does one of each counted operation and returns the first error.
func script(m *Mem) error {
	if err := m.MkdirAll("/d"); err != nil { // 1
		return err
	}
	f, err := m.Open("/d/f", os.O_RDWR|os.O_CREATE) // 2
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("hello"), 0); err != nil { // 3
		return err
	}
	if err := f.Truncate(4); err != nil { // 4
		return err
	}
	if err := f.Sync(); err != nil { // 5
		return err
	}
	if err := m.SyncDir("/d"); err != nil { // 6
		return err
	}
	if err := m.Rename("/d/f", "/d/g"); err != nil { // 7
		return err
	}
	return m.Remove("/d/g") // 8
}

func TestMem_faults(t *testing.T) {
	const ops = 8
	m := NewMem(MemOptions{})
	var kinds []OpKind
	m.SetFault(func(op Op) error {
		if op.N != int64(len(kinds)+1) {
			t.Errorf("operation %v is number %d", op, len(kinds)+1)
		}
		kinds = append(kinds, op.Kind)
		return nil
	})
	must(t, script(m))
	if m.Ops() != ops || fmt.Sprint(kinds) != "[mkdir create write truncate sync syncdir rename remove]" {
		t.Errorf("%d operations: %v", m.Ops(), kinds)
	}
	for n := range int64(ops) {
		m := NewMem(MemOptions{Fault: FailAt(n+1, syscall.ENOSPC)})
		wantErr(t, script(m), syscall.ENOSPC)
		if m.Ops() != n+1 {
			t.Errorf("%d operations, want %d", m.Ops(), n+1)
		}
		if _, err := m.Stat("/"); err != nil {
			t.Error(err) // it lives on
		}
		m = NewMem(MemOptions{Fault: CrashAt(n + 1), TrackSync: true})
		wantErr(t, script(m), ErrCrashed)
		_, err := m.ReadDir("/")
		wantErr(t, err, ErrCrashed)
		wantErr(t, m.MkdirAll("/x"), ErrCrashed)
		m.Crash(CrashOptions{Unsynced: KeepAll})
	}
}

func TestMem_faults_by_name_once_and_on_reads(t *testing.T) {
	boom := errors.New("boom")
	m := NewMem(MemOptions{})
	f, g := create(t, m, "/f"), create(t, m, "/g")
	m.SetFault(FailOnce(func(op Op) bool { return op.Name == "/f" && op.Kind == OpWrite }, boom))
	writeAt(t, g, "x", 0)
	_, err := f.WriteAt([]byte("x"), 0)
	wantErr(t, err, boom)
	writeAt(t, f, "x", 0)

	ops := m.Ops()
	m.SetFault(FailWhere(func(op Op) bool { return op.Kind == OpRead && op.Name == "/g" }, syscall.EIO))
	for range 2 {
		_, err = g.ReadAt(make([]byte, 1), 0)
		wantErr(t, err, syscall.EIO)
		_, err = g.Chunks(nil, 0, 1)
		wantErr(t, err, syscall.EIO)
	}
	_ = all(t, f)
	if m.Ops() != ops {
		t.Error("reads were counted")
	}
	m.SetFault(nil)
	_ = all(t, g)
}

func TestMem_partial_writes(t *testing.T) {
	m := NewMem(MemOptions{TrackSync: true})
	f := create(t, m, "/f")
	must(t, m.SyncDir("/"))
	m.SetFault(FailAt(m.Ops()+1, &PartialWrite{N: 3, Err: syscall.ENOSPC}))
	n, err := f.WriteAt([]byte("hello"), 0)
	wantErr(t, err, syscall.ENOSPC)
	if n != 3 || string(all(t, f)) != "hel" {
		t.Errorf("%d bytes, %q", n, all(t, f))
	}
	m.SetFault(CrashWithin(m.Ops()+1, 1))
	_, err = f.WriteAt([]byte("lo"), 3)
	wantErr(t, err, ErrCrashed)
	if got := contents(t, m.Crash(CrashOptions{Unsynced: KeepAll}), "/f"); got != "hell" {
		t.Errorf("%q", got)
	}
}

func TestMem_a_second_sync_does_not_make_up_for_a_failed_one(t *testing.T) {
	m := NewMem(MemOptions{TrackSync: true})
	f := create(t, m, "/f")
	must(t, m.SyncDir("/"))
	writeAt(t, f, "lost", 0)
	m.SetFault(FailAt(m.Ops()+1, syscall.EIO))
	wantErr(t, f.Sync(), syscall.EIO)
	writeAt(t, f, "kept", 4)
	must(t, f.Sync())
	if got := contents(t, m.Crash(CrashOptions{}), "/f"); got != "\x00\x00\x00\x00kept" {
		t.Errorf("%q", got)
	}
}

func BenchmarkMem_append(b *testing.B) {
	m := NewMem(MemOptions{})
	f, err := m.Open("/f", os.O_RDWR|os.O_CREATE)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 10<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		if _, err := f.WriteAt(p, off); err != nil {
			b.Fatal(err)
		}
		if off += int64(len(p)); off > 256<<20 {
			off = 0
			_ = f.Truncate(0)
		}
	}
}
