package failover

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/testing/fakes"
)

// seeds runs a test with so many random ones, or with that which SLUICE_SEED names.
func seeds(t *testing.T, n uint64, test func(*testing.T, *rand.Rand)) {
	t.Helper()
	first := uint64(time.Now().UnixNano()) % 1_000_000
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		one, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = one, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// TestAnyLife lets a topic move back and forth, as planned or because its home has died, with
// replicators that go on where they had stopped, or further in front. An offset never names two
// records, planned moves lose nothing, and a copy is exact again, however it got there.
func TestAnyLife(t *testing.T) {
	seeds(t, 12, func(t *testing.T, r *rand.Rand) { newLife(t, r).live() })
}

// TestAnyHomeThatComesBack draws what is in the lost tail, what producers send again, and how a
// replicator brings what came since: it may begin in front of it, go back again and again, and
// write transactions, while the gateway compares, and restarts.
func TestAnyHomeThatComesBack(t *testing.T) { seeds(t, 30, anyReturn) }

func anyReturn(t *testing.T, r *rand.Rand) {
	since := anySince(r)
	w := survivedWith(t, func(l *fakes.Log) { anyTail(r, l, since) }, since)
	compare := func() {
		switch r.IntN(4) {
		case 0:
			fakes.Pass(12 * time.Second)
		case 1:
			w.reopen()
			w.apply(Options{})
			fakes.Pass(12 * time.Second)
		}
	}
	// What the replicator reads: of dr's log what came in front, too.
	log := slices.Concat(numbers(1000, 1025), numbers(0, 100), since)
	begin := []int{125, 125, 125 - r.IntN(60), 25, 0}[r.IntN(5)]
	at, transactions := begin, r.IntN(3) == 0
	for at < len(log) {
		compare()
		next := min(at+1+r.IntN(80), len(log))
		w.Prod.Set(func() { replicate(r, w.Prod.Log("orders"), log[at:next], transactions) })
		if at = next; at < len(log) && r.IntN(3) == 0 { // it had not noted how far it was
			at = max(at-r.IntN(90), begin)
		}
	}
	compare()
	w.back()
}

// anySince is what is written to dr after prod has died; some of it twice.
func anySince(r *rand.Rand) (out []int) {
	for i := range r.IntN(200) {
		out = append(out, 200+i)
		if r.IntN(20) == 0 {
			out = append(out, 200+r.IntN(i+1))
		}
	}
	return out
}

// anyTail is what prod has that dr did not get. Producers write some of it again, in any order.
func anyTail(r *rand.Rand, l *fakes.Log, since []int) {
	again := slices.Clone(since[:min(len(since), r.IntN(12))])
	if r.IntN(2) == 0 {
		r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	}
	for i := range r.IntN(40) {
		switch k := r.IntN(12); {
		case k == 0:
			fakes.Marker(l)
		case k == 1:
			abort(l, int64(20+i), 5000+10*i, 5003+10*i)
		case k < 6 && len(again) > 0:
			add(l, again[0])
			again = again[1:]
		default:
			add(l, 100+i)
		}
	}
}

// replicate appends records as a replicator does.
func replicate(r *rand.Rand, l *fakes.Log, records []int, transactions bool) {
	if !transactions {
		add(l, records...)
		return
	}
	for some := range slices.Chunk(records, 1+r.IntN(20)) {
		if r.IntN(4) == 0 {
			abortAll(l, l.End+1000, some)
		}
		l.Batch(fakes.Shape{Producer: 7, InOne: true}, pick(some)...)
		fakes.Marker(l)
	}
}
