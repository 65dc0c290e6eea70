package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// times makes a broker do something to the first n requests of a key.
func times(n int, key kmsg.Key, do func(*arrived) bool) func(*arrived) bool {
	var done atomic.Int32
	return func(a *arrived) bool { return a.Key == key && int(done.Add(1)) <= n && do(a) }
}

func (f *fakes) all(change func(*broker)) {
	for _, b := range f.brokers {
		b.set(change)
	}
}

// arrivals counts the requests of a key at all brokers.
func (f *fakes) arrivals(key kmsg.Key) (n int) {
	for _, b := range f.brokers {
		for _, k := range b.keys() {
			if k == key {
				n++
			}
		}
	}
	return n
}

func TestARepeatableRequestIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.broker(0).on = times(3, kmsg.ListGroups, (*arrived).cut)
		resp, err := e.Handle(t.Context(), request(session(t, 0), newest(kmsg.ListGroups)))
		if err != nil || resp == nil {
			t.Fatal(err)
		}
		if n := f.arrivals(kmsg.ListGroups); n != 4 {
			t.Errorf("arrived %d times", n)
		}
		// After its own node, any other.
		f.broker(1).set(func(b *broker) { b.on = f.cut(kmsg.ListGroups) })
		if _, err := e.Handle(t.Context(), request(session(t, 1), newest(kmsg.ListGroups))); err != nil || len(f.broker(1).keys()) != 1 {
			t.Errorf("%v, %v", err, f.broker(1).keys())
		}
	})
}

// TestWhatMayHaveBeenCarriedOutIsNotRepeated: a second DeleteTopics would delete a topic that was
// created in between.
func TestWhatMayHaveBeenCarriedOutIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.broker(0).on = times(1, kmsg.DeleteTopics, (*arrived).cut)
		_, err := e.Handle(t.Context(), request(session(t, 0), newest(kmsg.DeleteTopics)))
		if !plugin.MaybeSent(err) || f.arrivals(kmsg.DeleteTopics) != 1 {
			t.Errorf("%v, arrived %d times", err, f.arrivals(kmsg.DeleteTopics))
		}
	})
}

func TestWhatWasNeverSentIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.down = true })
		time.AfterFunc(3*time.Second, func() { f.all(func(b *broker) { b.down = false }) })
		for _, key := range []kmsg.Key{kmsg.DeleteTopics, kmsg.ListGroups} {
			if _, err := e.Handle(t.Context(), request(session(t, 0), newest(key))); err != nil || f.arrivals(key) != 1 {
				t.Errorf("%s: %v, arrived %d times", kmsg.NameForKey(int16(key)), err, f.arrivals(key))
			}
		}
	})
}

// TestProducesAreNotRepeatedHere: their order is their gate's matter.
func TestProducesAreNotRepeatedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		b := f.broker(0)
		b.on = f.cut(kmsg.Produce)
		began := time.Now()
		if _, err := e.Handle(t.Context(), produce(session(t, 0), 0, -1)); !plugin.MaybeSent(err) || f.arrivals(kmsg.Produce) != 1 {
			t.Errorf("cut: %v, arrived %d times", err, f.arrivals(kmsg.Produce))
		}
		b.kill()
		dials := b.dials
		if _, err := e.Handle(t.Context(), produce(session(t, 0), 0, -1)); !errors.Is(err, plugin.ErrUnreachable) || plugin.MaybeSent(err) || b.dials != dials+1 {
			t.Errorf("refused: %v, dialled %d times", err, b.dials-dials)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("waited for %s", d)
		}
	})
}

// TestARequestThatBreaksEveryLinkIsGivenUp, but only where the cluster answers others: else it is
// not the request's fault, and it is repeated until it is as old as it may get.
func TestARequestThatBreaksEveryLinkIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.on = f.cut(kmsg.ListGroups) })
		began := time.Now()
		_, err := e.Handle(t.Context(), request(session(t, 0), newest(kmsg.ListGroups)))
		if !plugin.MaybeSent(err) || f.arrivals(kmsg.ListGroups) != mostBreaks+1 || time.Since(began) > e.limit/2 {
			t.Errorf("%v, arrived %d times in %s", err, f.arrivals(kmsg.ListGroups), time.Since(began))
		}
		f.all(func(b *broker) { b.on, b.got = f.cut(kmsg.ListGroups, kmsg.Metadata), nil })
		began = time.Now()
		_, err = e.Handle(t.Context(), request(session(t, 0), newest(kmsg.ListGroups)))
		if err == nil || f.arrivals(kmsg.ListGroups) <= mostBreaks+1 || time.Since(began) != e.limit {
			t.Errorf("%v, arrived %d times in %s", err, f.arrivals(kmsg.ListGroups), time.Since(began))
		}
	})
}

