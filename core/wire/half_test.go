package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sized is the size of a frame.
func sized(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// TestAFrameGrowsAsItComes: its size alone claims next to nothing, and a part of it a few times as
// much.
func TestAFrameGrowsAsItComes(t *testing.T) {
	for _, came := range []int{0, 1, 5000, 1 << 20, 5 << 20} {
		near, far := net.Pipe()
		r := NewReader(far, &Buffers{})
		claimed, highest := int64(0), int64(0)
		r.Claim = func(n int64) error {
			claimed += n
			highest = max(highest, claimed)
			return nil
		}
		go func() {
			_, _ = near.Write(append(sized(100<<20), make([]byte, came)...))
			_ = near.Close()
		}()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := r.Frame(100 << 20); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes came: %v", came, err)
		}
		runtime.ReadMemStats(&after)
		most := uint64(2*firstClaim + 10*came)
		if uint64(highest) > most {
			t.Errorf("%d bytes came, %d were claimed", came, highest)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 2*most+uint64(2*came)+64<<10 { // what came is written by this test
			t.Errorf("%d bytes came, %d were allocated", came, got)
		}
		if claimed != 0 {
			t.Errorf("%d bytes stay claimed", claimed)
		}
	}
}

// TestAGrownFrameIsTheFrame, whatever its size and pieces, and whatever has been in its memory.
func TestAGrownFrameIsTheFrame(t *testing.T) {
	pool := &Buffers{}
	sizes := []int{1, firstClaim - 1, firstClaim, firstClaim + 1, 2 * firstClaim, 2*firstClaim + 1, 3 << 20, 9<<20 + 7}
	for _, size := range append(sizes, sizes...) {
		near, far := pair(t)
		r := NewReader(far, pool)
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 31 >> 3)
		}
		go func() {
			all := append(append(sized(size), want...), append(sized(2), 8, 9)...)
			for len(all) > 0 {
				n := min(len(all), 77_777)
				_, _ = near.Write(all[:n])
				all = all[n:]
			}
		}()
		for _, w := range [][]byte{want, {8, 9}} {
			got, err := r.Frame(100 << 20)
			if err != nil || !bytes.Equal(got, w) {
				t.Errorf("a frame of %d bytes came as %d, %v", len(w), len(got), err)
			}
			for i := range got {
				got[i] = 0xee
			}
			pool.Recycle(got)
		}
	}
}

// TestAHalfFrameLeavesNothingInTheNext: a broker that dies in the middle of a large answer is no
// answer, and what came of it is in none.
func TestAHalfFrameLeavesNothingInTheNext(t *testing.T) {
	const size = 3 << 20
	pool := &Buffers{}
	pool.Recycle(pool.Frame(size))
	near, far := pair(t)
	go func() {
		_, _ = near.Write(append(sized(size), bytes.Repeat([]byte{7}, size-1)...))
		_ = near.Close()
	}()
	if frame, err := NewReader(far, pool).Frame(size); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a frame came as one of %d bytes, %v", len(frame), err)
	}
	if n := bytes.Count(readOne(t, pool, make([]byte, 1<<20), size), []byte{7}); n != 0 {
		t.Errorf("%d bytes of half a frame are in the next one", n)
	}
}

// TestAHalfFrameHasItsTime, also one that trickles; a long one that comes has all it needs, and a
// connection that waits for its next frame has its own.
func TestAHalfFrameHasItsTime(t *testing.T) {
	const patience, idle = 30 * time.Second, 5 * time.Minute
	for name, c := range map[string]struct {
		write func(w io.Writer)
		after time.Duration
		err   error
	}{
		"a part of its size": {func(w io.Writer) { _, _ = w.Write([]byte{0, 0}) }, patience, ErrStalled},
		"its size alone":     {func(w io.Writer) { _, _ = w.Write(sized(100)) }, patience, ErrStalled},
		"a trickle": {func(w io.Writer) {
			_, _ = w.Write(sized(1 << 20))
			for {
				time.Sleep(time.Second)
				if _, err := w.Write([]byte{1}); err != nil {
					return
				}
			}
		}, patience, ErrStalled},
		"a slow one": {func(w io.Writer) {
			_, _ = w.Write(sized(20 << 20))
			for range 20 {
				time.Sleep(20 * time.Second)
				_, _ = w.Write(make([]byte, 1<<20))
			}
		}, 400 * time.Second, nil},
		"none behind one": {func(w io.Writer) {
			_, _ = w.Write(sized(1))
			_, _ = w.Write([]byte{1})
		}, 0, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			var writing sync.WaitGroup
			defer writing.Wait()
			defer func() { _ = errors.Join(near.Close(), far.Close()) }()
			r := NewReader(far, &Buffers{})
			r.Patience, r.Idle = patience, idle
			began := time.Now()
			writing.Go(func() { c.write(near) })
			_, err := r.Frame(100 << 20)
			if took := time.Since(began); !errors.Is(err, c.err) || took != c.after {
				t.Errorf("%s: %v after %s", name, err, took)
			}
			if c.err == nil {
				began = time.Now()
				_, err := r.Frame(100)
				if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) != idle {
					t.Errorf("%s: idle, %v after %s", name, err, time.Since(began))
				}
			}
		})
	}
}
