package catalog

import (
	"context"
	"sync/atomic"
)

// MostPartitions is how many partitions a topic may have. Numbers beyond it come from brokers that
// can't be believed.
const MostPartitions = 100_000

func (m *Marks) at(partition int32, ceilings []Partition) *mark {
	if partition < 0 || partition >= MostPartitions {
		return newMark() // which nobody keeps
	}
	for {
		list := m.partitions.Load()
		if list != nil && int(partition) < len(*list) {
			return (*list)[partition]
		}
		var next []*mark
		if list != nil {
			next = append(next, *list...)
		}
		for len(next) <= int(partition) {
			n := newMark()
			if i := len(next); i < len(ceilings) {
				n.ceiling.Store(ceilings[i].Ceiling)
				n.shown.Store(ceilings[i].Shown)
			}
			next = append(next, n)
		}
		m.partitions.CompareAndSwap(list, &next)
	}
}

// inherit notes the ceilings that were stored by an earlier run of the process.
func (m *Marks) inherit(stored []Partition) {
	if len(stored) == 0 {
		return
	}
	m.at(int32(len(stored)-1), stored)
	for i, p := range stored {
		if p.Shown {
			(*m.partitions.Load())[i].inherited = p.Ceiling
		}
	}
}

// newMark is of a partition of which clients were shown nothing.
func newMark() *mark {
	m := &mark{}
	m.high.Store(-1)
	m.stable.Store(-1)
	m.start.Store(-1)
	return m
}

// raise sets a to at least v and returns the result.
func raise(a *atomic.Int64, v int64) int64 {
	for {
		old := a.Load()
		if old >= v {
			return old
		}
		if a.CompareAndSwap(old, v) {
			return v
		}
	}
}

// Watermarks are the offsets of a partition that answers carry: its high watermark, its last stable
// offset and where its log starts. -1 is unknown.
type Watermarks struct {
	High, Stable, Start int64
}

// Show notes that clients are shown virtual offsets and returns the highest ones that they were
// shown so far. Those that are unknown stay so.
func (t *Topic) Show(partition int32, w Watermarks) Watermarks {
	m := t.marks.at(partition, t.Partitions)
	if w.Start >= 0 {
		w.Start = max(w.Start, t.logStart(partition))
	}
	if w.High >= 0 {
		w.High = raise(&m.high, w.High)
	}
	if w.Stable >= 0 {
		w.Stable = raise(&m.stable, w.Stable)
	}
	if w.Start >= 0 {
		w.Start = raise(&m.start, w.Start)
	}
	return w
}

// Watermarks are the highest virtual offsets shown to clients in this run of the process.
func (t *Topic) Watermarks(partition int32) Watermarks {
	m := t.marks.at(partition, t.Partitions)
	return Watermarks{High: m.high.Load(), Stable: m.stable.Load(), Start: max(m.start.Load(), t.logStart(partition))}
}

// logStart is where the virtual log begins at least, -1 if nothing is known of that.
func (t *Topic) logStart(partition int32) int64 {
	if p := int(partition); p >= 0 && p < len(t.Partitions) && t.Partitions[p].LogStart > 0 {
		return t.Partitions[p].LogStart
	}
	return -1
}

// Erase notes that clients have deleted the records before virtual offsets, by partition.
func (v *Virtual) Erase(ctx context.Context, t *Topic, before map[int32]int64) error {
	return v.Update(ctx, t.Name, func(n *Topic) error {
		if n.ID != t.ID {
			return nil
		}
		for p, at := range before {
			if p >= 0 && int(p) < MostPartitions {
				n.Grow(int(p) + 1)
				part := &n.Partitions[p]
				part.LogStart, part.Erased = max(part.LogStart, at), max(part.Erased, at)
			}
		}
		return nil
	})
}

// High is the highest virtual offset shown to clients in this run of the process.
func (t *Topic) High(partition int32) int64 { return t.marks.at(partition, t.Partitions).high.Load() }

// Shown reports whether clients have got to know records of a partition, or are about to, by
// watermarks and acknowledgements, in this run of the process or an earlier one.
func (t *Topic) Shown(partition int32) bool {
	return t.marks.at(partition, t.Partitions).seen.Load() > 0 || t.Partition(partition).Shown
}

// NoteEnd notes the virtual offset at which the log of the home ends, or has ended: what stood
// before it is not lost sight of, though clients may not have seen it here.
func (t *Topic) NoteEnd(partition int32, end int64) {
	if t.marks == nil {
		return
	}
	m := t.marks.at(partition, t.Partitions)
	raise(&m.end, end)
	m.noted.Store(true)
}

// NoteStart notes the virtual offset at which the log of the home begins: what stood before it is
// deleted.
func (t *Topic) NoteStart(partition int32, start int64) {
	if t.marks != nil {
		raise(&t.marks.at(partition, t.Partitions).start, start)
	}
}

// MayBeKnown is the virtual offset below which the home may have acknowledged records: what clients
// have seen and where its log was found to end, in this run of the process. Until it was found,
// what an earlier run had reserved counts.
func (t *Topic) MayBeKnown(partition int32) int64 {
	m := t.marks.at(partition, t.Partitions)
	known := max(m.seen.Load(), m.end.Load())
	if !m.noted.Load() {
		known = max(known, m.inherited)
	}
	return known
}

// Seen changes whenever clients are shown more of the topic, in this run of the process.
func (t *Topic) Seen() (sum int64) {
	list := t.marks.partitions.Load()
	if list == nil {
		return 0
	}
	for _, m := range *list {
		sum += m.seen.Load() + m.high.Load()
	}
	return sum
}

// Reserved reports that Reserve has nothing to store; then what it does is done.
func (v *Virtual) Reserved(topic string, partition int32, offset int64) bool {
	t := v.Topic(topic)
	if t == nil || partition < 0 {
		return true
	}
	m := t.marks.at(partition, t.Partitions)
	raise(&m.seen, offset)
	return offset < m.ceiling.Load()-CeilingBlock/2 && (offset <= 0 || m.shown.Load())
}

// Reserve makes sure that offset is below the partition's ceiling, which is persisted ahead of
// what is shown, so that a restart cannot show it for another record, and knows what a home that
// is dead then may have acknowledged. So it is persisted as well that clients know records of the
// partition: the ceiling doesn't tell, the first one is reserved for all partitions.
func (v *Virtual) Reserve(ctx context.Context, topic string, partition int32, offset int64) error {
	if v.Reserved(topic, partition, offset) {
		return nil
	}
	t := v.Topic(topic)
	if t == nil {
		return nil
	}
	ceiling := (offset/CeilingBlock + 2) * CeilingBlock
	var stored []Partition
	err := v.Update(ctx, topic, func(n *Topic) error {
		n.Grow(int(partition) + 1)
		for i := range n.Partitions {
			// The first write covers all partitions, so that a wide topic costs one.
			if p := &n.Partitions[i]; i == int(partition) {
				p.Ceiling = max(p.Ceiling, ceiling)
			} else if p.Ceiling == 0 {
				p.Ceiling = 2 * CeilingBlock
			}
			// Those of one answer cost one write.
			n.Partitions[i].Shown = n.Shown(int32(i))
		}
		stored = n.Partitions
		return nil
	})
	if err != nil {
		return err
	}
	for i, p := range stored {
		m := t.marks.at(int32(i), nil)
		raise(&m.ceiling, p.Ceiling)
		if p.Shown {
			m.shown.Store(true)
		}
	}
	return nil
}
