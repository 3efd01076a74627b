//go:build !linux && !darwin && !windows

package vfs

import (
	"errors"
	"os"
)

func syncData(f *os.File) error { return f.Sync() }

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// lockFile refuses: a data directory that two brokers can open is worse than none.
func lockFile(*os.File) error { return errors.ErrUnsupported }

func usage(string) (total, free int64) { return -1, -1 }
