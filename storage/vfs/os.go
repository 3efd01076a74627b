package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrLocked says that another process, or another user in this one, holds a Lock.
var ErrLocked = errors.New("locked by another process")

// filePerm and dirPerm are what new files and folders get, before the process's umask.
const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// OS is the operating system's file system. It has no state; every call gives an equal value.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (osFS) Rename(from, to string) error               { return os.Rename(from, to) }
func (osFS) MkdirAll(name string) error                 { return os.MkdirAll(name, dirPerm) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }

func (osFS) SyncDir(name string) error { return syncDir(name) }

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return f, nil
}

func (osFS) Usage(name string) (total, free int64) { return usage(name) }

// osFile is *os.File but for Sync, Size and Chunks.
type osFile struct{ f *os.File }

func (f osFile) ReadAt(p []byte, off int64) (int, error)  { return f.f.ReadAt(p, off) }
func (f osFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }
func (f osFile) Close() error                             { return f.f.Close() }
func (f osFile) Truncate(size int64) error                { return f.f.Truncate(size) }
func (f osFile) Name() string                             { return f.f.Name() }

// Sync leaves out what isn't needed to read the data back, such as the time of modification; a changed size is included.
func (f osFile) Sync() error {
	if err := syncData(f.f); err != nil {
		return &fs.PathError{Op: "sync", Path: f.f.Name(), Err: err}
	}
	return nil
}

func (f osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Chunks(dst []Chunk, off, n int64) ([]Chunk, error) {
	if off < 0 || n < 0 {
		return dst, &fs.PathError{Op: "chunks", Path: f.f.Name(), Err: fs.ErrInvalid}
	}
	if n == 0 {
		return dst, nil
	}
	return append(dst, Chunk{File: f.f, Off: off, N: n}), nil
}
