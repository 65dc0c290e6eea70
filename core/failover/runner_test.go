package failover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAPlannedMove follows one move through its phases: what is in flight is answered by the old
// home, what comes meanwhile waits, and clients are told only when that is answered by the new one.
func TestAPlannedMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		inFlight := w.produce("orders")
		began := time.Now()
		{
			out := w.edit("dr", "orders")
			about := fact.Of(t, "Apply returns %+v", out)
			if fact.Equal(about, "len(out)", len(out), 1) {
				fact.Equal(about, "out[0].From", out[0].From, "prod")
				fact.Equal(about, "out[0].To", out[0].To, "dr")
				fact.Equal(about, "out[0].Topic", out[0].Topic, "orders")
			}
		}
		held := w.produce("orders")
		if m := w.last("orders"); m.Phase != Hold || held.in() || w.reads("orders") {
			t.Fatalf("phase %s, a produce passed: %t", m.Phase, held.in())
		}
		fakes.Pass(2 * time.Second)
		if m := w.last("orders"); m.Phase != Hold {
			t.Fatalf("phase %s before the produce in flight is answered", m.Phase)
		}
		w.Prod.Grow("orders", 100, 102)
		w.DR.Grow("orders", 100, 102)
		inFlight.answer()
		moved := w.env.Gates.Moved()
		fakes.Pass(time.Second)
		topic := w.lives("orders", "dr", 1)
		if m := w.last("orders"); m.Phase != Drain || !held.in() || held.err != nil {
			t.Fatalf("phase %s, the held produce passed: %t, %v", m.Phase, held.in(), held.err)
		}
		if topic.Published != 0 || topic.View().Home != "prod" || w.reads("orders") {
			t.Errorf("told before the held produce is answered: published %d, view %s", topic.Published, topic.View().Home)
		}
		held.answer()
		topic = w.lives("orders", "dr", 1)
		about := fact.Of(t, "after the move: %+v", topic)
		fact.Equal(about, "topic.Published", topic.Published, 1)
		fact.True(about, "topic.Before == nil", topic.Before == nil)
		fact.True(about, `w.reads("orders")`, w.reads("orders"))
		fact.Equal(about, "topic.HomeID", topic.HomeID, w.DR.Topology().Topics["orders"].ID)
		select {
		case <-moved:
		default:
			t.Error("waiting fetches are not told")
		}
		p := topic.Partition(0)
		want := catalog.Segment{Generation: 1, Cluster: "dr", Topic: "orders", TopicID: topic.HomeID, Start: 102, PhysicalStart: 127, EpochBase: 7}
		about = fact.Of(t, "lineage %+v", p)
		fact.Equal(about, "*p.Current()", *p.Current(), want)
		fact.Equal(about, "p.Segments[0].End", p.Segments[0].End, 102)
		fact.Equal(about, "p.ToPhysical(10)", p.ToPhysical(10), 35)
		fact.Equal(about, "p.ToPhysical(50)", p.ToPhysical(50), 75)
		fact.Equal(about, "p.ToVirtual(67)", p.ToVirtual(67), 42)
		back, _ := p.Delta("prod")
		fact.Equal(about, `p.Delta("prod")`, back, -25)
		m := w.last("orders")
		if got := steps(m); !slices.Equal(got, []Phase{Pending, Check, Hold, Prepare, Commit, Drain, Publish, Done}) {
			t.Errorf("phases %v", got)
		}
		about = fact.Of(t, "report %+v", m)
		fact.Equal(about, "m.Phase", m.Phase, Done)
		fact.True(about, "m.Planned", m.Planned)
		fact.Equal(about, "m.Attempts", m.Attempts, 1)
		fact.Equal(about, "m.Error", m.Error, "")
		if fact.Equal(about, "len(m.PossibleLoss)", len(m.PossibleLoss), 0) {
			fact.False(about, "m.Ended.IsZero()", m.Ended.IsZero())
			fact.Equal(about, "m.PauseMS", m.PauseMS, time.Since(began).Milliseconds())
		}
		if len(w.runner.Pending()) != 0 || len(w.runner.Moves()) != 1 {
			t.Errorf("%d pending of %d", len(w.runner.Pending()), len(w.runner.Moves()))
		}
		var stored Report
		if ok, err := w.Catalog.Value(catalog.KindMove, m.ID, &stored); !ok || err != nil || stored.Phase != Done {
			t.Errorf("stored: %t %v %s", ok, err, stored.Phase)
		}
		// Back again: the same move, without a distance being searched.
		w.edit("prod", "orders")
		fakes.Pass(time.Second)
		if p := w.lives("orders", "prod", 2).Partition(0); !p.Identity() || p.Copies["dr"].Distance.Delta() != 25 {
			t.Errorf("after the way back: %+v", p)
		}
	})
}

