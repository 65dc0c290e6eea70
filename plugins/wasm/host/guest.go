// Package host runs guests: modules, and plugins that are compiled into the gateway. It shows them
// records and messages, within their limits, and answers what they ask for meanwhile.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/breaker"
	"github.com/sluice-gateway/sluice/plugins/wasm/kept"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Options of a guest.
type Options struct {
	Name     string
	Settings []byte // JSON, nil for none
	Limits   Limits
	// Grant lists the capabilities that the guest has.
	Grant     manifest.Grants
	HTTPHosts []string
	// Tombstones makes records that are dropped from batches of idempotent producers null instead
	// of an error, but on compacted topics.
	Tombstones bool
	// Trace, if not nil, is told of every partition that the guest was shown.
	Trace func(guest string, h *blocks.Head, p *blocks.Partition)
	Log   *slog.Logger
	// Store and Metrics are what the guest keeps; they may outlive it. Without them it keeps
	// nothing.
	Store   *kept.Store
	Metrics *kept.Metrics
}

// Code is one version of a plugin's code: a Module, or a plugin that is compiled into the gateway.
type Code interface {
	// About is its manifest, and its digest if it is a module.
	About() (manifest.Manifest, string)
	open(ctx context.Context, g *Guest) (runner, error)
	Close() error
}

// runner is one running copy of a plugin. It serves one call at a time, and is thrown away after an
// error: what state it is in then, nobody knows.
type runner interface {
	// begin says what the next function is called for, and returns when it is ended at the latest;
	// end says that it has been.
	begin(ctx context.Context, h *blocks.Head, limit time.Duration) time.Time
	end()
	configure(ctx context.Context, settings []byte) error
	selfTest(ctx context.Context) error
	// show calls a function with a block. result is nil for "unchanged", and aliases the copy's
	// memory as what the input has become does, until rest. inside is the time in the plugin's
	// code.
	show(function string, b blocks.Block) (result, input []byte, inside time.Duration, err error)
	rest() error
	tick(now time.Time) error
	memory() uint32 // bytes; 0 if it has none of its own
	close(ctx context.Context)
	// why says of an error that ended a call what the plugin said of it.
	why(err error) error
	drop() // ends one that failed
	blocks.Spender
}

// visitor is shown what a call has made of its block: result is nil for "unchanged", and both alias
// the copy's memory, which is still the call's. So is the time.
type visitor func(s blocks.Spender, result, input []byte) error

// Guest is configured code with a pool of instances. It is what the gateway, and the tools for
// authors, run plugins with.
type Guest struct {
	Manifest manifest.Manifest
	Digest   string // SHA-256 of the module's file, hex; "" if it is compiled in
	Options
	code     Code
	breakers breaker.Breakers
	lines    lines
	buffers  blocks.Buffers

	free  chan runner
	slots chan struct{} // room for instances that don't exist yet
	calls guard.Group
	life  context.Context // ends with the guest
	stop  context.CancelFunc
	done  guard.Group

	// Called, Failed and Replaced count calls, those that failed, and instances thrown away; Busy
	// is the time in calls, waiting for an instance included, and InGuest that in the guest's code,
	// in nanoseconds.
	Called, Failed, Replaced, Busy, InGuest atomic.Int64
	open                                    atomic.Int32
	highest                                 atomic.Uint32 // memory of an instance
}

// blockers is by how much the pool of a guest grows whose calls may wait for a cluster or another
// server.
const blockers = 8

// NewGuest starts a guest: one instance is started, configured and tested. The code
// stays the caller's.
func NewGuest(ctx context.Context, code Code, o Options) (*Guest, error) {
	n := o.instances()
	g := &Guest{code: code, Options: o, free: make(chan runner, n), slots: make(chan struct{}, n)}
	g.Manifest, g.Digest = code.About()
	first, err := g.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := first.selfTest(ctx); err != nil {
		first.drop()
		return nil, fmt.Errorf("self-test: %w", err)
	}
	g.put(first)
	for range n - 1 {
		g.slots <- struct{}{}
	}
	g.life, g.stop = context.WithCancel(context.Background())
	g.done.Go(func() { g.shrink(g.life) })
	if g.Manifest.TickMS > 0 {
		g.done.Go(func() { g.tick(g.life, time.Duration(g.Manifest.TickMS)*time.Millisecond) })
	}
	return g, nil
}

// instances is how many there may be.
func (o *Options) instances() int {
	n := runtime.GOMAXPROCS(0)
	switch {
	case o.Limits.Instances > 0:
		n = o.Limits.Instances
	case o.Grant.Waits():
		n += blockers
	}
	return n
}

