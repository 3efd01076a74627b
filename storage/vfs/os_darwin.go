package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData is os.File's: fsync there does not reach the disk's platter, F_FULLFSYNC does.
func syncData(f *os.File) error { return f.Sync() }

func usage(name string) (total, free int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return -1, -1
	}
	return int64(st.Blocks) * int64(st.Bsize), int64(st.Bavail) * int64(st.Bsize)
}
