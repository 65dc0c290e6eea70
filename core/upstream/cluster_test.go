package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
)

// freeze makes brokers accept and never answer.
func (f *fakes) freeze(nodes ...int32) {
	for _, n := range nodes {
		f.broker(n).set(func(b *broker) { b.frozen = true })
	}
}

// waiting starts a request that waits at a node and returns how it ends.
func waiting(t *testing.T, e *End, req *plugin.Request, node int32) <-chan error {
	t.Helper()
	out := make(chan error, 1)
	tr := e.trip(req, e.clusters[0], node)
	tr.ctx, tr.answer = t.Context(), func(_ *plugin.Response, err error) { out <- err }
	e.start(t.Context(), tr, true)
	return out
}

// TestDoAsksOthers: one broker that is down or does not answer must not use up the time for all.
func TestDoAsksOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1, 2)
		c := f.known()
		f.freeze(0)
		f.broker(1).kill()
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := c.Do(ctx, plugin.AnyNode, kmsg.NewPtrListGroupsRequest()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 3*time.Second || !slices.Equal(f.broker(2).keys(), []kmsg.Key{kmsg.ListGroups}) {
			t.Errorf("after %s, %v", d, f.broker(2).keys())
		}
		f.freeze(2)
		began = time.Now()
		if _, err := c.Do(t.Context(), plugin.AnyNode, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, plugin.ErrUnreachable) || time.Since(began) > requestTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if _, err := c.Do(t.Context(), 9, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, plugin.ErrUnreachable) {
			t.Errorf("a node that nobody knows: %v", err)
		}
	})
}

// TestALateReplyIsNotTakenForAnother: a control link whose broker was too slow is not used again.
func TestALateReplyIsNotTakenForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.known()
		var late *arrived
		f.broker(0).set(func(b *broker) {
			b.on = func(a *arrived) bool { late = a; return a.Key == kmsg.ListGroups }
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Do(ctx, 0, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, plugin.ErrUnreachable) {
			t.Error(err)
		}
		late.answer(&kmsg.ListGroupsResponse{})
		dials := f.broker(0).dials
		if _, err := c.Do(t.Context(), 0, kmsg.NewPtrListTransactionsRequest()); err != nil || f.broker(0).dials != dials+1 {
			t.Errorf("%v, dialled %d times", err, f.broker(0).dials-dials)
		}
	})
}

// TestBackoff: an address that fails is tried at most once a second, but from the first success at once.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		c := e.clusters[0]
		b := f.broker(1)
		b.kill()
		before := b.dials
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if _, err := c.open(t.Context(), address(1)); !errors.Is(err, plugin.ErrUnreachable) {
				t.Fatal(err)
			}
		}
		if n := b.dials - before; n < 20 || n > 26 {
			t.Errorf("dialled %d times in 20 s", n)
		}
		if !c.down(1) || c.down(0) {
			t.Error("which node is down")
		}
		b.set(func(b *broker) { b.down = false })
		time.Sleep(time.Second)
		conn, err := c.open(t.Context(), address(1))
		if err != nil || c.down(1) {
			t.Fatal(err)
		}
		_ = conn.Close()
	})
}

// TestNodesThatTheClusterDropsAreAskedLast: they may be alive all the same.
func TestNodesThatTheClusterDropsAreAskedLast(t *testing.T) {
	c := view("prod", 0, config.Nodes{First: 0, Last: 9}, 0, 1, 2)
	c.cfg.Bootstrap = []string{"first:1", "hidden:9999"}
	for i := range c.Topology().Brokers {
		c.Topology().Brokers[i].Port += int32(i)
	}
	equal(t, c.addresses(plugin.AnyNode), []string{"hidden:9999", "hidden:10000", "hidden:10001", "first:1"})
	c.live.Store(&[]int32{1})
	equal(t, c.addresses(plugin.AnyNode), []string{"hidden:10000", "hidden:9999", "hidden:10001", "first:1"})
	equal(t, c.addresses(2), []string{"hidden:10001"})
	equal(t, c.addresses(5), []string{})
}

// TestAFrozenNodeIsLeftWhenTheClusterDropsIt: what waits on it finds the new leader, long before its
// deadline; links to others stay.
func TestAFrozenNodeIsLeftWhenTheClusterDropsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		f.topics["orders"] = []int32{0, 1}
		c := f.watched()
		synctest.Wait()
		f.freeze(1)
		e := end(c)
		s := session(t, plugin.AnyNode)
		frozen := waiting(t, e, produce(s, 1, -1), 1)
		f.broker(0).set(func(b *broker) { b.on = func(a *arrived) bool { return a.Key == kmsg.Produce } })
		other, some := waiting(t, e, produce(s, 0, -1), 0), waiting(t, e, produce(s, 0, -1), plugin.AnyNode)
		time.Sleep(3 * healthInterval)
		select {
		case err := <-frozen:
			t.Fatalf("ended while its node is listed: %v", err)
		default:
		}
		f.list(func() { f.unlisted[1], f.topics["orders"] = true, []int32{0, 0} })
		began := time.Now()
		if err := <-frozen; !plugin.MaybeSent(err) || time.Since(began) > healthInterval+healthTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		synctest.Wait()
		if node, _ := c.Topology().Leader("orders", 1); node != 0 {
			t.Errorf("the leader is %d", node)
		}
		if !c.down(1) || c.down(0) || !c.Reachable() {
			t.Error("which node is down")
		}
		select {
		case err := <-other:
			t.Errorf("a link to a node that lives has ended: %v", err)
		case err := <-some:
			t.Errorf("a link to some node has ended: %v", err)
		default:
		}
	})
}

