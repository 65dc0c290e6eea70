package plan

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAPlanOfManyTopicsAsksBrokersTogether: of 300 topics that lag, with brokers that take a while.
// What is asked is counted, not the time that this machine takes. Records are read topic by topic.
func TestAPlanOfManyTopicsAsksBrokersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := fakes.Numbered(300)
		w := newWorld(t, topics...)
		for _, n := range topics {
			w.Prod.Grow(n, 100, 103)
		}
		fakes.Pass(time.Minute) // what runs beside it has seen all
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Set(func() {
				f.Before = func(kmsg.Request) { time.Sleep(10 * time.Millisecond) }
				f.Asked = map[kmsg.Key]int{}
			})
		}
		began := time.Now()
		plans := w.plans(topics...)
		if plans.Blocked != len(topics) {
			t.Fatal(plans.Summary)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the plan took %s", took)
		}
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Set(func() {
				delete(f.Asked, kmsg.Fetch)
				for _, key := range slices.Sorted(maps.Keys(f.Asked)) {
					// The ends of copies are asked for again while lag is waited for, ten times a
					// second.
					if n := f.Asked[key]; n > 200 { // 60 or so, more where the scheduler parts who asks together
						t.Errorf("%s was asked %d times for %s", f.Name(), n, kmsg.NameForKey(int16(key)))
					}
				}
			})
		}
	})
}

// TestTwoPlansOfOneTopicGetTheirOwnAnswers, though brokers are asked once for both.
func TestTwoPlansOfOneTopicGetTheirOwnAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders", "small")
		w.DR.Topics["small"].Configs["max.message.bytes"] = "9"
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Set(func() { f.Before = func(kmsg.Request) { time.Sleep(time.Second) } })
		}
		plans := w.plans("orders", "small", "orders")
		got := map[string]State{}
		for _, p := range plans.Topics {
			got[p.Topic] = p.State
		}
		if want := map[string]State{"orders": StateReady, "small": StateBlocked}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// TestWhatCannotBePlannedComesFirst, then what would be unplanned.
func TestWhatCannotBePlannedComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c", "d")
		w.DR.Topics["c"].Configs["max.message.bytes"] = "9"
		plans := w.plans("d", "a", "b", "c", "nobodys")
		var got []string
		for _, p := range plans.Topics {
			got = append(got, p.Topic)
		}
		if want := []string{"c", "nobodys", "a", "b", "d"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if want := "3 ready, 2 blocked, 0 unplanned, 0 records would be lost"; plans.Summary != want {
			t.Errorf("%q, want %q", plans.Summary, want)
		}
	})
}

// bereft is a world whose home is gone with 3 records more than the copy has, and groups on the
// cluster that lives.
func bereft(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "orders")
	w.groupsLiveOn("dr")
	w.Remember(map[string]int64{"dr": 25})
	w.Prod.Grow("orders", 100, 103)
	w.env.Catalog.Topic("orders").NoteEnd(0, 103)
	for group, at := range map[string]int64{"behind": 90, "between": 101, "done": 103} {
		w.commits(group, "orders", at)
	}
	w.Prod.Set(func() { w.Prod.Down = true })
	return w
}

// TestAPlanSaysWhatAnUnplannedMoveLoses: as many records as the move then reports, and who misses
// them.
func TestAPlanSaysWhatAnUnplannedMoveLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bereft(t)
		plans := w.plans("orders")
		if want := "0 ready, 0 blocked, 1 unplanned, 3 records would be lost"; plans.Summary != want {
			t.Errorf("%q, want %q", plans.Summary, want)
		}
		if plans.Topics[0].State != StateUnplanned || plans.Topics[0].Lost != 3 {
			t.Errorf("the topic: %+v", plans.Topics[0])
		}
		got := map[string]int64{}
		for _, g := range plans.Groups {
			got[g.Group] = g.Skipped
			if g.Repeated != 0 || !slices.Equal(g.Topics, []string{"orders"}) || g.Home != "dr" {
				t.Errorf("%+v", g)
			}
		}
		if want := map[string]int64{"behind": 3, "between": 2}; !maps.Equal(got, want) {
			t.Errorf("groups miss %v, want %v", got, want)
		}
		if plans.Groups[0].Group != "behind" {
			t.Errorf("the worst is not the first: %+v", plans.Groups)
		}
		if m := w.moved(); m.Phase != failover.Done || m.Lost() != plans.Lost {
			t.Errorf("the move: %s, lost %d, planned were %d", m.Phase, m.Lost(), plans.Lost)
		}
	})
}

// TestAPlanOfACopyThatBeginsLater: who stands before it misses what it lacks.
func TestAPlanOfACopyThatBeginsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bereft(t)
		w.DR.Log("orders").Start = 25 + 95
		plans := w.plans("orders")
		if g := plans.Groups[0]; g.Group != "behind" || g.Skipped != 5+3 {
			t.Errorf("%+v", plans.Groups)
		}
	})
}

// TestAPlanOfAGuess: a copy that was never compared is taken if somebody says so, and nobody knows
// what groups get then.
func TestAPlanOfAGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bereft(t)
		forgotten(t, w)
		plans := w.plans("orders")
		if plans.Blocked != 1 {
			t.Fatal(plans.Summary)
		}
		plans = w.plansOf(What{Topics: []string{"orders"}, To: "dr", Unplanned: true})
		if plans.Unplanned != 1 || plans.Lost != 103 {
			t.Errorf("%q", plans.Summary)
		}
		for _, g := range plans.Groups {
			if g.Skipped != -1 || g.Repeated != -1 {
				t.Errorf("%+v", g)
			}
		}
	})
}

// forgotten takes the stored distances away.
func forgotten(t *testing.T, w *world) {
	t.Helper()
	err := w.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		for p := range n.Partitions {
			n.Partitions[p].Copies = nil
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
