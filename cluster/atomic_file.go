package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/kbroker/kbroker/storage/vfs"
)

// maxStoredFileBytes bounds what is read of a file at once.
const maxStoredFileBytes = 1 << 30

// writeFileAtomically replaces a file: a crash leaves the old contents or the new ones. With sync the new ones are durable afterwards.
func writeFileAtomically(fs vfs.FS, name string, contents []byte, sync bool) (err error) {
	temporary := name + ".tmp"
	f, err := fs.Open(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(contents, 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temporary, name); err != nil {
		return err
	}
	if sync {
		return fs.SyncDir(path.Dir(name))
	}
	return nil
}

func readWholeFile(fs vfs.FS, name string) (contents []byte, err error) {
	f, err := fs.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxStoredFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, size, maxStoredFileBytes)
	}
	contents = make([]byte, size)
	if n, err := f.ReadAt(contents, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(contents)) {
		return nil, err
	}
	return contents, nil
}