func TestHandleEndsWithItsContext(t *testing.T) {
	for name, state := range map[string]func(*broker){
		"waiting for an answer":    func(b *broker) { b.frozen = true },
		"waiting for the next try": func(b *broker) { b.down = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, e := house(t)
				f.all(state)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				_, err := e.Handle(ctx, request(session(t, 0), newest(kmsg.ListGroups)))
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("%v after %s", err, time.Since(began))
				}
			})
		})
	}
	t.Run("the session's end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, e := house(t)
			f.all(func(b *broker) { b.down = true })
			ctx, cancel := context.WithCancel(t.Context())
			s := plugin.NewSession(ctx, 1, nil, nil)
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			// Its own context goes on: that the client is gone is seen at the next try.
			_, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups)))
			if err == nil || time.Since(began) > 2*time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			_ = s.Attach(linksKey{}, nil).Close() // a request that is at its link while the session closes
			if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); !errors.Is(err, gate.ErrClientGone) {
				t.Errorf("on closed links: %v", err)
			}
			_ = s.Close()
			if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); !errors.Is(err, gate.ErrClientGone) {
				t.Errorf("on a closed session: %v", err)
			}
		})
	})
}

// TestAFetchIsRepeatedForItsMaxWait: later its client would rather have an empty answer.
func TestAFetchIsRepeatedForItsMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.down = true })
		m := newest(kmsg.Fetch).(*kmsg.FetchRequest)
		m.MaxWaitMillis = 700
		began := time.Now()
		_, err := e.Handle(t.Context(), request(session(t, 0), m))
		if !errors.Is(err, plugin.ErrUnreachable) || time.Since(began) != 700*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// waker gives up when it is asked for the last time.
type waker struct {
	changed chan struct{}
	asked   int
}

func (w *waker) Outdated() bool           { return false }
func (w *waker) Changed() <-chan struct{} { return w.changed }
func (w *waker) GiveUp() bool             { w.asked++; return w.asked == 2 }

func TestAWakerEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.frozen = true })
		w := &waker{changed: make(chan struct{}, 2)}
		for i := range 2 {
			time.AfterFunc(time.Duration(i+1)*time.Second, func() { w.changed <- struct{}{} })
		}
		req := request(session(t, 0), newest(kmsg.Fetch))
		req.Waker = w
		began := time.Now()
		if _, err := e.Handle(t.Context(), req); !errors.Is(err, plugin.ErrMoved) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestTheTurnIsGivenOnOnTheLink, not with the answer: a request behind one that waits is sent.
func TestTheTurnIsGivenOnOnTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.frozen = true })
		s := session(t, 0)
		passed := 0
		for _, req := range []*plugin.Request{request(s, newest(kmsg.JoinGroup)), produce(s, 0, -1), request(s, newest(kmsg.ListGroups))} {
			req.Target.Node = 0
			req.SetTurn(func() { passed++ })
			go e.Handle(t.Context(), req)
			synctest.Wait()
		}
		if got := f.broker(0).keys(); passed != 3 || !slices.Equal(got, []kmsg.Key{kmsg.JoinGroup, kmsg.Produce, kmsg.ListGroups}) {
			t.Errorf("%d passed, %v arrived", passed, got)
		}
	})
}

// TestStartKeepsOrderAndFlushes: the requests of one read leave at the flush, and one whose link
// breaks is repeated for whoever started it.
func TestStartKeepsOrderAndFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		s := session(t, 0)
		type got struct {
			key kmsg.Key
			err error
		}
		var answered []got
		start := func(key kmsg.Key) {
			start(t, e, request(s, newest(key)), false, func(resp *plugin.Response, err error) {
				if (resp == nil) == (err == nil) {
					t.Error("neither an answer nor an error")
				}
				answered = append(answered, got{key, err})
			})
			synctest.Wait()
		}
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil { // its link is up
			t.Fatal(err)
		}
		start(kmsg.DescribeACLs)
		start(kmsg.ListTransactions)
		if len(f.broker(0).keys()) != 1 || len(answered) != 0 {
			t.Errorf("before the flush: %v", f.broker(0).keys())
		}
		e.Flush(s)
		synctest.Wait()
		if !slices.Equal(answered, []got{{kmsg.DescribeACLs, nil}, {kmsg.ListTransactions, nil}}) {
			t.Error(answered)
		}
		f.broker(0).set(func(b *broker) { b.on = times(1, kmsg.ListTransactions, (*arrived).cut) })
		answered = nil
		start(kmsg.ListTransactions)
		e.Flush(s)
		synctest.Wait()
		if !slices.Equal(answered, []got{{kmsg.ListTransactions, nil}}) || f.arrivals(kmsg.ListTransactions) != 3 {
			t.Errorf("%v, arrived %d times", answered, f.arrivals(kmsg.ListTransactions))
		}
		f.broker(0).set(func(b *broker) { b.on = f.cut(kmsg.DeleteTopics) })
		answered = nil
		start(kmsg.DeleteTopics)
		e.Flush(s)
		synctest.Wait()
		if len(answered) != 1 || !plugin.MaybeSent(answered[0].err) {
			t.Error(answered)
		}
	})
}

