package plugin

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// clocked is a request that is measured.
func clocked(t *testing.T, sampled bool) *Request {
	r := request(testSession(t, nil), 1)
	r.Key, r.Clock, r.Sampled, r.Body = kmsg.Produce, &Clock{}, sampled, &kafka.RequestBody{}
	return r
}

func wantSplit(t *testing.T, r *Request, held, upstream time.Duration) {
	t.Helper()
	if h, u := r.Clock.Split(time.Since(r.Arrived)); h != held || u != upstream {
		t.Errorf("held %s, upstream %s; want %s, %s", h, u, held, upstream)
	}
}

// TestAClockDividesTheTime of a request whose parts overlap: each moment counts once.
func TestAClockDividesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := clocked(t, false)
		forks := r.Fork(3, "test")
		time.Sleep(10 * time.Millisecond) // the gateway's
		resume := forks[0].Pause("test", trace.SpanContext{})
		time.Sleep(20 * time.Millisecond) // held
		forks[1].Sent(time.Since(r.Arrived))
		time.Sleep(30 * time.Millisecond) // upstream, whoever waits
		forks[2].Sent(time.Since(r.Arrived))
		time.Sleep(40 * time.Millisecond) // upstream
		forks[1].Answered(time.Since(r.Arrived))
		wantSplit(t, r, 20*time.Millisecond, 70*time.Millisecond)
		time.Sleep(50 * time.Millisecond) // upstream
		forks[2].Answered(time.Since(r.Arrived))
		time.Sleep(60 * time.Millisecond) // held
		resume()
		time.Sleep(70 * time.Millisecond) // the gateway's
		wantSplit(t, r, 80*time.Millisecond, 120*time.Millisecond)
	})
}

// TestAShortWaitIsNoHold: it is the gateway's own.
func TestAShortWaitIsNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := clocked(t, false)
		resume := r.Pause("test", trace.SpanContext{})
		time.Sleep(leastHold - 1)
		resume()
		wantSplit(t, r, 0, 0)
		resume = r.Pause("test", trace.SpanContext{})
		time.Sleep(time.Nanosecond)
		resume()
		wantSplit(t, r, leastHold, 0)
	})
}

// TestTimesThatAreToldLate, by a goroutine that read its clock before another, take nothing away.
func TestTimesThatAreToldLate(t *testing.T) {
	r := clocked(t, false)
	r.Sent(5)
	r.Sent(3)
	r.Answered(10)
	r.Answered(9)
	if _, u := r.Clock.Split(20); u != 5 {
		t.Errorf("%d", u)
	}
	(&Request{}).Sent(1) // without a clock
}

// TestAGateHolds what waits in it, and reads.
func TestAGateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(time.Minute).Gate("t")
		r, read := clocked(t, false), clocked(t, false)
		g.Hold("move")
		g.HoldReads()
		done := make(chan error, 2)
		go func() {
			p, err := g.Enter(t.Context(), r.AtGate())
			turn.Give(r.Turn())
			p.Leave()
			done <- err
		}()
		go func() { done <- g.AwaitReads(t.Context(), read.AtGate()) }()
		time.Sleep(3 * time.Second)
		g.Release("move")
		g.OpenReads()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		wantSplit(t, r, 3*time.Second, 0)
		wantSplit(t, read, 3*time.Second, 0)
	})
}

// BenchmarkClock is what a request pays whose time is divided.
func BenchmarkClock(b *testing.B) {
	r := &Request{Clock: &Clock{}}
	b.ReportAllocs()
	for b.Loop() {
		r.Sent(1)
		r.Answered(2)
		_, _ = r.Clock.Split(3)
	}
}

// TestFewErrorsAreRemembered of a request, however many there are.
func TestFewErrorsAreRemembered(t *testing.T) {
	r := clocked(t, false)
	for i := range 1000 {
		r.Clock.Fails(errors.New(time.Duration(i).String()))
	}
	if n := len(r.Clock.failures.last); n != mostFailures {
		t.Errorf("%d errors are remembered", n)
	}
}
