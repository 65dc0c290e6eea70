package wasm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// What ends a call from outside.
var (
	ErrDeadline  = errors.New("the call took longer than limits.timeout")
	errBadResult = errors.New("the result is not a result block")
)

// instance is one running module. It serves one call at a time, and is thrown away after an error: what state
// it is in then, nobody knows.
type instance struct {
	guest  *Guest
	module api.Module
	// ctx brings the instance to the functions that the guest calls.
	ctx     context.Context
	alloc   api.Function
	idle    api.Function
	known   map[string]api.Function
	at, cap uint32 // the input buffer
	stack   [4]uint64

	// Of the call that runs.
	request  context.Context
	deadline time.Time
	head     *Head
	results  map[int32][]byte // of blocking imports, by handle
	handles  int32
}

type instanceKey struct{}

func of(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

// open starts an instance.
func (m *Module) open(ctx context.Context, g *Guest) (*instance, error) {
	i := &instance{guest: g, known: map[string]api.Function{}}
	i.ctx = context.WithValue(context.Background(), instanceKey{}, i)
	lines := &lineWriter{guest: g}
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize", "_start").
		WithSysNanotime().WithSysWalltime().WithRandSource(rand.Reader).WithNanosleep(i.sleep).
		WithStdout(lines).WithStderr(lines)
	i.begin(ctx, nil, startLimit)
	module, err := m.runtime.InstantiateModule(i.ctx, m.compiled, cfg)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	i.module = module
	i.alloc, i.idle = i.function(abi.ExportAlloc), i.function(abi.ExportIdle)
	return i, nil
}

// startLimit is how long starting, configuring and testing an instance may take each.
const startLimit = 10 * time.Second

func (i *instance) begin(ctx context.Context, h *Head, limit time.Duration) {
	i.request, i.head, i.deadline = ctx, h, time.Now().Add(limit)
	if end, ok := ctx.Deadline(); ok && end.Before(i.deadline) {
		i.deadline = end
	}
}

// yield is called by the code itself, so often that it can be stopped: see meter.
func (i *instance) yield() {
	if err := i.request.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		panic(err)
	}
	if time.Now().After(i.deadline) {
		panic(ErrDeadline)
	}
}

// sleep lets a guest sleep until its deadline at most.
func (i *instance) sleep(ns int64) {
	t := time.NewTimer(min(time.Duration(ns), time.Until(i.deadline)+time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-i.request.Done():
	}
	i.yield()
}

// function is an exported function, nil if there is none. Each has a stack of its own, so it is looked up once.
func (i *instance) function(name string) api.Function {
	f, ok := i.known[name]
	if !ok {
		f = i.module.ExportedFunction(name)
		i.known[name] = f
	}
	return f
}

// run calls a function within startLimit.
func (i *instance) run(ctx context.Context, f api.Function, args ...uint64) (uint64, error) {
	i.begin(ctx, nil, startLimit)
	return i.call(f, args...)
}

func (i *instance) call(f api.Function, args ...uint64) (uint64, error) {
	copy(i.stack[:], args)
	err := f.CallWithStack(i.ctx, i.stack[:])
	if i.results != nil {
		i.results = nil
	}
	if err != nil {
		return 0, err
	}
	return i.stack[0], nil
}

// put writes a block into the guest's input buffer, which grows if need be.
func (i *instance) put(block []byte) error {
	if n := uint32(len(block)); n > i.cap || i.cap == 0 {
		at, err := i.call(i.alloc, uint64(n))
		if err != nil {
			return fmt.Errorf("%s: %w", abi.ExportAlloc, err)
		}
		i.at, i.cap = uint32(at), n
	}
	if !i.module.Memory().Write(i.at, block) {
		return fmt.Errorf("%s returned a buffer outside of the guest's memory", abi.ExportAlloc)
	}
	return nil
}

// view is what a result points to, in the guest's memory.
func (i *instance) view(packed uint64, limit int) ([]byte, error) {
	at, n := uint32(packed>>32), uint32(packed)
	if int64(n) > int64(limit) {
		return nil, fmt.Errorf("a result of %d bytes, more than %d", n, limit)
	}
	b, ok := i.module.Memory().Read(at, n)
	if !ok {
		return nil, errors.New("a result outside of the guest's memory")
	}
	return b, nil
}

func (i *instance) copyOut(packed uint64, limit int) ([]byte, error) {
	b, err := i.view(packed, limit)
	return bytes.Clone(b), err
}

// ask calls a function that answers 0 or a text that says what is wrong.
func (i *instance) ask(ctx context.Context, name string, args ...uint64) error {
	f := i.function(name)
	if f == nil {
		return nil
	}
	out, err := i.run(ctx, f, args...)
	if err != nil || out == 0 {
		return err
	}
	text, err := i.copyOut(out, 64<<10)
	if err != nil {
		return err
	}
	return errors.New(string(text))
}

// configure gives the guest its settings, {} if there are none: it may miss some.
func (i *instance) configure(ctx context.Context, settings []byte) error {
	if i.function(abi.ExportConfigure) == nil {
		if settings == nil {
			return nil
		}
		return errors.New("config: the guest has none")
	}
	if settings == nil {
		settings = []byte("{}")
	}
	if err := i.put(settings); err != nil {
		return err
	}
	if err := i.ask(ctx, abi.ExportConfigure, uint64(len(settings))); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// rest lets the guest collect its garbage.
func (i *instance) rest() error {
	if i.idle == nil {
		return nil
	}
	i.begin(context.Background(), nil, startLimit)
	_, err := i.call(i.idle)
	return err
}

func (i *instance) close() {
	if f := i.function(abi.ExportClose); f != nil {
		_, _ = i.run(context.Background(), f)
	}
	_ = i.module.Close(context.Background())
}

// drop ends an instance that failed.
func (i *instance) drop() { _ = i.module.Close(context.Background()) }

// memory is the size of the instance's memory.
func (i *instance) memory() uint32 { return i.module.Memory().Size() }

// lineWriter makes lines of the log of what a guest writes to its standard output and error.
type lineWriter struct {
	guest *Guest
	rest  []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok && len(w.rest) < maxLine {
			return len(p), nil
		}
		w.guest.logLine(context.Background(), abi.LogInfo, line)
		w.rest = append(w.rest[:0], rest...)
	}
}
