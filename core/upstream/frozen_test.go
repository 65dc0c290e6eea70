package upstream

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// freeze makes brokers accept and never answer.
func (f *fakes) freeze(nodes ...int32) {
	for _, n := range nodes {
		f.broker(n).set(func(b *broker) { b.frozen = true })
	}
}

// TestAFrozenNodeCostsTheSameForHours: what asks it in vain, patiently or not, leaves nothing
// behind.
func TestAFrozenNodeCostsTheSameForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		c := f.watched()
		synctest.Wait()
		f.freeze(1)
		waits := func() (n int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if l := c.controls[address(1)]; l != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				n = l.pending.Len()
			}
			return n
		}
		most, goroutines := 0, 0
		for round := range 3 * 60 * 60 / 10 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { // as a client that connects, asks and goes
				if _, err := c.Do(ctx, 1, kmsg.NewPtrListGroupsRequest()); !errors.Is(err, plugin.ErrUnreachable) {
					t.Errorf("asked a frozen node: %v", err)
				}
			}()
			time.Sleep(time.Second)
			cancel()
			time.Sleep(9 * time.Second)
			if most = max(most, waits()); round == 10 {
				goroutines = runtime.NumGoroutine()
			}
		}
		if n := runtime.NumGoroutine(); most > 20 || n > goroutines+5 || !c.Reachable() {
			t.Errorf("%d requests wait, %d goroutines instead of %d", most, n, goroutines)
		}
	})
}

// TestAnOverdueControlLinkIsReplaced: what waits behind the request that is late does not wait for
// its own deadline, and who asks next gets a new connection.
func TestAnOverdueControlLinkIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.watched()
		synctest.Wait()
		f.freeze(0)
		began := time.Now()
		behind := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = c.Do(ctx, 0, kmsg.NewPtrListGroupsRequest())
		}()
		synctest.Wait()
		go func() {
			_, err := c.Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest())
			behind <- err
		}()
		if err := <-behind; !errors.Is(err, plugin.ErrUnreachable) || time.Since(began) > 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		f.broker(0).set(func(b *broker) { b.frozen = false })
		if _, err := c.Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest()); err != nil {
			t.Error(err)
		}
	})
}

// TestASlowRequestIsNotFrozen: others with less patience, the health check among them, give up
// behind it and leave it alone.
func TestASlowRequestIsNotFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.watched()
		synctest.Wait()
		f.broker(0).set(func(b *broker) {
			b.on = func(a *arrived) bool {
				if a.Key == kmsg.CreateTopics {
					time.Sleep(10 * time.Second)
				}
				return false
			}
		})
		if _, err := c.Do(t.Context(), 0, kmsg.NewPtrCreateTopicsRequest()); err != nil || f.arrivals(kmsg.CreateTopics) != 1 {
			t.Errorf("%v, arrived %d times", err, f.arrivals(kmsg.CreateTopics))
		}
	})
}

// TestFewWaitOnAControlLink, however many ask at once.
func TestFewWaitOnAControlLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.known()
		f.freeze(0)
		var refused, late atomic.Int32
		for range 3 * mostWaiting {
			go func() {
				_, err := c.Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest())
				switch {
				case !errors.Is(err, plugin.ErrUnreachable):
					t.Error(err)
				case errors.Is(err, context.DeadlineExceeded):
					late.Add(1)
				default:
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if n := refused.Load(); n != 2*mostWaiting {
			t.Errorf("%d were refused", n)
		}
		time.Sleep(requestTimeout)
		synctest.Wait()
		if n := late.Load(); n != mostWaiting {
			t.Errorf("%d waited", n)
		}
	})
}

// TestAFrozenNodeIsLeftWhenTheClusterDropsIt: what waits on it finds the new leader, long before
// its deadline; links to others stay.
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

// TestAFrozenClusterIsUnreachable, is back when it answers, and what waits on it ends at its
// deadline.
func TestAFrozenClusterIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		c := f.watched()
		synctest.Wait()
		about := fact.Must(t, "not found")
		fact.True(about, "c.Reachable()", c.Reachable())
		fact.True(about, "c.Settled()", c.Settled())
		fact.Equal(about, "time.Since(c.LastAnswer())", time.Since(c.LastAnswer()), 0)
		fact.Equal(about, "len(c.Topology().Brokers)", len(c.Topology().Brokers), 2)
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
