//go:build !linux

package kafkatest

import "syscall"

// EndsWithParent are the attributes of a process. It outlives a parent that is killed: only Linux
// can end it then.
func EndsWithParent() *syscall.SysProcAttr { return nil }
