package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// survived is a world in which prod has died, with what is written to its log first, and dr has
// taken over, with 100 records since. Both live.
func survived(t *testing.T, tail func(l *fakes.Log)) *world {
	t.Helper()
	return survivedWith(t, tail, numbers(200, 300))
}

// survivedWith is survived with these records since.
func survivedWith(t *testing.T, tail func(l *fakes.Log), since []int) *world {
	t.Helper()
	w := newWorld(t, "orders")
	w.Remember(map[string]int64{"dr": 25})
	w.Prod.Set(func() {
		if tail != nil {
			tail(w.Prod.Log("orders"))
		}
		w.Prod.Down = true
	})
	if err := w.env.Catalog.Reserve(t.Context(), "orders", 0, 104); err != nil {
		t.Fatal(err)
	}
	w.edit("dr", "orders")
	fakes.Pass(12 * time.Second)
	w.lives("orders", "dr", 1)
	w.DR.Set(func() { w.DR.Log("orders").Add(pick(since)...) })
	w.Prod.Set(func() { w.Prod.Down = false })
	return w
}

// add appends records with these numbers to a log, one to a batch.
func add(l *fakes.Log, numbers ...int) {
	for _, n := range numbers {
		l.Batch(fakes.Shape{}, fakes.Record(n))
	}
}

// pick are the records with these numbers.
func pick(numbers []int) (out []kafka.Record) {
	for _, n := range numbers {
		out = append(out, fakes.Record(n))
	}
	return out
}

// numbers are those from first up to, without, end.
func numbers(first, end int) (out []int) {
	for i := first; i < end; i++ {
		out = append(out, i)
	}
	return out
}

