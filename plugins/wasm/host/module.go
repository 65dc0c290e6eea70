package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/plugins/wasm/cache"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/plugins/wasm/meter"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Module is one version of a guest's code, compiled. It has a runtime and a compilation cache of
// its own, which are closed with it: a shared cache would keep every version that ever was.
type Module struct {
	manifest.Manifest
	Digest   string // SHA-256 of the file, hex
	Size     int
	Compiled time.Duration // how long compiling took

	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
}

// Digest is the SHA-256 of a module's bytes, in hex.
func Digest(code []byte) string {
	sum := sha256.Sum256(code)
	return hex.EncodeToString(sum[:])
}

// compileLimit is how long compiling may take. What would take long is refused before, so it is for
// a machine that is very busy.
const compileLimit = 4 * time.Minute

// Compile meters, checks and compiles a module, whose instances may have up to memory bytes. When
// ctx ends it returns at once; what cannot be stopped then comes to its end alone, and soon: see
// meter.MaxEffort.
func Compile(ctx context.Context, code []byte, memory int64) (*Module, error) {
	metered, err := meter.Rewrite(code)
	if err != nil {
		return nil, fmt.Errorf("not a WASM module that can be run: %w", err)
	}
	m := &Module{Digest: Digest(code), Size: len(code)}
	ctx, cancel := context.WithTimeoutCause(ctx, compileLimit, fmt.Errorf("compiling took longer than %s", compileLimit))
	var over atomic.Bool // compiling has ended, or nobody waits for it any more, whichever came first
	done := make(chan error, 1)
	guard.Go(func() {
		defer cancel()
		var err error
		if perr := guard.Catch(func() { err = m.make(ctx, metered, memory) }); perr != nil {
			err = perr
		}
		if waited := over.CompareAndSwap(false, true); err != nil || !waited {
			err = errors.Join(err, m.Close())
		}
		done <- err
	})
	select {
	case <-ctx.Done():
		if over.CompareAndSwap(false, true) {
			return nil, context.Cause(ctx)
		}
		err = <-done
	case err = <-done:
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// make compiles metered code and asks it who it is.
func (m *Module) make(ctx context.Context, metered []byte, memory int64) error {
	if folder, trim, err := cache.Modules(); err == nil {
		if c, err := wazero.NewCompilationCacheWithDir(folder); err == nil {
			m.cache = c
			defer trim()
		}
	}
	if m.cache == nil {
		m.cache = wazero.NewCompilationCache()
	}
	cfg := wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(Limits{Memory: memory}.pages())
	m.runtime = wazero.NewRuntimeWithConfig(ctx, cfg.WithCompilationCache(m.cache))
	began := time.Now()
	if err := m.compile(ctx, metered); err != nil {
		return err
	}
	m.Compiled = time.Since(began)
	return m.introduce(ctx)
}

// compile compiles the metered code and checks its imports and exports.
func (m *Module) compile(ctx context.Context, code []byte) (err error) {
	if err := offerAll(ctx, m.runtime); err != nil {
		return err
	}
	if m.compiled, err = m.runtime.CompileModule(ctx, code); err != nil {
		return fmt.Errorf("not a WASM module that can be run: %w", err)
	}
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if !slices.Contains(importable, module) {
			return fmt.Errorf("the module imports %s.%s: a guest may import %s and wasi_snapshot_preview1", module, name, abi.Module)
		}
		want := m.runtime.Module(module).ExportedFunctionDefinitions()[name]
		if want == nil {
			return fmt.Errorf("the module imports %s.%s, which this gateway does not have: use an older SDK, or a newer gateway", module, name)
		}
		if !slices.Equal(want.ParamTypes(), f.ParamTypes()) || !slices.Equal(want.ResultTypes(), f.ResultTypes()) {
			return fmt.Errorf("the module imports %s.%s with other parameters or results than it has", module, name)
		}
	}
	return m.checkExports()
}

var (
	i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	// exported are the functions of a guest, their parameters and results; those that are not
	// optional first.
	exported = []struct {
		name            string
		params, results []api.ValueType
		optional        bool
	}{
		{abi.ExportABI, nil, []api.ValueType{i32}, false},
		{abi.ExportAlloc, []api.ValueType{i32}, []api.ValueType{i32}, false},
		{abi.ExportManifest, nil, []api.ValueType{i64}, false},
		{abi.ExportConfigure, []api.ValueType{i32}, []api.ValueType{i64}, true},
		{abi.ExportOnRecords, []api.ValueType{i32}, []api.ValueType{i64}, true},
		{abi.ExportOnRequest, []api.ValueType{i32}, []api.ValueType{i64}, true},
		{abi.ExportOnResponse, []api.ValueType{i32}, []api.ValueType{i64}, true},
		{abi.ExportOnSession, []api.ValueType{i32}, []api.ValueType{i64}, true},
		{abi.ExportOnTick, []api.ValueType{i64}, nil, true},
		{abi.ExportSelfTest, nil, []api.ValueType{i64}, true},
		{abi.ExportIdle, nil, nil, true},
		{abi.ExportClose, nil, nil, true},
	}
)

func (m *Module) checkExports() error {
	functions := m.compiled.ExportedFunctions()
	for _, e := range exported {
		f := functions[e.name]
		switch {
		case f == nil && e.optional:
		case f == nil:
			return fmt.Errorf("the module does not export %s: it is not a guest of %s", e.name, abi.Module)
		case !slices.Equal(f.ParamTypes(), e.params) || !slices.Equal(f.ResultTypes(), e.results):
			return fmt.Errorf("the module exports %s with other parameters or results than %s says", e.name, abi.Module)
		}
	}
	if m.compiled.ExportedMemories()[abi.ExportMemory] == nil {
		return errors.New("the module does not export its memory")
	}
	return nil
}

// introduce asks an instance for the version and the manifest.
func (m *Module) introduce(ctx context.Context) error {
	i, err := m.instantiate(ctx, &Guest{Options: Options{Limits: DefaultLimits()}})
	if err != nil {
		return err
	}
	defer i.drop()
	version, err := i.run(ctx, i.function(abi.ExportABI))
	if err != nil {
		return err
	}
	if major := uint32(version) >> 16; major != abi.Major {
		return fmt.Errorf("the guest speaks sluice_v%d, the gateway %s", major, abi.Module)
	}
	at, err := i.run(ctx, i.function(abi.ExportManifest))
	if err != nil {
		return err
	}
	raw, err := i.copyOut(at, 1<<20)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	m.Manifest, err = manifest.Parse(raw, m.exports)
	return err
}

func (m *Module) exports(name string) bool { return m.compiled.ExportedFunctions()[name] != nil }

// Imports lists what the module imports, as module.name.
func (m *Module) Imports() (out []string) {
	for _, f := range m.compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module != meter.Module {
			out = append(out, module+"."+name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Exports lists the functions of the contract that the module exports.
func (m *Module) Exports() (out []string) {
	for name := range m.compiled.ExportedFunctions() {
		if strings.HasPrefix(name, "sluice_") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// About is the manifest and the digest.
func (m *Module) About() (manifest.Manifest, string) { return m.Manifest, m.Digest }

// Trial starts an instance without configuring it: how long that takes, and the memory that it has
// then.
func (m *Module) Trial(ctx context.Context) (took time.Duration, memory uint32, err error) {
	began := time.Now()
	i, err := m.instantiate(ctx, &Guest{Options: Options{Limits: DefaultLimits()}})
	if err != nil {
		return 0, 0, err
	}
	defer i.drop()
	return time.Since(began), i.memory(), nil
}

// Close frees the code. No instance may be in use.
func (m *Module) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(m.runtime.Close(ctx), m.cache.Close(ctx))
}
