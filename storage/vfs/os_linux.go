package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData is fdatasync, again where a signal came in between.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		for {
			syncErr = unix.Fdatasync(int(fd))
			if syncErr != unix.EINTR { //nolint:errorlint // a system call's errno is never wrapped
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return syncErr
}

func usage(name string) (total, free int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return -1, -1
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
}
