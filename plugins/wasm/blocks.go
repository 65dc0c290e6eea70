package wasm

import "sync"

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
