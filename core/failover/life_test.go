package failover

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// life is what becomes of a topic.
type life struct {
	*world
	r      *rand.Rand
	prints *kafka.Fingerprints
	home   *fakes.Cluster
	other  *fakes.Cluster
	next   int                      // number of the next record
	stand  map[*fakes.Cluster]int64 // of the replicator that reads from a cluster
	seen   map[int64]uint64         // what offsets have named
	told   []string
}

func newLife(t *testing.T, r *rand.Rand) *life {
	w := newWorld(t, "orders")
	w.apply(Options{})
	fakes.Pass(12 * time.Second)
	return &life{
		world: w, r: r, prints: kafka.NewFingerprints(true, nil), home: w.Prod, other: w.DR, next: 5000,
		stand: map[*fakes.Cluster]int64{w.Prod: 100, w.DR: 125}, seen: map[int64]uint64{},
	}
}

func (l *life) note(format string, args ...any) {
	l.told = append(l.told, fmt.Sprintf(format, args...))
}

// write lets producers write to the home, and abort some of it.
func (l *life) write(n int, aborts bool) {
	l.note("%d written from %d on", n, l.next)
	l.home.Set(func() {
		for range n {
			if aborts && l.r.IntN(30) == 0 {
				abort(l.home.Log("orders"), int64(100_000+l.next), 900_000+l.next, 900_002+l.next)
			}
			add(l.home.Log("orders"), l.next)
			l.next++
		}
	})
	l.look()
}

// look notes what the home shows: an offset never names another record.
func (l *life) look() {
	l.T.Helper()
	p := l.Virtual.Topic("orders").Partition(0)
	end := int64(0)
	for v, print := range l.shown(l.prints, l.home, p) {
		if was, ok := l.seen[v]; ok && was != print {
			l.T.Fatalf("offset %d names another record now: %v\n%v", v, l.where(), l.told)
		}
		l.seen[v] = print
		end = max(end, v+1)
	}
	if err := l.env.Catalog.Reserve(l.T.Context(), "orders", 0, end); err != nil {
		l.T.Fatal(err)
	}
}

// replicate copies what the home has, up to an offset, from where the replicator stands, in pieces.
// A faithful one never goes back.
func (l *life) replicate(to int64, faithful bool) {
	for l.stand[l.home] < to {
		from := l.stand[l.home]
		next := min(from+1+int64(l.r.IntN(60)), to)
		var records []kafka.Record
		l.home.Set(func() { records = committed(l.home.Log("orders"), from, next) })
		l.note("replicated %d to %d of %s: %d records", from, next, l.home.Name(), len(records))
		l.other.Set(func() {
			for _, r := range records {
				l.other.Log("orders").Batch(fakes.Shape{}, r)
			}
		})
		if l.stand[l.home] = next; !faithful && next < to && l.r.IntN(4) == 0 {
			l.stand[l.home] = max(next-int64(l.r.IntN(80)), 0)
		}
		if l.r.IntN(6) == 0 {
			fakes.Pass(12 * time.Second)
		}
	}
}

// committed are the records of a log in a range of offsets, without those of transactions that were
// aborted.
func committed(l *fakes.Log, from, to int64) (out []kafka.Record) {
	for _, b := range l.Batches {
		aborted := slices.ContainsFunc(l.Aborted, func(a kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
			return b.Raw.IsTransactional() && a.ProducerID == b.Raw.ProducerID()
		})
		if records, err := kafka.Records(b.Raw); err == nil && !b.Raw.IsControl() && !aborted {
			for _, r := range records {
				if r.Offset >= from && r.Offset < to {
					r.Offset = 0
					out = append(out, r)
				}
			}
		}
	}
	return out
}

func (l *life) end() int64 { return l.home.Log("orders").End }

// turn makes the other cluster the home. Replicators go on where they had stopped, or where an
// operator lets them begin.
func (l *life) turn(generation int32) {
	l.T.Helper()
	l.home, l.other = l.other, l.home
	l.lives("orders", l.home.Name(), generation)
	begun := l.Virtual.Topic("orders").Partition(0).Current().PhysicalStart
	switch l.r.IntN(3) {
	case 0:
		l.stand[l.home] = begun
	case 1:
		l.stand[l.home] = max(begun-int64(l.r.IntN(100)), 0)
	default:
		l.stand[l.home] = min(l.stand[l.home], begun)
	}
	l.note("%s is the home, runs %v; replicated from %d on", l.home.Name(), l.where(), l.stand[l.home])
}

func (l *life) live() {
	l.T.Helper()
	for generation := int32(1); generation < 6; generation++ {
		l.write(l.r.IntN(150), true)
		l.replicate(l.end(), false)
		fakes.Pass(12 * time.Second)
		if l.r.IntN(2) == 0 {
			l.planned(generation)
		} else {
			l.dies(generation)
		}
	}
}

func (l *life) planned(generation int32) {
	l.T.Helper()
	p := l.Virtual.Topic("orders").Partition(0)
	before := l.shown(l.prints, l.home, p)
	l.edit(l.other.Name(), "orders")
	fakes.Pass(12 * time.Second)
	if m := l.last("orders"); m.Phase != Done || !m.Planned {
		l.T.Fatalf("to %s: %s: %q\n%v", l.other.Name(), m.Phase, m.Error, l.told)
	}
	l.turn(generation)
	l.look()
	after := l.shown(l.prints, l.home, l.Virtual.Topic("orders").Partition(0))
	if len(after) != len(before) {
		l.T.Fatalf("%d records are shown, and were %d: %v\n%v", len(after), len(before), l.where(), l.told)
	}
}

// dies lets the home die with records that were not copied; some of them are written again.
func (l *life) dies(generation int32) {
	l.T.Helper()
	// What comes while nobody compares is taken to be right.
	l.write(l.r.IntN(80), false)
	if l.r.IntN(2) == 0 {
		l.replicate(l.stand[l.home]+(l.end()-l.stand[l.home])/2, true)
	}
	l.note("%s dies", l.home.Name())
	l.home.Set(func() { l.home.Down = true })
	l.edit(l.other.Name(), "orders")
	fakes.Pass(25 * time.Second)
	if m := l.last("orders"); m.Phase != Done || m.Planned {
		l.T.Fatalf("to %s, without its home: %s: %q\n%v", l.other.Name(), m.Phase, m.Error, l.told)
	}
	l.turn(generation)
	again := min(l.r.IntN(10), l.next-5000)
	l.home.Set(func() { add(l.home.Log("orders"), numbers(l.next-again, l.next)...) })
	l.look()
	l.note("%s is back, %d written again", l.other.Name(), again)
	l.other.Set(func() { l.other.Down = false })
	if l.r.IntN(2) == 0 {
		fakes.Pass(12 * time.Second)
	}
	if l.r.IntN(4) == 0 {
		l.reopen()
		l.apply(Options{})
	}
}
