package kafkatest

import "syscall"

// EndsWithParent are the attributes of a process that ends with its parent, however that ends.
func EndsWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
