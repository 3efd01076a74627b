package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// systems are the implementations that must behave alike; dir is a fresh folder.
func systems(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), filepath.ToSlash(t.TempDir())) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem(MemOptions{})
		must(t, m.MkdirAll("/data/dir"))
		test(t, m, "/data/dir")
	})
	t.Run("mem tracking syncs", func(t *testing.T) {
		m := NewMem(MemOptions{TrackSync: true})
		must(t, m.MkdirAll("relative"))
		test(t, m, "relative")
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func create(t *testing.T, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.Open(name, os.O_RDWR|os.O_CREATE)
	must(t, err)
	return f
}

func writeAt(t *testing.T, f File, s string, off int64) {
	t.Helper()
	n, err := f.WriteAt([]byte(s), off)
	must(t, err)
	if n != len(s) {
		t.Fatalf("wrote %d of %d bytes", n, len(s))
	}
}

func contents(t *testing.T, fsys FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name, os.O_RDONLY)
	must(t, err)
	defer f.Close()
	return string(all(t, f))
}

func all(t *testing.T, f File) []byte {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

// sent is what a sender of the chunks would send.
func sent(t *testing.T, chunks []Chunk) []byte {
	t.Helper()
	var out []byte
	for _, c := range chunks {
		if c.Bytes != nil {
			out = append(out, c.Bytes...)
			continue
		}
		b := make([]byte, c.N)
		_, err := c.File.ReadAt(b, c.Off)
		must(t, err)
		out = append(out, b...)
	}
	return out
}

func TestFS_files_and_folders(t *testing.T) {
	systems(t, func(t *testing.T, fsys FS, dir string) {
		_, err := fsys.Open(dir+"/none", os.O_RDWR)
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.Open(dir+"/no/folder", os.O_RDWR|os.O_CREATE)
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.Stat(dir + "/none")
		wantErr(t, err, fs.ErrNotExist)
		_, err = fsys.ReadDir(dir + "/none")
		wantErr(t, err, fs.ErrNotExist)
		wantErr(t, fsys.Remove(dir+"/none"), fs.ErrNotExist)
		wantErr(t, fsys.Rename(dir+"/none", dir+"/x"), fs.ErrNotExist)
		must(t, fsys.RemoveAll(dir+"/none"))

		f := create(t, fsys, dir+"/b")
		if f.Name() != dir+"/b" {
			t.Errorf("name %q", f.Name())
		}
		writeAt(t, f, "hello", 0)
		must(t, f.Sync())
		must(t, f.Close())
		_, err = fsys.Open(dir+"/b", os.O_RDWR|os.O_CREATE|os.O_EXCL)
		wantErr(t, err, fs.ErrExist)
		must(t, fsys.MkdirAll(dir+"/c/d/e"))
		must(t, fsys.MkdirAll(dir+"/c/d"))
		if fsys.MkdirAll(dir+"/b/x") == nil {
			t.Error("made a folder below a file")
		}
		must(t, create(t, fsys, dir+"/a").Close())
		must(t, fsys.SyncDir(dir))

		entries, err := fsys.ReadDir(dir)
		must(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
			if e.IsDir() != (e.Name() == "c") {
				t.Errorf("%s is a folder: %v", e.Name(), e.IsDir())
			}
		}
		if !slices.Equal(names, []string{"a", "b", "c"}) {
			t.Errorf("entries %v", names)
		}
		info, err := fsys.Stat(dir + "/b")
		must(t, err)
		if info.Name() != "b" || info.Size() != 5 || info.IsDir() || time.Since(info.ModTime()) > time.Hour {
			t.Errorf("info %v %v %v %v", info.Name(), info.Size(), info.IsDir(), info.ModTime())
		}

		must(t, fsys.Rename(dir+"/b", dir+"/a")) // over a file
		if got := contents(t, fsys, dir+"/a"); got != "hello" {
			t.Errorf("renamed file has %q", got)
		}
		must(t, fsys.Rename(dir+"/c", dir+"/c2")) // a folder with what is in it
		if _, err := fsys.Stat(dir + "/c2/d/e"); err != nil {
			t.Error(err)
		}
		if fsys.Remove(dir+"/c2") == nil {
			t.Error("removed a folder that isn't empty")
		}
		must(t, fsys.RemoveAll(dir+"/c2"))
		_, err = fsys.Stat(dir + "/c2")
		wantErr(t, err, fs.ErrNotExist)
		must(t, fsys.Remove(dir+"/a"))
	})
}

func TestFS_reads_and_writes_at_positions(t *testing.T) {
	systems(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, dir+"/f")
		defer f.Close()
		model := []byte{}
		put := func(off, n int, fill byte) {
			b := bytes.Repeat([]byte{fill}, n)
			_, err := f.WriteAt(b, int64(off))
			must(t, err)
			if end := off + n; end > len(model) {
				model = append(model, make([]byte, end-len(model))...)
			}
			copy(model[off:], b)
		}
		check := func() {
			t.Helper()
			if got := all(t, f); !bytes.Equal(got, model) {
				t.Fatalf("%d bytes differ from the %d expected", len(got), len(model))
			}
			for _, r := range [][2]int{{0, len(model)}, {len(model) / 3, len(model) / 2}, {len(model), 0}} {
				chunks, err := f.Chunks(nil, int64(r[0]), int64(r[1]))
				must(t, err)
				if got := sent(t, chunks); !bytes.Equal(got, model[r[0]:r[0]+r[1]]) {
					t.Fatalf("chunks of %v differ", r)
				}
			}
		}
		check()
		put(0, 3, 'a')
		put(3, 4094, 'b') // over the end of the first block
		check()
		put(100<<10, 10, 'c') // leaves a hole
		check()
		put(900<<10, 3<<20, 'd')
		check()
		put(50, 20, 'e') // again
		check()
		for _, size := range []int{2<<20 + 7, 1 << 20, 100<<10 + 5, 4096, 4000, 6000, 300 << 10, 0, 10} {
			must(t, f.Truncate(int64(size)))
			if size <= len(model) {
				model = model[:size:size]
			} else {
				model = append(model, make([]byte, size-len(model))...)
			}
			check()
		}

		put(0, 10, 'x')
		b := make([]byte, 20)
		n, err := f.ReadAt(b, 5)
		if n != 5 || !errors.Is(err, io.EOF) {
			t.Errorf("read over the end: %d, %v", n, err)
		}
		n, err = f.ReadAt(b, 100)
		if n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read behind the end: %d, %v", n, err)
		}
		if _, err = f.ReadAt(b, -1); err == nil {
			t.Error("read at -1")
		}
		if _, err = f.Chunks(nil, -1, 1); err == nil {
			t.Error("chunks at -1")
		}
	})
}