// shown are the fingerprints of all records of orders that clients are shown of a cluster, at their
// virtual offsets.
func (w *world) shown(f *kafka.Fingerprints, c plugin.Cluster, p *catalog.Partition) map[int64]uint64 {
	w.T.Helper()
	s, err := copies.NewSide(c, "orders")
	if err != nil {
		w.T.Fatal(err)
	}
	starts, err := s.Starts(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	ends, err := s.Ends(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	out := map[int64]uint64{}
	next, _, err := s.Data(w.T.Context(), f, 0, starts[0], ends[0], func(r align.Record) {
		if v := p.ToVirtual(r.Offset); !p.Distance.Skips(r.Offset) && v >= p.LogStart {
			out[v] = r.Print
		}
	})
	if err != nil || next != ends[0] {
		w.T.Fatalf("read up to %d of %d: %v", next, ends[0], err)
	}
	return out
}

// back moves orders to prod, and checks that each offset names the record that it named on dr, and
// no other one is shown.
func (w *world) back() {
	w.T.Helper()
	f := kafka.NewFingerprints(true, nil)
	before := w.shown(f, w.DR, w.Virtual.Topic("orders").Partition(0))
	w.edit("prod", "orders")
	fakes.Pass(12 * time.Second)
	m := w.last("orders")
	if m.Phase != Done || !m.Planned {
		w.T.Fatalf("%s, planned %t: %q", m.Phase, m.Planned, m.Error)
	}
	p := w.lives("orders", "prod", 2).Partition(0)
	after := w.shown(f, w.Prod, p)
	for v, print := range before {
		if after[v] != print {
			w.T.Fatalf("offset %d names another record, or none, on prod: %v", v, w.where())
		}
	}
	if len(after) != len(before) {
		w.T.Errorf("%d records are shown on prod, and were %d on dr: %v", len(after), len(before), w.where())
	}
}

// TestAHomeThatComesBack is a copy again, of which the lost tail is not shown, whatever there is in
// it and however the replicator brings what came since.
func TestAHomeThatComesBack(t *testing.T) {
	ten := func(l *fakes.Log) { add(l, numbers(100, 110)...) }
	for name, c := range map[string]struct {
		tail  func(l *fakes.Log) // of prod when it died
		since func(l *fakes.Log) // on prod, when it is back
		lost  int                // records that are said to be hidden
	}{
		"no tail":      {nil, func(l *fakes.Log) { add(l, numbers(200, 300)...) }, 0},
		"a tail":       {ten, func(l *fakes.Log) { add(l, numbers(200, 300)...) }, 10},
		"one batch":    {func(l *fakes.Log) { l.Batch(fakes.Shape{}, fakes.Records(100, 110)...) }, func(l *fakes.Log) { l.Add(fakes.Records(200, 300)...) }, 10},
		"repeats":      {ten, func(l *fakes.Log) { add(l, slices.Concat(numbers(200, 212), numbers(205, 300), numbers(219, 300))...) }, 10},
		"from further": {ten, func(l *fakes.Log) { add(l, slices.Concat(numbers(90, 100), numbers(200, 300))...) }, 10},
		"from the start": {ten, func(l *fakes.Log) {
			add(l, slices.Concat(numbers(1000, 1025), numbers(0, 100), numbers(200, 300))...)
		}, 10},
		"from the start, without a tail": {nil, func(l *fakes.Log) {
			add(l, slices.Concat(numbers(1000, 1025), numbers(0, 100), numbers(200, 300))...)
		}, 0},
		"twice from the start": {ten, func(l *fakes.Log) {
			add(l, slices.Concat(numbers(0, 100), numbers(200, 210), numbers(0, 100), numbers(200, 300))...)
		}, 10},
		"transactions in the tail": {func(l *fakes.Log) {
			l.Batch(fakes.Shape{Producer: 9, InOne: true}, fakes.Records(100, 103)...)
			fakes.Marker(l)
			abort(l, 8, 103, 106)
			add(l, 106)
		}, func(l *fakes.Log) { add(l, numbers(200, 300)...) }, 4},
		"nothing but a marker in the tail": {fakes.Marker, func(l *fakes.Log) { add(l, numbers(200, 300)...) }, 0},
		"a replicator with transactions": {ten, func(l *fakes.Log) {
			abort(l, 7, 200, 205)
			for i := 200; i < 300; i += 5 {
				l.Batch(fakes.Shape{Producer: 7, InOne: true}, fakes.Records(i, i+5)...)
				fakes.Marker(l)
			}
		}, 10},
		// What was on its way when prod died is sent again by producers.
		"sent again": {func(l *fakes.Log) { add(l, 100, 101, 200, 201) }, func(l *fakes.Log) { add(l, numbers(200, 300)...) }, 2},
		"sent again in another order": {func(l *fakes.Log) { add(l, 100, 201, 101, 200, 203, 202) }, func(l *fakes.Log) {
			add(l, numbers(200, 300)...)
		}, 2},
		"all sent again": {func(l *fakes.Log) { add(l, numbers(200, 300)...) }, nil, 0},
	} {
		for _, how := range []string{"at once", "compared", "restarted"} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := survived(t, c.tail)
					if how == "restarted" {
						w.reopen()
						w.apply(Options{})
					}
					if how != "at once" {
						fakes.Pass(25 * time.Second) // what is there without a replicator is compared
					}
					if c.since != nil {
						w.Prod.Set(func() { c.since(w.Prod.Log("orders")) })
					}
					if how != "at once" {
						fakes.Pass(25 * time.Second)
					}
					w.back()
					said := fmt.Sprintf("%d records that were lost when prod died are hidden there", c.lost)
					if notes := strings.Join(w.last("orders").Notes, "; "); strings.Contains(notes, said) != (c.lost > 0) {
						t.Errorf("notes %q, want %q", notes, said)
					}
				})
			})
		}
	}
}

// abort appends records of a transaction that is aborted.
func abort(l *fakes.Log, producer int64, first, end int) { abortAll(l, producer, numbers(first, end)) }

func abortAll(l *fakes.Log, producer int64, records []int) {
	l.Aborted = append(l.Aborted, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: producer, FirstOffset: l.End})
	l.Batch(fakes.Shape{Producer: producer, InOne: true}, pick(records)...)
	l.Batch(fakes.Shape{Control: true, Producer: producer}, kafka.Record{Key: []byte{0, 0, 0, 0}, Value: []byte{0}})
}
