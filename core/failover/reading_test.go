package failover

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// wideWorld has topics of so many partitions on both clusters, without a round of its own.
func wideWorld(t *testing.T, topics, partitions int) *world {
	t.Helper()
	w := &world{t: t, prod: newFake("prod"), dr: newFake("dr"), rules: &rules{homes: map[string]plugin.Home{}}, store: &store{}, cfg: config.Failover{Concurrent: 1}}
	w.open(nil)
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprintf("topic-%02d", i))
	}
	w.prod.fill(partitions, names...)
	w.dr.fill(partitions, names...)
	var seen []catalog.Seen
	for _, name := range names {
		w.rules.homes[name] = plugin.Home{Cluster: "prod", Shown: true}
		seen = append(seen, catalog.Seen{Name: name, Cluster: "prod", ID: w.prod.Topology().Topics[name].ID, Partitions: partitions})
	}
	if err := w.env.Catalog.Ensure(t.Context(), seen...); err != nil {
		t.Fatal(err)
	}
	return w
}

// rounds makes rounds, and returns which topics were asked for in each.
func (w *world) rounds(last *reading, n int) (*reading, []map[string]bool) {
	var out []map[string]bool
	for range n {
		next, asked := last.next(w.t.Context(), w.env, w.env.Catalog.Topics())
		names := map[string]bool{}
		for _, t := range asked {
			names[t.Name] = true
		}
		last, out = next, append(out, names)
	}
	return last, out
}

// TestQuietTopicsTakeTurns: where there are more partitions than a round asks for, those of which
// nothing is new wait for their turn.
func TestQuietTopicsTakeTurns(t *testing.T) {
	const topics, wide = 50, 2000
	w := wideWorld(t, topics, wide)
	last, asked := w.rounds(nil, 2)
	for i, names := range asked {
		if len(names) != topics {
			t.Errorf("round %d asks for %d topics, of which it is not known that they are quiet", i, len(names))
		}
	}
	_, asked = w.rounds(last, topics*wide/mostQuiet)
	turns := map[string]int{}
	for i, names := range asked {
		if n := len(names) * wide; n != mostQuiet {
			t.Errorf("round %d asks for %d quiet partitions, want %d", i, n, mostQuiet)
		}
		for name := range names {
			turns[name]++
		}
	}
	if len(turns) != topics {
		t.Errorf("%d of %d topics have had a turn", len(turns), topics)
	}
}

// TestWhatMayBeNewIsAskedForInEveryRound, however many partitions there are.
func TestWhatMayBeNewIsAskedForInEveryRound(t *testing.T) {
	const topic = "topic-00"
	for name, change := range map[string]func(w *world){
		"clients have seen more": func(w *world) { _ = w.env.Catalog.Reserve(t.Context(), topic, 5, 7) },
		"a copy is made again": func(w *world) {
			w.dr.set(func() { w.dr.topics[topic].made++; w.dr.topo = w.dr.view() })
		},
		"it has moved": func(w *world) {
			_ = w.env.Catalog.Update(t.Context(), topic, func(n *catalog.Topic) error { n.Home, n.Generation = "dr", 1; return nil })
		},
		"the topic is new": func(w *world) {
			w.env.Catalog = w.cat.Virtual("again")
			w.env.Catalog.SetPlace(func(string) (string, map[string]string, bool) { return "prod", nil, true })
			_ = w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "later", Cluster: "prod", Partitions: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := wideWorld(t, 30, 2000)
			last, asked := w.rounds(nil, 3)
			for asked[len(asked)-1][topic] { // its turn
				last, asked = w.rounds(last, 1)
			}
			change(w)
			_, asked = w.rounds(last, 1)
			if !asked[0][topic] && !asked[0]["later"] {
				t.Errorf("not asked for: %v", asked[0])
			}
		})
	}
}

// TestWhatARoundFindsNewIsAskedForInTheNext, as is what a cluster has not answered.
func TestWhatARoundFindsNewIsAskedForInTheNext(t *testing.T) {
	for name, change := range map[string]func(w *world, topic string){
		"records at home":         func(w *world, topic string) { w.prod.set(func() { w.prod.log(topic).add(records(0, 5)...) }) },
		"records of a copy":       func(w *world, topic string) { w.dr.set(func() { w.dr.log(topic).add(records(0, 5)...) }) },
		"a log that begins later": func(w *world, topic string) { w.prod.set(func() { w.prod.log(topic).start = 1 }) },
		"no answer": func(w *world, topic string) {
			w.dr.set(func() { w.dr.topics[topic].logs = w.dr.topics[topic].logs[:1] })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := wideWorld(t, 30, 2000)
			last, asked := w.rounds(nil, 3)
			topic := ""
			for _, name := range w.env.Catalog.Topics() {
				if !asked[2][name.Name] {
					topic = name.Name // next
					break
				}
			}
			change(w, topic)
			_, asked = w.rounds(last, 2)
			for i, names := range asked {
				if !names[topic] {
					t.Errorf("round %d does not ask for %s", i, topic)
				}
			}
		})
	}
}

// TestAClusterThatComesBackIsAskedForAll: what was known of it is forgotten when it does not
// answer.
func TestAClusterThatComesBackIsAskedForAll(t *testing.T) {
	const topics = 30
	w := wideWorld(t, topics, 2000)
	last, _ := w.rounds(nil, 3)
	w.dr.set(func() { w.dr.down = true })
	last, _ = w.rounds(last, 1)
	if _, known := last.extents["dr"]; known {
		t.Error("what a cluster said that is gone still counts")
	}
	w.dr.set(func() { w.dr.down = false })
	_, asked := w.rounds(last, 1)
	if n := len(asked[0]); n != topics {
		t.Errorf("%d topics are asked for, want %d", n, topics)
	}
}

// TestTheLastReadingAsksNobody but for topics that no round has been over.
func TestTheLastReadingAsksNobody(t *testing.T) {
	w := wideWorld(t, 3, 4)
	topics := w.env.Catalog.Topics()
	last, _ := w.rounds(nil, 1)
	w.runner.readings.set("vc", last)
	standing := w.runner.Last(t.Context(), w.env, topics)
	if n := w.prod.count(kmsg.ListOffsets); n != 4 { // starts and ends of both nodes
		t.Errorf("%d requests", n)
	}
	if end := standing[0].Partitions[3].End; end != 0 {
		t.Errorf("an empty partition ends at %d", end)
	}
	w.prod.topic("fresh", 1)
	w.prod.grow("fresh", 0, 5)
	w.rules.homes["fresh"] = plugin.Home{Cluster: "prod", Shown: true}
	if err := w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "fresh", Cluster: "prod", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	one := w.runner.Last(t.Context(), w.env, []*catalog.Topic{w.env.Catalog.Topic("fresh")})
	if end := one[0].Partitions[0].End; end != 5 {
		t.Errorf("a new topic ends at %d, want 5", end)
	}
}
