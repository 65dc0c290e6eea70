package standing

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// rounds makes rounds, and returns which topics were asked for in each.
func (w *world) rounds(last *reading, n int) (*reading, []map[string]bool) {
	var out []map[string]bool
	for range n {
		next, asked := last.next(w.T.Context(), w.env, w.env.Catalog.Topics())
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
	w := over(fakes.NewWideWorld(t, topics, wide))
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
			w.DR.Set(func() { w.DR.Topics[topic].Made++; w.DR.Topo = w.DR.View() })
		},
		"it has moved": func(w *world) {
			_ = w.env.Catalog.Update(t.Context(), topic, func(n *catalog.Topic) error { n.Home, n.Generation = "dr", 1; return nil })
		},
		"the topic is new": func(w *world) {
			w.env.Catalog = w.Catalog.Virtual("again")
			w.env.Catalog.SetPlace(func(string) (string, map[string]string, bool) { return "prod", nil, true })
			_ = w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "later", Cluster: "prod", Partitions: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := over(fakes.NewWideWorld(t, 30, 2000))
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
		"records at home":         func(w *world, topic string) { w.Prod.Set(func() { w.Prod.Log(topic).Add(fakes.Records(0, 5)...) }) },
		"records of a copy":       func(w *world, topic string) { w.DR.Set(func() { w.DR.Log(topic).Add(fakes.Records(0, 5)...) }) },
		"a log that begins later": func(w *world, topic string) { w.Prod.Set(func() { w.Prod.Log(topic).Start = 1 }) },
		"no answer": func(w *world, topic string) {
			w.DR.Set(func() { w.DR.Topics[topic].Logs = w.DR.Topics[topic].Logs[:1] })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := over(fakes.NewWideWorld(t, 30, 2000))
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
	w := over(fakes.NewWideWorld(t, topics, 2000))
	last, _ := w.rounds(nil, 3)
	w.DR.Set(func() { w.DR.Down = true })
	last, _ = w.rounds(last, 1)
	if _, known := last.Extents["dr"]; known {
		t.Error("what a cluster said that is gone still counts")
	}
	w.DR.Set(func() { w.DR.Down = false })
	_, asked := w.rounds(last, 1)
	if n := len(asked[0]); n != topics {
		t.Errorf("%d topics are asked for, want %d", n, topics)
	}
}

// TestTheLastReadingAsksNobody but for topics that no round has been over.
func TestTheLastReadingAsksNobody(t *testing.T) {
	w := over(fakes.NewWideWorld(t, 3, 4))
	topics := w.env.Catalog.Topics()
	last, _ := w.rounds(nil, 1)
	w.watch.readings.set("vc", last)
	standing := w.watch.Last(t.Context(), w.env, topics)
	if n := w.Prod.Count(kmsg.ListOffsets); n != 4 { // starts and ends of both nodes
		t.Errorf("%d requests", n)
	}
	if end := standing[0].Partitions[3].End; end != 0 {
		t.Errorf("an empty partition ends at %d", end)
	}
	w.Prod.Topic("fresh", 1)
	w.Prod.Grow("fresh", 0, 5)
	w.Rules.Homes["fresh"] = plugin.Home{Cluster: "prod", Shown: true}
	if err := w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "fresh", Cluster: "prod", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	one := w.watch.Last(t.Context(), w.env, []*catalog.Topic{w.env.Catalog.Topic("fresh")})
	if end := one[0].Partitions[0].End; end != 5 {
		t.Errorf("a new topic ends at %d, want 5", end)
	}
}
