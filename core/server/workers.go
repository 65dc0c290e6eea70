package server

import (
	"runtime"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// job is a request that runs down a chain.
type job struct {
	s   *session
	rt  *Runtime
	req *plugin.Request
	sl  *slot
}

// workers run jobs, each at once: on a goroutine that waits, whose stack has grown already, or on a new
// one. Few stay.
type workers struct {
	jobs chan job
	done chan struct{}
	idle atomic.Int32
	most int32
	ends atomic.Bool
	wg   guard.Group
}

func newWorkers() *workers {
	return &workers{jobs: make(chan job), done: make(chan struct{}), most: int32(32 * runtime.GOMAXPROCS(0))}
}

func (w *workers) run(j job) {
	select {
	case w.jobs <- j:
	default:
		w.wg.Go(func() { w.work(j) })
	}
}

func (w *workers) work(j job) {
	for {
		j.s.handle(j.rt, j.req, j.sl)
		if w.idle.Add(1) > w.most {
			w.idle.Add(-1)
			return
		}
		select {
		case j = <-w.jobs:
			w.idle.Add(-1)
		case <-w.done:
			return
		}
	}
}

// close waits for the jobs.
func (w *workers) close() {
	if !w.ends.Swap(true) {
		close(w.done)
	}
	w.wg.Wait()
}
