//go:build unix

package broker

import (
	"math"

	"golang.org/x/sys/unix"
)

// maxOpenFiles is how many file descriptors the process may have. Go's runtime has raised the soft limit to the hard one.
func maxOpenFiles() (n int, known bool) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || uint64(l.Cur) > math.MaxInt32 { //nolint:unconvert // it is signed on some systems
		return 0, false
	}
	return int(l.Cur), true
}
