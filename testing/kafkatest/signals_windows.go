package kafkatest

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

var errNoSignals = errors.New("Windows can't stop a process and let it go on")

// Freeze is not possible.
func (c *RealCluster) Freeze(int32) error { return errNoSignals }

// Thaw is not possible.
func (c *RealCluster) Thaw(int32) error { return errNoSignals }

// lockFile waits until no other process has the file locked, and locks it until it is closed.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &windows.Overlapped{})
}
