package groups

import (
	"context"
	"slices"
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

// TestWhoLooksForTheCoordinator is waited for: it says nothing else before it has found one, which
// may take longer than a member is waited for that is silent.
func TestWhoLooksForTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		own := g.Group("app")
		own.Joined(Member{ID: "silent", Client: "a", Host: "h"})
		own.Joined(Member{ID: "waits", Client: "b", Host: "h"})
		own.Joined(Member{ID: "asks", Client: "c", Host: "h"})
		time.Sleep(gathers)
		answered := own.Seeks("b", "h")
		time.Sleep(gathers)
		own.Seeks("c", "h")()
		g.moved(t, "app")
		if !own.Gathers() {
			t.Error("the members that look for the coordinator are not waited for")
		}
		answered()
		own.Came("waits", "")
		if !own.Gathers() {
			t.Error("the one that has looked for it a moment ago is not waited for")
		}
		own.Came("asks", "")
		if own.Gathers() {
			t.Error("one that was silent is waited for")
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
		two := Member{ID: "two", Client: "c2", Host: "h"}
		if !own.Claims(two) || !own.Returns(two) {
			t.Error("one that has claimed to be a member while its home was gone is taken for nobody")
		}
		known := Member{ID: "known", Client: "c3", Host: "h"}
		own.Alive(known)
		if !own.Claims(known) || own.Returns(known) {
			t.Error("one that the new home has known is taken for one of before")
		}
		if g.Group("new").Claims(one) {
			t.Error("a member of a group that nobody has known")
		}
		own.Came("one", "")
		own.Came("two", "")
		own.Left("known")
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

// TestCommitsKeepTheirOrder: those that wait for a move, and those that are sent again behind it,
// go on in the order of their arrival, each when the one before it is answered; so do those that
// come meanwhile. Who gives up leaves the others their places.
func TestCommitsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		own := g.Group("app")
		var order []int
		commit := func(ctx context.Context, n int, back *Pass) {
			_, p, err := own.Enter(ctx, arrived(), true, back)
			if err != nil {
				return
			}
			time.Sleep(time.Duration(10-n) * time.Millisecond) // later ones are answered sooner
			order = append(order, n)
			p.Leave()
		}
		_, again, err := own.Enter(t.Context(), arrived(), true, nil)
		if err != nil {
			t.Fatal(err)
		}
		own.Hold("move")
		for n := 2; n <= 4; n++ {
			go commit(t.Context(), n, nil)
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		go commit(gone, 99, nil)
		synctest.Wait()
		leave()
		own.Moved()
		own.Release()
		go commit(t.Context(), 5, nil)
		synctest.Wait()
		if len(order) > 0 {
			t.Errorf("%d went on before the one that is sent again", order)
		}
		go commit(t.Context(), 1, again)
		time.Sleep(15 * time.Millisecond)
		go commit(t.Context(), 6, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(order, []int{1, 2, 3, 4, 5, 6}) {
			t.Errorf("in the order %d", order)
		}
		if own.alone != nil || len(own.queue) > 0 || len(own.flying) > 0 {
			t.Error("somebody is still waited for")
		}
	})
}
