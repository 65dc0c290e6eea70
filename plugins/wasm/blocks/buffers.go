package blocks

import "sync"

// MostKept is how large a buffer is kept.
const MostKept = 2 << 20

// Buffers are used again: what batches are decompressed into, and written in.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	return new([]byte)
}

func (b *Buffers) put(p *[]byte) {
	if cap(*p) <= MostKept {
		b.pool.Put(p)
	}
}

// release takes the memory of batches back.
func (b *Buffers) release(batches []*batch) {
	for _, x := range batches {
		for _, p := range [...]*[]byte{x.memory, x.buffer} {
			if p != nil {
				b.put(p)
			}
		}
		x.memory, x.buffer = nil, nil
	}
}

// Reclaim takes the memory of what was made of partitions back: nobody reads it any more.
func (b *Buffers) Reclaim(parts []*Partition) {
	for _, p := range parts {
		if p.buffer != nil {
			b.put(p.buffer)
			p.buffer, p.Out = nil, nil
		}
	}
}
