// Package vfs is the small file-system interface that storage is written against. There are two
// implementations: the operating system's, and one in memory that can also forget what was not synced,
// tear a write and fail on demand. Paths are slash-separated and absolute or relative to the process.
//
// Files are written at explicit positions; appends of one file are ordered by their caller. A File may be
// read by any number of goroutines while one of them writes behind what they read.
package vfs

import (
	"io"
	"io/fs"
	"os"
)

// FS is a file system. All methods are safe for concurrent use. Errors satisfy errors.Is with
// fs.ErrNotExist and fs.ErrExist where these apply.
type FS interface {
	// Open opens name; flag is a combination of os.O_RDONLY, os.O_RDWR, os.O_CREATE, os.O_EXCL and os.O_TRUNC.
	Open(name string, flag int) (File, error)
	Remove(name string) error
	RemoveAll(name string) error
	Rename(from, to string) error
	MkdirAll(name string) error
	// ReadDir lists a folder in lexical order.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes creations, renames and removals in the folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on name, creating it; it is gone when the process ends. ErrLocked if another holds it.
	Lock(name string) (io.Closer, error)
	// Usage says how many bytes the file system below name has in all and has left; -1 where that is unknown.
	Usage(name string) (total, free int64)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync makes all that was written to the file durable.
	Sync() error
	Size() (int64, error)
	Name() string
	// Chunks gives n bytes from off on as the kernel or memory holds them, without a copy. They must lie within the file,
	// and stay valid until the file is closed.
	Chunks(dst []Chunk, off, n int64) ([]Chunk, error)
}

// Chunk is a run of bytes to be sent: in memory (Bytes) or, where Bytes is nil, N bytes of File from Off on.
type Chunk struct {
	Bytes []byte
	File  *os.File
	Off   int64
	N     int64
}

// Len is the chunk's length in bytes.
func (c Chunk) Len() int64 {
	if c.Bytes != nil {
		return int64(len(c.Bytes))
	}
	return c.N
}
