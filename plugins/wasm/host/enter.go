package host

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sluice-gateway/sluice/plugins/wasm/meter"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// A guest's own code is metered, and what it asks of the gateway is not: 9,000 calls that take
// milliseconds each are fewer than meter.Every counts. So each function that it may import looks at
// the deadline before it does anything, and counts the bytes that it handles.

// importable are the modules whose functions a guest may import.
var importable = []string{meter.Module, abi.Module, wasi_snapshot_preview1.ModuleName}

// imported is a function that guests may import.
type imported struct {
	name            string
	params, results []api.ValueType
	call            api.GoModuleFunc
}

// offer gives a runtime a module of functions that guests may import. It is the only way to offer
// one.
func offer(ctx context.Context, r wazero.Runtime, module string, functions []imported) error {
	b := r.NewHostModuleBuilder(module)
	for _, f := range functions {
		b.NewFunctionBuilder().WithGoModuleFunction(entered(f.call), f.params, f.results).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// entered is a function that a call must be in time for.
func entered(f api.GoModuleFunc) api.GoModuleFunc {
	return func(ctx context.Context, m api.Module, s []uint64) {
		i := of(ctx)
		if i.module == nil { // it is starting
			i.module = m
		}
		i.yield()
		f(ctx, m, s)
	}
}

// offerAll offers all modules.
func offerAll(ctx context.Context, r wazero.Runtime) error {
	nothing := func(context.Context, api.Module, []uint64) {}
	if err := offer(ctx, r, meter.Module, []imported{{name: meter.Yield, call: nothing}}); err != nil {
		return err
	}
	if err := offer(ctx, r, abi.Module, functions()); err != nil {
		return err
	}
	wasi, err := wasiFunctions(ctx, r)
	if err != nil {
		return err
	}
	return offer(ctx, r, wasi_snapshot_preview1.ModuleName, wasi)
}

// The functions of WASI that are given a list of pieces or events, by the parameter that counts
// them. As in POSIX, it is bounded.
var wasiLists = map[string]int{"fd_pread": 2, "fd_pwrite": 2, "fd_read": 2, "fd_write": 2, "poll_oneoff": 2, "sock_recv": 2, "sock_send": 2}

const (
	maxList     = 1024
	wasiInvalid = 28 // an errno
)

// wasiFunctions are those of wazero.
func wasiFunctions(ctx context.Context, r wazero.Runtime) (out []imported, err error) {
	compiled, err := wasi_snapshot_preview1.NewBuilder(r).Compile(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = compiled.Close(ctx) }()
	for name, f := range compiled.ExportedFunctions() {
		wasi, ok := f.GoFunction().(api.GoModuleFunction)
		if !ok {
			return nil, fmt.Errorf("%s of WASI is not a function that can be bounded", name)
		}
		call := wasi.Call
		if at, ok := wasiLists[name]; ok {
			call = func(ctx context.Context, m api.Module, s []uint64) {
				if uint32(s[at]) > maxList {
					s[0] = wasiInvalid
					return
				}
				wasi.Call(ctx, m, s)
			}
		}
		out = append(out, imported{name, f.ParamTypes(), f.ResultTypes(), call})
	}
	return out, nil
}
