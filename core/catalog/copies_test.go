package catalog

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestUnacknowledgedSpans against a set of offsets, for acknowledgements in any order.
func TestUnacknowledgedSpans(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		topic := &Topic{Name: "orders", marks: &Marks{}}
		if got := topic.Unacknowledged(0, 100); len(got) != 0 {
			t.Fatalf("nothing is known, and still %v", got)
		}
		var spans []Span
		told := map[int64]bool{}
		for at := int64(10); at < 90; {
			n := 1 + r.Int64N(4)
			spans = append(spans, Span{at, at + n})
			at += n
		}
		first := spans[0]
		rest := spans[1:]
		r.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		for _, s := range append([]Span{first}, rest[:len(rest)/2]...) {
			topic.Acknowledge(0, s)
			for o := s.From; o < s.To; o++ {
				told[o] = true
			}
		}
		var want, got []int64
		for o := int64(10); o < 100; o++ {
			if !told[o] {
				want = append(want, o)
			}
		}
		for _, s := range topic.Unacknowledged(0, 100) {
			for o := s.From; o < s.To; o++ {
				got = append(got, o)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

func TestClaimFindsACopyOnce(t *testing.T) {
	var m Memory
	m.Remember(0, 7, batch(0, 4, 100))
	m.Turn()
	m.Copied(&Copies{
		Records: map[int32][]Copy{0: {{105, 'a'}, {106, 'b'}, {107, 'a'}, {109, 'b'}}},
		Prints: func(b []byte) (out []uint64, err error) {
			for _, c := range b {
				out = append(out, uint64(c))
			}
			return out, nil
		},
	})
	judge := func(id int64, b Remembered, want Verdict) {
		t.Helper()
		if v, _ := m.Judge(0, id, b); v != want {
			t.Errorf("%+v is judged %d, want %d", b, v, want)
		}
	}
	claim := func(id int64, b Remembered, records string, want int64) {
		t.Helper()
		if base, ok := m.Claim(0, id, b, []byte(records)); ok != (want >= 0) || base != want {
			t.Errorf("%q is found at %d, want %d", records, base, want)
		}
	}
	judge(7, batch(5, 6, -1), Compare)
	claim(7, batch(5, 6, -1), "ab", 105)
	claim(7, batch(5, 6, -1), "ab", 105) // over another connection
	judge(7, batch(5, 6, -1), Duplicate)
	judge(7, batch(7, 8, -1), Compare)
	claim(7, batch(7, 8, -1), "ab", -1) // with a gap between them
	judge(7, batch(7, 8, -1), Pass)     // sent, and sent again
	judge(7, batch(9, 9, -1), Early)
	judge(8, batch(0, 0, -1), Compare) // nobody remembers it
	claim(8, batch(0, 0, -1), "a", 107)
	judge(8, batch(0, 0, -1), Duplicate)
	m.Remember(0, 7, batch(7, 8, 200))
	judge(7, batch(9, 9, -1), Pass) // the home judges
	m.Turn()
	judge(9, batch(0, 0, -1), Pass) // and the copies are of that generation
}
