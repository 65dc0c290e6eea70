package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// FakeCluster is an in-process cluster of kfake.
type FakeCluster struct {
	*kfake.Cluster
	name  string
	ports []int

	mu    sync.Mutex
	down  map[int32]bool
	conns map[int32]map[net.Conn]struct{}
}

// Fake starts an in-process cluster with brokers on consecutive free ports, node ids from 0; more
// are options besides.
func Fake(name string, brokers int, topics map[string]int32, more ...kfake.Opt) (*FakeCluster, error) {
	first, err := FreePorts(brokers)
	if err != nil {
		return nil, err
	}
	f := &FakeCluster{name: name, down: map[int32]bool{}, conns: map[int32]map[net.Conn]struct{}{}}
	for i := range brokers {
		f.ports = append(f.ports, first+i)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(brokers), kfake.Ports(f.ports...), kfake.ClusterID("fake-" + name),
		kfake.ListenFn(f.listen), kfake.DefaultNumPartitions(3),
	}
	for t, n := range topics {
		opts = append(opts, kfake.SeedTopics(n, t))
	}
	if f.Cluster, err = kfake.NewCluster(append(opts, more...)...); err != nil {
		return nil, err
	}
	return f, nil
}

// gate is a listener whose connections can be cut.
type gate struct {
	net.Listener
	f    *FakeCluster
	node int32
}

func (f *FakeCluster) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	return &gate{l, f, int32(p - f.ports[0])}, nil
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g.f.mu.Lock()
		if g.f.down[g.node] {
			g.f.mu.Unlock()
			_ = c.Close()
			continue
		}
		if g.f.conns[g.node] == nil {
			g.f.conns[g.node] = map[net.Conn]struct{}{}
		}
		g.f.conns[g.node][c] = struct{}{}
		g.f.mu.Unlock()
		return c, nil
	}
}

// Name is the cluster's name.
func (f *FakeCluster) Name() string { return f.name }

// Bootstrap lists the brokers' addresses.
func (f *FakeCluster) Bootstrap() []string { return f.ListenAddrs() }

// Nodes lists the brokers.
func (f *FakeCluster) Nodes() []int32 {
	var out []int32
	for i := range f.ports {
		out = append(out, int32(i))
	}
	return out
}

// Kill closes a broker's connections and every new one. Leaders stay where they are: a fake has no
// elections.
func (f *FakeCluster) Kill(node int32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[node] = true
	for c := range f.conns[node] {
		_ = c.Close()
	}
	f.conns[node] = nil
	return nil
}

// Restart accepts connections again.
func (f *FakeCluster) Restart(_ context.Context, node int32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if int(node) >= len(f.ports) {
		return fmt.Errorf("no node %d", node)
	}
	f.down[node] = false
	return nil
}

var errNotFake = errors.New("a fake can't be frozen")

// Freeze is not possible.
func (f *FakeCluster) Freeze(int32) error { return errNotFake }

// Thaw is not possible.
func (f *FakeCluster) Thaw(int32) error { return errNotFake }

// Close ends the cluster.
func (f *FakeCluster) Close() error {
	f.Cluster.Close()
	return nil
}
