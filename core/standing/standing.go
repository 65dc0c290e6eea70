package standing

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// Topic is how a topic stands: what its home has and what its copies have of it.
type Topic struct {
	Topic      *catalog.Topic
	Partitions []Ends // at home, in virtual offsets
	Copies     []Copy // on the other clusters, in the order of the file
}

// Ends are the first offset and the one behind the last record, -1 where unknown, and how many
// offsets before the end are in holes.
type Ends struct{ Start, End, Holes int64 }

// Copy is what a cluster has of a topic that lives on another one.
type Copy struct {
	Cluster    string
	Partitions []CopyPartition
	// Compared is when records were last compared, or found not to have changed, while both
	// clusters live; Problem is why they could not be, or did not match.
	Compared time.Time
	Problem  string
}

// CopyPartition is a partition of a copy; -1 where something is unknown, but for Delta, see Known.
type CopyPartition struct {
	Start, End int64 // physical
	// Delta is the distance of the offsets there to those at home, if Known.
	Delta int64
	Known bool
	// home and copied are the distances of both from the virtual log.
	home, copied catalog.Distance
	// Lag is how many records the copy lacks.
	Lag int64
	// ComparedFrom and ComparedTo are the virtual offsets between which records were compared.
	ComparedFrom, ComparedTo int64
}

// Holds reports whether the copy has what a reader at a physical offset of the home needs; ok is
// false if that can't be told.
func (p CopyPartition) Holds(home int64) (holds, ok bool) {
	if !p.Known || p.Start < 0 || p.End < 0 {
		return false, false
	}
	v := p.home.ToVirtual(home)
	at := p.copied.ToPhysical(v)
	return p.copied.Has(v) && at >= p.Start && at <= p.End, true
}

// here is where the record at an offset of the copy stands at home.
func (p CopyPartition) here(copied int64) int64 { return p.home.ToPhysical(p.copied.ToVirtual(copied)) }

// lag is how many records a copy lacks of a partition whose home ends at an offset, itself at
// another; false if that is not known.
func lag(part *catalog.Partition, cluster string, homeEnd, copyEnd int64) (int64, bool) {
	there, known := part.Copies[cluster]
	if !known || homeEnd < 0 || copyEnd < 0 {
		return 0, false
	}
	return part.Records(there.Distance.ToVirtual(copyEnd), part.ToVirtual(homeEnd)), true
}

// Survey tells how topics stand, asking every cluster that lives for all of them at once; a cluster
// that does not answer leaves its numbers unknown. Without starts, where logs begin is not asked
// for: it says nothing about records and lags.
func (w *Watch) Survey(ctx context.Context, env Env, topics []*catalog.Topic, starts bool) []Topic {
	return w.standing(env, topics, copies.Ask(ctx, env.Clusters, topics, starts))
}

// Last tells how topics stood when clusters were last asked, in the round of every 10 s. Those that
// no round has been over are asked for.
func (w *Watch) Last(ctx context.Context, env Env, topics []*catalog.Topic) []Topic {
	return w.standing(env, topics, w.lastOf(ctx, env, topics))
}

// LastEnds is Last of the ends at home alone, topic by topic.
func (w *Watch) LastEnds(ctx context.Context, env Env, topics []*catalog.Topic) iter.Seq2[*catalog.Topic, []Ends] {
	all := w.lastOf(ctx, env, topics)
	return func(yield func(*catalog.Topic, []Ends) bool) {
		for _, t := range topics {
			if !yield(t, endsAtHome(all, t)) {
				return
			}
		}
	}
}

func (w *Watch) lastOf(ctx context.Context, env Env, topics []*catalog.Topic) copies.Extents {
	last := w.readings.get(env.VirtualCluster)
	if last == nil {
		return copies.Ask(ctx, env.Clusters, topics, true)
	}
	fresh := slices.DeleteFunc(slices.Clone(topics), func(t *catalog.Topic) bool { return !last.topics[t.Name].at.IsZero() })
	if len(fresh) == 0 {
		return last.Extents
	}
	all, asked := copies.Extents{}, copies.Ask(ctx, env.Clusters, fresh, true)
	for cluster, at := range last.Extents {
		all[cluster] = copies.OnCluster{Starts: maps.Clone(at.Starts), Ends: maps.Clone(at.Ends), Topology: at.Topology}
	}
	for _, t := range fresh {
		all.TakeOver(asked, t)
	}
	return all
}

// endsAtHome are where a topic begins and ends at home, as clients are shown it.
func endsAtHome(e copies.Extents, t *catalog.Topic) (out []Ends) {
	home, name := e[t.Home], t.Physical(t.Home)
	for p := range t.Partitions {
		out = append(out, endsOf(t, p, copies.At(home.Starts[name], p), copies.At(home.Ends[name], p)))
	}
	return out
}

func (w *Watch) standing(env Env, topics []*catalog.Topic, all copies.Extents) []Topic {
	out := make([]Topic, 0, len(topics))
	for _, t := range topics {
		s := Topic{Topic: t, Partitions: endsAtHome(all, t)}
		home := all[t.Home].Ends[t.Physical(t.Home)]
		for _, c := range env.Clusters {
			if c.Name() == t.Home {
				continue
			}
			last := w.compared.of(env.VirtualCluster, t, c.Name())
			cp := Copy{Cluster: c.Name(), Compared: last.at, Problem: last.err}
			name := t.Physical(c.Name())
			switch topo := c.Topology().Topics[name]; {
			case topo == nil:
				cp.Problem = "the topic does not exist there"
			case len(topo.Partitions) != len(t.Partitions):
				cp.Problem = "it has another number of partitions there"
			}
			there := all[c.Name()]
			for p := range t.Partitions {
				x := CopyPartition{Start: copies.At(there.Starts[name], p), End: copies.At(there.Ends[name], p), Lag: -1, ComparedFrom: -1, ComparedTo: -1}
				part := &t.Partitions[p]
				x.Delta, x.Known = part.Delta(c.Name())
				x.home, x.copied = part.Distance, part.Copies[c.Name()].Distance
				if n, ok := lag(part, c.Name(), copies.At(home, p), x.End); ok {
					x.Lag = n
				}
				if p < len(last.partitions) {
					x.ComparedFrom, x.ComparedTo = last.partitions[p].From, last.partitions[p].To
				}
				cp.Partitions = append(cp.Partitions, x)
			}
			s.Copies = append(s.Copies, cp)
		}
		out = append(out, s)
	}
	return out
}

// endsOf maps the ends of the log at home, as clients are shown them.
func endsOf(t *catalog.Topic, p int, start, end int64) Ends {
	if end >= 0 {
		t.NoteEnd(int32(p), t.Partitions[p].ToVirtual(end))
	}
	w := t.Partitions[p].ToVirtualMarks(catalog.Watermarks{High: end, Stable: -1, Start: start}, t.Written(int32(p)))
	if w.Start >= 0 {
		w.Start = max(w.Start, t.Partitions[p].LogStart)
	}
	if w.High >= 0 {
		w.High = max(w.High, t.Partitions[p].LogStart, t.High(int32(p)))
	}
	return Ends{w.Start, w.High, t.Partitions[p].HolesBefore(w.High)}
}
