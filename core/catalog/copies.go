package catalog

import (
	"slices"
	"sync"
)

// mostHoles bounds what is remembered of offsets that no producer was told; the lowest are
// forgotten.
const mostHoles = 64

// Span is a range of virtual offsets without its end.
type Span struct{ From, To int64 }

// answered knows which offsets of a partition were acknowledged to producers in this run of the
// process: all below end but for the holes. What came before the first one counts as acknowledged.
type answered struct {
	mu    sync.Mutex
	known bool
	end   int64
	holes []Span // ascending
}

func (a *answered) add(s Span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.known:
		a.known, a.end = true, s.To
		return
	case s.From == a.end: // nearly always
		a.end = s.To
		return
	case s.From > a.end:
		a.holes = append(a.holes, Span{a.end, s.From})
		if len(a.holes) > mostHoles {
			a.holes = slices.Delete(a.holes, 0, 1)
		}
		a.end = s.To
		return
	}
	var left []Span
	for _, h := range a.holes {
		if h.To <= s.From || h.From >= s.To {
			left = append(left, h)
			continue
		}
		if h.From < s.From {
			left = append(left, Span{h.From, s.From})
		}
		if h.To > s.To {
			left = append(left, Span{s.To, h.To})
		}
	}
	a.holes, a.end = left, max(a.end, s.To)
}

// Acknowledge notes virtual offsets that a producer was told.
func (t *Topic) Acknowledge(partition int32, s Span) {
	t.marks.at(partition, t.Partitions).answered.add(s)
}

// Unacknowledged are the spans of virtual offsets below end that no producer was told, in ascending
// order.
func (t *Topic) Unacknowledged(partition int32, end int64) []Span {
	a := &t.marks.at(partition, t.Partitions).answered
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(a.holes), func(s Span) bool { return s.From >= end })
	if a.known && a.end < end {
		out = append(out, Span{a.end, end})
	}
	return out
}

// Copy is a record that a new home has, and no producer was told of. Print is its fingerprint.
type Copy struct {
	Offset int64
	Print  uint64
}

// Copies are the copies of a topic, by partition. A batch that was on its way when the old home
// died may be among them; it is known by its records, because replicators keep no sequence numbers.
type Copies struct {
	Records map[int32][]Copy
	// Prints returns the fingerprints of a batch's records.
	Prints func(batch []byte) ([]uint64, error)
}

// Copied notes the copies of the generation that began with Turn.
func (m *Memory) Copied(c *Copies) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.copies = c
}

// Claim looks for a batch that Judge wants compared among the copies. If it is there the batch
// counts as acknowledged at the offset returned, and nobody else's is found in that place; if not
// it counts as sent.
func (m *Memory) Claim(partition int32, id int64, b Remembered, batch []byte) (base int64, ok bool) {
	m.mu.Lock()
	c := m.copies
	m.mu.Unlock()
	var prints []uint64
	if c != nil {
		prints, _ = c.Prints(batch) // a batch that can't be read is the broker's to refuse
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[partition][id]
	if p != nil {
		if i := p.find(b); i >= 0 { // over another connection meanwhile
			return p.Batches[i].Base, true
		}
	}
	if at := c.find(partition, prints); at >= 0 {
		list := c.Records[partition]
		b.Base = list[at].Offset
		c.Records[partition] = slices.Delete(list, at, at+len(prints))
		m.remember(partition, id, b).Sent = nil
		return b.Base, true
	}
	if p != nil && !p.Acked {
		p.Sent = &b
	}
	return -1, false
}

// find returns where records stand in a row, or -1.
func (c *Copies) find(partition int32, prints []uint64) int {
	if c == nil || len(prints) == 0 {
		return -1
	}
	list := c.Records[partition]
	for i := 0; i+len(prints) <= len(list); i++ {
		same := true
		for j, p := range prints {
			same = same && list[i+j].Print == p && list[i+j].Offset == list[i].Offset+int64(j)
		}
		if same {
			return i
		}
	}
	return -1
}
