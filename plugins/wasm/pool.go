package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// pool holds the instances of one guest, at most one per CPU, grown when they are needed. A call waits
// its turn; the wait counts against its time limit.
type pool struct {
	cfg      Config
	settings []byte
	log      *slog.Logger
	runtime  wazero.Runtime
	compiled wazero.CompiledModule

	key   string
	users int // interceptors; guarded by the guests' lock

	free  chan *instance
	slots chan struct{} // room for instances that don't exist yet
	calls sync.WaitGroup
}

// instance is one running module. It serves one call at a time.
type instance struct {
	module  api.Module
	alloc   api.Function
	records api.Function
	idle    api.Function
	at, cap uint32 // the input buffer
}

func newPool(ctx context.Context, cfg Config, module, settings []byte, log *slog.Logger) (*pool, error) {
	n := runtime.GOMAXPROCS(0)
	p := &pool{cfg: cfg, settings: settings, log: log, free: make(chan *instance, n), slots: make(chan struct{}, n)}
	p.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(cfg.pages()).WithCloseOnContextDone(true))
	if err := p.start(ctx, module); err != nil {
		return nil, errors.Join(err, p.runtime.Close(context.Background()))
	}
	for range n - 1 {
		p.slots <- struct{}{}
	}
	return p, nil
}

// start compiles the module, checks its contract and starts the first instance.
func (p *pool) start(ctx context.Context, module []byte) (err error) {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.runtime); err != nil {
		return err
	}
	_, err = p.runtime.NewHostModuleBuilder(abi.Module).NewFunctionBuilder().WithFunc(p.logLine).Export(abi.ImportLog).Instantiate(ctx)
	if err != nil {
		return err
	}
	if p.compiled, err = p.runtime.CompileModule(ctx, module); err != nil {
		return fmt.Errorf("not a WASM module: %w", err)
	}
	exports := p.compiled.ExportedFunctions()
	for _, name := range []string{abi.ExportABI, abi.ExportAlloc, abi.ExportRecords} {
		if exports[name] == nil {
			return fmt.Errorf("the module has no export %s: it is not a guest of %s", name, abi.Module)
		}
	}
	i, err := p.open(ctx)
	if err != nil {
		return err
	}
	p.free <- i
	return nil
}

// logLine writes a line of a guest into the log.
func (p *pool) logLine(ctx context.Context, m api.Module, level int32, at, n uint32) {
	if b, ok := m.Memory().Read(at, min(n, 4096)); ok {
		p.log.Log(ctx, slog.Level(level), string(b))
	}
}

func (p *pool) open(ctx context.Context) (*instance, error) {
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName("").
		WithStartFunctions("_initialize").WithSysNanotime().WithSysWalltime().WithRandSource(rand.Reader))
	if err != nil {
		return nil, err
	}
	i := &instance{module: m, alloc: m.ExportedFunction(abi.ExportAlloc), records: m.ExportedFunction(abi.ExportRecords), idle: m.ExportedFunction(abi.ExportIdle)}
	if err := i.greet(ctx, p.settings); err != nil {
		return nil, errors.Join(err, m.Close(ctx))
	}
	return i, nil
}

// greet checks the version and configures the guest.
func (i *instance) greet(ctx context.Context, settings []byte) error {
	v, err := i.module.ExportedFunction(abi.ExportABI).Call(ctx)
	if err != nil {
		return err
	}
	if len(v) != 1 || uint32(v[0])>>16 != abi.Version>>16 {
		return fmt.Errorf("the guest speaks version %v of the contract, the gateway %d", v, abi.Version)
	}
	configure := i.module.ExportedFunction(abi.ExportConfigure)
	if configure == nil || settings == nil {
		return nil
	}
	out, err := i.invoke(ctx, configure, settings)
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("config: %s", out)
	}
	return err
}

// invoke writes a block into the guest's buffer, calls f and returns a copy of its result.
func (i *instance) invoke(ctx context.Context, f api.Function, block []byte) ([]byte, error) {
	if uint32(len(block)) > i.cap {
		at, err := i.alloc.Call(ctx, uint64(len(block)))
		if err != nil {
			return nil, err
		}
		i.at, i.cap = uint32(at[0]), uint32(len(block))
	}
	if !i.module.Memory().Write(i.at, block) {
		return nil, fmt.Errorf("%s returned a buffer outside of the guest's memory", abi.ExportAlloc)
	}
	out, err := f.Call(ctx, uint64(len(block)))
	if err != nil || out[0] == 0 {
		return nil, err
	}
	res, ok := i.module.Memory().Read(uint32(out[0]>>32), uint32(out[0]))
	if !ok {
		return nil, errBadResult
	}
	return slices.Clone(res), nil
}

// call shows a record block to an instance. An instance that fails is replaced.
func (p *pool) call(ctx context.Context, block []byte) ([]byte, error) {
	p.calls.Add(1)
	defer p.calls.Done()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	i, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	res, err := i.invoke(ctx, i.records, block)
	if err == nil && i.idle != nil {
		_, err = i.idle.Call(ctx)
	}
	if err != nil {
		_ = i.module.Close(context.Background())
		p.slots <- struct{}{}
		return nil, err
	}
	p.free <- i
	return res, nil
}

func (p *pool) take(ctx context.Context) (*instance, error) {
	select {
	case i := <-p.free:
		return i, nil
	default:
	}
	select {
	case i := <-p.free:
		return i, nil
	case <-p.slots:
		i, err := p.open(ctx)
		if err != nil {
			p.slots <- struct{}{}
			return nil, err
		}
		return i, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("all instances are busy: %w", ctx.Err())
	}
}

// close waits for running calls and frees the module.
func (p *pool) close() error {
	p.calls.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return p.runtime.Close(ctx)
}
