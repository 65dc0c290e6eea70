// Package kafkatest gives tests and the demo clusters to stand behind the gateway: in-process fakes,
// real Kafka as JVM processes, and a replicator between them.
package kafkatest

import (
	"context"
	"fmt"
	"net"
)

// Cluster is a Kafka cluster that a test may hurt.
type Cluster interface {
	Name() string
	// Bootstrap lists the brokers' addresses.
	Bootstrap() []string
	// Kill ends a broker at once; Restart brings it back with its data.
	Kill(node int32) error
	Restart(ctx context.Context, node int32) error
	// Freeze stops a broker without closing its connections; Thaw lets it go on.
	Freeze(node int32) error
	Thaw(node int32) error
	// Nodes lists the ids of the brokers.
	Nodes() []int32
	Close() error
}

// KillAll ends every broker of a cluster.
func KillAll(c Cluster) error {
	for _, n := range c.Nodes() {
		if err := c.Kill(n); err != nil {
			return err
		}
	}
	return nil
}

// FreePorts returns the first of n free consecutive ports on loopback, below the ephemeral range.
func FreePorts(n int) (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = 20000 + int(portSeed()%9000)
	}
	for at, end := ports.next, ports.next+3000; at < end; at++ {
		ok := true
		var held []net.Listener
		for p := at; p < at+n && ok; p++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if err != nil {
				ok = false
				break
			}
			held = append(held, l)
		}
		for _, l := range held {
			_ = l.Close()
		}
		if ok {
			ports.next = at + n
			return at, nil
		}
	}
	return 0, fmt.Errorf("no %d free consecutive ports", n)
}