// TestAFrozenClusterIsUnreachable, is back when it answers, and what waits on it ends at its deadline.
func TestAFrozenClusterIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		c := f.watched()
		synctest.Wait()
		if !c.Reachable() || !c.Settled() || time.Since(c.LastAnswer()) != 0 || len(c.Topology().Brokers) != 2 {
			t.Fatal("not found")
		}
		f.freeze(0, 1)
		e := end(c)
		s := session(t, plugin.AnyNode)
		out := waiting(t, e, produce(s, 0, -1), 0)
		began := time.Now()
		for c.Reachable() {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(began); d > healthInterval+healthTimeout+time.Second {
			t.Errorf("found after %s", d)
		}
		if err := <-out; !plugin.MaybeSent(err) || time.Since(began) < 40*time.Second || time.Since(began) > 40*time.Second+2*healthInterval {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		f.all(func(b *broker) { b.frozen = false })
		began = time.Now()
		for !c.Reachable() {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(began); d > healthInterval+healthTimeout {
			t.Errorf("back after %s", d)
		}
	})
}

// TestABrokenLinkHasTheClusterLookedAt at once, not at the next interval.
func TestABrokenLinkHasTheClusterLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.watched()
		synctest.Wait()
		e := end(c)
		f.broker(0).set(func(b *broker) { b.on = func(a *arrived) bool { return a.Key == kmsg.JoinGroup } })
		ended := session(t, 0)
		waiting(t, e, request(ended, newest(kmsg.JoinGroup)), 0)
		synctest.Wait()
		asked := f.broker(0).asked
		_ = ended.Close()
		time.Sleep(time.Second)
		if f.broker(0).asked != asked {
			t.Error("the end of a session is no reason to ask")
		}
		waiting(t, e, produce(session(t, 0), 0, -1), 0)
		synctest.Wait()
		f.broker(0).kill()
		time.Sleep(500 * time.Millisecond)
		if c.Reachable() {
			t.Error("not looked at")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.links) != 0 {
			t.Errorf("%d links are still tracked", len(c.links))
		}
	})
}

// TestBreakLinks ends what waits at any node, but not control links.
func TestBreakLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.on = func(a *arrived) bool { return a.Key == kmsg.Produce } })
		s := session(t, plugin.AnyNode)
		a, b := waiting(t, e, produce(s, 0, -1), 0), waiting(t, e, produce(session(t, 1), 1, -1), 1)
		synctest.Wait()
		dials := f.broker(0).dials + f.broker(1).dials
		e.clusters[0].BreakLinks()
		if err := errors.Join(<-a, <-b); !plugin.MaybeSent(err) {
			t.Error(err)
		}
		if _, err := e.clusters[0].Refresh(t.Context()); err != nil || f.broker(0).dials+f.broker(1).dials != dials {
			t.Errorf("control links: %v", err)
		}
	})
}

// TestCloseEndsControlLinks; those of sessions end with their sessions.
func TestCloseEndsControlLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.watched()
		synctest.Wait()
		e := end(c)
		s := session(t, 0)
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
			t.Fatal(err)
		}
		control := c.control(address(0))
		if err := c.Close(); err != nil || !control.broken() {
			t.Errorf("%v, the control link is open", err)
		}
		asked, dials := f.broker(0).asked, f.broker(0).dials
		time.Sleep(time.Minute)
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil || f.broker(0).dials != dials || f.broker(0).asked != asked {
			t.Errorf("%v, asked %d times", err, f.broker(0).asked-asked)
		}
	})
}

// TestOverTCP: a cluster as a gateway opens it, on real connections.
func TestOverTCP(t *testing.T) {
	f := newFakes(t, 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.broker(0).accept(conn)
			go f.broker(0).serve(conn)
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	f.host, f.port = "127.0.0.1", int32(addr.Port)
	cfg := f.section("prod", 0)
	cfg.Bootstrap = []string{addr.String()}
	c, err := NewCluster(cfg, f.store.catalog(t), quiet(), &wire.Buffers{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for end := time.Now().Add(10 * time.Second); !c.Settled(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not asked")
		}
	}
	if !c.Reachable() || c.Name() != "prod" || c.Slot() != 0 {
		t.Fatal("not reachable")
	}
	e := end(c)
	s := session(t, 0)
	for range 20 {
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
			t.Fatal(err)
		}
	}
	f.broker(0).set(func(b *broker) { b.on = times(1, kmsg.ListGroups, (*arrived).cut) })
	if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
		t.Fatal(err)
	}
	if n := f.arrivals(kmsg.ListGroups); n != 22 {
		t.Errorf("arrived %d times", n)
	}
}