func TestFS_open_modes(t *testing.T) {
	systems(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, dir+"/f")
		writeAt(t, f, "hello", 0)
		r, err := fsys.Open(dir+"/f", os.O_RDONLY)
		must(t, err)
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Error("wrote to a file opened for reading")
		}
		if r.Truncate(0) == nil {
			t.Error("truncated a file opened for reading")
		}
		// One file, two handles; a removed file goes on for those who have it open.
		must(t, fsys.Remove(dir+"/f"))
		writeAt(t, f, "y", 0)
		if got := string(all(t, r)); got != "yello" {
			t.Errorf("read %q", got)
		}
		must(t, f.Close())
		must(t, r.Close())
		if _, err := f.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("read a closed file")
		}
		if f.Close() == nil {
			t.Error("closed twice")
		}
		g := create(t, fsys, dir+"/g")
		writeAt(t, g, "hello", 0)
		h, err := fsys.Open(dir+"/g", os.O_RDWR|os.O_TRUNC)
		must(t, err)
		if size, err := g.Size(); err != nil || size != 0 {
			t.Errorf("size %d, %v after O_TRUNC", size, err)
		}
		must(t, g.Close())
		must(t, h.Close())
	})
}

func TestFS_lock(t *testing.T) {
	systems(t, func(t *testing.T, fsys FS, dir string) {
		l, err := fsys.Lock(dir + "/.lock")
		must(t, err)
		_, err = fsys.Lock(dir + "/.lock")
		wantErr(t, err, ErrLocked)
		must(t, l.Close())
		l, err = fsys.Lock(dir + "/.lock")
		must(t, err)
		must(t, l.Close())
		if l.Close() == nil {
			t.Error("unlocked twice")
		}
		if _, err := fsys.Lock(dir + "/no/.lock"); err == nil {
			t.Error("locked in a folder that isn't there")
		}
	})
}

func TestFS_usage(t *testing.T) {
	total, free := OS().Usage(t.TempDir())
	if total <= 0 || free < 0 || free > total {
		t.Errorf("total %d, free %d", total, free)
	}
	if total, free = OS().Usage("/does/not/exist"); total != -1 || free != -1 {
		t.Errorf("of nothing: %d, %d", total, free)
	}
	if total, free = NewMem(MemOptions{}).Usage("/"); total != -1 || free != -1 {
		t.Errorf("without a budget: %d, %d", total, free)
	}
	m := NewMem(MemOptions{Budget: 1 << 20})
	f := create(t, m, "/f")
	writeAt(t, f, "x", 0)
	if total, free = m.Usage("/"); total != 1<<20 || free != 1<<20-memFirstBlock-memFileCost {
		t.Errorf("total %d, free %d", total, free)
	}
}
