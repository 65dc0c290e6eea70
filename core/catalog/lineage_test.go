package catalog

import (
	"math/rand/v2"
	"testing"
)

// moved makes a random history of planned moves and unplanned ones, as failover would.
func moved(r *rand.Rand, moves int) (p Partition, ends []int64) {
	t := Topic{Name: "t", Home: "a"}
	t.Grow(1)
	p = t.Partitions[0]
	end := int64(0)
	for g := range int32(moves) {
		end += r.Int64N(1000) + 1
		cut, start := end, end
		if r.IntN(3) == 0 { // unplanned: the copy ends earlier and the log goes on above a ceiling
			cut = max(p.Current().Start, end-r.Int64N(50))
			start = end + CeilingBlock
		}
		delta := r.Int64N(200) - 100
		physical := p.ToPhysical(cut) + delta
		if physical < 0 {
			delta -= physical
			physical = 0
		}
		ends = append(ends, cut)
		p = p.Advance(Segment{Generation: g + 1, Start: start, PhysicalStart: physical, Cluster: string('b' + g%2), EpochBase: int32(r.IntN(20))},
			p.Distance.Shift(delta), cut, p.VirtualEpoch(p.Current().EpochBase+int32(r.IntN(5))))
		end = start
	}
	return p, ends
}

func TestOffsetsGoThereAndBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		p, _ := moved(r, 1+r.IntN(5))
		first := p.Current()
		for range 50 {
			at := first.PhysicalStart + r.Int64N(5000)
			if v := p.ToVirtual(at); p.ToPhysical(v) != at {
				t.Fatalf("physical %d is virtual %d is physical %d: %+v", at, v, p.ToPhysical(v), p)
			}
		}
		last := int64(-1)
		for v := int64(0); v < first.Start+100; v += 1 + r.Int64N(first.Start/20+1) {
			at := p.ToPhysical(v)
			if at < last {
				t.Fatalf("virtual %d is physical %d, after %d: %+v", v, at, last, p)
			}
			last = at
		}
	}
}

// TestAHoleMapsToTheRecordAfterIt: offsets that no record of the new home has lead to the first one
// written after the move.
func TestAHoleMapsToTheRecordAfterIt(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	p := tp.Partitions[0].Advance(Segment{Generation: 1, Start: 1000, PhysicalStart: 95, Cluster: "b"}, tp.Partitions[0].Distance.Shift(-5), 100, 0)
	for v, want := range map[int64]int64{10: 5, 99: 94, 100: 95, 500: 95, 999: 95, 1000: 95, 1001: 96} {
		if got := p.ToPhysical(v); got != want {
			t.Errorf("virtual %d is physical %d, want %d", v, got, want)
		}
	}
	for at, want := range map[int64]int64{5: 10, 94: 99, 95: 1000, 96: 1001} {
		if got := p.ToVirtual(at); got != want {
			t.Errorf("physical %d is virtual %d, want %d", at, got, want)
		}
	}
}

func TestEpochsOnlyGrow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		tp := Topic{Home: "a"}
		tp.Grow(1)
		p, last := tp.Partitions[0], int32(-1)
		for g := range int32(6) {
			for epoch := p.Current().EpochBase; epoch < p.Current().EpochBase+10; epoch += int32(r.IntN(3)) + 1 {
				v := p.VirtualEpoch(epoch)
				if v < last {
					t.Fatalf("generation %d: epoch %d is shown as %d after %d", g, epoch, v, last)
				}
				if p.PhysicalEpoch(v) != epoch {
					t.Fatalf("epoch %d is shown as %d, which is %d", epoch, v, p.PhysicalEpoch(v))
				}
				last = v
			}
			// The next home's physical epochs may be lower.
			p = p.Advance(Segment{Generation: g + 1, Start: int64(g+1) * 10, PhysicalStart: int64(g+1) * 10, EpochBase: int32(r.IntN(5))}, p.Distance.Shift(0), int64(g+1)*10, last)
		}
	}
}

func TestEpochEndIsAnsweredFromTheLineage(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	p := tp.Partitions[0]
	p = p.Advance(Segment{Generation: 1, Start: 100, PhysicalStart: 100, EpochBase: 7}, p.Distance.Shift(0), 100, 4)
	p = p.Advance(Segment{Generation: 2, Start: 300, PhysicalStart: 300, EpochBase: 1}, p.Distance.Shift(0), 300, 1<<16+2)
	for epoch, want := range map[int32][2]int64{0: {0, 100}, 4: {4, 100}, 9: {4, 100}, 1 << 16: {1 << 16, 300}, 1<<16 + 5: {1<<16 + 2, 300}} {
		last, end, ok := p.EpochEnd(epoch)
		if !ok || int64(last) != want[0] || end != want[1] {
			t.Errorf("epoch %d ends as %d at %d (%t), want %v", epoch, last, end, ok, want)
		}
	}
	if _, _, ok := p.EpochEnd(2 << 16); ok {
		t.Error("the current generation was answered without its home")
	}
	if got := p.BatchEpoch(50, 3); got != 4 {
		t.Errorf("a batch of generation 0 carries epoch %d", got)
	}
	if got := p.BatchEpoch(300, 3); got != 2<<16+2 {
		t.Errorf("a batch of generation 2 carries epoch %d", got)
	}
}

func TestDeltasFollowTheHome(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	p := tp.Partitions[0]
	p.SetDelta("b", 5)
	p.SetDelta("c", -3)
	n := p.Advance(Segment{Generation: 1, Start: 10, PhysicalStart: 15, Cluster: "b"}, p.Distance.Shift(5), 10, 0)
	// c - a = -3 and b - a = 5, so a - b = -5 and c - b = -8. The old home has no name in this
	// test.
	for c, want := range map[string]int64{"a": -5, "c": -8} {
		if got, known := n.Delta(c); !known || got != want {
			t.Errorf("the copy on %s is %d behind (%t), want %d", c, got, known, want)
		}
	}
}

// TestAMoveKeepsWhatClientsKnow: a restart forgets watermarks, a move must not forget what the
// store says of them.
func TestAMoveKeepsWhatClientsKnow(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	tp.Partitions[0].Shown, tp.Partitions[0].Ceiling = true, 2*CeilingBlock
	n := tp.Partitions[0].Advance(Segment{Generation: 1, Start: 10, PhysicalStart: 10, Cluster: "b"}, tp.Partitions[0].Distance.Shift(0), 10, 0)
	if !n.Shown || n.Ceiling != 2*CeilingBlock {
		t.Errorf("after a move: shown %t, ceiling %d", n.Shown, n.Ceiling)
	}
}

// the move; nothing of that may be skipped.
func TestACopyThatEndsBeforeAnEarlierHole(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	p := tp.Partitions[0].Advance(Segment{Generation: 1, Start: 1000, PhysicalStart: 100, Cluster: "b"}, tp.Partitions[0].Distance.Shift(0), 100, 0)
	p = p.Advance(Segment{Generation: 2, Start: 2000, PhysicalStart: 50, Cluster: "c"}, p.Distance.Shift(0), 50, 1<<16)
	for v, want := range map[int64]int64{49: 49, 50: 50, 60: 50, 99: 50, 500: 50, 1000: 50, 1010: 50, 1999: 50, 2000: 50, 2001: 51} {
		if got := p.ToPhysical(v); got != want {
			t.Errorf("virtual %d is physical %d, want %d", v, got, want)
		}
	}
	for at, want := range map[int64]int64{49: 49, 50: 2000, 60: 2010} {
		if got := p.ToVirtual(at); got != want {
			t.Errorf("physical %d is virtual %d, want %d", at, got, want)
		}
	}
}
