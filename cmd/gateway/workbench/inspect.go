package workbench

import (
	"context"
	"errors"
	"os"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
)

// Inspected is what a module is.
type Inspected struct {
	Manifest  manifest.Manifest `json:"manifest"`
	Digest    string            `json:"sha256"`
	Bytes     int               `json:"bytes"`
	Imports   []string          `json:"imports"`
	Exports   []string          `json:"exports"`
	CompileMS int64             `json:"compile_ms"`
	StartUS   int64             `json:"instance_start_us"`
	Instance  uint32            `json:"instance_bytes"`
}

// Inspect compiles a module and starts an instance, without a configuration.
func Inspect(ctx context.Context, file string) (i Inspected, err error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return i, err
	}
	m, err := host.Compile(ctx, code, host.DefaultLimits().Memory)
	if err != nil {
		return i, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	i = Inspected{Manifest: m.Manifest, Digest: m.Digest, Bytes: m.Size, Imports: m.Imports(), Exports: m.Exports(), CompileMS: m.Compiled.Milliseconds()}
	took, memory, err := m.Trial(ctx)
	i.StartUS, i.Instance = took.Microseconds(), memory
	return i, err
}
