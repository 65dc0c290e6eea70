// Package guard starts goroutines of which none can end the process: a panic ends the goroutine
// alone, is counted and logged with its stack. Nothing else of ours starts one.
package guard

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

var panics atomic.Int64

// Panics is the number of panics that were caught since the process started.
func Panics() int64 { return panics.Load() }

// Group waits for goroutines that can't end the process. Unlike a sync.WaitGroup it may get new
// ones while somebody waits, who then waits until there is none.
type Group struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n gets to 0; nil while nobody waits
}

// Go runs f on a goroutine of the group.
func (g *Group) Go(f func()) {
	g.Add(1)
	go func() {
		defer g.Done()
		_ = Catch(f)
	}()
}

// Add counts n things more that Wait waits for, which are no goroutines of the group.
func (g *Group) Add(n int) {
	g.mu.Lock()
	g.n += n
	if g.n == 0 && g.zero != nil {
		close(g.zero)
		g.zero = nil
	}
	g.mu.Unlock()
}

// Done says that one of those is over.
func (g *Group) Done() { g.Add(-1) }

// Wait returns when there is nothing to wait for.
func (g *Group) Wait() {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return
	}
	if g.zero == nil {
		g.zero = make(chan struct{})
	}
	zero := g.zero
	g.mu.Unlock()
	<-zero
}

// Go runs f on a goroutine that nobody waits for.
func Go(f func()) {
	go func() { _ = Catch(f) }()
}

// After runs f when d is over, unless the timer is stopped before.
func After(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { _ = Catch(f) })
}

// Catch runs f here. Its error says that f has panicked.
func Catch(f func()) (err error) {
	defer Caught(&err)
	f()
	return nil
}

// Caught is to be deferred by a function that returns err, and makes a panic of it that error.
func Caught(err *error) {
	if v := recover(); v != nil {
		panics.Add(1)
		slog.Error("a panic was caught: please report it", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		*err = fmt.Errorf("panic: %v", v)
	}
}

// again is how long Keep waits before it begins anew.
const again = time.Second

// Keep runs f, which works until ctx ends, and begins anew after a panic.
func Keep(ctx context.Context, f func()) {
	for Catch(f) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

// Sleep waits for a time, and is false if ctx ends before it.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
