package wasm

import (
	"context"
	"strings"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/share"
	"github.com/sluice-gateway/sluice/plugins/wasm/source"
)

// load reads the module and checks its digest.
func (c Config) load(ctx context.Context, section config.Section) (out share.Loaded, err error) {
	var code []byte
	if c.Image != "" {
		if code, err = source.Image(ctx, c.Image, c.PlainHTTP, section.Resolve); err != nil {
			return out, wrong(section, "image", "%s: %v", c.Image, err)
		}
	} else {
		file := section.Resolve(c.File)
		stamp, _ := plugin.StampOf(file)
		out.Files = map[string]plugin.Stamp{file: stamp}
		if code, err = source.File(file); err != nil {
			return out, wrong(section, "file", "%v", err)
		}
	}
	out.ID = host.Digest(code)
	if c.SHA256 != "" && !strings.EqualFold(c.SHA256, out.ID) {
		return out, wrong(section, "sha256", "%s has the digest %s", c.File+c.Image, out.ID)
	}
	out.Code = func(ctx context.Context) (host.Code, error) { return host.Compile(ctx, code, c.Limits.Memory) }
	return out, nil
}

// wrong says what is wrong with a key of a section.
func wrong(section config.Section, key, format string, args ...any) error {
	return config.Errors{section.Errorf([]string{key}, format, args...)}
}
