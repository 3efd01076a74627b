package storage

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kbroker/kbroker/storage/vfs"
)

var errFileTooLarge = errors.New("file is larger than it may be")

// readFile reads a file of at most limit bytes.
func readFile(fsys vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", errFileTooLarge, path, n, limit)
	}
	b := make([]byte, n)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	return b, nil
}

// errShortRead says that a file ends before it should.
var errShortRead = errors.New("file is shorter than it should be")

// readFull fills b from off on.
func readFull(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %s at %d", errShortRead, f.Name(), off)
	default:
		return err
	}
}

// writeFile replaces a file by renaming a new one over it, so that a reader and a crash see the old or the new one. With sync
// its bytes are durable before that; the folder is the caller's to sync.
func writeFile(fsys vfs.FS, path string, b []byte, sync bool) error {
	temp := path + suffixTemp
	f, err := fsys.Open(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if len(b) > 0 {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(temp, path)
	}
	if err != nil {
		_ = fsys.Remove(temp)
	}
	return err
}

// syncFile makes a file's bytes durable.
func syncFile(fsys vfs.FS, path string) error {
	f, err := fsys.Open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// truncateDurably cuts a file off. What is written behind its new end must not be found among what was cut off after a crash, so this is
// durable before that.
func truncateDurably(f vfs.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}
