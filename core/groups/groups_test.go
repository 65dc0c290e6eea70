package groups

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/gate"
)

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...catalog.Entry) error { return nil }

// open are the groups of a virtual cluster over prod, which is the home of new ones, and dr.
func open(t testing.TB) *Groups {
	c, err := catalog.New(nowhere{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := New(c.Virtual("vc"))
	g.SetRules(Rules{Home: func(string) string { return "prod" }, Prefix: "team-", Clusters: []string{"prod", "dr"}, Limit: 15 * time.Second})
	return g
}

// request is one that has just arrived.
type request struct {
	gate.Request
	at    time.Time
	ended chan struct{}
}

func (r request) Arrival() time.Time { return r.at }

func (r request) Ended() <-chan struct{} { return r.ended }

func (r request) Pause(string, trace.SpanContext) func() { return func() {} }

func arrived() request { return request{at: time.Now(), ended: make(chan struct{})} }

// moved makes dr the home of a group, as a move does.
func (g *Groups) moved(t testing.TB, name string) {
	t.Helper()
	own := g.Group(name)
	own.Hold("move")
	if err := g.See(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := g.catalog.UpdateGroups(t.Context(), []string{name}, func(_ string, x *catalog.Group) *catalog.Group {
		return x.Moved("dr", time.Now(), false)
	}); err != nil {
		t.Fatal(err)
	}
	own.Moved()
	own.Release()
}

// TestAMoveHoldsRequests: they wait, and go to the new home; what is on its way to the old one is
// sent again.
func TestAMoveHoldsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		own := g.Group("app")
		before, pass, err := own.Enter(t.Context(), arrived(), true, nil)
		if err != nil || pass.Home != "prod" {
			t.Fatalf("%+v, %v", pass, err)
		}
		own.Hold("move")
		idle := own.Idle(false)
		synctest.Wait()
		select {
		case <-idle:
			t.Error("idle while a commit is on its way")
		default:
		}
		homes := make(chan string, 1)
		go func() {
			_, p, err := own.Enter(t.Context(), arrived(), false, nil)
			homes <- fmt.Sprint(p.Home, " ", p.Generation, " ", err)
			p.Leave()
		}()
		synctest.Wait()
		if len(homes) > 0 {
			t.Errorf("a held request went to %s", <-homes)
		}
		if before.Err() != nil {
			t.Error("a request was given up before the move")
		}
		g.moved(t, "app")
		if !errors.Is(context.Cause(before), ErrMoved) {
			t.Errorf("what is on its way ends with %v", context.Cause(before))
		}
		if got := <-homes; got != "dr 1 <nil>" {
			t.Errorf("the held request went to %s", got)
		}
		pass.Leave()
		<-idle
	})
}

func TestAHeldRequestWaitsForItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := open(t).Group("app")
		own.Hold("move")
		began := time.Now()
		if _, _, err := own.Enter(t.Context(), arrived(), false, nil); !errors.Is(err, gate.ErrHeldTooLong) || time.Since(began) != 15*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestMembersGather: the first to join waits until the others have committed, or are late.
func TestMembersGather(t *testing.T) {
	for name, c := range map[string]struct {
		other func(g *Group)
		want  time.Duration
	}{
		"the other comes":                {func(g *Group) { time.Sleep(2 * time.Second); g.Came("two", "") }, 2 * time.Second},
		"a new one comes, of its client": {func(g *Group) { time.Sleep(time.Second); g.Came("", "") }, gathers},
		"leaves":                         {func(g *Group) { time.Sleep(time.Second); g.Left("two") }, time.Second},
		"beats, and is late": {func(g *Group) {
			for range 6 {
				time.Sleep(3 * time.Second)
				g.Stale("two")
			}
		}, gatherFor},
		"has gone without a word":                {func(*Group) {}, gathers},
		"somebody else comes, who was no member": {func(g *Group) { g.Came("three", "") }, gathers},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := open(t)
				own := g.Group("app")
				own.Joined(Member{ID: "one", Client: "c1", Host: "h"})
				own.Joined(Member{ID: "two", Client: "c2", Host: "h"})
				g.moved(t, "app")
				began := time.Now()
				own.Came("one", "")
				go c.other(own)
				if err := own.AwaitMembers(t.Context(), arrived()); err != nil || time.Since(began) != c.want {
					t.Errorf("%v after %s, want %s", err, time.Since(began), c.want)
				}
				time.Sleep(gatherFor) // the other ends, too
			})
		})
	}
}

// TestFetchesOfMembersAreMuted from the hold until they have joined again, those of others never.
func TestFetchesOfMembersAreMuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		own := g.Group("app")
		own.Subscribes([]string{"orders"})
		own.Joined(Member{ID: "one", Client: "c1", Host: "h"})
		own.Joined(Member{ID: "two", Client: "c2", Host: "h"})
		mutes := func(id string) bool { return g.Mutes(id, "h", "orders") }
		if mutes("c1") {
			t.Error("muted before the move")
		}
		own.Hold("move")
		for _, c := range []struct {
			id, host, topic string
			want            bool
		}{{"c1", "h", "orders", true}, {"c1", "h", "refunds", false}, {"c1", "elsewhere", "orders", false}, {"c3", "h", "orders", false}} {
			if got := g.Mutes(c.id, c.host, c.topic); got != c.want {
				t.Errorf("while it is held, %s of %s is muted in %s: %t", c.id, c.host, c.topic, got)
			}
		}
		own.Release()
		if mutes("c1") {
			t.Error("muted behind a move that came to nothing")
		}
		g.moved(t, "app")
		own.Joined(Member{ID: "another", Client: "c1", Host: "h"})
		if !mutes("c1") {
			t.Error("not muted any more, since another one of its client has joined")
		}
		own.Came("one", "new")
		own.Joins("one", Member{ID: "new", Client: "c1", Host: "h"})
		if !mutes("c1") {
			t.Error("not muted any more, before it has partitions")
		}
		own.Joined(Member{ID: "new", Client: "c1", Host: "h"})
		if mutes("c1") || !mutes("c2") {
			t.Error("who has joined is not muted, the other one is")
		}
		time.Sleep(memberLives)
		g.Sweep()
		if mutes("c2") || g.Quiet() {
			t.Error("muted for good")
		}
	})
}

