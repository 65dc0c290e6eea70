//go:build unix

package wire

import (
	"errors"
	"io"
	"syscall"
)

// canReadRaw says that readRaw works here.
const canReadRaw = true

// errLater says that nothing has come yet.
var errLater = syscall.EAGAIN

// readRaw reads what has come on a socket, without waiting.
func readRaw(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err == nil && n == 0:
			return 0, io.EOF
		}
		return max(n, 0), err
	}
}
