package catalog

// Virtual leader epochs are generation x 2^16 + (physical epoch - base), so that they rise with
// every move and every election (KIP-320). Generation 0 has base 0: offsets committed before Sluice
// came keep valid epochs.
const (
	EpochBits     = 16
	maxLocalEpoch = 1<<EpochBits - 1
	// CeilingBlock is how far ahead of what is shown a ceiling is reserved.
	CeilingBlock = 1 << 20
)

// EpochGeneration is the generation that a virtual epoch belongs to.
func EpochGeneration(virtual int32) int32 { return virtual >> EpochBits }

// Current is the segment that is being written.
func (p *Partition) Current() *Segment { return &p.Segments[len(p.Segments)-1] }

// ToPhysical maps a virtual offset to the current home.
func (p *Partition) ToPhysical(v int64) int64 { return p.Distance.ToPhysical(v) }

// ToVirtual maps a physical offset of the current home to the virtual log.
func (p *Partition) ToVirtual(at int64) int64 { return p.Distance.ToVirtual(at) }

// Identity reports that virtual and physical offsets are the same.
func (p *Partition) Identity() bool { return p.Distance.Identity() }

// VirtualEpoch maps a physical epoch of the current home; -1 stays -1.
func (p *Partition) VirtualEpoch(physical int32) int32 {
	if physical < 0 {
		return physical
	}
	s := p.Current()
	if s.Generation == 0 {
		return min(physical, maxLocalEpoch)
	}
	return s.Generation<<EpochBits + min(max(physical-s.EpochBase, 0), maxLocalEpoch)
}

// PhysicalEpoch inverts VirtualEpoch for an epoch of the current generation; others become -1.
func (p *Partition) PhysicalEpoch(virtual int32) int32 {
	s := p.Current()
	if virtual < 0 || EpochGeneration(virtual) != s.Generation {
		return -1
	}
	if s.Generation == 0 {
		return virtual
	}
	return virtual&maxLocalEpoch + s.EpochBase
}

// BatchEpoch is the virtual epoch of a batch at a virtual offset that the current home stores under
// a physical epoch: what an earlier segment wrote carries that segment's last epoch.
func (p *Partition) BatchEpoch(offset int64, physical int32) int32 {
	s := p.Current()
	if offset >= s.Start {
		return p.VirtualEpoch(physical)
	}
	for i := len(p.Segments) - 2; i >= 0; i-- {
		if offset >= p.Segments[i].Start || i == 0 {
			return p.Segments[i].LastEpoch
		}
	}
	return p.VirtualEpoch(physical)
}

// EpochEnd answers OffsetForLeaderEpoch for an epoch of an earlier generation: the largest epoch at
// most the requested one and the virtual offset where it ends, which is where the next segment
// begins. ok is false for the current generation, which only its home can answer.
func (p *Partition) EpochEnd(epoch int32) (last int32, end int64, ok bool) {
	if epoch < 0 || EpochGeneration(epoch) >= p.Current().Generation {
		return -1, -1, false
	}
	for i := len(p.Segments) - 2; i >= 0; i-- {
		if s := p.Segments[i]; s.Generation <= EpochGeneration(epoch) {
			return min(epoch, max(s.LastEpoch, 0)), p.Segments[i+1].Start, true
		}
	}
	return -1, -1, false
}

// Advance returns the partition after a move to a cluster whose log is at a distance: next is the
// new segment, end the virtual offset where the old home's records end there, which is where next
// begins after a planned move.
func (p *Partition) Advance(next Segment, there Distance, end int64, lastEpoch int32) Partition {
	out := Partition{Ceiling: p.Ceiling, Shown: p.Shown, LogStart: p.LogStart, Erased: p.Erased}
	out.Segments = append(out.Segments, p.Segments...)
	last := &out.Segments[len(out.Segments)-1]
	last.LastEpoch, last.End = lastEpoch, end
	out.Segments = append(out.Segments, next)
	out.Distance = there.Then(next.Start, next.PhysicalStart)
	// Where other logs have the records that are written next is known when they do; at best it is
	// behind what the new home has.
	old := Alignment{Distance: p.Distance.Cut(end, next.Start)}
	if drifted := !there.Equal(p.Distance.Shift(there.Delta() - p.Distance.Delta())); drifted {
		old.From, old.To = p.LogStart, max(end, p.LogStart)
	}
	out.Copies = map[string]Alignment{p.Current().Cluster: old}
	for c, d := range p.Copies {
		if c != next.Cluster && c != p.Current().Cluster {
			out.Copies[c] = d.cut(end, next.Start)
		}
	}
	return out
}

// Delta is by how many offsets the last records of a copy stand behind those of the home; false if
// that is not known.
func (p *Partition) Delta(cluster string) (delta int64, known bool) {
	d, known := p.Copies[cluster]
	return d.Distance.Delta() - p.Distance.Delta(), known
}

// Shifted is the distance of a copy whose records stand, from a virtual offset on, at a constant
// distance from those of the home. Of what is in front, what was known before counts.
func (p *Partition) Shifted(cluster string, delta, from int64) Distance {
	there := p.Distance.Shift(delta)
	known, ok := p.Copies[cluster]
	if !ok {
		return there
	}
	joined, err := known.Distance.Until(from, there)
	if err != nil {
		return there
	}
	return joined
}

// SetDelta notes that all records of a copy stand at a constant distance from those of the home.
func (p *Partition) SetDelta(cluster string, delta int64) {
	p.SetCopy(cluster, Alignment{Distance: p.Distance.Shift(delta)})
}

// SetCopy notes what is known of a copy.
func (p *Partition) SetCopy(cluster string, a Alignment) {
	if p.Copies == nil {
		p.Copies = map[string]Alignment{}
	}
	p.Copies[cluster] = a
}
