package standing

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// large is how many records the topics of largeWorld have.
const large = 60_000

// marked appends records in batches of 200, with a marker behind each.
func marked(l *fakes.Log, records []kafka.Record) {
	for b := range slices.Chunk(records, 200) {
		l.Batch(fakes.Shape{Producer: 9, InOne: true}, b...)
		fakes.Marker(l)
	}
}

// largeWorld watches topics with many records, of which the copies have markers between them. So
// many bytes a second are read of them.
func largeWorld(t *testing.T, rate int64, topics ...string) *world {
	t.Helper()
	w := newWorld(t, topics...)
	all := fakes.Records(0, large)
	for _, n := range topics {
		w.Prod.Set(func() {
			w.Prod.Topics[n].Logs[0] = &fakes.Log{}
			for b := range slices.Chunk(all, 200) {
				w.Prod.Log(n).Batch(fakes.Shape{}, b...)
			}
		})
		w.DR.Set(func() {
			w.DR.Topics[n].Logs[0] = &fakes.Log{}
			marked(w.DR.Log(n), all)
		})
	}
	w.Config.Align.Rate = rate
	return w
}

// size is how many bytes both sides of a topic have.
func (w *world) size(topic string) (n int64) {
	for _, l := range []*fakes.Log{w.Prod.Log(topic), w.DR.Log(topic)} {
		for _, b := range l.Batches {
			n += int64(len(b.Raw))
		}
	}
	return n
}

func (w *world) known(topic string) catalog.Alignment {
	return w.Virtual.Topic(topic).Partition(0).Copies["dr"]
}

// far is how far the front of a topic has got; all of it once it has met the last records.
func (w *world) far(topic string) int64 {
	if a := w.known(topic); a.Front != nil {
		return a.Front.To
	} else if a.Drifted() && a.From == 0 {
		return large
	}
	return 0
}

// fetched notes the lowest offset that is read of prod from now on, and how often it is read.
func (w *world) fetched() (lowest *int64, times *int) {
	lowest, times = new(int64), new(int)
	*lowest = large
	w.Prod.Set(func() {
		w.Prod.Before = func(req kmsg.Request) {
			if f, ok := req.(*kmsg.FetchRequest); ok {
				w.Prod.Set(func() {
					*times++
					for _, x := range f.Topics {
						*lowest = min(*lowest, x.Partitions[0].FetchOffset)
					}
				})
			}
		}
	})
	return lowest, times
}

// TestALargeCopyIsAlignedInTheBackground from its beginning on, while its last records, by which an
// unplanned move goes, are known from the first round on. No more is read in a second than may be,
// and nothing any more once that is done.
func TestALargeCopyIsAlignedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := largeWorld(t, 200<<10, "orders")
		w.apply()
		began := time.Now()
		fakes.Pass(5 * time.Second)
		if a := w.known("orders"); a.From != large-10_000 || a.To != large || a.Front == nil {
			t.Fatalf("after the first round: %d to %d, front %+v", a.From, a.To, a.Front)
		}
		steps := 0
		for last := int64(0); w.far("orders") < large; fakes.Pass(10 * time.Second) {
			if now := w.far("orders"); now > last {
				last = now
				steps++
			}
			if time.Since(began) > 10*time.Minute {
				t.Fatalf("no end: %+v", w.known("orders").Front)
			}
		}
		if steps == 0 {
			t.Error("nothing was stored on the way")
		}
		if took, least := time.Since(began), time.Duration(w.size("orders")/(200<<10))*time.Second; took < least {
			t.Errorf("%d bytes took %s, want %s at least", w.size("orders"), took, least)
		}
		a := w.known("orders")
		about := fact.Of(t, "from %d to %d, front %+v, %d runs", a.From, a.To, a.Front, a.Distance.Len())
		fact.Equal(about, "a.From", a.From, 0)
		fact.Equal(about, "a.To", a.To, large)
		fact.True(about, "a.Front == nil", a.Front == nil)
		fact.Equal(about, "a.Distance.Len()", a.Distance.Len(), large/200)
		fakes.Pass(20 * time.Second)
		_, times := w.fetched()
		stored := len(w.Store.Entries)
		fakes.Pass(time.Minute)
		if *times > 0 || len(w.Store.Entries) > stored {
			t.Errorf("%d fetches and %d entries, though nothing has happened", *times, len(w.Store.Entries)-stored)
		}
	})
}

