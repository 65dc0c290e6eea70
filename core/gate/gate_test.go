package gate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// sent records in which order requests got through a gate.
type sent struct {
	mu   sync.Mutex
	list []int
}

func (s *sent) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, n)
}

func (s *sent) all() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func request(s *plugin.Session, seq uint64) *plugin.Request {
	return &plugin.Request{Session: s, Seq: seq, Arrived: time.Now(), Header: kafka.Header{}}
}

func testSession(t *testing.T, gone func() bool) *plugin.Session {
	return plugin.NewSession(t.Context(), 1, nil, gone)
}

// produce enters the gate in a goroutine and is answered at once.
func produce(t *testing.T, g *gate.Gate, r *plugin.Request, n int, s *sent, errs chan<- error) {
	go func() {
		p, err := g.Enter(t.Context(), r.AtGate())
		if err == nil {
			s.add(n)
			turn.Give(r.Turn())
			p.Leave()
		}
		errs <- err
	}()
	synctest.Wait()
}

func TestAGateKeepsTheOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(15 * time.Second).Gate("t")
		s, out, errs := testSession(t, nil), &sent{}, make(chan error, 200)
		produce(t, g, request(s, 0), 0, out, errs)
		g.Hold("move")
		for n := 1; n <= 100; n++ {
			produce(t, g, request(s, uint64(n)), n, out, errs)
		}
		if got := out.all(); len(got) != 1 {
			t.Fatalf("%v got through a held gate", got)
		}
		time.Sleep(3 * time.Second)
		g.Release("move")
		for n := 101; n <= 110; n++ { // those that come while the queue drains stay behind it
			produce(t, g, request(s, uint64(n)), n, out, errs)
		}
		<-g.Drained()
		synctest.Wait()
		got := out.all()
		if len(got) != 111 || !slices.IsSorted(got) {
			t.Errorf("order %v", got)
		}
		for range got {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAGateIsHeldByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(15 * time.Second).Gate("t")
		s, out, errs := testSession(t, nil), &sent{}, make(chan error, 2)
		if !g.Hold("move") || !g.Hold("stall") || g.Hold("move") {
			t.Error("holders")
		}
		produce(t, g, request(s, 1), 1, out, errs)
		g.Release("move")
		g.Release("nobody")
		synctest.Wait()
		if len(out.all()) != 0 || !g.Held() {
			t.Error("the gate opened while somebody held it")
		}
		g.Release("stall")
		synctest.Wait()
		if len(out.all()) != 1 || g.Held() {
			t.Error("the gate stayed shut")
		}
	})
}

// TestAllOrNoneAreRefused: one refused batch whose successors reach the new home would be lost.
func TestAllOrNoneAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(15 * time.Second).Gate("t")
		s, out, errs := testSession(t, nil), &sent{}, make(chan error, 10)
		g.Hold("move")
		for n := range 5 {
			produce(t, g, request(s, uint64(n)), n, out, errs)
			time.Sleep(3 * time.Second)
		}
		for range 5 { // the first has waited for 15 s, the last for 3 s
			if err := <-errs; !errors.Is(err, gate.ErrHeldTooLong) {
				t.Errorf("answered with %v", err)
			}
		}
		produce(t, g, request(s, 9), 9, out, errs)
		g.Release("move")
		if err := <-errs; err != nil || len(out.all()) != 1 {
			t.Errorf("after the release: %v, %v", err, out.all())
		}
	})
}

func TestAHeldRequestOfAClientThatIsGoneIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(15 * time.Second).Gate("t")
		gone := false
		s, out, errs := testSession(t, func() bool { return gone }), &sent{}, make(chan error, 2)
		alive := testSession(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		left := plugin.NewSession(ctx, 3, nil, nil)
		g.Hold("move")
		produce(t, g, request(s, 1), 1, out, errs)
		produce(t, g, request(left, 1), 2, out, errs)
		produce(t, g, request(alive, 1), 3, out, errs)
		cancel() // its session has ended while it waits
		if err := <-errs; !errors.Is(err, gate.ErrClientGone) {
			t.Errorf("a closed session: %v", err)
		}
		gone = true // the kernel says so at the release
		g.Release("move")
		synctest.Wait()
		if err := errors.Join(<-errs, <-errs); !errors.Is(err, gate.ErrClientGone) {
			t.Errorf("a client that is gone: %v", err)
		}
		if got := out.all(); !slices.Equal(got, []int{3}) {
			t.Errorf("sent %v", got)
		}
		<-g.Drained()
	})
}

