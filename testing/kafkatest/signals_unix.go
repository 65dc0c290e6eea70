//go:build unix

package kafkatest

import (
	"os"
	"syscall"
)

// Freeze stops a broker with SIGSTOP; its sockets still accept.
func (c *RealCluster) Freeze(n int32) error { return c.signal(n, syscall.SIGSTOP) }

// Thaw lets a frozen broker go on.
func (c *RealCluster) Thaw(n int32) error { return c.signal(n, syscall.SIGCONT) }

// lockFile waits until no other process has the file locked, and locks it until it is closed.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
