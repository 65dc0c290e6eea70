package clients

import (
	"context"
	"fmt"
	"time"
)

// Target is what clients connect to.
type Target struct {
	Bootstrap string
	Topic     string
	Rate      time.Duration // between records of a producer
}

// Client runs until its context ends, then finishes what it has begun and returns.
type Client func(ctx context.Context, t Target, name string, r *Recorder) error

// Paced calls send with rising counters until ctx ends.
func Paced(ctx context.Context, every time.Duration, name string, send func(n int, id string)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			send(n, fmt.Sprintf("%s-%d", name, n))
		}
	}
}
