package host

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/plugins/wasm/breaker"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// shrinkEvery is how often instances that nobody needed are ended.
const shrinkEvery = 30 * time.Second

func (g *Guest) shrink(ctx context.Context) {
	t := time.NewTicker(shrinkEvery)
	defer t.Stop()
	last := g.Called.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		quiet := g.Called.Load() == last
		last = g.Called.Load()
		for quiet && len(g.free) > 1 {
			select {
			case i := <-g.free:
				i.close(ctx)
				g.open.Add(-1)
				g.slots <- struct{}{}
			default:
				quiet = false
			}
		}
	}
}

// tick calls the guest from time to time.
func (g *Guest) tick(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			g.tickOnce(ctx, now)
		}
	}
}

func (g *Guest) tickOnce(ctx context.Context, now time.Time) {
	a := breaker.About{Function: abi.ExportOnTick}
	in, ok := g.breakers.Admits(a, now)
	if !ok {
		return
	}
	how := breaker.Undone
	defer func() { g.ended(ctx, a, in, how) }()
	i, err := g.take(ctx)
	if err != nil {
		return
	}
	i.begin(ctx, nil, g.Limits.Timeout)
	if err = i.tick(now); err != nil {
		if ctx.Err() == nil {
			how = breaker.Failed
			g.logFailure(ctx, abi.ExportOnTick, nil, i.why(err))
		}
		g.Failed.Add(1)
		g.fail(i)
		return
	}
	how = breaker.Worked
	g.put(i)
}
