package server

import (
	"runtime"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/guard"
)

// workers run the requests that have to wait, each at once: on a goroutine that is idle, whose
// stack has grown already, or on a new one. Few stay.
type workers struct {
	jobs chan *chain.Walk
	done chan struct{}
	idle atomic.Int32
	most int32
	ends atomic.Bool
	wg   guard.Group
}

func newWorkers() *workers {
	return &workers{jobs: make(chan *chain.Walk), done: make(chan struct{}), most: int32(32 * runtime.GOMAXPROCS(0))}
}

func (w *workers) run(j *chain.Walk) {
	select {
	case w.jobs <- j:
	default:
		w.wg.Go(func() { w.work(j) })
	}
}

func (w *workers) work(j *chain.Walk) {
	for {
		j.Run()
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

// close waits for what runs.
func (w *workers) close() {
	if !w.ends.Swap(true) {
		close(w.done)
	}
	w.wg.Wait()
}
