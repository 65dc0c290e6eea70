package wire

import "testing"

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
