// Package plugintest runs an interceptor without clusters: a catalog in memory, clusters that are
// only a topology, and an end of the chain that a test writes. Conform checks what every
// interceptor owes.
package plugintest

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Cluster is a cluster that is only known.
type Cluster struct {
	// Answer answers what it is asked, nil if nobody is there.
	Answer func(node int32, req kmsg.Request) (kmsg.Response, error)

	cfg        config.Cluster
	partitions int

	mu        sync.Mutex
	topo      *plugin.Topology
	late      []string
	refreshes int
}

// NewCluster returns a cluster with topics of n partitions, whose physical ids are made of their
// names. Partition p is led by node p%2 in epoch 5.
func NewCluster(name string, slot int, n int, topics ...string) *Cluster {
	c := &Cluster{cfg: config.Cluster{Name: name, Slot: slot, Nodes: config.Nodes{First: 0, Last: 9}}, partitions: n}
	c.topo = &plugin.Topology{ClusterID: "id-" + name, Topics: map[string]*plugin.Topic{}, IDs: map[[16]byte]*plugin.Topic{}}
	c.add(topics...)
	return c
}

// add puts topics into a new topology.
func (c *Cluster) add(topics ...string) {
	topo := *c.topo
	topo.Topics, topo.IDs = maps.Clone(topo.Topics), maps.Clone(topo.IDs)
	for _, t := range topics {
		pt := &plugin.Topic{Name: t, ID: ID(c.cfg.Name, t)}
		for p := range c.partitions {
			pt.Partitions = append(pt.Partitions, plugin.Partition{Leader: int32(p % 2), Epoch: 5, Replicas: []int32{0, 1}, ISR: []int32{0, 1}})
		}
		topo.Topics[t], topo.IDs[pt.ID] = pt, pt
	}
	c.topo = &topo
}

// Late gives the cluster topics that it is seen to have when it is asked again.
func (c *Cluster) Late(topics ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, topics...)
}

// Refreshes is how often it was asked.
func (c *Cluster) Refreshes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refreshes
}

// ID is the physical id of a topic on a cluster.
func ID(cluster, topic string) (id [16]byte) {
	copy(id[:], cluster+"/"+topic)
	return id
}

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.cfg.Name }

// Slot is the cluster's number.
func (c *Cluster) Slot() int { return c.cfg.Slot }

// Do is answered by Answer.
func (c *Cluster) Do(_ context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	if c.Answer == nil {
		return nil, plugin.ErrUnreachable
	}
	return c.Answer(node, req)
}

// Coordinator is node 0, if it answers.
func (c *Cluster) Coordinator(context.Context, int8, string) (int32, error) {
	if c.Answer == nil {
		return -1, plugin.ErrUnreachable
	}
	return 0, nil
}

// Topology is what the test said.
func (c *Cluster) Topology() *plugin.Topology {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topo
}

// Refresh returns the same again, with what is late.
func (c *Cluster) Refresh(context.Context) (*plugin.Topology, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refreshes++
	c.add(c.late...)
	c.late = nil
	return c.topo, nil
}

// Learn learns nothing.
func (c *Cluster) Learn(*kmsg.MetadataResponse) {}

// Reachable is true.
func (c *Cluster) Reachable() bool { return true }

// Trouble is none.
func (c *Cluster) Trouble() error { return nil }

type nodes struct{ clusters []*Cluster }

func (n nodes) Virtual(cluster string, node int32) plugin.VirtualNode {
	for _, c := range n.clusters {
		if c.cfg.Name == cluster {
			return plugin.VirtualNode{ID: int32(c.cfg.Slot+1)<<20 + node, Host: "gateway", Port: 7000 + node}
		}
	}
	return plugin.VirtualNode{ID: -1}
}

func (n nodes) Physical(virtual int32) (string, int32, bool) {
	for _, c := range n.clusters {
		if virtual>>20 == int32(c.cfg.Slot+1) {
			return c.cfg.Name, virtual & (1<<20 - 1), true
		}
	}
	return "", -1, false
}

