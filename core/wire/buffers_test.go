package wire

import (
	"bytes"
	"runtime"
	"testing"
)

func TestFramesFitAndComeBack(t *testing.T) {
	var b Buffers
	for n := 1; n <= largestFrame; n += n/7 + 1 {
		f := b.Frame(n)
		if len(f) != n || cap(f) > max(n+n/4+1, 1024) {
			t.Fatalf("%d bytes: length %d, capacity %d", n, len(f), cap(f))
		}
		i, size := class(n)
		if j, again := class(size); i != j || size != again || cap(f) != size {
			t.Fatalf("%d bytes: pool %d of %d, capacity %d is of pool %d of %d", n, i, size, cap(f), j, again)
		}
		b.Recycle(f)
	}
	b.Recycle(nil)
	b.Recycle(make([]byte, 1, largestFrame+1))
	b.Recycle(make([]byte, 3, 1500)) // not one of ours
	if f := b.Frame(largestFrame + 1); len(f) != largestFrame+1 {
		t.Error("a frame above the largest")
	}
}

// TestLargeFramesAreReadIntoTheSameMemory: a consumer that asks for 50 MiB, as Kafka's do, gets
// many partitions in each answer.
func TestLargeFramesAreReadIntoTheSameMemory(t *testing.T) {
	const size, rounds = 12 << 20, 20
	var before, after runtime.MemStats
	pool := &Buffers{}
	fill(pool, size)
	runtime.ReadMemStats(&before)
	for range rounds {
		frame := readOne(t, pool, make([]byte, 1<<20), size)
		pool.Recycle(frame)
	}
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(size*rounds*3/4); got > most {
		t.Errorf("%d MiB allocated for %d frames of %d MiB, want at most %d", got>>20, rounds, size>>20, most>>20)
	}
}

// TestALargeFrameIsNotCopiedIntoMemoryThatIsThere: it does not take smaller frames on its way.
func TestALargeFrameIsNotCopiedIntoMemoryThatIsThere(t *testing.T) {
	const size = 3 << 20
	pool := &Buffers{}
	smaller := pool.Frame(firstClaim)
	clear(smaller)
	fill(pool, size)
	pool.Recycle(smaller)
	frame := readOne(t, pool, bytes.Repeat([]byte{7}, 1<<20), size)
	if n := bytes.Count(frame, []byte{7}); n != size {
		t.Errorf("%d of %d bytes came", n, size)
	}
	if n := bytes.Count(smaller, []byte{7}); n != 0 {
		t.Errorf("%d bytes were put into a smaller frame first", n)
	}
}

// fill gives a pool frames of a size. It is free to forget some, and does so with the race
// detector.
func fill(pool *Buffers, size int) {
	var all [][]byte
	for range 16 {
		all = append(all, pool.Frame(size))
	}
	for _, frame := range all {
		pool.Recycle(frame)
	}
}

// readOne reads a frame of a size, whose content repeats piece, by a reader that claims nothing.
func readOne(t *testing.T, pool *Buffers, piece []byte, size int) []byte {
	t.Helper()
	near, far := pair(t)
	r := NewReader(far, pool)
	defer r.Close()
	go func() {
		_, _ = near.Write(sized(size))
		for n := 0; n < size; n += len(piece) {
			_, _ = near.Write(piece)
		}
	}()
	frame, err := r.Frame(size)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}
