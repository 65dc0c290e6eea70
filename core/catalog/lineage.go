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

// ToPhysical maps a virtual offset to the current home. An offset in a hole maps to the first
// record after it; negative results, before the log of the home, become 0.
func (p *Partition) ToPhysical(v int64) int64 {
	i := len(p.Runs) - 1
	for i > 0 && v < p.Runs[i].Virtual {
		i--
	}
	at := v - p.Runs[i].Virtual + p.Runs[i].Physical
	if i+1 < len(p.Runs) {
		at = min(at, p.Runs[i+1].Physical)
	}
	return max(at, 0)
}

// ToVirtual maps a physical offset of the current home to the virtual log.
func (p *Partition) ToVirtual(at int64) int64 {
	i := len(p.Runs) - 1
	for i > 0 && at < p.Runs[i].Physical {
		i--
	}
	return max(at-p.Runs[i].Physical+p.Runs[i].Virtual, 0)
}

// Identity reports that virtual and physical offsets are the same.
func (p *Partition) Identity() bool {
	return len(p.Runs) == 1 && p.Runs[0].Virtual == p.Runs[0].Physical
}

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

// Advance returns the partition after a move to cluster: delta is the offset there minus the
// offset here of the same record, start the first virtual offset of the new generation, physical
// the same place on the new home, end the virtual offset where the old home's copy ends there
// (start for a planned move).
func (p *Partition) Advance(next Segment, delta int64, end int64, lastEpoch int32) Partition {
	out := Partition{Ceiling: p.Ceiling, Shown: p.Shown, LogStart: p.LogStart, Erased: p.Erased}
	out.Segments = append(out.Segments, p.Segments...)
	last := &out.Segments[len(out.Segments)-1]
	last.LastEpoch, last.End = lastEpoch, end
	out.Segments = append(out.Segments, next)
	for _, r := range p.Runs {
		// A run that the copy has nothing of would lead beyond what is written there next.
		if r.Virtual < next.Start && (r.Physical+delta < next.PhysicalStart || len(out.Runs) == 0) {
			out.Runs = append(out.Runs, Run{Virtual: r.Virtual, Physical: r.Physical + delta})
		}
	}
	if tail := (Partition{Runs: out.Runs}); len(out.Runs) == 0 || end != next.Start || tail.ToPhysical(next.Start) != next.PhysicalStart {
		out.Runs = append(out.Runs, Run{Virtual: next.Start, Physical: next.PhysicalStart})
	}
	// Seen from the new home, the old one is at the opposite distance.
	out.Deltas = map[string]int64{p.Current().Cluster: -delta}
	for c, d := range p.Deltas {
		if c != next.Cluster && c != p.Current().Cluster {
			out.Deltas[c] = d - delta
		}
	}
	return out
}