// TestNobodyIsHeldDuringThePreCheck: while records are compared, produces and positions pass.
func TestNobodyIsHeldDuringThePreCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		hold := make(chan struct{})
		w.Prod.Set(func() {
			w.Prod.Before = func(req kmsg.Request) {
				if _, ok := req.(*kmsg.FetchRequest); ok {
					<-hold
				}
			}
		})
		w.edit("dr", "orders")
		p := w.produce("orders")
		m := w.last("orders")
		about := fact.Of(t, "phase %s, produce passed %t, reads %t", m.Phase, p.in(), w.reads("orders"))
		fact.Equal(about, "m.Phase", m.Phase, Check)
		fact.True(about, "p.in()", p.in())
		if fact.NoError(about, p.err) {
			fact.True(about, `w.reads("orders")`, w.reads("orders"))
		}
		p.answer()
		close(hold)
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
	})
}

// TestAMoveThatFailsInHold changes nothing: clients go on at the old home, and it is tried again.
func TestAMoveThatFailsInHold(t *testing.T) {
	for name, c := range map[string]struct {
		during func(w *world) // while clients are held, before the last produce is answered
		stays  bool           // the last produce is not answered
		want   string
		after  time.Duration // from the hold to its end
	}{
		"the copy lags":        {func(w *world) { w.Prod.Grow("orders", 100, 103) }, false, "failover.hold", 10 * time.Second},
		"no answer":            {func(*world) {}, true, `produces in flight to prod were not answered in time, the oldest one of client ""`, 3 * time.Second},
		"written on the copy":  {func(w *world) { w.DR.Grow("orders", 777, 778) }, false, "the record at 125 on dr is not on prod: this is no exact copy (somebody else writes there)", time.Second},
		"copied wrongly":       {func(w *world) { w.Prod.Grow("orders", 100, 103); w.DR.Grow("orders", 101, 104) }, false, "the record at 100 on prod is not on dr", time.Second},
		"not stored":           {func(w *world) { w.Store.Set(errors.New("disk full"), nil) }, false, "disk full", time.Second},
		"changed meanwhile":    {func(w *world) { recreate(w) }, false, "the topic has changed meanwhile", time.Second},
		"the new home is gone": {func(w *world) { w.DR.Set(func() { w.DR.Down = true }) }, false, "cluster unreachable", time.Second},
		"the old home is gone": {func(w *world) { w.Prod.Set(func() { w.Prod.Down = true }) }, false, "cluster unreachable", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				last := w.produce("orders")
				w.edit("dr", "orders")
				before := *w.env.Catalog.Topic("orders")
				held := w.produce("orders")
				c.during(w)
				if !c.stays {
					last.answer()
				}
				if c.after > time.Second {
					fakes.Pass(c.after - 200*time.Millisecond)
					if held.in() {
						t.Fatal("given up too early")
					}
				}
				fakes.Pass(400 * time.Millisecond)
				m := w.last("orders")
				if m.Phase != Pending || !strings.Contains(m.Error, c.want) {
					t.Errorf("%s: %q, want %q", m.Phase, m.Error, c.want)
				}
				if !held.in() || held.err != nil || !w.reads("orders") {
					t.Errorf("the held produce passed: %t, %v", held.in(), held.err)
				}
				if m.PauseMS < c.after.Milliseconds()-1000 || m.PauseMS > c.after.Milliseconds()+100 {
					t.Errorf("a pause of %d ms", m.PauseMS)
				}
				if got := w.lives("orders", "prod", before.Generation+w.recreated()); got.Before != nil || got.Partitions[0].Distance.Len() != 1 {
					t.Errorf("changed: %+v", got)
				}
				held.answer()
			})
		})
	}
}

