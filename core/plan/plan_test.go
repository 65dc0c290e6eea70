package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAPlanOfNothing says why there is no move.
func TestAPlanOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for _, c := range []struct{ topic, to, want string }{
			{"other", "dr", "does not know this topic"}, {"orders", "prod", "lives there already"}, {"orders", "third", "not a cluster of this virtual cluster"},
		} {
			plans := w.plansOf(What{Topics: []string{c.topic}, To: c.to})
			if got := plans.Topics[0]; !strings.Contains(got.Blocked, c.want) || len(got.Partitions) != 0 {
				t.Errorf("%s to %s: %+v", c.topic, c.to, got)
			}
		}
	})
}

// TestAPlanShowsEndsAndLag: with a distance that is known, lag is what the copy lacks.
func TestAPlanShowsEndsAndLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.Remember(map[string]int64{"dr": 5}) // not true any more
		w.Prod.Grow("orders", 100, 104)
		once := standing.Aligned{From: -1, To: -1, Front: -1, Runs: 1}
		got := w.plan()
		about := fact.Of(t, "plan %+v", got)
		fact.Equal(about, "got.Topic", got.Topic, "orders")
		fact.Equal(about, "got.From", got.From, "prod")
		fact.Equal(about, "got.To", got.To, "dr")
		fact.True(about, "got.Planned", got.Planned)
		if want := []Partition{{Partition: 0, FromEnd: 104, ToEnd: 125, Lag: 4, Aligned: once}}; !slices.Equal(got.Partitions, want) {
			t.Errorf("%+v", got.Partitions)
		}
		w.Prod.Set(func() { w.Prod.Down = true })
		got = w.plan()
		if want := []Partition{{Partition: 0, FromEnd: -1, ToEnd: 125, Lag: -1, Aligned: once}}; got.Planned || got.Blocked != "" || !slices.Equal(got.Partitions, want) {
			t.Errorf("of an unplanned one: %+v", got)
		}
		w.Policy("orders", "never")
		if got = w.plan(); got.Planned || !strings.Contains(got.Blocked, "`unplanned: never`") {
			t.Errorf("of one that is never unplanned: %+v", got)
		}
	})
}

// TestAPlanAsksNobodyWhoDoesNotAnswer: whoever looks would wait for it.
func TestAPlanAsksNobodyWhoDoesNotAnswer(t *testing.T) {
	for name, down := range map[string]func(w *world) []*fakes.Cluster{
		"the new home": func(w *world) []*fakes.Cluster { return []*fakes.Cluster{w.DR} },
		"both":         func(w *world) []*fakes.Cluster { return []*fakes.Cluster{w.Prod, w.DR} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				fakes.Pass(time.Minute) // what runs beside it has noticed
				for _, c := range down(w) {
					c.Set(func() { c.Down, c.Asked = true, map[kmsg.Key]int{} })
				}
				if got := w.plan(); got.Blocked != "dr: cluster unreachable" || len(got.Partitions) != 1 || got.Partitions[0].ToEnd != -1 {
					t.Errorf("%+v", got)
				}
				for _, c := range down(w) {
					c.Set(func() {
						if len(c.Asked) > 0 {
							t.Errorf("%s was asked %v", c.Name(), c.Asked)
						}
					})
				}
			})
		})
	}
}

// TestPlansAreMadeSideBySide: of clusters that take long to answer, those of many topics take about
// as long as that of one; what is asked for all of them together may wait for a round that is on
// its way.
func TestPlansAreMadeSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topics []string
		for i := range 128 { // as many as are looked at side by side
			topics = append(topics, fmt.Sprint("topic-", i))
		}
		w := newWorld(t, topics...)
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Set(func() { f.Before = func(kmsg.Request) { time.Sleep(time.Second) } })
		}
		took := func(topics []string) time.Duration {
			began := time.Now()
			plans := w.plans(topics...)
			if plans.Ready != len(topics) {
				t.Errorf("%s", plans.Summary)
			}
			return time.Since(began)
		}
		if one, all := took(topics[:1]), took(topics); one == 0 || all > one+one/2 {
			t.Errorf("one took %s, %d took %s", one, len(topics), all)
		}
	})
}

// TestAPlanOfManyTopicsWaitsOnceForLag: it takes as long as one that lags, whatever their number,
// and a copy that has what its home had when the plan began is not behind.
func TestAPlanOfManyTopicsWaitsOnceForLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := fakes.Numbered(300)
		w := newWorld(t, topics...)
		for _, n := range topics {
			w.Prod.Grow(n, 100, 103)
		}
		go func() {
			time.Sleep(time.Second)
			for _, n := range topics[250:] {
				w.Prod.Grow(n, 103, 104) // what comes later need not be there
				w.DR.Grow(n, 100, 103)
			}
		}()
		began := time.Now()
		plans := w.plans(topics...)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the plan took %s", took)
		}
		if want := "50 ready, 250 blocked, 0 unplanned, 0 records would be lost"; plans.Summary != want {
			t.Errorf("the plan says %q, want %q", plans.Summary, want)
		}
		for _, p := range plans.Topics[:250] {
			if p.State != StateBlocked || p.BlockedBy != block.ByLag || !strings.Contains(p.Blocked, "3 records behind") {
				t.Fatalf("%s: %s, blocked by %q", p.Topic, p.State, p.Blocked)
			}
		}
		for _, p := range plans.Topics[250:] {
			if p.State != StateReady || !slices.Contains(topics[250:], p.Topic) {
				t.Fatalf("%s: %s, blocked by %q", p.Topic, p.State, p.Blocked)
			}
		}
	})
}
