package wasm

import "sync"

// keepBytes is how large a buffer is kept.
const keepBytes = 2 << 20

// buffers are used again: what batches are decompressed into, and written in.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	return new([]byte)
}

func (b *buffers) put(p *[]byte) {
	if cap(*p) <= keepBytes {
		b.pool.Put(p)
	}
}
