package mirror

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// world is a virtual cluster over two fakes whose positions are mirrored; groups live on prod.
type world struct {
	*fakes.World
	groups *groups.Groups
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: fakes.NewWorld(t, "orders")}
	w.forget()
	return w
}

// forget begins anew with groups, as a gateway that is started again.
func (w *world) forget() {
	w.groups = groups.New(w.Virtual)
	w.groups.SetRules(groups.Rules{Home: func(string) string { return "prod" }, Clusters: []string{"prod", "dr"}, Limit: fakes.Limit})
}

// mirror begins to mirror.
func (w *world) mirror() *Mirror {
	m := New(slog.New(&w.Warnings))
	w.T.Cleanup(func() { _ = m.Close() })
	m.Apply(Env{VirtualCluster: "vc", Groups: w.groups, Catalog: w.Virtual, Clusters: w.Clusters()})
	fakes.Pass(2 * time.Second)
	return m
}

// commits lets groups commit an offset at prod.
func (w *world) commits(offset int64, names ...string) {
	w.T.Helper()
	if err := w.groups.See(w.T.Context(), names...); err != nil {
		w.T.Fatal(err)
	}
	for _, name := range names {
		w.Prod.Set(func() { w.Prod.Groups[name] = map[int32]int64{0: offset} })
		w.groups.Group(name).Committed(map[groups.Partition]groups.Position{{Topic: "orders"}: {Offset: offset}})
	}
}

// onDR is what dr has of a group; -1 is nothing.
func (w *world) onDR(group string) int64 {
	w.DR.Mu.Lock()
	defer w.DR.Mu.Unlock()
	if at, ok := w.DR.Groups[group][0]; ok {
		return at
	}
	return -1
}

// asked is what a cluster is asked while something happens, without what is asked for its health.
func asked(c *fakes.Cluster, do func()) map[kmsg.Key]int {
	c.Set(func() { clear(c.Asked) })
	do()
	c.Mu.Lock()
	defer c.Mu.Unlock()
	out := map[kmsg.Key]int{}
	for k, n := range c.Asked {
		out[k] = n
	}
	return out
}

func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("app-", i))
	}
	return names
}

// TestAFlushIsOneRequest for each group that has committed, once it is known who coordinates it.
func TestAFlushIsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, names := newWorld(t), numbered(20)
		w.mirror()
		flush := func(offset int64) map[kmsg.Key]int {
			return asked(w.DR, func() { w.commits(offset, names...); fakes.Pass(1500 * time.Millisecond) })
		}
		first, second := flush(5), flush(7)
		about := fact.Of(t, "the first flush %v, the second %v", first, second)
		fact.Equal(about, "coordinators looked for at first", first[kmsg.FindCoordinator], 20)
		fact.Equal(about, "coordinators looked for then", second[kmsg.FindCoordinator], 0)
		fact.Equal(about, "commits", second[kmsg.OffsetCommit], 20)
		fact.Equal(about, "what dr has", w.onDR("app-19"), 7)
	})
}

// TestIdleGroupsCostNothing: 1,000 groups that don't commit.
func TestIdleGroupsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mirror()
		w.commits(5, numbered(1000)...)
		fakes.Pass(2 * time.Second)
		about := fact.Of(t, "1,000 groups")
		fact.Equal(about, "what dr has", w.onDR("app-999"), 5)
		for _, c := range []*fakes.Cluster{w.Prod, w.DR} {
			got := asked(c, func() { fakes.Pass(time.Minute) })
			fact.Equal(about, "requests in a minute to "+c.Name(), len(got), 0)
		}
	})
}

// TestAnotherCoordinator is found when the one that was does not coordinate the group any more.
func TestAnotherCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mirror()
		w.commits(5, "app")
		fakes.Pass(1500 * time.Millisecond)
		w.DR.Set(func() { w.DR.Coordinates = 1 })
		got := asked(w.DR, func() { w.commits(7, "app"); fakes.Pass(1500 * time.Millisecond) })
		about := fact.Of(t, "%v", got)
		fact.Equal(about, "what dr has", w.onDR("app"), 7)
		fact.Equal(about, "coordinators looked for", got[kmsg.FindCoordinator], 1)
	})
}