// TestReturnedRequestsGoBackBeforeTheirSuccessors: two batches are in flight, a third waits, the
// link breaks; the first two come back in any order.
func TestReturnedRequestsGoBackBeforeTheirSuccessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(15 * time.Second).Gate("t")
		s, other := testSession(t, nil), plugin.NewSession(t.Context(), 2, nil, nil)
		out, errs := &sent{}, make(chan error, 10)
		r1, r2 := request(s, 1), request(s, 2)
		p1, err1 := g.Enter(t.Context(), r1.AtGate())
		p2, err2 := g.Enter(t.Context(), r2.AtGate())
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		g.Hold("stall")
		produce(t, g, request(other, 1), 10, out, errs)
		produce(t, g, request(s, 3), 3, out, errs)
		back := func(p gate.Pass, r *plugin.Request, n int) {
			go func() {
				again, err := p.Return(t.Context(), r.AtGate(), func() {})
				if err == nil {
					out.add(n)
					turn.Give(r.Turn())
					if !again.Overtaken() {
						t.Errorf("request %d does not know that it waited", n)
					}
					again.Leave()
				}
				errs <- err
			}()
			synctest.Wait()
		}
		idle := g.Idle()
		select {
		case <-idle:
			t.Error("idle with two in flight")
		default:
		}
		back(p2, r2, 2)
		back(p1, r1, 1)
		<-idle
		g.Release("stall")
		<-g.Drained()
		synctest.Wait()
		got := slices.DeleteFunc(out.all(), func(n int) bool { return n == 10 })
		if !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("sent in the order %v", got)
		}
	})
}

// TestAGateThatIsStuckRefusesLoudly: a request has left the gate and is not sent. What waits behind
// it is refused at its limit, the log says why, and the gate goes on when the request does.
func TestAGateThatIsStuckRefusesLoudly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		gates := gate.New(15 * time.Second)
		gates.Log = slog.New(slog.NewTextHandler(&said, nil))
		g := gates.Gate("orders")
		s, out, errs := testSession(t, nil), &sent{}, make(chan error, 10)
		g.Hold("move")
		first := request(s, 1)
		pass := make(chan gate.Pass, 1)
		go func() {
			p, err := g.Enter(t.Context(), first.AtGate())
			if err != nil {
				t.Error(err)
			}
			pass <- p
		}()
		synctest.Wait()
		produce(t, g, request(s, 2), 2, out, errs)
		g.Release("move")
		p := <-pass // and does not give its turn on
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if err := <-errs; !errors.Is(err, gate.ErrHeldTooLong) {
			t.Errorf("what waits behind it gets %v", err)
		}
		if !strings.Contains(said.String(), "level=ERROR") || !strings.Contains(said.String(), "topic=orders") {
			t.Errorf("the log says %q", said.String())
		}
		turn.Give(first.Turn())
		p.Leave()
		produce(t, g, request(s, 3), 3, out, errs)
		if err := <-errs; err != nil {
			t.Errorf("the next one gets %v", err)
		}
	})
}

func TestReadsWaitForThePublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gates := gate.New(15 * time.Second)
		g := gates.Gate("t")
		s := testSession(t, nil)
		if err := g.AwaitReads(t.Context(), request(s, 1).AtGate()); err != nil {
			t.Error(err)
		}
		g.HoldReads()
		done := make(chan error, 1)
		go func() { done <- g.AwaitReads(t.Context(), request(s, 2).AtGate()) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		g.OpenReads()
		if err := <-done; err != nil {
			t.Error(err)
		}
		g.HoldReads()
		if err := g.AwaitReads(t.Context(), request(s, 3).AtGate()); !errors.Is(err, gate.ErrHeldTooLong) {
			t.Errorf("after 15 s: %v", err)
		}
		moved := gates.Moved()
		gates.Announce()
		<-moved
	})
}

// TestTheLimitIsThatOfWhoWaits: whoever waited before has gone, in one way or the other.
func TestTheLimitIsThatOfWhoWaits(t *testing.T) {
	t.Run("the oldest gave up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := gate.New(15 * time.Second).Gate("t")
			out, errs, late := &sent{}, make(chan error, 1), make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			g.Hold("move")
			produce(t, g, request(plugin.NewSession(ctx, 1, nil, nil), 1), 1, out, errs)
			time.Sleep(10 * time.Second)
			produce(t, g, request(testSession(t, nil), 1), 2, out, late)
			cancel()
			<-errs
			began := time.Now()
			if err := <-late; !errors.Is(err, gate.ErrHeldTooLong) || time.Since(began) != 15*time.Second {
				t.Errorf("refused after %s: %v", time.Since(began), err)
			}
		})
	})
	t.Run("the time ends while requests leave, and the gate is held again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := gate.New(15 * time.Second).Gate("t")
			out, errs := &sent{}, make(chan error, 1)
			s := testSession(t, nil)
			first := request(s, 1)
			passed := make(chan gate.Pass, 1)
			g.Hold("move")
			go func() {
				p, _ := g.Enter(t.Context(), first.AtGate())
				passed <- p
			}()
			synctest.Wait()
			produce(t, g, request(s, 2), 2, out, errs)
			time.Sleep(14 * time.Second)
			g.Release("move")
			p := <-passed
			time.Sleep(2 * time.Second) // the first is not queued on its link yet
			g.Hold("stall")
			turn.Give(first.Turn())
			p.Leave()
			synctest.Wait()
			select {
			case err := <-errs:
				if !errors.Is(err, gate.ErrHeldTooLong) {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Error("a request waits for ever")
				g.Release("stall")
				<-errs
			}
		})
	})
}
