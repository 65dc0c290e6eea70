//go:build !unix

package server

// OpenFiles is how many files the process may have open; 0 if that is not known.
func OpenFiles() uint64 { return 0 }

// FilesInUse is how many files the process has open, connections included; 0 if that is not known.
func FilesInUse() int { return 0 }
