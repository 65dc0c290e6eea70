package joint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// readAll reads from node 0 side by side, and returns what each was given.
func readAll(ctx context.Context, t *testing.T, f *fakes.Cluster, pieces ...Wanted) (given [][]byte, errs []error) {
	t.Helper()
	var running guard.Group
	reads := newFetches(t.Context(), &running, f)
	given, errs = make([][]byte, len(pieces)), make([]error, len(pieces))
	var wg sync.WaitGroup
	for i, w := range pieces {
		wg.Go(func() {
			errs[i] = reads.read(ctx, 0, w, func(b Batches) { given[i] = slices.Clone(b.Records) })
		})
	}
	wg.Wait()
	running.Wait()
	if len(reads.slots) > 0 || len(reads.waiting) > 0 || reads.serving[0] > 0 {
		t.Errorf("left: %d slots, %d that wait, %d that serve", len(reads.slots), len(reads.waiting), reads.serving[0])
	}
	return given, errs
}

// TestJointFetches: each gets what it would get alone, whatever it is asked with: also what a
// broker leaves empty since others have filled its answer, the same partition several times, and
// errors.
func TestJointFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakes.NewCluster("prod")
		const wide = 300
		for p, l := range f.Topic("orders", 2*wide) {
			if p%20 == 0 {
				l.Batch(fakes.Shape{}, kafka.Record{Value: make([]byte, 2<<20)}) // two fill an answer
			} else if p%3 > 0 {
				l.Batch(fakes.Shape{}, fakes.Records(p, p+2)...)
			}
		}
		f.Before = func(kmsg.Request) { time.Sleep(time.Millisecond) }
		id := f.Topology().Topics["orders"].ID
		var pieces []Wanted
		for p := range int32(wide) {
			pieces = append(pieces, Wanted{"orders", id, 2 * p, 0, ReadBytes, false}) // those that node 0 leads
		}
		again := Wanted{"orders", id, 2, 1, ReadBytes, false}
		wrong := Wanted{"orders", id, 2, 7, ReadBytes, false}
		absent := Wanted{"payments", [16]byte{1}, 0, 0, ReadBytes, false}
		pieces = append(pieces, again, wrong, absent, pieces[0])
		given, errs := readAll(t.Context(), t, f, pieces...)
		for i, w := range pieces {
			err := readAlone(t.Context(), f, 0, w, func(b Batches) {
				want := b.Records
				if !slices.Equal(given[i], want) {
					t.Errorf("%+v: %d bytes, want %d", w, len(given[i]), len(want))
				}
			})
			if fmt.Sprint(errs[i]) != fmt.Sprint(err) {
				t.Errorf("%+v: %v, want %v", w, errs[i], err)
			}
		}
	})
}

// TestWhatIsReadIsBounded: answers whose records are in use count.
func TestWhatIsReadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakes.NewCluster("prod")
		for _, l := range f.Topic("orders", 2000) {
			l.Batch(fakes.Shape{}, fakes.Records(0, 1)...)
		}
		f.Before = func(kmsg.Request) { time.Sleep(time.Millisecond) }
		var running guard.Group
		reads := newFetches(t.Context(), &running, f)
		use, id := make(chan struct{}), f.Topology().Topics["orders"].ID
		var wg sync.WaitGroup
		for p := range int32(1000) {
			wg.Go(func() {
				_ = reads.read(t.Context(), 0, Wanted{"orders", id, 2 * p, 0, ReadBytes, false}, func(Batches) { <-use })
			})
		}
		fakes.Pass(time.Minute)
		if n := f.Count(kmsg.Fetch); n != ReadsAtOnce {
			t.Errorf("%d fetches while all records are in use, want %d", n, ReadsAtOnce)
		}
		close(use)
		wg.Wait()
		running.Wait()
		if n := f.Count(kmsg.Fetch); n > 4*ReadsAtOnce {
			t.Errorf("%d fetches for 1000 partitions", n)
		}
	})
}

// TestWhoLeavesHoldsUpNobody: its answer is nobody's, and its place is free.
func TestWhoLeavesHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakes.NewCluster("prod")
		f.Topic("orders", 1)[0].Batch(fakes.Shape{}, fakes.Records(0, 1)...)
		f.Before = func(kmsg.Request) { time.Sleep(time.Second) }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w := Wanted{"orders", f.Topology().Topics["orders"].ID, 0, 0, ReadBytes, false}
		began := time.Now()
		_, errs := readAll(ctx, t, f, slices.Repeat([]Wanted{w}, 100)...)
		for _, err := range errs {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		}
		if took := time.Since(began); took > 2*time.Second || f.Count(kmsg.Fetch) > ReadsAtOnce {
			t.Errorf("%s, %d fetches for nobody", took, f.Count(kmsg.Fetch))
		}
	})
}