// TestStartWithoutANode: what several nodes or a coordinator must answer is not put on a link of
// its own.
func TestStartWithoutANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.on = offsets(map[string]int{}) })
		s := session(t, plugin.AnyNode)
		start := func(req *plugin.Request) (resp *plugin.Response, err error) {
			n := 0
			start(t, e, req, true, func(r *plugin.Response, rerr error) { resp, err, n = r, rerr, n+1 })
			if synctest.Wait(); n != 1 {
				t.Errorf("answered %d times", n)
			}
			return resp, err
		}
		resp, err := start(listOffsets(s, 0, 1))
		if got := offsetsOf(t, resp, err); !slices.Equal(got, []string{"0:0", "1:1"}) {
			t.Error(got)
		}
		if _, err := start(request(s, newest(kmsg.InitProducerID))); err != nil { // no transaction: any node
			t.Error(err)
		}
		_ = s.Close()
		if _, err := start(request(s, newest(kmsg.ListGroups))); !errors.Is(err, gate.ErrClientGone) {
			t.Errorf("on a closed session: %v", err)
		}
		e.Flush(s)
	})
}

// TestAReplyThatDoesNotParse costs its own request: the link goes on.
func TestAReplyThatDoesNotParse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		b := f.broker(0)
		b.on = times(1, kmsg.ListGroups, func(a *arrived) bool {
			_, _ = a.conn.Write(append(append([]byte{0, 0, 0, 7}, binary.BigEndian.AppendUint32(nil, uint32(a.CorrelationID))...), 0, 1, 2))
			return true
		})
		s := session(t, 0)
		var malformed *kafka.MalformedError
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); !errors.As(err, &malformed) || !malformed.Response {
			t.Errorf("%v", err)
		}
		dials := b.dials
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil || b.dials != dials {
			t.Errorf("%v, dialled %d times", err, b.dials-dials)
		}
	})
}

// TestTarget: what no interceptor has decided goes to the node that the client dialled, or to
// another one while that is down.
func TestTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		list := func(node int32) error {
			_, err := e.Handle(t.Context(), request(session(t, node), newest(kmsg.ListGroups)))
			return err
		}
		if err := errors.Join(list(1), list(1), list(0)); err != nil || len(f.broker(1).keys()) != 2 {
			t.Errorf("%v, %v", err, f.broker(1).keys())
		}
		f.broker(1).kill()
		req := request(session(t, 1), newest(kmsg.ListGroups))
		if _, node, _ := e.target(req); node != 1 {
			t.Errorf("node %d before anybody can know", node)
		}
		if err := errors.Join(list(1), list(1)); err != nil || len(f.broker(0).keys()) != 3 {
			t.Errorf("%v, %v", err, f.broker(0).keys())
		}
		if _, node, _ := e.target(req); node != plugin.AnyNode {
			t.Errorf("node %d, which is down", node)
		}
		req.Target.Cluster = "nowhere"
		if _, err := e.Handle(t.Context(), req); err == nil || errors.Is(err, plugin.ErrUnreachable) {
			t.Errorf("a cluster that is not of the virtual one: %v", err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session(t, 0)
		fetch := newest(kmsg.Fetch).(*kmsg.FetchRequest)
		fetch.MaxWaitMillis = 500
		edited := request(s, fetch)
		edited.Body = kafka.RequestBodyOf(fetch)
		for _, c := range []struct {
			req  *plugin.Request
			want time.Duration // 0 for none
		}{
			{request(s, newest(kmsg.JoinGroup)), 0}, {request(s, newest(kmsg.SyncGroup)), 0},
			{request(s, fetch), 15500 * time.Millisecond}, {edited, 15500 * time.Millisecond},
			{produce(s, 0, -1), 40 * time.Second}, {request(s, newest(kmsg.Metadata)), 60 * time.Second},
		} {
			got := deadline(c.req, time.Now())
			if (c.want == 0) != got.IsZero() || c.want > 0 && time.Until(got) != c.want {
				t.Errorf("%s: %s", kmsg.NameForKey(int16(c.req.Key)), time.Until(got))
			}
		}
	})
}

// start takes a request to an end that nobody stands above, as sessions do.
func start(t *testing.T, e *Dispatcher, req *plugin.Request, flush bool, done func(*plugin.Response, error)) {
	t.Helper()
	chain, err := chain.New(nil, e, "")
	if err != nil {
		t.Fatal(err)
	}
	w := chain.Walk(req.Key)
	r := &w.Req
	r.Header, r.Body, r.Session, r.Target, r.Seq, r.Arrived, r.Waker = req.Header, req.Body, req.Session, req.Target, req.Seq, req.Arrived, req.Waker
	if !w.Begin(t.Context(), done) {
		guard.Go(w.Run)
	}
	if flush {
		e.Flush(req.Session)
	}
}
