package kafkatest

import (
	"os"
	"sync"
	"time"
)

// ports remembers what this process has taken, so that clusters that start at the same time don't
// get the same ones.
var ports struct {
	sync.Mutex
	next int
}

// portSeed spreads the ports of processes that run at the same time.
func portSeed() uint64 { return uint64(os.Getpid())*131 + uint64(time.Now().UnixNano()/1e6) }