// TestPositionsOfAHomeThatIsGone are those that dr was given, when the gateway is started again;
// and those of the home once that is back.
func TestPositionsOfAHomeThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mirror()
		w.commits(5, "app")
		fakes.Pass(1500 * time.Millisecond)
		_ = m.Close()
		w.Prod.Set(func() { w.Prod.Groups["app"][0], w.Prod.Down = 8, true }) // in the last second
		w.forget()
		w.mirror()
		app, at := w.groups.Group("app"), groups.Partition{Topic: "orders"}
		late, known := app.Late("dr")
		about := fact.Of(t, "while prod is gone")
		fact.Equal(about, "position", app.Positions()[at].Offset, 5)
		fact.True(about, "all positions are known", app.Whole())
		fact.True(about, "they are those of dr", app.Inherited())
		fact.List(about, "topics", app.Topics(), []string{"orders"})
		fact.True(about, "it is known what dr has", known)
		fact.Equal(about, "what dr lacks", len(late), 0)
		w.Prod.Set(func() { w.Prod.Down = false })
		fakes.Pass(3 * time.Second)
		about = fact.Of(t, "once prod is back")
		fact.Equal(about, "position", app.Positions()[at].Offset, 8)
		fact.False(about, "they are those of dr", app.Inherited())
		fact.Equal(about, "what dr has", w.onDR("app"), 8)
	})
}

// TestWhatNobodyWasGiven is not known: a group that dr has never had all positions of.
func TestWhatNobodyWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.commits(5, "app")
		w.Prod.Set(func() { w.Prod.Down = true })
		w.forget()
		w.mirror()
		fact.False(fact.Of(t, "a group that was not mirrored"), "all positions are known", w.groups.Group("app").Whole())
	})
}

// TestAGroupWithoutACoordinator is listed by no broker, which is no reason to take its positions
// for deleted, and dr's away. Once its coordinator says that there are none, there are none.
func TestAGroupWithoutACoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mirror()
		w.commits(5, "app")
		fakes.Pass(1500 * time.Millisecond)
		surveyed := func() { // what comes back is a reason to look
			w.DR.Set(func() { w.DR.Down = true })
			fakes.Pass(3 * time.Second)
			w.DR.Set(func() { w.DR.Down = false })
			fakes.Pass(3 * time.Second)
		}
		w.Prod.Set(func() { w.Prod.Orphan = "app" })
		surveyed()
		app, at := w.groups.Group("app"), groups.Partition{Topic: "orders"}
		about := fact.Of(t, "without a coordinator")
		fact.Equal(about, "position", app.Positions()[at].Offset, 5)
		fact.Equal(about, "what dr has", w.onDR("app"), 5)
		w.Prod.Set(func() { w.Prod.Orphan = ""; delete(w.Prod.Groups, "app") })
		surveyed()
		fact.Equal(fact.Of(t, "deleted"), "positions", len(app.Positions()), 0)
	})
}

// TestAMoveDuringASurvey: what was listed before belongs to the home of before.
func TestAMoveDuringASurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mirror()
		w.commits(5, "app")
		fakes.Pass(1500 * time.Millisecond)
		_ = m.Close()
		w.Prod.Set(func() { w.Prod.Groups["app"][0] = 8 })
		w.groups.Group("app").Committed(map[groups.Partition]groups.Position{{Topic: "orders"}: {Offset: 8}})
		env := Env{VirtualCluster: "vc", Groups: w.groups, Catalog: w.Virtual, Clusters: w.Clusters()}
		var once sync.Once
		w.Prod.Set(func() { // while prod is asked, the group goes to dr, which has 5 still
			w.Prod.Before = func(kmsg.Request) {
				once.Do(func() {
					_ = w.Virtual.UpdateGroups(t.Context(), []string{"app"}, func(_ string, g *catalog.Group) *catalog.Group {
						return g.Moved("dr", time.Now(), false)
					})
				})
			}
		})
		if err := survey(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		at := groups.Partition{Topic: "orders"}
		fact.Equal(fact.Of(t, "moved meanwhile"), "position", w.groups.Group("app").Positions()[at].Offset, 8)
	})
}