func (n nodes) All() (out []plugin.VirtualNode) {
	for _, c := range n.clusters {
		out = append(out, n.Virtual(c.cfg.Name, 0), n.Virtual(c.cfg.Name, 1))
	}
	return out
}

type log struct{}

func (log) Append(context.Context, ...catalog.Entry) error { return nil }

// ids hands out producer ids in order.
type ids struct{ next int64 }

func (i *ids) Next(context.Context) (int64, error) {
	i.next++
	return catalog.ProducerBit | i.next, nil
}

// Env returns what interceptors are built with, over clusters. Topics live on the first cluster.
func Env(t testing.TB, clusters ...*Cluster) plugin.Env {
	t.Helper()
	cat, err := catalog.New(log{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := plugin.Env{
		VirtualCluster: "vc", Catalog: cat.Virtual("vc"), Gates: gate.New(15 * time.Second), Nodes: nodes{clusters},
		ProducerIDs: &ids{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, c := range clusters {
		env.Clusters = append(env.Clusters, c)
		env.Configs = append(env.Configs, c.cfg)
	}
	return env
}

// Section makes the section of an interceptor from YAML.
func Section(t testing.TB, yaml string) config.Section {
	t.Helper()
	dir := t.TempDir()
	text := "clusters:\n  prod: {bootstrap: [\"127.0.0.1:1\"]}\n  dr: {bootstrap: [\"127.0.0.1:2\"]}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: \"127.0.0.1:3\", brokers: {ports: 100-200}}\n    chain:\n      - x: " + yaml + "\n"
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return s.VirtualClusters[0].Chain[0].Section
}

// Ensure makes the catalog know topics, at home on a cluster.
func Ensure(t testing.TB, env plugin.Env, cluster *Cluster, topics ...string) {
	t.Helper()
	for _, name := range topics {
		pt := cluster.topo.Topics[name]
		if err := env.Catalog.Ensure(t.Context(), catalog.Seen{Name: name, Cluster: cluster.Name(), ID: pt.ID, Partitions: len(pt.Partitions)}); err != nil {
			t.Fatal(err)
		}
	}
}

// Request wraps a message, encoded as a client would have sent it.
func Request(t testing.TB, msg kmsg.Request, cluster string) *plugin.Request {
	t.Helper()
	s := plugin.NewSession(t.Context(), 1, nil, nil)
	return &plugin.Request{
		Header:  kafka.Header{Key: kmsg.Key(msg.Key()), Version: msg.GetVersion(), ClientID: "test", HasClientID: true},
		Body:    kafka.NewRequestBody(kmsg.Key(msg.Key()), msg.GetVersion(), msg.AppendTo(nil)),
		Session: s, Target: plugin.Target{Cluster: cluster, Node: plugin.AnyNode}, Seq: 1, Arrived: time.Now(),
	}
}

// Encode makes an answer whose body is bytes, as one from a link is.
func Encode(msg kmsg.Response) *plugin.Response {
	return &plugin.Response{Body: kafka.NewResponseBody(kmsg.Key(msg.Key()), msg.GetVersion(), msg.AppendTo(nil))}
}

// Decode reads an answer as a client would.
func Decode[T kmsg.Response](t testing.TB, resp *plugin.Response) T {
	t.Helper()
	var o kafka.Out
	resp.Body.AppendTo(&o)
	msg, err := kafka.NewResponseBody(resp.Body.Key(), resp.Body.Version(), o.Bytes()).Peek()
	if err != nil {
		t.Fatal(err)
	}
	return msg.(T)
}

// Sent reads a request as a broker would.
func Sent[T kmsg.Request](t testing.TB, req *plugin.Request) T {
	t.Helper()
	var o kafka.Out
	req.Body.AppendTo(&o)
	msg, err := kafka.NewRequestBody(req.Key, req.Version, o.Bytes()).Peek()
	if err != nil {
		t.Fatal(err)
	}
	return msg.(T)
}
