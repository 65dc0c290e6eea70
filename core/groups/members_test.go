package groups

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWhoComesInPlaceOfAStaticMember is not waited for as another one, nor muted for its sake.
func TestWhoComesInPlaceOfAStaticMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		own := g.Group("app")
		own.Subscribes([]string{"orders"})
		own.Joined(Member{ID: "first", Client: "c", Host: "h", Instance: "a"})
		own.Joined(Member{ID: "other", Client: "d", Host: "h", Instance: "b"})
		g.moved(t, "app")
		own.Came("other", "")
		began := time.Now()
		own.Replaces("a", "")
		if err := own.AwaitMembers(t.Context(), arrived()); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if g.Mutes("c", "h", "orders") {
			t.Error("it is muted for the sake of the one that has gone")
		}
		if !g.Mutes("d", "h", "orders") {
			t.Error("the other one is not muted")
		}
	})
}

// TestAClientThatCameBack by another id, without a word of its old one, gets records once that
// can't be on its way any more.
func TestAClientThatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		own := g.Group("app")
		own.Subscribes([]string{"orders"})
		own.Joined(Member{ID: "killed", Client: "c", Host: "h"})
		g.moved(t, "app")
		own.Joined(Member{ID: "another", Client: "c", Host: "h"})
		time.Sleep(gatherFor)
		g.Sweep()
		if !g.Mutes("c", "h", "orders") {
			t.Error("not muted any more, while the old one may still come")
		}
		time.Sleep(time.Second)
		g.Sweep()
		if g.Mutes("c", "h", "orders") {
			t.Error("muted for longer than the old one is waited for")
		}
	})
}

// TestAGatewayThatStartsBehindAMove does not know the members: those whom the new home has not seen
// may be of before, and who joins waits until they have shown themselves.
func TestAGatewayThatStartsBehindAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := open(t)
		first.moved(t, "app")
		if err := first.See(t.Context(), "stays"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		g := New(first.catalog)
		g.SetRules(*first.rules.Load())
		own, one := g.Group("app"), Member{ID: "one", Client: "c", Host: "h"}
		own.Subscribes([]string{"orders"})
		if g.Group("stays").Returns(one) {
			t.Error("of a group that has not moved")
		}
		if first.Group("app").Returns(one) {
			t.Error("to a gateway that has seen the members itself")
		}
		if !own.Returns(one) {
			t.Fatal("a member of before is taken for nobody")
		}
		if _, stale := own.Stale("one"); !stale || !g.Mutes("c", "h", "orders") {
			t.Error("it is not treated as one of before")
		}
		own.Came("one", "")
		began := time.Now()
		if err := own.AwaitMembers(t.Context(), arrived()); err != nil || time.Since(began) != shows {
			t.Errorf("%v after %s, want %s", err, time.Since(began), shows)
		}
		time.Sleep(memberLives)
		if own.Returns(Member{ID: "late", Client: "c", Host: "h"}) {
			t.Error("whose session has ended long ago")
		}
	})
}
