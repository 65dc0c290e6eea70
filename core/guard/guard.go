// Package guard starts goroutines of which none can end the process: a panic ends the goroutine alone, is counted
// and logged with its stack. Nothing else of ours starts one.
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

// Group is a WaitGroup of goroutines that can't end the process.
type Group struct{ wg sync.WaitGroup }

// Go runs f on a goroutine of the group.
func (g *Group) Go(f func()) { g.wg.Go(func() { _ = Catch(f) }) }

// Add counts n things more that Wait waits for, which are no goroutines of the group.
func (g *Group) Add(n int) { g.wg.Add(n) }

// Done says that one of those is over.
func (g *Group) Done() { g.wg.Done() }

// Wait returns when all goroutines of the group have ended.
func (g *Group) Wait() { g.wg.Wait() }

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
