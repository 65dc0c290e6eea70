package catalog

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// remembered is how many batches of a producer are remembered, as brokers do.
const remembered = 5

const (
	memoryExpiry   = 24 * time.Hour
	memorySweep    = time.Hour
	memoryProducer = 10_000 // producers per partition; the longest unused go first
)

// Remembered is one acknowledged batch of an idempotent producer. Base -1 is an offset unknown.
type Remembered struct {
	Epoch int16 `json:"e"`
	First int32 `json:"f"`
	Last  int32 `json:"l"`
	Base  int64 `json:"b"`
}

// Producer is what is remembered of a producer in one partition.
type Producer struct {
	Batches []Remembered `json:"batches"` // in the order of their sequence numbers
	Used    int64        `json:"used"`    // unix seconds

	// Sent is the batch on its way to the home of the current generation, of which it has
	// acknowledged none yet; nil if there is none. Acked says that it has acknowledged one: from
	// then on the broker judges.
	Sent  *Remembered `json:"-"`
	Acked bool        `json:"-"`
	// restored says that nothing was heard of the producer since the gateway restarted: batches may
	// have been acknowledged that are not remembered.
	restored bool
}

// find returns the place of a batch among those remembered, or -1.
func (p *Producer) find(b Remembered) int {
	return slices.IndexFunc(p.Batches, func(r Remembered) bool { return r.Epoch == b.Epoch && r.First == b.First && r.Last == b.Last })
}

// Memory remembers the last batches of each producer of a topic's partitions, because after a move
// the new home can't recognise a batch that is sent again. Producers are known by the client's id.
type Memory struct {
	mu         sync.Mutex
	partitions map[int32]map[int64]*Producer
	copies     *Copies // nil but after an unplanned move
	swept      time.Time
}

// sweep forgets the producers that have not been heard of for long; m.mu is held.
func (m *Memory) sweep(now time.Time) {
	m.swept = now
	oldest := now.Add(-memoryExpiry).Unix()
	for _, ps := range m.partitions {
		maps.DeleteFunc(ps, func(_ int64, p *Producer) bool { return p.Used < oldest })
	}
}

// Verdict is what a memory says of a batch.
type Verdict uint8

const (
	// Pass means send it: the broker judges, or it continues what is remembered.
	Pass Verdict = iota
	// Duplicate means acknowledged already.
	Duplicate
	// OutOfOrder means that it neither continues what is remembered nor repeats it.
	OutOfOrder
	// Early means that the first batch of its producer in this generation is on its way. A broker
	// takes any sequence number for the first one: were this one there before, maybe over another
	// connection, the first could never be appended.
	Early
	// Compare means send it unless Claim finds it among the copies.
	Compare
)

func next(seq int32) int32 { return int32((int64(seq) + 1) & 0x7fffffff) }

func (m *Memory) producer(partition int32, id int64, now time.Time) *Producer {
	if m.partitions == nil {
		m.partitions = map[int32]map[int64]*Producer{}
	}
	ps := m.partitions[partition]
	if ps == nil {
		ps = map[int64]*Producer{}
		m.partitions[partition] = ps
	}
	p := ps[id]
	if p == nil {
		if now.Sub(m.swept) > memorySweep {
			m.sweep(now)
		}
		if len(ps) >= memoryProducer {
			var oldest int64
			for k, q := range ps {
				if o := ps[oldest]; o == nil || q.Used < o.Used {
					oldest = k
				}
			}
			delete(ps, oldest)
		}
		p = &Producer{}
		ps[id] = p
	}
	p.Used = now.Unix()
	return p
}

// Judge looks at a batch before it is sent to the home of a generation above 0.
func (m *Memory) Judge(partition int32, id int64, b Remembered) (Verdict, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pass := Pass
	if m.copies != nil && len(m.copies.Records[partition]) > 0 {
		pass = Compare
	}
	p := m.partitions[partition][id]
	if p == nil {
		return pass, -1
	}
	// Also when the home knows the producer: of an earlier generation it has no batches.
	if i := p.find(b); i >= 0 {
		return Duplicate, p.Batches[i].Base
	}
	if p.Acked {
		return Pass, -1
	}
	switch first := b.First == 0; {
	case p.Sent != nil && b.Epoch == p.Sent.Epoch && b.First == p.Sent.First:
		return Pass, -1 // sent again: the home recognises it
	case p.Sent != nil:
		return Early, -1
	case p.restored:
		return pass, -1
	case len(p.Batches) == 0:
	default:
		last := &p.Batches[len(p.Batches)-1]
		if (b.Epoch <= last.Epoch || !first) && (b.Epoch != last.Epoch || b.First != next(last.Last)) {
			return OutOfOrder, -1
		}
	}
	if pass == Pass {
		sent := b
		p.Sent = &sent
	}
	return pass, -1
}

