//go:build unix

package cache

import (
	"io/fs"
	"os"
	"syscall"
)

// private reports a folder that only this user may enter.
func private(dir fs.FileInfo) bool {
	s, ok := dir.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid() && dir.Mode().Perm()&0o077 == 0 && dir.IsDir()
}
