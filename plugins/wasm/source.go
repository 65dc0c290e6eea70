package wasm

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/meter"
)

// source is where a plugin's code comes from.
type source struct {
	what  string // it is, for errors
	fixed bool   // it is always the same code
	load  func(ctx context.Context) (loaded, error)
}

// loaded is code that was read. files are also those that could not be.
type loaded struct {
	id    string // other code has another
	files map[string]plugin.Stamp
	code  func(ctx context.Context) (Code, error)
}

// load reads the module and checks its digest.
func (c Config) load(ctx context.Context, section config.Section) (out loaded, err error) {
	var code []byte
	if c.Image != "" {
		if code, err = pull(ctx, c.Image, c.PlainHTTP, section.Resolve); err != nil {
			return out, wrong(section, "image", "%s: %v", c.Image, err)
		}
	} else {
		file := section.Resolve(c.File)
		stamp, _ := plugin.StampOf(file)
		out.files = map[string]plugin.Stamp{file: stamp}
		if code, err = readModule(file); err != nil {
			return out, wrong(section, "file", "%v", err)
		}
	}
	out.id = Digest(code)
	if c.SHA256 != "" && !strings.EqualFold(c.SHA256, out.id) {
		return out, wrong(section, "sha256", "%s has the digest %s", c.File+c.Image, out.id)
	}
	out.code = func(ctx context.Context) (Code, error) { return Compile(ctx, code, c.Limits.Memory) }
	return out, nil
}

// wrong says what is wrong with a key of a section.
func wrong(section config.Section, key, format string, args ...any) error {
	return config.Errors{section.Errorf([]string{key}, format, args...)}
}

// readModule reads a file, or so much of it that it is refused.
func readModule(file string) ([]byte, error) {
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
