package plan

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// lagging is a world whose home has 110 records and whose copy 105 of them.
func lagging(t *testing.T, topics ...string) *world {
	t.Helper()
	w := newWorld(t, append(topics, "orders")...)
	w.Remember(map[string]int64{"dr": 25})
	w.Prod.Grow("orders", 100, 110)
	w.DR.Grow("orders", 100, 105)
	w.env.Catalog.Topic("orders").NoteEnd(0, 110)
	return w
}

// damage is that of groups, by name, without how long ago anything was.
func damage(plans Plans) map[string][2]int64 {
	out := map[string][2]int64{}
	for _, d := range plans.Groups {
		out[d.Group] = [2]int64{d.Skipped, d.Repeated}
	}
	return out
}

// TestDamageIsTheSameBeforeAndAfterAHomeDies: what a group would miss and get again if its home
// died is what it misses and gets again once it has.
func TestDamageIsTheSameBeforeAndAfterAHomeDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lagging(t)
		for _, c := range []struct {
			group     string
			given, at int64 // what dr has, and what was committed; -1: nothing
		}{{"done", 110, 110}, {"slow", 50, 50}, {"late", 60, 90}, {"ahead", 60, 108}, {"back", 80, 40}, {"far", 109, 40}, {"new", -1, 20}} {
			if c.given >= 0 {
				mirrored(w.commits(c.group, "orders", c.given))
			}
			if c.at != c.given {
				w.commits(c.group, "orders", c.at)
			}
		}
		time.Sleep(time.Minute)
		want := map[string][2]int64{"slow": {5, 0}, "late": {5, 30}, "ahead": {2, 45}, "back": {45, 0}, "far": {70, 0}, "new": {5, 20}}
		for _, gone := range []bool{false, true} {
			w.Prod.Set(func() { w.Prod.Down = gone })
			plans := w.plans("orders")
			about := fact.Of(t, "gone %t: %+v", gone, plans.Groups)
			fact.Equal(about, "unplanned", plans.Unplanned == 1, gone)
			fact.Deep(about, "skipped and repeated", damage(plans), want)
			fact.Equal(about, "problem", plans.Problem, "")
			fact.Equal(about, "the worst", plans.Groups[0].Group, "far")
			for _, d := range plans.Groups {
				fact.Equal(about, d.Group+": repeats for", d.RepeatedSeconds >= 60, d.Repeated > 0)
				fact.Equal(about, d.Group+": home", d.Home, "prod")
			}
		}
	})
}

// TestForHowLongACopyHasLacked what groups would miss, as rounds over the copies tell.
func TestForHowLongACopyHasLacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lagging(t)
		mirrored(w.commits("app", "orders", 50))
		w.watch.Apply(standing.Env{VirtualCluster: "vc", Catalog: w.Virtual, Clusters: w.Clusters(), Placement: w.Rules, Groups: w.env.Groups}, w.Config)
		fakes.Pass(time.Minute)
		d := w.plans("orders").Groups[0]
		about := fact.Of(t, "%+v", d)
		fact.AtLeast(about, "seconds", d.SkippedSeconds, 50)
		fact.AtMost(about, "seconds", d.SkippedSeconds, 65)
	})
}

// TestAHomeThatLives: records of topics that stay where they are are all there; what a group has
// not given away it gets again if its own home dies.
func TestAHomeThatLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lagging(t, "other")
		mirrored(w.commits("app", "other", 30))
		w.commits("app", "other", 42)
		mirrored(w.commits("both", "orders", 110))
		mirrored(w.commits("both", "other", 30))
		w.commits("both", "other", 37)
		about := fact.Of(t, "the plan of a topic")
		plans := w.plans("orders")
		fact.Deep(about, "skipped and repeated", damage(plans), map[string][2]int64{"both": {0, 7}})
		fact.List(about, "topics", plans.Groups[0].Topics, []string{"other"})
		about = fact.Of(t, "the plan of a group")
		plans = w.plansOf(What{Groups: []string{"app"}, To: "dr"})
		fact.Deep(about, "skipped and repeated", damage(plans), map[string][2]int64{"app": {0, 12}})
		w.DR.Set(func() { w.DR.Down = true })
		about = fact.Of(t, "a plan to a cluster that is gone")
		fact.Equal(about, "groups", len(w.plans("orders").Groups), 0)
	})
}

// TestWhatIsNotKnownOfGroups is said, and why.
func TestWhatIsNotKnownOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lagging(t)
		mirrored(w.commits("app", "orders", 50))
		w.env.Groups = groups.New(w.Virtual) // as after a start
		w.groupsLiveOn("prod")
		about := fact.Of(t, "before groups are read")
		plans := w.plans("orders")
		fact.Has(about, plans.Problem, `where 1 group of prod, such as "app", would read on is not known yet`)
		fact.Equal(about, "groups", len(plans.Groups), 0)
		w.Prod.Set(func() { w.Prod.Down = true })
		about = fact.Of(t, "while prod is gone")
		fact.Has(about, w.plans("orders").Problem, "unreachable since the gateway started, and no other cluster had all their positions")
		w.env.Groups.Group("app").Inherit(map[groups.Partition]groups.Position{{Topic: "orders"}: {Offset: 50}})
		about = fact.Of(t, "by what dr has")
		plans = w.plans("orders")
		fact.Has(about, plans.Problem, "its groups read on where the other clusters have them")
		fact.Equal(about, "skipped", plans.Groups[0].Skipped, 5)
	})
}

// TestShareGroupsArePlanned: those of the topics that would move.
func TestShareGroupsArePlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c", "orders")
		keep := map[catalog.ShareKey]*catalog.Share{}
		for _, key := range []catalog.ShareKey{{Group: "workers", Topic: "a"}, {Group: "workers", Topic: "b"}, {Group: "others", Topic: "c"}} {
			keep[key] = &catalog.Share{Topic: w.Virtual.Topic(key.Topic).ID, Home: "prod", Starts: []int64{5}}
		}
		keep[catalog.ShareKey{Group: "workers", Topic: "orders"}] = &catalog.Share{Topic: [16]byte{1}, Home: "prod"} // of a topic that was
		if err := w.Virtual.KeepShares(t.Context(), keep); err != nil {
			t.Fatal(err)
		}
		about := fact.Of(t, "shares")
		fact.Deep(about, "of two topics", w.plans("b", "a", "orders").Shares, []Share{{"workers", "prod", []string{"a", "b"}}})
		fact.Deep(about, "of a topic without", w.plans("orders").Shares, []Share{})
		fact.Deep(about, "of topics that are there", w.plansOf(What{Topics: []string{"a"}, To: "prod"}).Shares, []Share{})
	})
}
