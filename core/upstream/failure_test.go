package upstream

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
)

// stuck is a connection whose other side reads the first write, then nothing any more, and stays
// open.
type stuck struct {
	net.Conn
	written atomic.Bool
}

func (c *stuck) Write(p []byte) (int, error) {
	if c.written.Swap(true) {
		return 0, errors.New("write timed out")
	}
	return c.Conn.Write(p)
}

// TestALinkThatCantWriteIsBroken, whoever finds out: nothing else would ever end what waits on it.
func TestALinkThatCantWriteIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pipe()
		defer func() { _ = far.Close() }()
		l := newLink(func(context.Context) (net.Conn, error) { return &stuck{Conn: near}, nil }, &wire.Buffers{}, rigLimit, nil)
		defer func() { _ = l.Close() }()
		ended := 0
		l.send(&call{key: kmsg.ListGroups, encode: func(*kafka.Out) {}, done: func(_, _ []byte, _ error) {}}, false)
		synctest.Wait() // it is up
		for range 3 {   // the second finds no room and writes what the first left
			l.send(&call{key: kmsg.Produce, encode: func(o *kafka.Out) { o.Append(make([]byte, 5<<20)) }, done: func(_, _ []byte, err error) {
				if ended++; !errors.Is(err, plugin.ErrUnreachable) {
					t.Error(err)
				}
			}}, false)
		}
		time.Sleep(lastWords)
		if synctest.Wait(); ended != 3 || !l.broken() {
			t.Errorf("%d of 3 ended, broken %t", ended, l.broken())
		}
	})
}

// TestAnswersThatCameBeforeTheEndAreRead: a broker that dies has answered some requests; that the
// next one can't be written is noticed before they are read.
func TestAnswersThatCameBeforeTheEndAreRead(t *testing.T) {
	for _, name := range []string{"closed", "silent"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := connected(t)
				for _, g := range []string{"answered", "answered too", "not answered"} {
					r.send(g)
					r.read()
				}
				r.near.reset.Store(true)
				r.send("not written")
				synctest.Wait()
				r.write(heartbeatReply(1, 1))
				r.write(heartbeatReply(2, 2))
				for i, e := range r.once("answered", "answered too") {
					if e.err != nil || int(e.throttle) != i+1 {
						t.Errorf("answer %d: %+v", i+1, e)
					}
				}
				if name == "closed" {
					_ = r.far.Close()
				} else {
					time.Sleep(lastWords)
				}
				r.broken(true, "not answered", "not written")
				r.after()
			})
		})
	}
}

// TestADialThatIsGivenUpSaysNothing of its address: the next one is not put off.
func TestADialThatIsGivenUpSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		c := e.clusters[0]
		c.dial = func(ctx context.Context, addr string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s := session(t, 1)
		waiting(t, e, request(s, newest(kmsg.ListGroups)), 1)
		synctest.Wait()
		_ = s.Close()
		synctest.Wait()
		c.dial = f.dial
		if conn, err := c.open(t.Context(), address(1)); err != nil || c.down(1) {
			t.Errorf("put off: %v", err)
		} else {
			_ = conn.Close()
		}
	})
}

// slowly has a broker answer requests for the metadata of all topics with what it knows now, after
// a time.
func slowly(f *fakes, wait func()) func(*arrived) bool {
	return func(a *arrived) bool {
		m, ok := a.msg.(*kmsg.MetadataRequest)
		if !ok || m.Topics != nil {
			return false
		}
		resp := f.metadata(m)
		wait()
		a.answer(resp)
		return true
	}
}

// TestARefreshOutlivesWhoAskedFirst: others that wait for the same one have more patience.
func TestARefreshOutlivesWhoAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.known()
		f.broker(0).set(func(b *broker) { b.on = slowly(f, func() { time.Sleep(time.Second) }) })
		var asking sync.WaitGroup
		for _, patience := range []time.Duration{100 * time.Millisecond, 3 * time.Second, 3 * time.Second} {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if topo, err := c.Refresh(ctx); (err == nil) != (patience > time.Second) || (topo == nil) != (err != nil) || err != nil && !errors.Is(err, plugin.ErrUnreachable) {
					t.Errorf("%s: %v", patience, err)
				}
			})
			synctest.Wait()
		}
		asking.Wait()
	})
}

// TestARefreshIsNotOlderThanItsCall: the answer to one that is on its way already does not show
// what was made meanwhile.
func TestARefreshIsNotOlderThanItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.known()
		release := make(chan struct{})
		f.broker(0).set(func(b *broker) { b.on = slowly(f, func() { <-release }) })
		var asking sync.WaitGroup
		asking.Go(func() { _, _ = c.Refresh(t.Context()) })
		synctest.Wait()
		f.list(func() { f.topics["new"] = []int32{0} })
		for range 10 {
			asking.Go(func() {
				if topo, err := c.Refresh(t.Context()); err != nil || topo.Topics["new"] == nil {
					t.Errorf("the topic is not there: %v", err)
				}
			})
		}
		synctest.Wait()
		before := f.broker(0).asked
		close(release)
		asking.Wait()
		if n := f.broker(0).asked - before; n != 1 {
			t.Errorf("asked %d more times", n)
		}
	})
}

// TestVersionsAreNotForgotten: an answer that passes by while they are learnt does not undo them.
func TestVersionsAreNotForgotten(t *testing.T) {
	f := newFakes(t, 0)
	c := f.open(0)
	m := kmsg.NewPtrMetadataResponse()
	m.Version = 12
	for i := range 5000 {
		name := strconv.Itoa(i)
		m.Topics = append(m.Topics, kmsg.MetadataResponseTopic{Topic: &name, TopicID: topicID(name)})
	}
	stop := make(chan struct{})
	var learning sync.WaitGroup
	learning.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.Learn(m)
			}
		}
	})
	for range 5 {
		c.mu.Lock()
		blank := *c.Topology()
		blank.Versions = nil
		c.topology.Store(&blank)
		c.mu.Unlock()
		if err := c.learnVersions(t.Context()); err != nil {
			t.Error(err)
		}
		c.Learn(m)
		if c.Topology().Versions == nil {
			t.Error("forgotten")
		}
	}
	close(stop)
	learning.Wait()
}

