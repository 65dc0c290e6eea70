package catalog

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// written counts what a change has added to a log.
type written struct {
	partitions, gone, topics int
	bytes                    int
}

func count(list []Entry) (w written) {
	for _, e := range list {
		w.bytes += len(e.Kind) + len(e.Key) + len(e.Value)
		switch {
		case e.Kind == KindTopic:
			w.topics++
		case e.Kind == KindPartition && e.Value == nil:
			w.gone++
		case e.Kind == KindPartition:
			w.partitions++
		}
	}
	return w
}

// last is what f appends to the log.
func (l *memoryLog) last(t *testing.T, f func() error) []Entry {
	t.Helper()
	before := len(l.appended)
	if err := f(); err != nil {
		t.Fatal(err)
	}
	return l.appended[before:]
}

// commit is what a move does to a topic.
func commit(n *Topic) error {
	before := n.Clone()
	before.Before = nil
	to := map[string]string{"prod": "dr", "dr": "prod"}[n.Home]
	n.Home, n.Generation, n.Before = to, n.Generation+1, before
	for p := range n.Partitions {
		n.Partitions[p] = before.Partitions[p].Advance(Segment{Generation: n.Generation, Start: 10, PhysicalStart: 15, Cluster: to}, before.Partitions[p].Distance.Shift(5), 10, 0)
	}
	return nil
}

func published(n *Topic) error {
	n.Published, n.Before = n.Generation, nil
	return nil
}

// topicOf is a log with one topic that has so many partitions.
func topicOf(t *testing.T, partitions int) (*memoryLog, *Virtual) {
	t.Helper()
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "orders", Cluster: "prod", ID: physicalID, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	return log, v
}

// TestWhatAMoveWrites is an entry for each partition, once, and one for the topic, which is no
// larger for having more of them.
func TestWhatAMoveWrites(t *testing.T) {
	const perPartition, perTopic = 600, 1200 // bytes
	for _, n := range []int{1, 12, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			log, v := topicOf(t, n)
			move := count(log.last(t, func() error { return v.Update(t.Context(), "orders", commit) }))
			about := fact.Of(t, "commit: %+v", move)
			fact.Equal(about, "partitions", move.partitions, n)
			fact.Equal(about, "partitions that go", move.gone, 0)
			fact.Equal(about, "topics", move.topics, 1)
			fact.True(about, "bytes are few", move.bytes < perTopic+n*perPartition)
			publish := count(log.last(t, func() error { return v.Update(t.Context(), "orders", published) }))
			about = fact.Of(t, "publish: %+v", publish)
			fact.Equal(about, "partitions", publish.partitions, 0)
			fact.Equal(about, "partitions that go", publish.gone, n)
			fact.Equal(about, "topics", publish.topics, 1)
			fact.True(about, "bytes are few", publish.bytes < perTopic+n*40)
		})
	}
}

// TestOneChangedPartitionIsWrittenAlone, and nothing where nothing has changed.
func TestOneChangedPartitionIsWrittenAlone(t *testing.T) {
	log, v := topicOf(t, 100)
	one := log.last(t, func() error {
		return v.Update(t.Context(), "orders", func(n *Topic) error { n.Partitions[42].Ceiling = 7; return nil })
	})
	about := fact.Of(t, "%q", one)
	if fact.Equal(about, "entries", len(one), 1) {
		fact.Equal(about, "key", one[0].Key, "vc\x00orders\x000\x0042")
		fact.True(about, "bytes are few", count(one).bytes < 600)
	}
	writes := log.writes
	none := log.last(t, func() error { return v.Update(t.Context(), "orders", func(*Topic) error { return nil }) })
	if len(none) > 0 || log.writes > writes {
		t.Errorf("of what has not changed: %q in %d writes", none, log.writes-writes)
	}
	grown := count(log.last(t, func() error { return v.Update(t.Context(), "orders", func(n *Topic) error { n.Grow(101); return nil }) }))
	if grown.partitions != 1 || grown.topics != 1 {
		t.Errorf("one more partition: %+v", grown)
	}
}