// TestARestartGoesOnWithWhatWasAligned.
func TestARestartGoesOnWithWhatWasAligned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := largeWorld(t, 200<<10, "orders")
		w.apply()
		for w.far("orders") < 20_000 {
			fakes.Pass(10 * time.Second)
		}
		_ = w.watch.Close()
		at := w.far("orders")
		lowest, _ := w.fetched()
		w.Load(w.Store.Entries)
		w.env.Catalog = w.Virtual
		again := over(w.World)
		again.apply()
		for again.far("orders") < large {
			fakes.Pass(10 * time.Second)
		}
		if *lowest < at {
			t.Errorf("the record at %d was read again, though all up to %d was aligned", *lowest, at)
		}
	})
}

// TestCopiesAreAlignedFairly: each has its turns, and one that is written to all the time does not
// wait for those whose beginnings are looked at.
func TestCopiesAreAlignedFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := []string{"a", "b", "c"}
		w := largeWorld(t, 400<<10, topics...)
		w.apply()
		for w.far("a")+w.far("b")+w.far("c") < large {
			fakes.Pass(10 * time.Second)
			end := int(w.Prod.Log("b").End)
			w.Prod.Grow("b", end, end+10)
			w.DR.Set(func() { marked(w.DR.Log("b"), fakes.Records(end, end+10)) })
		}
		for _, n := range topics {
			if w.far(n) < large/6 {
				t.Errorf("%s is aligned up to %d, of %d in all", n, w.far(n), w.far("a")+w.far("b")+w.far("c"))
			}
		}
		fakes.Pass(10 * time.Second)
		if a := w.known("b"); a.To != w.Prod.Log("b").End {
			t.Errorf("aligned up to %d, want %d", a.To, w.Prod.Log("b").End)
		}
	})
}

// TestWhatIsWrongFarBack does not keep what comes behind from being aligned, and is told.
func TestWhatIsWrongFarBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := largeWorld(t, 1<<20, "orders")
		w.DR.Set(func() {
			w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
			marked(w.DR.Log("orders"), slices.Delete(slices.Delete(fakes.Records(0, large), 30_000, 30_001), 500, 502))
		})
		w.apply()
		fakes.Pass(time.Minute)
		if a := w.known("orders"); a.From != 30_001 || a.To != large || a.Front != nil {
			t.Errorf("aligned from %d to %d, front %+v", a.From, a.To, a.Front)
		}
		got := w.watch.Aligned("vc", w.Virtual.Topic("orders"), "dr", 0)
		about := fact.Of(t, "%+v", got)
		fact.Equal(about, "Wrong", got.Wrong, 3)
		fact.True(about, "Mismatch", strings.Contains(got.Mismatch, "the record at 500 on prod is not on dr"))
		fact.Equal(about, "From", got.From, 30_001)
		fact.Equal(about, "To", got.To, large)
		fact.True(about, "Runs", got.Runs > large/200-10)
		fact.True(about, "Skips", got.Skips > large/200-10)
	})
}

// TestOnePartitionThatIsWrongDoesNotKeepOthersFromBeingKnown.
func TestOnePartitionThatIsWrongDoesNotKeepOthersFromBeingKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := over(fakes.NewWideWorld(t, 1, 2))
		for p := range 2 {
			w.Prod.Set(func() { w.Prod.Topics["topic-00"].Logs[p].Add(fakes.Records(0, 100)...) })
			w.DR.Set(func() {
				w.DR.Topics["topic-00"].Logs[p].Add(fakes.Records(0, 50)...)
				w.DR.Topics["topic-00"].Logs[p].Add(fakes.Records(50+1-p, 100)...)
				fakes.Marker(w.DR.Topics["topic-00"].Logs[p])
			})
		}
		w.apply()
		fakes.Pass(3 * time.Second)
		topic := w.Virtual.Topic("topic-00")
		if _, ok := topic.Partition(1).Copies["dr"]; !ok {
			t.Error("of the one that is right nothing is known")
		}
		if a, ok := topic.Partition(0).Copies["dr"]; ok {
			t.Errorf("of the one that is wrong is known %+v", a)
		}
		s := w.watch.Survey(t.Context(), w.env, []*catalog.Topic{topic}, true)[0].Copies[0]
		if !strings.Contains(s.Problem, "partition 0: the record at 50 on prod is not on dr") {
			t.Errorf("%q", s.Problem)
		}
		if a, b := w.watch.Aligned("vc", topic, "dr", 0).Mismatch, w.watch.Aligned("vc", topic, "dr", 1).Mismatch; a != s.Problem || b != "" {
			t.Errorf("of the partitions is said %q and %q", a, b)
		}
	})
}

