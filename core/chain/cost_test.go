package chain

import (
	"context"
	"errors"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/plugin"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"
)

// chain of interceptors named by their place.
func chain(t *testing.T, end plugin.Handler, run ...func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)) (*Chain, []*Cost) {
	t.Helper()
	var members []Named
	var costs []*Cost
	for _, f := range run {
		costs = append(costs, &Cost{})
		members = append(members, Named{Interceptor: &member{key: kmsg.Produce, run: f}, Cost: costs[len(costs)-1]})
	}
	c, err := New(members, end, "")
	if err != nil {
		t.Fatal(err)
	}
	return c, costs
}

// TestOwnTimesOfInterceptors are without what is below, be it at the same time, and without waits.
func TestOwnTimesOfInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ms := func(n int) { time.Sleep(time.Duration(n) * time.Millisecond) }
		c, costs := chain(t, plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			ms(1000 * int(f.Target.Node+1))
			return nil, nil
		}), func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			ms(10)
			defer ms(20)
			return next.Handle(ctx, req)
		}, func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			ms(40)
			resume := req.Pause("test", trace.SpanContext{})
			ms(5000)
			resume()
			forks := req.Fork(2, "test")
			forks[0].Target.Node, forks[1].Target.Node = 1, 2
			var parts sync.WaitGroup
			for _, f := range forks {
				parts.Go(func() { _, _ = plugin.Protect(ctx, f, next) })
			}
			parts.Wait()
			ms(80)
			return nil, nil
		}, func(ctx context.Context, f *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			ms(160 * int(f.Target.Node)) // of two forks
			return next.Handle(ctx, f)
		})
		for range 2 { // what measured once measures again
			if _, err := c.Row(kmsg.Produce).Handle(t.Context(), clocked(t, true)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Row(kmsg.Produce).Handle(t.Context(), clocked(t, false)); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{2 * 30, 2 * 120, 2 * (160 + 320)} {
			if got := costs[i].Own.Sum(); got != SampledOf*want*time.Millisecond {
				t.Errorf("interceptor %d took %s, want %s", i, got, SampledOf*want*time.Millisecond)
			}
		}
		if n := costs[0].Own.Histogram().Count(); n != 2*SampledOf {
			t.Errorf("%d requests", n)
		}
	})
}

// TestAPartThatComesBackLate is not counted to the next request, whose measure would else be wrong.
func TestAPartThatComesBackLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := true
		c, costs := chain(t, plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
			time.Sleep(time.Second)
			return nil, nil
		}), func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			if late {
				go func() { _, _ = next.Handle(ctx, req) }()
			}
			synctest.Wait()
			if !late {
				time.Sleep(2 * time.Second)
			}
			return nil, nil
		})
		for _, late = range []bool{true, false} {
			if _, err := c.Row(kmsg.Produce).Handle(t.Context(), clocked(t, true)); err != nil {
				t.Fatal(err)
			}
		}
		if got := costs[0].Own.Sum(); got != SampledOf*2*time.Second {
			t.Errorf("it took %s", got)
		}
	})
}

// TestFailuresAreCountedOnce, to the interceptor that they come from.
func TestFailuresAreCountedOnce(t *testing.T) {
	broken, own := errors.New("broken"), errors.New("own")
	wrap := func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		resp, err := next.Handle(ctx, req)
		if err != nil {
			err = errors.Join(errors.New("wrapped"), err)
		}
		return resp, err
	}
	fails := func(err error) func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
		return func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		end, middle error
		panics      bool
		want        [3]int64
	}{
		"the end":              {end: broken},
		"an interceptor":       {middle: own, want: [3]int64{0, 1, 0}},
		"its panic":            {panics: true, want: [3]int64{0, 1, 0}},
		"a client that left":   {middle: gate.ErrClientGone},
		"a session it closes":  {middle: plugin.CloseSession(own)},
		"nobody":               {},
		"one after the other":  {end: broken, middle: own, want: [3]int64{0, 1, 0}},
		"an error as an error": {end: broken, middle: broken},
	} {
		t.Run(name, func(t *testing.T) {
			h, costs := chain(t, plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) { return nil, c.end }), wrap,
				func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
					resp, err := next.Handle(ctx, req)
					if c.panics {
						panic("no")
					}
					if c.middle != nil {
						return fails(c.middle)(ctx, req, next)
					}
					return resp, err
				}, wrap)
			for _, sampled := range []bool{false, true} {
				_, err := h.Row(kmsg.Produce).Handle(t.Context(), clocked(t, sampled))
				if (err != nil) != (c.end != nil || c.middle != nil || c.panics) {
					t.Errorf("%v", err)
				}
			}
			for i, want := range c.want {
				if got := costs[i].Failures.Load(); got != 2*want {
					t.Errorf("interceptor %d has failed %d times, want %d", i, got, 2*want)
				}
			}
		})
	}
}

// BenchmarkChain is what three interceptors that do nothing cost a request, for one whose own times
// are measured and one whose are not.
func BenchmarkChain(b *testing.B) {
	pass := func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		return next.Handle(ctx, req)
	}
	var members []Named
	for range 3 {
		members = append(members, Named{Interceptor: &member{key: kmsg.Produce, run: pass}})
	}
	c, err := New(members, plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) { return nil, nil }), "")
	if err != nil {
		b.Fatal(err)
	}
	for name, sampled := range map[string]bool{"counted": false, "measured": true} {
		b.Run(name, func(b *testing.B) {
			r := &plugin.Request{Arrived: time.Now(), Clock: &plugin.Clock{}, Sampled: sampled}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Row(kmsg.Produce).Handle(b.Context(), r)
			}
		})
	}
}