// TestANodeThatGoesIsNoticed without a link to it: its partitions have new leaders.
func TestANodeThatGoesIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		f.topics["orders"] = []int32{0, 1}
		c := f.watched()
		synctest.Wait()
		f.list(func() { f.unlisted[1], f.topics["orders"] = true, []int32{0, 0} })
		time.Sleep(healthInterval + time.Millisecond)
		synctest.Wait()
		if node, _ := c.Topology().Leader("orders", 1); node != 0 {
			t.Errorf("the leader is %d", node)
		}
		count := func() (n int) {
			f.broker(0).set(func(b *broker) { n = b.asked })
			return n
		}
		before := count()
		time.Sleep(3 * healthInterval)
		if n := count() - before; n > 3 {
			t.Errorf("asked %d times while nothing changes", n)
		}
	})
}

// TestADeadControllerIsNotAsked: any broker hands on what is the controller's matter.
func TestADeadControllerIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.broker(0).kill()
		began := time.Now()
		for _, key := range []kmsg.Key{kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions} {
			if _, err := e.Handle(t.Context(), request(session(t, plugin.AnyNode), newest(key))); err != nil {
				t.Error(err)
			}
			if _, err := e.clusters[0].Do(t.Context(), plugin.AnyNode, newest(key)); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > time.Second || len(f.broker(1).keys()) != 6 {
			t.Errorf("%v after %s", f.broker(1).keys(), took)
		}
	})
}

// TestAFrozenNodeIsAskedLast, from when it is known not to answer until it does.
func TestAFrozenNodeIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		c := f.watched()
		synctest.Wait()
		f.freeze(0)
		time.Sleep(3 * healthInterval)
		began := time.Now()
		if _, err := c.Do(t.Context(), plugin.AnyNode, kmsg.NewPtrListGroupsRequest()); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		f.broker(0).set(func(b *broker) { b.frozen = false })
		time.Sleep(3 * healthInterval)
		if _, err := c.Do(t.Context(), plugin.AnyNode, kmsg.NewPtrListTransactionsRequest()); err != nil || f.arrivals(kmsg.ListTransactions) != 1 || len(f.broker(1).keys()) != 1 {
			t.Errorf("%v, %v", err, f.broker(1).keys())
		}
	})
}

// TestManyBrokersHaveTimeToAnswer: one that takes half a second is not passed over because there
// are others.
func TestManyBrokersHaveTimeToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		c := f.known()
		f.all(func(b *broker) {
			b.on = func(a *arrived) bool {
				if a.Key == kmsg.ListGroups {
					time.Sleep(500 * time.Millisecond)
				}
				return false
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := c.Do(ctx, plugin.AnyNode, kmsg.NewPtrListGroupsRequest()); err != nil || f.arrivals(kmsg.ListGroups) != 1 {
			t.Errorf("%v, asked %d", err, f.arrivals(kmsg.ListGroups))
		}
	})
}

// TestASlowAnswerIsNotOverdue while it comes in; one that stops is.
func TestASlowAnswerIsNotOverdue(t *testing.T) {
	for _, pieces := range []int{60, 30} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes(t, 0)
			e := end(f.watched())
			synctest.Wait()
			f.broker(0).set(func(b *broker) {
				b.on = func(a *arrived) bool {
					m, ok := a.msg.(*kmsg.FetchRequest)
					if !ok {
						return false
					}
					resp := m.ResponseKind()
					resp.(*kmsg.FetchResponse).Topics = make([]kmsg.FetchResponseTopic, 100)
					frame := reply(a.Key, a.Version, a.CorrelationID, resp)
					for i := range pieces {
						time.Sleep(time.Second)
						_, _ = a.conn.Write(frame[i*len(frame)/60 : (i+1)*len(frame)/60])
					}
					return true
				}
			})
			ended := waiting(t, e, request(session(t, 0), newest(kmsg.Fetch)), 0)
			began := time.Now()
			err := <-ended
			if took := time.Since(began); (err == nil) != (pieces == 60) || took < 29*time.Second || took > 2*time.Minute { // it is repeated
				t.Errorf("%d of 60 pieces: %v after %s", pieces, err, took)
			}
		})
	}
}

// TestBrokersThatCloseAfterEachAnswer are served by a new connection each time, and what was
// pipelined behind an answer is sent again.
func TestBrokersThatCloseAfterEachAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) {
			b.on = func(a *arrived) bool {
				switch m := a.msg.(type) {
				case *kmsg.ApiVersionsRequest:
					a.answer(f.versions())
				case *kmsg.MetadataRequest:
					a.answer(f.metadata(m))
				default:
					a.answer(a.msg.ResponseKind())
				}
				return a.cut()
			}
		})
		s := session(t, 0)
		for range 20 {
			if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if _, err := e.clusters[0].Do(t.Context(), 0, kmsg.NewPtrListGroupsRequest()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if _, err := e.clusters[0].Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}
		var answers sync.WaitGroup
		for range 4 {
			answers.Add(1)
			start(t, e, request(s, newest(kmsg.ListGroups)), false, func(_ *plugin.Response, err error) {
				if answers.Done(); err != nil {
					t.Error(err)
				}
			})
		}
		e.Flush(s)
		answers.Wait()
	})
}