func (g *Guest) start(ctx context.Context) (runner, error) {
	i, err := g.code.open(ctx, g)
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
func (g *Guest) put(i runner) {
	if n := i.memory(); n > g.highest.Load() {
		g.highest.Store(n)
	}
	i.end()
	g.free <- i
}

// waitLimit is how long a request waits for an instance at most. That is no part of the call's
// time: what others do is no fault of its own.
const waitLimit = 10 * time.Second

var errBusy = errors.New("all instances of the guest are busy: see limits.instances")

// take waits for an instance, or starts one if there is room.
func (g *Guest) take(ctx context.Context) (runner, error) {
	select {
	case i := <-g.free:
		return i, nil
	default:
	}
	ctx, cancel := context.WithTimeoutCause(ctx, waitLimit, errBusy)
	defer cancel()
	var failed <-chan error
	slots := g.slots
	for {
		select {
		case i := <-g.free:
			return i, nil
		case <-slots:
			failed, slots = g.startAnother(), nil
		case err := <-failed:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// startAnother puts another instance into the pool. Starting may take longer than any call: who
// needs it waits for as long as it may, and the next one finds it. The channel gets the error if it
// fails.
func (g *Guest) startAnother() <-chan error {
	failed := make(chan error, 1)
	g.calls.Go(func() {
		i, err := g.start(g.life)
		if err != nil {
			g.slots <- struct{}{}
			failed <- blocks.Bad("another instance does not start", err) // which is not the fault of what it is wanted for
			return
		}
		g.put(i)
	})
	return failed
}

// fail throws an instance away and starts another in its place.
func (g *Guest) fail(i runner) {
	i.drop()
	g.open.Add(-1)
	g.Replaced.Add(1)
	g.startAnother()
}

// invoke shows a block to the guest and visits what it answers.
func (g *Guest) invoke(ctx context.Context, function string, h *blocks.Head, b blocks.Block, visit visitor) (err error) {
	g.calls.Add(1)
	defer g.calls.Done()
	if trace.SpanFromContext(ctx).IsRecording() { // or the attribute would cost an allocation
		var span trace.Span
		ctx, span = telemetry.Child(ctx, function, telemetry.Guest.String(g.Name))
		defer func() { telemetry.End(span, err) }()
	}
	began := time.Now()
	var i runner
	i, err = g.take(ctx)
	if err == nil {
		if err = g.exchange(ctx, i, function, h, b, visit); err != nil && ctx.Err() == nil {
			g.Failed.Add(1)
		}
	}
	g.Called.Add(1)
	g.Busy.Add(int64(time.Since(began)))
	return err
}

func (g *Guest) exchange(ctx context.Context, i runner, function string, h *blocks.Head, b blocks.Block, visit visitor) error {
	b.Deadline = i.begin(ctx, h, g.Limits.Timeout)
	result, input, inside, err := i.show(function, b)
	g.InGuest.Add(int64(inside))
	if err == nil {
		err = visit(i, result, input)
	}
	if err != nil {
		if err = i.why(err); failure(err) && ctx.Err() == nil {
			g.logFailure(ctx, function, h, err)
		}
		g.fail(i)
		return err
	}
	if err := i.rest(); err != nil { // the call itself is done
		g.Failed.Add(1)
		g.logFailure(ctx, abi.ExportIdle, h, i.why(err))
		g.fail(i)
		return nil
	}
	g.put(i)
	return nil
}

// logFailure tells of a failure in a line, in the guest's words where it had any; h is nil where it
// is no client's.
func (g *Guest) logFailure(ctx context.Context, function string, h *blocks.Head, err error) {
	if g.Log == nil {
		return
	}
	log := g.Log.With("function", function)
	if h != nil {
		log = log.With("client_id", h.ClientID, "address", h.Address(), "api", kmsg.NameForKey(h.Key))
	}
	log.WarnContext(ctx, "the guest failed", "reason", err)
}

// Instances is how many instances there are, and the most memory that one has had.
func (g *Guest) Instances() (n int, memory uint32) { return int(g.open.Load()), g.highest.Load() }

// closeLimit is how long the instances of a guest may take to close, together.
const closeLimit = 2 * time.Second

// Close waits for running calls and ends the instances.
func (g *Guest) Close() {
	g.stop()
	g.done.Wait()
	g.calls.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	for {
		select {
		case i := <-g.free:
			i.close(ctx)
		default:
			return
		}
	}
}
