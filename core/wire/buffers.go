package wire

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Frames up to largestFrame are reused. A consumer that asks for as much as Kafka's do gets answers
// of up to 50 MiB, and memory that is new each time costs the kernel more than its bytes do. Sizes
// are rounded up to one of four steps between powers of two: at most a quarter is unused.
const (
	smallestBits = 10 // 1 KiB
	largestBits  = 26
	largestFrame = 1 << largestBits
)

// Buffers is a pool of read buffers and of frames, shared by the connections of a process.
type Buffers struct {
	pool   sync.Pool
	frames [(largestBits - smallestBits + 1) * 4]sync.Pool
}

// class is the pool for frames of n bytes and their capacity.
func class(n int) (pool, size int) {
	if n <= 1<<smallestBits {
		return 0, 1 << smallestBits
	}
	exp := bits.Len(uint(n-1)) - 1 // 2^exp < n <= 2^(exp+1)
	step := 1 << (exp - 2)
	steps := (n - 1<<exp + step - 1) / step
	return (exp-smallestBits)*4 + steps, 1<<exp + steps*step
}

// Frame returns a slice of n bytes whose content is arbitrary.
func (b *Buffers) Frame(n int) []byte {
	if f := b.idle(n); f != nil {
		return f
	}
	if n > largestFrame {
		return make([]byte, n)
	}
	_, size := class(n)
	return make([]byte, n, size)
}

// idle is Frame out of memory that is there already; nil if none is.
func (b *Buffers) idle(n int) []byte {
	if n > largestFrame {
		return nil
	}
	i, size := class(n)
	if p, ok := b.frames[i].Get().(*byte); ok {
		return unsafe.Slice(p, size)[:n]
	}
	return nil
}

// Recycle gives a frame back that Frame returned. Nobody may use it any more.
func (b *Buffers) Recycle(frame []byte) {
	if cap(frame) == 0 || cap(frame) > largestFrame {
		return
	}
	if i, size := class(cap(frame)); size == cap(frame) {
		b.frames[i].Put(unsafe.SliceData(frame))
	}
}
