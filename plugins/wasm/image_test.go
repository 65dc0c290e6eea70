package wasm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
)

// layoutOf writes a module as an image into a folder, and returns what names it.
func layoutOf(t *testing.T, module []byte) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, content any) {
		t.Helper()
		b, ok := content.([]byte)
		if !ok {
			var err error
			if b, err = json.Marshal(content); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blobs := filepath.Join("blobs", "sha256")
	if err := os.MkdirAll(filepath.Join(dir, blobs), 0o700); err != nil {
		t.Fatal(err)
	}
	described := func(mediaType string, b []byte) map[string]any {
		put(filepath.Join(blobs, host.Digest(b)), b)
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + host.Digest(b), "size": len(b)}
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": described("application/vnd.wasm.config.v0+json", []byte("{}")),
		"layers": []any{described("application/wasm", module)},
	})
	if err != nil {
		t.Fatal(err)
	}
	put("oci-layout", map[string]any{"imageLayoutVersion": "1.0.0"})
	put("index.json", map[string]any{"schemaVersion": 2, "manifests": []any{described(manifestType, manifest)}})
	return "oci:" + dir + "@sha256:" + host.Digest(manifest)
}

// TestAModuleOfAnImage runs as one of a file does.
func TestAModuleOfAnImage(t *testing.T) {
	module, err := os.ReadFile(guest(t, header))
	if err != nil {
		t.Fatal(err)
	}
	w, err := build(t, fmt.Sprintf("{image: %q, config: {key: via, value: sluice}}", layoutOf(t, module)))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Guest().Digest; got != host.Digest(module) {
		t.Errorf("its digest is %s", got)
	}
	if got := w.Guest().Name; got != "header" {
		t.Errorf("its name is %s", got)
	}
	if sent, _, err := run(t, w, produce("orders", records(t, shape{}, "a"))); err != nil || sent == nil {
		t.Errorf("%v", err)
	}
}

// TestSectionsWithImagesThatAreRefused say why.
func TestSectionsWithImagesThatAreRefused(t *testing.T) {
	bad := layoutOf(t, []byte("no module"))
	for section, want := range map[string]string{
		fmt.Sprintf("{image: %q}", bad):                                    "not a WASM module",
		"{image: registry.example.com/header:v1}":                          "want REGISTRY/NAME@sha256:DIGEST",
		fmt.Sprintf("{image: %q, file: x.wasm}", bad):                      "both say where the module is",
		"{image: \"oci:nowhere@" + bad[strings.Index(bad, "@")+1:] + "\"}": "no such file",
	} {
		if _, err := build(t, section); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}
