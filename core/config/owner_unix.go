//go:build unix

package config

import (
	"io/fs"
	"os"
	"syscall"
)

// sameOwner gives a file the owner of another one.
func sameOwner(f *os.File, as fs.FileInfo) error {
	st, ok := as.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