// steps are all kinds of changes.
var steps = map[string]func(*testing.T, *Virtual) error{
	"commit": func(t *testing.T, v *Virtual) error {
		if v.Topic("orders").Before != nil {
			return nil
		}
		return v.Update(t.Context(), "orders", commit)
	},
	"publish": func(t *testing.T, v *Virtual) error { return v.Update(t.Context(), "orders", published) },
	"grow": func(t *testing.T, v *Virtual) error {
		return v.Update(t.Context(), "orders", func(n *Topic) error { n.Grow(len(n.Partitions) + 1); return nil })
	},
	"distance": func(t *testing.T, v *Virtual) error {
		return v.Update(t.Context(), "orders", func(n *Topic) error {
			delta, _ := n.Partitions[0].Delta("third")
			n.Partitions[0].SetDelta("third", delta+1)
			return nil
		})
	},
	"drift": func(t *testing.T, v *Virtual) error {
		return v.Update(t.Context(), "orders", func(n *Topic) error { drifts(n, 30_000, 300); return nil })
	},
	"forget": func(t *testing.T, v *Virtual) error {
		return v.Update(t.Context(), "orders", func(n *Topic) error {
			if a, ok := n.Partitions[0].Copies["third"]; ok {
				a.Distance = a.Distance.Above(a.To-20_000, a.To)
				n.Partitions[0].SetCopy("third", a)
			}
			return nil
		})
	},
	"ceiling": func(t *testing.T, v *Virtual) error {
		return v.Reserve(t.Context(), "orders", 1, v.Topic("orders").Partitions[1].Ceiling)
	},
	"erase": func(t *testing.T, v *Virtual) error {
		topic := v.Topic("orders")
		return v.Erase(t.Context(), topic, map[int32]int64{0: topic.Partitions[0].Erased + 1})
	},
	"made again": func(t *testing.T, v *Virtual) error {
		return v.Ensure(t.Context(), Seen{Name: "orders", Cluster: v.Topic("orders").Home, ID: newID(), Partitions: 2})
	},
	"deleted and made again": func(t *testing.T, v *Virtual) error {
		if err := v.Update(t.Context(), "orders", func(n *Topic) error { n.Deleted = []string{"dr"}; return nil }); err != nil {
			return err
		}
		return v.Ensure(t.Context(), Seen{Name: "orders", Cluster: "prod", ID: newID(), Partitions: 3})
	},
	"forgotten and made again": func(t *testing.T, v *Virtual) error {
		if err := v.Update(t.Context(), "orders", func(n *Topic) error { n.Deleted = []string{"dr"}; return nil }); err != nil {
			return err
		}
		if err := v.Forget(t.Context(), "orders"); err != nil {
			return err
		}
		return v.Ensure(t.Context(), Seen{Name: "orders", Cluster: "prod", ID: newID(), Partitions: 2})
	},
}

// TestWhatIsStoredIsTheTopic after any changes: it is read as it was, and nothing else is left in
// the store. A store that ends within a write has the topic's homes as they were before it, or as
// they are after it.
func TestWhatIsStoredIsTheTopic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := slices.Sorted(maps.Keys(steps))
	log, v := topicOf(t, 2)
	for i := range 300 {
		name := names[random.IntN(len(names))]
		before, was := len(log.appended), v.Topic("orders")
		if err := steps[name](t, v); err != nil {
			t.Fatalf("step %d, %s: %v", i, name, err)
		}
		now := v.Topic("orders")
		read, err := New(nil, log.load())
		if err != nil {
			t.Fatalf("step %d, %s: %v", i, name, err)
		}
		if got := read.Virtual("vc").Topic("orders"); !sameStored(got, now) {
			t.Fatalf("step %d, %s: read %+v, want %+v", i, name, got, now)
		}
		whole, err := changes("vc", nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(log.load()); got != len(whole) {
			t.Fatalf("step %d, %s: %d entries, want %d", i, name, got, len(whole))
		}
		for end := before; end < len(log.appended) && name != "forgotten and made again"; end++ {
			cut, err := New(nil, log.appended[:end])
			if err != nil {
				t.Fatalf("step %d, %s, cut off at %d: %v", i, name, end-before, err)
			}
			got := cut.Virtual("vc").any("orders")
			if lives, want := homes(got), [][]string{homes(was), homes(now)}; !slices.Equal(lives, want[0]) && !slices.Equal(lives, want[1]) {
				t.Fatalf("step %d, %s, cut off at %d: lives on %q, want one of %q", i, name, end-before, lives, want)
			}
		}
	}
}

// sameStored compares topics without what is known of them in this run of the process alone.
func sameStored(a, b *Topic) bool {
	x, err := changes("vc", a, b)
	return err == nil && len(x) == 0 && reflect.DeepEqual(homes(a), homes(b))
}

// homes are where each partition of a topic has been and is, by generation.
func homes(t *Topic) (out []string) {
	out = append(out, fmt.Sprint(t.Home, t.Generation))
	for _, p := range t.Partitions {
		for _, s := range p.Segments {
			out = append(out, fmt.Sprint(s.Cluster, s.Generation, s.Start, s.End))
		}
	}
	return out
}

// TestATopicWithoutItsPartitionsIsRefused: it would be taken for one that has never moved.
func TestATopicWithoutItsPartitionsIsRefused(t *testing.T) {
	log, v := topicOf(t, 3)
	if err := v.Update(t.Context(), "orders", commit); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"vc\x00orders\x001\x002", "vc\x00orders\x000\x000"} {
		list := slices.DeleteFunc(log.load(), func(e Entry) bool { return e.Key == key })
		if _, err := New(nil, list); err == nil {
			t.Errorf("%q is missing: not noticed", key)
		}
	}
}
