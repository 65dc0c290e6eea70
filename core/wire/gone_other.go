//go:build !linux

package wire

import "net"

// Gone is known on Linux only; elsewhere a session learns that its client is gone by reading.
func Gone(net.Conn) bool { return false }
