// Package source is where modules come from: files and OCI images.
package source

import (
	"fmt"
	"io"
	"os"

	"github.com/sluice-gateway/sluice/plugins/wasm/meter"
)

// File is the module of a file, or so much of it that it is refused.
func File(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, fmt.Errorf("%s is not a file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, meter.MaxBytes+1))
}
