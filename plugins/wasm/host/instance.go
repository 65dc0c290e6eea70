package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// ErrDeadline ends a call from outside.
var ErrDeadline = errors.New("the call took longer than limits.timeout")

// instance is one running module. It serves one call at a time, and is thrown away after an error:
// what state it is in then, nobody knows.
type instance struct {
	call
	module api.Module
	// ctx brings the instance to the functions that the guest calls.
	ctx     context.Context
	alloc   api.Function
	idle    api.Function
	known   map[string]api.Function
	at, cap uint32 // the input buffer
	stack   [4]uint64
	stderr  lineWriter

	results map[int32][]byte // of blocking imports, by handle, during a call
	handles int32
}

type instanceKey struct{}

func of(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

// open starts an instance.
func (m *Module) open(ctx context.Context, g *Guest) (runner, error) { return m.instantiate(ctx, g) }

func (m *Module) instantiate(ctx context.Context, g *Guest) (*instance, error) {
	i := &instance{call: call{guest: g}, known: map[string]api.Function{}}
	i.ctx = context.WithValue(context.Background(), instanceKey{}, i)
	i.stderr.instance = i
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize", "_start").
		WithSysNanotime().WithSysWalltime().WithRandSource(randomness{i}).WithNanosleep(i.sleep).
		WithStdout(&lineWriter{instance: i}).WithStderr(&i.stderr)
	i.within(ctx, startLimit)
	module, err := m.runtime.InstantiateModule(i.ctx, m.compiled, cfg)
	if err != nil {
		return nil, fmt.Errorf("start: %w", i.why(err))
	}
	i.module = module
	i.alloc, i.idle = i.function(abi.ExportAlloc), i.function(abi.ExportIdle)
	return i, nil
}

// startLimit is how long starting, configuring and testing an instance may take each.
const startLimit = 10 * time.Second

// yield is called by the code itself, so often that it can be stopped: see meter.
func (i *instance) yield() {
	if err := i.over(); err != nil {
		panic(err)
	}
}

// charge counts bytes that the gateway handles for the call, and ends it when it is over.
func (i *instance) charge(bytes int) {
	if err := i.Spend(bytes); err != nil {
		panic(err)
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

// function is an exported function, nil if there is none. Each has a stack of its own, so it is
// looked up once.
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
	i.within(ctx, startLimit)
	out, err := i.invoke(f, args...)
	if err != nil {
		return 0, i.why(err)
	}
	return out, nil
}

func (i *instance) invoke(f api.Function, args ...uint64) (uint64, error) {
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

// room makes the guest's input buffer have n bytes at least, and returns it.
func (i *instance) room(n int) ([]byte, error) {
	if uint32(n) > i.cap || i.cap == 0 {
		n := uint64(n+inputStep-1) / inputStep * inputStep
		at, err := i.invoke(i.alloc, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", abi.ExportAlloc, err)
		}
		i.at, i.cap = uint32(at), uint32(n)
	}
	buffer, ok := i.module.Memory().Read(i.at, i.cap)
	if !ok {
		return nil, fmt.Errorf("%s returned a buffer outside of the guest's memory", abi.ExportAlloc)
	}
	return buffer, nil
}

// inputStep is what the input buffer grows by, so that it does not grow with every block.
const inputStep = 4 << 10

// put encodes a block into the guest's input buffer, and returns its length.
func (i *instance) put(b blocks.Block) (int, error) {
	buffer, err := i.room(b.Size())
	if err != nil {
		return 0, err
	}
	out := b.Encode(buffer[:0])
	if len(out) > len(buffer) { // it was larger than thought, and has left the buffer
		if buffer, err = i.room(len(out)); err != nil {
			return 0, err
		}
		copy(buffer, out)
	}
	return len(out), nil
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
	n, err := i.put(blocks.OfSettings(settings))
	if err != nil {
		return err
	}
	if err := i.ask(ctx, abi.ExportConfigure, uint64(n)); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

func (i *instance) selfTest(ctx context.Context) error { return i.ask(ctx, abi.ExportSelfTest) }

// show calls a function with a block.
func (i *instance) show(function string, b blocks.Block) (result, input []byte, inside time.Duration, err error) {
	n, err := i.put(b)
	if err != nil {
		return nil, nil, 0, err
	}
	entered := time.Now()
	out, err := i.invoke(i.function(function), uint64(n))
	inside = time.Since(entered)
	if err != nil {
		return nil, nil, inside, err
	}
	input, ok := i.module.Memory().Read(i.at, uint32(n))
	if !ok {
		return nil, nil, inside, blocks.ErrResult
	}
	if out != 0 {
		result, err = i.view(out, 4*n+1<<20)
	}
	return result, input, inside, err
}

func (i *instance) tick(now time.Time) error {
	_, err := i.invoke(i.function(abi.ExportOnTick), api.EncodeI64(now.UnixMilli()))
	return err
}

// rest lets the guest collect its garbage, for as long as a call may take.
func (i *instance) rest() error {
	if i.idle == nil {
		return nil
	}
	i.within(context.Background(), i.guest.Limits.Timeout)
	_, err := i.invoke(i.idle)
	return err
}

func (i *instance) close(ctx context.Context) {
	if f := i.function(abi.ExportClose); f != nil {
		_, _ = i.run(ctx, f)
	}
	_ = i.module.Close(context.Background())
}

// drop ends an instance that failed.
func (i *instance) drop() { _ = i.module.Close(context.Background()) }

// memory is the size of the instance's memory.
func (i *instance) memory() uint32 { return i.module.Memory().Size() }