// TestForHowLongACopyHasLagged: since it had last what the home has now or had then.
func TestForHowLongACopyHasLagged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply()
		fakes.Pass(11 * time.Second)
		lag := func() float64 {
			return w.watch.Aligned("vc", w.Virtual.Topic("orders"), "dr", 0).LagSeconds
		}
		if got := lag(); got != 0 {
			t.Errorf("%v s, though it has all", got)
		}
		w.Prod.Grow("orders", 100, 110)
		fakes.Pass(35 * time.Second)
		if got := lag(); got < 20 || got > 35 {
			t.Errorf("%v s, want some 30", got)
		}
		for i := 110; i < 300; i += 10 { // it goes on, always a round behind
			w.DR.Grow("orders", i-10, i)
			w.Prod.Grow("orders", i, i+10)
			fakes.Pass(10 * time.Second)
		}
		if got := lag(); got == 0 || got > 20 {
			t.Errorf("%v s, want some 10", got)
		}
		w.DR.Grow("orders", 290, 300)
		fakes.Pass(10 * time.Second)
		if got := lag(); got != 0 {
			t.Errorf("%v s, though it has all again", got)
		}
	})
}

// TestACopyThatHasGoneOnForLong: where more has come since a copy was last looked at than is looked
// at in a round, the last records come first all the same, and what was known is not lost.
func TestACopyThatHasGoneOnForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := largeWorld(t, 200<<10, "orders")
		all := fakes.Records(0, large)
		w.DR.Set(func() { w.DR.Topics["orders"].Logs[0] = &fakes.Log{}; marked(w.DR.Log("orders"), all[:5000]) })
		w.Prod.Set(func() {
			w.Prod.Topics["orders"].Logs[0] = &fakes.Log{}
			w.Prod.Log("orders").Batch(fakes.Shape{}, all[:5000]...)
		})
		w.apply()
		fakes.Pass(5 * time.Second)
		if a := w.known("orders"); a.From != 0 || a.To != 5000 {
			t.Fatalf("aligned from %d to %d", a.From, a.To)
		}
		w.DR.Set(func() { marked(w.DR.Log("orders"), all[5000:]) })
		w.Prod.Set(func() {
			for b := range slices.Chunk(all[5000:], 200) {
				w.Prod.Log("orders").Batch(fakes.Shape{}, b...)
			}
		})
		fakes.Pass(10 * time.Second)
		if a := w.known("orders"); a.To != large || a.Front == nil || a.Front.To < 5000 {
			t.Fatalf("aligned from %d to %d, front %+v", a.From, a.To, a.Front)
		}
		for i := 0; w.far("orders") < large; i++ {
			if fakes.Pass(10 * time.Second); i > 60 {
				t.Fatalf("no end: %+v", w.known("orders").Front)
			}
		}
		if a := w.known("orders"); a.Distance.Len() != large/200 {
			t.Errorf("%d runs, want %d", a.Distance.Len(), large/200)
		}
	})
}

// TestACopyThatWasMadeAgain is not gone by at the distance of the one before, where it can't be
// compared yet.
func TestACopyThatWasMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := over(fakes.NewWideWorld(t, 1, 2))
		fill := func(f *fakes.Cluster, lists ...[]kafka.Record) {
			f.Set(func() {
				for p, records := range lists {
					f.Topics["topic-00"].Logs[p] = &fakes.Log{}
					f.Topics["topic-00"].Logs[p].Add(records...)
				}
			})
		}
		all := fakes.Records(0, 100)
		fill(w.Prod, all, all)
		fill(w.DR, all, all)
		w.apply()
		fakes.Pass(3 * time.Second)
		w.DR.Set(func() { w.DR.Topics["topic-00"].Made++ })
		fill(w.DR, slices.Delete(slices.Clone(all), 50, 51), all)
		w.DR.Set(func() { w.DR.Topo = w.DR.View() })
		fakes.Pass(10 * time.Second)
		topic := w.Virtual.Topic("topic-00")
		if topic.Copies["dr"] != w.DR.Topology().Topics["topic-00"].ID {
			t.Error("the new copy is not known")
		}
		if _, ok := topic.Partition(1).Copies["dr"]; !ok {
			t.Error("of the partition that is right nothing is known")
		}
		if a, ok := topic.Partition(0).Copies["dr"]; ok {
			t.Errorf("of the one that is wrong is known %+v", a)
		}
	})
}
