package catalog

import "slices"

// A home that dies may have a lost tail: records behind those that its copy had got when that took
// over. They are none of the virtual log, and none of them is shown when the old home has come
// back and is a copy of the new one. What stands in front of them is known, since both were
// compared while both lived.

// Follows reports that a copy is looked at from To on: it has drifted, or was the home and died.
func (a Alignment) Follows() bool { return a.Died || a.Drifted() }

// Reached is the virtual offset up to which a log that ends at a physical offset has the records,
// as far as is known.
func (a Alignment) Reached(end int64) int64 {
	v := a.Distance.ToVirtual(end)
	if a.Died {
		v = min(v, a.To)
	}
	return v
}

// Place is where the record at a virtual offset stands; of a home that died, one that is not known
// is where its lost tail may begin.
func (a Alignment) Place(v int64) int64 {
	if a.Died {
		v = min(v, a.To)
	}
	return a.Distance.ToPhysical(v)
}

// TailMayBegin is where on a copy that died as the home its lost tail begins, if it has one;
// nowhere on another copy.
func (p *Partition) TailMayBegin(cluster string) []int64 {
	if a := p.Copies[cluster]; a.Died {
		return []int64{a.Distance.ToPhysical(a.To)}
	}
	return nil
}

// Died reports a cluster that was the home and died, and has not been compared since.
func (t *Topic) Died(cluster string) bool {
	return slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Copies[cluster].Died })
}

// Hidden is the distance if nothing of the log is shown that stands between To and a physical
// offset.
func (a Alignment) Hidden(end int64) Distance { return a.Distance.Then(a.To, end) }

// left is what stays known of other logs when a cluster takes over from a home that died, whose
// records end at a virtual offset for all that the new home knows.
func (p *Partition) left(next Segment, end int64) map[string]Alignment {
	out := map[string]Alignment{p.Current().Cluster: {Distance: p.Distance.Cut(end, next.Start), From: p.LogStart, To: max(end, p.LogStart), Died: true}}
	for c, a := range p.Copies {
		if a.Died && c != next.Cluster && c != p.Current().Cluster {
			out[c] = a.cut(end, next.Start)
		}
	}
	return out
}

// Succeed is Advance when the old home has died. Distances of other copies are verified again
// before anything goes by them: what the old home has not handed on stands where theirs of what
// comes now would.
func (p *Partition) Succeed(next Segment, there Distance, end int64, lastEpoch int32) Partition {
	out := p.Advance(next, there, end, lastEpoch)
	out.Copies = p.left(next, end)
	return out
}
