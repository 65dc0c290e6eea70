package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Options of a guest.
type Options struct {
	Name     string
	Settings []byte // JSON, nil for none
	Limits   Limits
	// Grant lists the capabilities that the guest has.
	Grant     []string
	HTTPHosts []string
	// Tombstones makes records that are dropped from batches of idempotent producers null instead of an
	// error.
	Tombstones bool
	// Trace, if not nil, is told of every partition that the guest was shown.
	Trace func(guest string, h *Head, p *Partition)
	Log   *slog.Logger
}

// Guest is a configured module with a pool of instances. It is what the gateway, and the tools for authors,
// run plugins with.
type Guest struct {
	*Module
	Options
	limits  Limits
	store   *Store
	metrics *Metrics
	breaker breaker
	lines   lines
	blocks  blocks

	free  chan *instance
	slots chan struct{} // room for instances that don't exist yet
	calls sync.WaitGroup
	stop  context.CancelFunc
	done  sync.WaitGroup

	// Called, Failed and Replaced count calls, those that failed, and instances thrown away; Busy is the time
	// in calls, waiting for an instance included, and InGuest that in the guest's code, in nanoseconds.
	Called, Failed, Replaced, Busy, InGuest atomic.Int64
	open                                    atomic.Int32
	highest                                 atomic.Uint32 // memory of an instance
}

// blockers is by how much the pool of a guest grows whose calls may wait for a cluster or another server.
const blockers = 8

// NewGuest starts a guest: one instance is started, configured and tested. The guest uses the store and metrics,
// which may outlive it. The module stays the caller's.
func NewGuest(ctx context.Context, m *Module, o Options, store *Store, metrics *Metrics) (*Guest, error) {
	n := runtime.GOMAXPROCS(0)
	if len(o.Grant) > 0 && (contains(o.Grant, abi.CapHTTP) || contains(o.Grant, abi.CapSendRequest)) {
		n += blockers
	}
	g := &Guest{Module: m, Options: o, limits: o.Limits, store: store, metrics: metrics, free: make(chan *instance, n), slots: make(chan struct{}, n)}
	first, err := g.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := first.ask(ctx, abi.ExportSelfTest); err != nil {
		first.drop()
		return nil, fmt.Errorf("self-test: %w", err)
	}
	g.put(first)
	for range n - 1 {
		g.slots <- struct{}{}
	}
	bg, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.done.Go(func() { g.shrink(bg) })
	if m.TickMS > 0 {
		g.done.Go(func() { g.tick(bg, time.Duration(m.TickMS)*time.Millisecond) })
	}
	return g, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (g *Guest) start(ctx context.Context) (*instance, error) {
	i, err := g.Module.open(ctx, g)
	if err != nil {
		return nil, err
	}
	if err := i.configure(ctx, g.Settings); err != nil {
		i.drop()
		return nil, err
	}
	g.open.Add(1)
	return i, nil
}

// put gives an instance back.
func (g *Guest) put(i *instance) {
	if n := i.memory(); n > g.highest.Load() {
		g.highest.Store(n)
	}
	i.head, i.request = nil, context.Background()
	g.free <- i
}

// take waits for an instance, or starts one if there is room. The wait is a part of the call's time.
func (g *Guest) take(ctx context.Context, began time.Time) (*instance, error) {
	select {
	case i := <-g.free:
		return i, nil
	default:
	}
	ctx, cancel := context.WithDeadlineCause(ctx, began.Add(g.limits.Timeout), ErrDeadline)
	defer cancel()
	select {
	case i := <-g.free:
		return i, nil
	case <-g.slots:
		i, err := g.start(ctx)
		if err != nil {
			g.slots <- struct{}{}
		}
		return i, err
	case <-ctx.Done():
		return nil, fmt.Errorf("all instances are busy: %w", context.Cause(ctx))
	}
}

// fail throws an instance away and starts another in its place, off the path of requests.
func (g *Guest) fail(i *instance) {
	i.drop()
	g.open.Add(-1)
	g.Replaced.Add(1)
	g.calls.Add(1)
	go func() {
		defer g.calls.Done()
		next, err := g.start(context.Background())
		if err != nil {
			g.slots <- struct{}{}
			return
		}
		g.put(next)
	}()
}

// invoke shows a block to the guest and visits what it answers, while the instance is still the call's: result is
// nil for "unchanged", and both alias the guest's memory.
func (g *Guest) invoke(ctx context.Context, function string, h *Head, block []byte, visit func(result, input []byte) error) (err error) {
	g.calls.Add(1)
	defer g.calls.Done()
	ctx, span := telemetry.Child(ctx, function, telemetry.Guest.String(g.Name))
	defer func() { telemetry.End(span, err) }()
	if !g.breaker.allows(time.Now()) {
		return errOpen
	}
	began := time.Now()
	var i *instance
	i, err = g.take(ctx, began)
	if err == nil {
		err = g.exchange(ctx, i, function, h, block, began, visit)
	}
	g.Called.Add(1)
	g.Busy.Add(int64(time.Since(began)))
	if err != nil && ctx.Err() == nil {
		g.Failed.Add(1)
		g.breaker.failed(time.Now())
	} else {
		g.breaker.worked()
	}
	return err
}

func (g *Guest) exchange(ctx context.Context, i *instance, function string, h *Head, block []byte, began time.Time, visit func(result, input []byte) error) error {
	i.begin(ctx, h, g.limits.Timeout-time.Since(began))
	err := i.put(block)
	var out uint64
	if err == nil {
		entered := time.Now()
		out, err = i.call(i.function(function), uint64(len(block)))
		g.InGuest.Add(int64(time.Since(entered)))
	}
	if err == nil {
		err = g.look(i, out, len(block), visit)
	}
	if err == nil {
		err = i.rest()
	}
	if err != nil {
		g.fail(i)
		return cut(err)
	}
	g.put(i)
	return nil
}

// cut makes a long error of the engine, with its stack, one of the guest's.
func cut(err error) error {
	if errors.Is(err, ErrDeadline) {
		return ErrDeadline
	}
	return err
}

func (g *Guest) look(i *instance, out uint64, block int, visit func(result, input []byte) error) error {
	input, ok := i.module.Memory().Read(i.at, uint32(block))
	if !ok {
		return errBadResult
	}
	if out == 0 {
		return visit(nil, input)
	}
	result, err := i.view(out, 4*block+1<<20)
	if err != nil {
		return err
	}
	return visit(result, input)
}

// Instances is how many instances there are, and the most memory that one has had.
func (g *Guest) Instances() (n int, memory uint32) { return int(g.open.Load()), g.highest.Load() }

// Close waits for running calls and ends the instances.
func (g *Guest) Close() {
	g.stop()
	g.done.Wait()
	g.calls.Wait()
	for {
		select {
		case i := <-g.free:
			i.close()
		default:
			return
		}
	}
}
