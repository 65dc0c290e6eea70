package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// waiting starts a request that waits at a node and returns how it ends.
func waiting(t *testing.T, e *Dispatcher, req *plugin.Request, node int32) <-chan error {
	t.Helper()
	out := make(chan error, 1)
	req.Target.Node = node
	start(t, e, req, true, func(_ *plugin.Response, err error) { out <- err })
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

// TestALateReplyIsNotTakenForAnother: who gave up does not get it, and neither does who asks next.
func TestALateReplyIsNotTakenForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.known()
		late := make(chan *arrived, 1)
		f.broker(0).set(func(b *broker) {
			b.on = times(1, kmsg.ListGroups, func(a *arrived) bool { late <- a; return true })
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Do(ctx, 0, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, plugin.ErrUnreachable) {
			t.Error(err)
		}
		(<-late).answer(&kmsg.ListGroupsResponse{})
		if _, err := c.Do(t.Context(), 0, kmsg.NewPtrListTransactionsRequest()); err != nil {
			t.Error(err)
		}
	})
}

// TestBackoff: an address that fails is tried at most once a second, but from the first success at
// once.
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

// TestCloseEndsAllLinks, also those of sessions that go on with another cluster, and dials no more.
func TestCloseEndsAllLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.watched()
		synctest.Wait()
		e := end(c)
		s := session(t, 0)
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
			t.Fatal(err)
		}
		control, _ := c.control(address(0))
		set := s.Attach(linksKey{}, openLinks).(*links)
		own := set.m[linkKey{c, 0}]
		{
			err := c.Close()
			about := fact.Of(t, "%v, a link is open, or %v kept", err, set.m)
			if fact.NoError(about, err) {
				fact.True(about, "control.broken()", control.broken())
				fact.True(about, "own.broken()", own.broken())
				fact.Equal(about, "len(set.m)", len(set.m), 0)
			}
		}
		asked, dials := f.broker(0).asked, f.broker(0).dials
		time.Sleep(time.Minute)
		if f.broker(0).dials != dials || f.broker(0).asked != asked {
			t.Errorf("asked %d times", f.broker(0).asked-asked)
		}
	})
}

// TestNothingOutlivesClose: neither a control link that is still dialling nor one that somebody
// asks for meanwhile or later.
func TestNothingOutlivesClose(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes(t, 0, 1)
			c := f.known()
			c.dial = func(ctx context.Context, addr string) (net.Conn, error) {
				if addr == address(1) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return f.dial(ctx, addr)
			}
			var asking sync.WaitGroup
			for range 8 {
				for _, node := range []int32{0, 1} {
					asking.Go(func() { _, _ = c.Do(t.Context(), node, kmsg.NewPtrListGroupsRequest()) })
				}
			}
			began := time.Now()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			asking.Wait()
			if _, err := c.Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, plugin.ErrUnreachable) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("asked a closed cluster: %v", err)
			}
			if d := time.Since(began); d > 0 {
				t.Errorf("it took %s", d)
			}
			synctest.Wait() // and the test ends only when every goroutine has
			f.broker(0).set(func(b *broker) {
				for conn := range b.conns {
					if _, err := conn.Write([]byte{0}); err == nil {
						t.Error("a connection is open")
					}
				}
			})
		})
	}
}

// TestAClusterIsClosedByItsLastUser.
func TestAClusterIsClosedByItsLastUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakes(t, 0).watched()
		synctest.Wait()
		other := c.Share()
		_ = c.Close()
		if _, err := other.Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest()); err != nil {
			t.Error(err)
		}
		_ = other.Close()
		if _, err := other.Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
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
	c, err := NewCluster(cfg, f.store.catalog(t), quiet(), &wire.Buffers{}, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if !eventually.True(c.Settled) {
		t.Fatal("not asked")
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