// recreate makes the topic another one at its home.
func recreate(w *world) {
	_ = w.env.Catalog.Ensure(w.T.Context(), catalog.Seen{Name: "orders", Cluster: "prod", ID: [16]byte{9}, Partitions: 1})
}

func (w *world) recreated() int32 {
	if w.env.Catalog.Topic("orders").HomeID == [16]byte{9} {
		return 1
	}
	return 0
}

// TestTheCopyMayArriveDuringTheHold: what was written last is waited for and compared.
func TestTheCopyMayArriveDuringTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		p := w.produce("orders")
		w.edit("dr", "orders")
		w.Prod.Grow("orders", 100, 110)
		p.answer()
		fakes.Pass(4 * time.Second)
		w.DR.Grow("orders", 100, 110)
		fakes.Pass(time.Second)
		if m := w.last("orders"); m.Phase != Done || m.PauseMS < 4000 || m.PauseMS > 4200 {
			t.Errorf("%s after a pause of %d ms: %s", m.Phase, m.PauseMS, m.Error)
		}
		if s := w.lives("orders", "dr", 1).Partition(0).Current(); s.Start != 110 || s.PhysicalStart != 135 {
			t.Errorf("segment %+v", s)
		}
	})
}

// TestWhoGetsNoAnswerHoldsOthersForALittle: a produce that is never answered makes a move hold the
// others in vain, for a few seconds at first and longer each time, failover.hold at most; one that
// is answered late is waited for in the end.
func TestWhoGetsNoAnswerHoldsOthersForALittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		stays := w.produce("orders")
		w.edit("dr", "orders")
		for i, want := range []time.Duration{3 * time.Second, 6 * time.Second, 10 * time.Second, 10 * time.Second} {
			for w.last("orders").Phase != Hold {
				fakes.Pass(10 * time.Millisecond)
			}
			began := time.Now()
			for w.last("orders").Phase == Hold {
				fakes.Pass(10 * time.Millisecond)
			}
			if took := time.Since(began).Round(100 * time.Millisecond); took != want {
				t.Errorf("hold %d took %s, want %s", i+1, took, want)
			}
		}
		for w.last("orders").Phase != Hold {
			fakes.Pass(10 * time.Millisecond)
		}
		fakes.Pass(9 * time.Second)
		stays.answer()
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
	})
}

// TestHeldProducesAreRefusedTogether: 15 s after the hold clients are told, and what could not be
// sent by then is refused together.
func TestHeldProducesAreRefusedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		p := w.produce("orders")
		w.edit("dr", "orders")
		first, second, third := w.produce("orders"), w.produce("orders"), w.produce("orders")
		fakes.Pass(2 * time.Second)
		p.answer()
		fakes.Pass(time.Second)
		// The first one is on its way and gets no answer; the others wait behind it.
		{
			m := w.last("orders")
			about := fact.Must(t, "phase %s", m.Phase)
			fact.Equal(about, "m.Phase", m.Phase, Drain)
			fact.True(about, "first.in()", first.in())
			fact.False(about, "second.in()", second.in())
			fact.False(about, "third.in()", third.in())
		}
		fakes.Pass(11_900 * time.Millisecond)
		if second.in() || w.lives("orders", "dr", 1).Published != 0 {
			t.Error("refused before the time")
		}
		fakes.Pass(200 * time.Millisecond)
		if !errors.Is(second.err, gate.ErrHeldTooLong) || !errors.Is(third.err, gate.ErrHeldTooLong) {
			t.Errorf("refused with %v and %v", second.err, third.err)
		}
		if m := w.last("orders"); m.Phase != Done || m.PauseMS != 15_000 || w.lives("orders", "dr", 1).Published != 1 {
			t.Errorf("%s after %d ms", m.Phase, m.PauseMS)
		}
		first.answer()
	})
}

