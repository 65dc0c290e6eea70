// Package kafkatest gives tests and the demo clusters to stand behind the gateway: in-process
// fakes, real Kafka as JVM processes, and a replicator between them.
package kafkatest

import "context"

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
