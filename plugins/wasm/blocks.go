package wasm

import (
	"slices"
	"sync"
)

// blocks are buffers of input blocks that are used again.
type blocks struct{ pool sync.Pool }

// keepBlock is the largest that is kept.
const keepBlock = 2 << 20

func (b *blocks) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	return new([]byte)
}

func (b *blocks) put(p *[]byte) {
	if cap(*p) <= keepBlock {
		b.pool.Put(p)
	}
}

// slabs hold copies of what guests have changed, until the batches are built that are made of them.
type slabs []*[]byte

// take is an empty buffer with room for n bytes.
func (s *slabs) take(b *blocks, n int) []byte {
	p := b.get()
	*p = slices.Grow((*p)[:0], n)
	*s = append(*s, p)
	return *p
}

func (s slabs) release(b *blocks) {
	for _, p := range s {
		b.put(p)
	}
}
