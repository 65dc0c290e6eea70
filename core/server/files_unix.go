//go:build unix

package server

import "golang.org/x/sys/unix"

// OpenFiles is how many files the process may have open; 0 if that is not known.
func OpenFiles() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return uint64(l.Cur) //nolint:unconvert // it is signed on some systems
}
