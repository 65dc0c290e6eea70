package fakes

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Pass lets time go by.
func Pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Limit is how long the gates of a world hold a request; longer than a move takes.
const Limit = time.Minute

// World is a virtual cluster, vc, over two clusters.
type World struct {
	T        *testing.T
	Prod, DR *Cluster
	Rules    *Rules // say what lives where
	Store    *Store
	Catalog  *catalog.Catalog
	Virtual  *catalog.Virtual // of vc
	Config   config.Failover
	Warnings Warnings
}

// bare is a world without topics.
func bare(t *testing.T) *World {
	t.Helper()
	b := &World{T: t, Prod: NewCluster("prod"), DR: NewCluster("dr"), Rules: &Rules{Homes: map[string]plugin.Home{}}, Store: &Store{}}
	b.Config = config.Failover{
		Hold: 10 * time.Second, Request: 15 * time.Second, Unreachable: 10 * time.Second, RetryFor: time.Hour,
		MaxDrain: 3 * time.Second, CompareLimit: 1 << 30, Concurrent: 16,
	}
	b.Load(nil)
	return b
}

// NewWorld makes topics of one partition on both clusters, with 100 records that stand 25 later on
// dr, behind something that it had before.
func NewWorld(t *testing.T, topics ...string) *World {
	t.Helper()
	w := bare(t)
	for _, n := range topics {
		a, b := w.Prod.Topic(n, 1)[0], w.DR.Topic(n, 1)[0]
		a.Add(Records(0, 100)...)
		b.Add(Records(1000, 1025)...)
		b.Add(Records(0, 100)...)
		w.Rules.Homes[n] = plugin.Home{Cluster: "prod", Shown: true, Unplanned: "if-unreachable"}
	}
	w.ensure(1, topics...)
	return w
}

// NewWideWorld has so many empty topics of so many partitions on both clusters.
func NewWideWorld(t *testing.T, topics, partitions int) *World {
	t.Helper()
	w := bare(t)
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprintf("topic-%02d", i))
		w.Rules.Homes[names[i]] = plugin.Home{Cluster: "prod", Shown: true}
	}
	w.Prod.fill(partitions, names...)
	w.DR.fill(partitions, names...)
	w.ensure(partitions, names...)
	return w
}

func (w *World) ensure(partitions int, topics ...string) {
	w.T.Helper()
	var seen []catalog.Seen
	for _, n := range topics {
		seen = append(seen, catalog.Seen{Name: n, Cluster: "prod", ID: w.Prod.Topology().Topics[n].ID, Partitions: partitions})
	}
	if err := w.Virtual.Ensure(w.T.Context(), seen...); err != nil {
		w.T.Fatal(err)
	}
}

// Load makes the catalog of what is stored.
func (w *World) Load(stored []catalog.Entry) {
	w.T.Helper()
	var err error
	if w.Catalog, err = catalog.New(w.Store, stored); err != nil {
		w.T.Fatal(err)
	}
	w.Virtual = w.Catalog.Virtual("vc")
	w.Virtual.SetPlace(func(topic string) (string, map[string]string, bool) {
		return w.Rules.Home(topic).Cluster, map[string]string{"prod": topic, "dr": topic}, true
	})
}

// Clusters are prod and dr.
func (w *World) Clusters() []plugin.Cluster { return []plugin.Cluster{w.Prod, w.DR} }

// Deltas are the stored distances of the only partition of orders.
func (w *World) Deltas() map[string]int64 {
	out, part := map[string]int64{}, w.Virtual.Topic("orders").Partition(0)
	for c := range part.Copies {
		out[c], _ = part.Delta(c)
	}
	return out
}

// Remember sets them.
func (w *World) Remember(deltas map[string]int64) {
	w.T.Helper()
	err := w.Virtual.Update(w.T.Context(), "orders", func(n *catalog.Topic) error {
		n.Partitions[0].Copies = nil
		for c, delta := range deltas {
			n.Partitions[0].SetDelta(c, delta)
		}
		return nil
	})
	if err != nil {
		w.T.Fatal(err)
	}
}

// Source sets what tells where copies of a topic have its records.
func (w *World) Source(topic, source string) {
	w.rule(topic, func(h *plugin.Home) { h.Copy = source })
}

// Written is how many records clients have written to a topic.
func (w *World) Written(topic string) int {
	w.Prod.Mu.Lock()
	defer w.Prod.Mu.Unlock()
	return int(w.Prod.Log(topic).End)
}

// Numbered are so many names of topics.
func Numbered(n int) (topics []string) {
	for i := range n {
		topics = append(topics, fmt.Sprintf("topic-%d", i))
	}
	return topics
}

// Place changes the rules: topics are to live on a cluster.
func (w *World) Place(cluster string, topics ...string) {
	w.Rules.mu.Lock()
	defer w.Rules.mu.Unlock()
	for _, n := range topics {
		h := w.Rules.Homes[n]
		h.Cluster = cluster
		w.Rules.Homes[n] = h
	}
}

// Policy sets `unplanned` of a topic.
func (w *World) Policy(topic, unplanned string) {
	w.rule(topic, func(h *plugin.Home) { h.Unplanned = unplanned })
}

// rule changes the rule of a topic.
func (w *World) rule(topic string, change func(*plugin.Home)) {
	w.Rules.mu.Lock()
	defer w.Rules.mu.Unlock()
	h := w.Rules.Homes[topic]
	change(&h)
	w.Rules.Homes[topic] = h
}