// TestNobodyGivesWhileAMoveHolds: what a move has given to the new home is the newest.
func TestNobodyGivesWhileAMoveHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := open(t).Group("app")
		done, ok := own.Give()
		if !ok {
			t.Fatal("refused without a move")
		}
		own.Hold("move")
		if _, ok := own.Give(); ok {
			t.Error("given while a move holds the group")
		}
		idle := own.Idle(true)
		synctest.Wait()
		select {
		case <-idle:
			t.Error("idle while positions are given")
		default:
		}
		done()
		<-idle
	})
}

func TestNewGroupsLiveWhereTheRulesSay(t *testing.T) {
	g := open(t)
	if home := g.Home("app"); home != "prod" || g.catalog.Group("app") != nil {
		t.Errorf("lives on %q, %+v", home, g.catalog.Group("app"))
	}
	if err := g.See(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if known := g.catalog.Group("app"); known.Home != "prod" || len(known.Mirrored) != 0 {
		t.Errorf("as long as the groups of prod are not known it may be one of those: %+v", known)
	}
	if err := g.catalog.NoteGroupsKnown(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	if err := g.See(t.Context(), "app", "new"); err != nil {
		t.Fatal(err)
	}
	if known := g.catalog.Group("new"); !known.MirroredOn("dr") {
		t.Errorf("a new one has no positions that dr lacks: %+v", known)
	}
	if name, ok := g.Virtual("team-app"); !ok || name != "app" || g.Physical("app") != "team-app" {
		t.Errorf("%q, %t", name, ok)
	}
}

// TestClustersGetWhatTheyLack draws commits, deletions, surveys, and what a cluster has been given:
// in the end it has what the home has.
func TestClustersGetWhatTheyLack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, err := catalog.New(nowhere{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		g := New(c.Virtual("vc"))
		g.SetRules(Rules{Home: func(string) string { return "prod" }, Clusters: []string{"prod", "dr"}})
		own := g.Group("app")
		home, dr := map[Partition]Position{}, map[Partition]Position{}
		draw := func() Partition {
			return Partition{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic"), int32(rapid.IntRange(0, 2).Draw(t, "partition"))}
		}
		put := func() Position { return Position{Offset: int64(rapid.IntRange(0, 3).Draw(t, "offset"))} }
		commit := func() {
			p, x := draw(), put()
			home[p] = x
			own.Committed(map[Partition]Position{p: x})
		}
		give := func(meanwhile func()) {
			n, ok := own.News("dr")
			if !ok {
				return
			}
			for _, p := range n.Deleted {
				delete(dr, p)
			}
			maps.Copy(dr, n.Positions)
			meanwhile()
			own.Given("dr", n)
		}
		sure := false // what dr has is what it was given
		survey := func(meanwhile func()) {
			seq := own.Seq()
			found := maps.Clone(home)
			meanwhile()
			own.Found(seq, found)
			own.Has("dr", own.Seq(), dr)
			sure = true
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"commit", "delete", "give", "give beside a commit", "past the gateway", "dr forgets", "survey", "survey beside a commit", "lost"}).Draw(t, "step") {
			case "commit":
				commit()
			case "delete":
				p := draw()
				delete(home, p)
				own.Deleted([]Partition{p})
			case "give":
				give(func() {})
			case "give beside a commit":
				give(commit)
			case "past the gateway":
				home[draw()] = put()
			case "dr forgets":
				delete(dr, draw())
				sure = false
			case "survey":
				survey(func() {})
			case "survey beside a commit":
				survey(commit)
			case "lost":
				own.Lost("dr")
				sure = false
			}
			late, ok := own.Late("dr")
			if ok != sure && sure {
				t.Fatal("it is not known what dr has")
			}
			for p, x := range own.Positions() {
				want, at := int64(-1), x.Offset
				if y, has := dr[p]; has {
					want = y.Offset
				}
				if old, is := late[p]; is {
					at = old
				}
				if sure && at != want {
					t.Fatalf("dr has %v: of %v it has %d by what is late, %v", dr, p, at, late)
				}
			}
		}
		survey(func() {})
		give(func() {})
		if !maps.Equal(home, dr) {
			t.Fatalf("home has %v, dr %v", home, dr)
		}
		if own.Behind("dr") != 0 || !slices.Equal(own.Topics(), topicsOf(home)) {
			t.Fatalf("behind %s, topics %v", own.Behind("dr"), own.Topics())
		}
	})
}

func topicsOf(all map[Partition]Position) []string {
	topics := map[string]bool{}
	for p := range all {
		topics[p.Topic] = true
	}
	return slices.Sorted(maps.Keys(topics))
}