// TestARefusedMoveIsTriedAgain: at growing distances, without holding anybody, until what blocked
// it is gone.
func TestARefusedMoveIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Set(func() { w.DR.Topics["orders"].Configs["max.message.bytes"] = "1000" })
		p := w.produce("orders") // a hold would wait for it
		w.edit("dr", "orders")
		at := time.Duration(0)
		for i, due := range []time.Duration{0, 500, 1500, 3500, 7500, 12_500, 17_500, 22_500} {
			due *= time.Millisecond
			if i > 0 {
				fakes.Pass(due - at - time.Millisecond)
				if n := w.last("orders").Attempts; n != i {
					t.Errorf("%d attempts before %s", n, due)
				}
				fakes.Pass(time.Millisecond)
			}
			at = due
			m := w.last("orders")
			if m.Attempts != i+1 || m.Phase != Pending || !strings.Contains(m.Error, "max.message.bytes is 1048588 on prod, but 1000 on dr") {
				t.Errorf("after %s: %d attempts, %s, %q", due, m.Attempts, m.Phase, m.Error)
			}
		}
		if m := w.runner.Pending(); len(m) != 1 || slices.Contains(steps(m[0]), Hold) {
			t.Errorf("pending: %+v", m)
		}
		w.DR.Set(func() { w.DR.Topics["orders"].Configs["max.message.bytes"] = "1048588" })
		p.answer()
		fakes.Pass(6 * time.Second)
		if m := w.last("orders"); m.Phase != Done || m.Attempts != 9 || m.Error != "" {
			t.Errorf("%s after %d attempts: %s", m.Phase, m.Attempts, m.Error)
		}
		w.lives("orders", "dr", 1)
	})
}

// TestRetryForEndsAMove: a move that is refused for an hour is given up, with its reason.
func TestRetryForEndsAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Topic("orders", 2)
		w.edit("dr", "orders")
		fakes.Pass(time.Hour - time.Second)
		if m := w.last("orders"); m.Phase != Pending || m.Attempts < 700 {
			t.Errorf("%s after %d attempts", m.Phase, m.Attempts)
		}
		fakes.Pass(10 * time.Second)
		m := w.last("orders")
		about := fact.Of(t, "%s: %q", m.Phase, m.Error)
		fact.Equal(about, "m.Phase", m.Phase, Dropped)
		fact.Has(about, m.Error, "failover.retry_for")
		fact.Has(about, m.Error, "1 partitions on prod, but 2 on dr")
		fact.Equal(about, "len(w.runner.Pending())", len(w.runner.Pending()), 0)
		fakes.Pass(time.Hour)
		if n := w.last("orders").Attempts; n != m.Attempts {
			t.Errorf("%d attempts after the end", n-m.Attempts)
		}
		w.lives("orders", "prod", 0)
	})
}

// TestAtMostSixteenAreHeld: one edit moves 20 topics, of which 16 are held at once; each one that
// is done lets the next one in.
func TestAtMostSixteenAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topics []string
		for i := range 20 {
			topics = append(topics, fmt.Sprintf("t%02d", i))
		}
		w := newWorld(t, topics...)
		open := map[string]*produced{}
		for _, n := range topics {
			open[n] = w.produce(n)
		}
		if out := w.edit("dr", topics...); len(out) != 20 {
			t.Errorf("%d moves", len(out))
		}
		held := func() (out []string) {
			for _, n := range topics {
				if w.env.Gates.Gate(n).Held() {
					out = append(out, n)
				}
			}
			return out
		}
		for left := 20; left > 0; left-- {
			got := held()
			if len(got) != min(16, left) {
				t.Fatalf("%d of %d held", len(got), left)
			}
			open[got[0]].answer()
			fakes.Pass(100 * time.Millisecond)
			w.lives(got[0], "dr", 1)
		}
	})
}
