package kafkatest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are given out in blocks, one per process, so that what one process finds free is not taken
// by another before it listens there. The blocks lie below the ephemeral range.
const (
	firstBlock = 20_000
	blocks     = 24
	blockSize  = 500
)

// ports are those of this process: the first of a block is held for as long as the process runs,
// the others are given out in turn.
var ports struct {
	sync.Mutex
	claim net.Listener
	first int // of the block's ports that are given out
	next  int
}

// FreePorts returns the first of n free consecutive ports on loopback.
func FreePorts(n int) (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.claim == nil {
		if err := claim(); err != nil {
			return 0, err
		}
	}
	for range blockSize {
		at := ports.next
		if at+n > ports.first+blockSize-1 {
			at = ports.first
		}
		ports.next = at + 1
		if free(at, n) {
			ports.next = at + n
			return at, nil
		}
	}
	return 0, fmt.Errorf("no %d free consecutive ports", n)
}

// claim takes a block of ports that no other process has.
func claim() error {
	for _, b := range rand.Perm(blocks) {
		at := firstBlock + b*blockSize
		if l, err := listen(at); err == nil {
			ports.claim, ports.first, ports.next = l, at+1, at+1
			return nil
		}
	}
	return errors.New("every block of ports is taken by another process")
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// free is whether nobody listens on n ports.
func free(at, n int) bool {
	for p := at; p < at+n; p++ {
		l, err := listen(p)
		if err != nil {
			return false
		}
		defer func() { _ = l.Close() }()
	}
	return true
}
