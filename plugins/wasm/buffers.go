package wasm

import (
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// What is larger is not kept: bytes of a buffer, records of a list.
const (
	keepBytes   = 2 << 20
	keepRecords = 16 << 10
)

// buffers are used again: what batches are built in, and slabs.
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

// lists are slices of records that are used again.
type lists struct{ pool sync.Pool }

// decode decodes the records of a batch.
func (l *lists) decode(within kafka.Bounds, b kafka.Batch) ([]kafka.Record, error) {
	if p, ok := l.pool.Get().(*[]kafka.Record); ok {
		return within.AppendRecords((*p)[:0], b)
	}
	return within.Records(b)
}

// release takes the records of batches back.
func (l *lists) release(list []*batch) {
	for _, b := range list {
		if cap(b.records) > 0 && cap(b.records) <= keepRecords {
			l.pool.Put(&b.records)
		}
	}
}

// slabs hold copies of what guests have changed, until the batches are built that are made of them.
type slabs []*[]byte

// take is an empty buffer with room for n bytes.
func (s *slabs) take(b *buffers, n int) []byte {
	p := b.get()
	*p = slices.Grow((*p)[:0], n)
	*s = append(*s, p)
	return *p
}

func (s slabs) release(b *buffers) {
	for _, p := range s {
		b.put(p)
	}
}
