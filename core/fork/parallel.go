// Package fork divides requests into parts that go their own ways, and merges their answers.
package fork

import (
	"context"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Result is the outcome of one fork.
type Result struct {
	Response *plugin.Response
	Err      error
}

// Parallel runs the forks through next and returns their results in order. A fork's share of the
// turn is given on at the latest when it is answered; see plugin.Protect.
func Parallel(ctx context.Context, forks []*plugin.Request, next plugin.Handler) []Result {
	out := make([]Result, len(forks))
	run := func(i int) {
		out[i].Response, out[i].Err = plugin.Protect(ctx, forks[i], next)
	}
	if len(forks) == 1 {
		run(0)
		return out
	}
	var wg guard.Group
	for i := range forks {
		wg.Go(func() { run(i) })
	}
	wg.Wait()
	return out
}
