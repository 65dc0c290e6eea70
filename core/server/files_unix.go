//go:build unix

package server

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenFiles is how many files the process may have open; 0 if that is not known.
func OpenFiles() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return uint64(l.Cur) //nolint:unconvert // it is signed on some systems
}

// FilesInUse is how many files the process has open, connections included; 0 if that is not known.
func FilesInUse() int {
	d, err := os.Open("/dev/fd")
	if err != nil {
		return 0
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // d itself
}