// Failed notes that a batch was not acknowledged, so that it is not taken for one on its way. known
// says that the home has its producer all the same.
func (m *Memory) Failed(partition int32, id int64, b Remembered, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[partition][id]
	if p == nil || p.Sent == nil || p.Sent.Epoch != b.Epoch || p.Sent.First != b.First {
		return
	}
	p.Sent, p.Acked = nil, known
}

// Remember notes an acknowledged batch.
func (m *Memory) Remember(partition int32, id int64, b Remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.remember(partition, id, b)
	p.Acked, p.restored = true, false
}

func (m *Memory) remember(partition int32, id int64, b Remembered) *Producer {
	p := m.producer(partition, id, time.Now())
	if i := p.find(b); i >= 0 {
		if p.Batches[i].Base < 0 {
			p.Batches[i].Base = b.Base
		}
		return p
	}
	p.insert(b)
	return p
}

// insert puts a batch into its place: acknowledgements of batches that were on their way together
// are noted in any order.
func (p *Producer) insert(b Remembered) {
	at := len(p.Batches)
	for at > 0 && b.before(p.Batches[at-1]) {
		at--
	}
	p.Batches = slices.Insert(p.Batches, at, b)
	if len(p.Batches) > remembered {
		p.Batches = slices.Delete(p.Batches, 0, len(p.Batches)-remembered)
	}
}

// before reports that its producer made a batch before another; sequence numbers wrap.
func (r Remembered) before(other Remembered) bool {
	if r.Epoch != other.Epoch {
		return r.Epoch < other.Epoch
	}
	ahead := (other.First - r.First) & 0x7fffffff
	return ahead > 0 && ahead < 1<<30
}

// Complete adds what the old home itself says of a producer: batches it holds, each in its place
// before those that are known and lie behind it.
func (m *Memory) Complete(partition int32, id int64, batches []Remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.producer(partition, id, time.Now())
	p.Acked, p.restored = true, false
	for _, b := range batches {
		if i := p.find(b); i >= 0 {
			if p.Batches[i].Base < 0 {
				p.Batches[i].Base = b.Base
			}
			continue
		}
		p.insert(b)
	}
}

// Turn begins a new generation: every producer is judged again.
func (m *Memory) Turn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.copies = nil
	for _, ps := range m.partitions {
		for _, p := range ps {
			p.Acked, p.Sent = false, nil
		}
	}
}

// Snapshot is a copy to be stored.
func (m *Memory) Snapshot() map[int32]map[int64]Producer {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[int32]map[int64]Producer{}
	m.sweep(time.Now())
	for part, ps := range m.partitions {
		out[part] = map[int64]Producer{}
		for id, p := range ps {
			out[part][id] = Producer{Batches: append([]Remembered{}, p.Batches...), Used: p.Used}
		}
	}
	return out
}

// Restore sets what was stored.
func (m *Memory) Restore(s map[int32]map[int64]Producer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions = map[int32]map[int64]*Producer{}
	for part, ps := range s {
		m.partitions[part] = map[int64]*Producer{}
		for id, p := range maps.All(ps) {
			m.partitions[part][id] = &Producer{Batches: p.Batches, Used: p.Used, restored: true}
		}
	}
}

// Memory is what is remembered of the topic's producers.
func (t *Topic) Memory() *Memory { return &t.marks.memory }

// Reaches reports whether what is remembered of a producer goes as far as a sequence number.
func (m *Memory) Reaches(partition int32, id int64, epoch int16, last int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[partition][id]
	if p == nil || len(p.Batches) == 0 {
		return false
	}
	newest := p.Batches[len(p.Batches)-1]
	return !Remembered{Epoch: newest.Epoch, First: newest.Last}.before(Remembered{Epoch: epoch, First: last})
}
