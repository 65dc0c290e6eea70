package copies

import (
	"context"
	"fmt"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Bounds asks where both sides begin and end: the copy first, so that the home has by then at least
// what the copy has.
func (p Pair) Bounds(ctx context.Context) (out Bounds, err error) {
	if out.Copy, err = p.Copy.reach(ctx); err == nil {
		out.Home, err = p.Home.reach(ctx)
	}
	return out, err
}

func (s *Side) reach(ctx context.Context) (out Reach, err error) {
	if out.Starts, err = s.Starts(ctx); err == nil {
		out.Ends, err = s.Ends(ctx)
	}
	return out, err
}

// Tails finds the distance of each partition's copy, and between which offsets of the home the
// records were compared for it. at is where both sides begin and end. Of partitions that t has
// distances of, those are tried first.
func (p Pair) Tails(ctx context.Context, t *catalog.Topic, at Bounds) ([]int64, []Stretch, error) {
	NoteEnds(t, at.Home.Ends)
	begin := Begins(t, at.Home.Starts)
	for i, from := range begin {
		t.NoteStart(int32(i), t.Partition(int32(i)).ToVirtual(from))
	}
	there := p.Copy.Cluster.Name()
	out, compared := make([]int64, len(begin)), make([]Stretch, len(begin))
	err := guard.Parallel(len(out), PartitionsAtOnce, func(i int) (err error) {
		our, their := Stretch{begin[i], at.Home.Ends[i]}, at.Copy.Of(i)
		guesses := []int64{0}
		d, stored := t.Partition(int32(i)).Deltas[there]
		if stored {
			guesses = []int64{d, 0}
		}
		// Nothing is left to compare: what was verified before is better than the ends, of which
		// the copy may never get to the same.
		if id, ok := t.Copies[there]; !stored || !ok || id != p.Copy.Topic.ID || our.From < our.To || their.To-d > our.To {
			if d, _, err = p.FindDelta(ctx, int32(i), our, their, guesses...); err != nil {
				return err
			}
		}
		to := min(their.To-d, our.To)
		out[i], compared[i] = d, Stretch{min(max(our.From, their.From-d, their.To-Tail-d), to), to}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return out, compared, nil
}

// CompareTails compares the last records of a topic with those of its copy; the error says why a
// planned move to the copy would be refused. Records before the last ones are compared when there
// is a move.
func CompareTails(ctx context.Context, from, to plugin.Cluster, topic, copied string, ignoreHeaders []string) error {
	a, err := NewSide(from, topic)
	if err != nil {
		return err
	}
	b, err := NewSide(to, copied)
	if err != nil {
		return err
	}
	if m, n := len(a.Topic.Partitions), len(b.Topic.Partitions); m != n {
		return fmt.Errorf("%d partitions on %s, but %d on %s: give both the same number", m, from.Name(), n, to.Name())
	}
	timestamps, err := SameSettings(ctx, a, b)
	if err != nil {
		return err
	}
	p := Pair{a, b, kafka.NewFingerprints(timestamps, ignoreHeaders)}
	at, err := p.Bounds(ctx)
	if err != nil {
		return err
	}
	_, _, err = p.Tails(ctx, &catalog.Topic{}, at)
	return err
}

// Begins says where the virtual log begins at its home, whose partitions begin at starts. What
// stands before it was there before the home was a copy, and a replicator that was turned round has
// not brought it, or has brought it twice; or it is deleted.
func Begins(t *catalog.Topic, starts []int64) []int64 {
	out := make([]int64, len(starts))
	for p, s := range starts {
		part := t.Partition(int32(p))
		out[p] = max(s, part.ToPhysical(part.LogStart))
	}
	return out
}

// NoteEnds notes where the log of a topic's home ends: an unplanned move goes by it later.
func NoteEnds(t *catalog.Topic, ends []int64) {
	for p, end := range ends {
		t.NoteEnd(int32(p), t.Partition(int32(p)).ToVirtual(end))
	}
}
