package wasm

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
)

// image writes a module as an image into a folder, and returns the manifest's digest.
func image(t *testing.T, dir, mediaType string, module []byte) string {
	t.Helper()
	store, err := oci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	layer := content.NewDescriptorFromBytes(mediaType, module)
	if err := store.Push(t.Context(), layer, bytes.NewReader(module)); err != nil {
		t.Fatal(err)
	}
	m, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, "application/vnd.wasm.config.v0+json", oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Tag(t.Context(), m, "v1"); err != nil {
		t.Fatal(err)
	}
	return m.Digest.String()
}

// registry serves the images of a folder, as a registry does; changed says what it makes of
// content.
func registry(t *testing.T, dir string, asked *int, changed func(b []byte) []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		d := digest.Digest(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		b, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", d.Encoded()))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		}
		w.Header().Set("Docker-Content-Digest", d.String())
		b = changed(b)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(b)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestImages: a module comes from a registry or a folder, is verified, and is kept.
func TestImages(t *testing.T) {
	module, err := os.ReadFile(guest(t, header))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := image(t, dir, layerTypes[0], module)
	asked := 0
	host := registry(t, dir, &asked, func(b []byte) []byte { return b })
	for _, where := range []string{host + "/plugins/header", layout + dir} {
		w, err := build(t, fmt.Sprintf("{image: %q, plain_http: true, config: {key: via, value: sluice}}", where+"@"+d))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if got := w.guest().Digest; got != Digest(module) || w.guest().Name != "header" {
			t.Errorf("%s: %s", where, got)
		}
		if sent, _, err := run(t, w, produce("orders", records(t, shape{}, "a"))); err != nil {
			t.Errorf("%s: %v, %v", where, sent, err)
		}
	}
	before := asked
	if _, err := build(t, fmt.Sprintf("{image: %q, plain_http: true, config: {key: via}}", host+"/plugins/header@"+d)); err != nil || asked > before+2 {
		t.Errorf("fetched again: %d requests, %v", asked-before, err)
	}
}

// TestImagesThatAreRefused: nothing runs that is not what the digest says.
func TestImagesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	module := []byte("a module of another kind")
	other := image(t, dir, "application/octet-stream", module)
	bad := image(t, dir, layerTypes[1], []byte("no module"))
	asked := 0
	lying := registry(t, dir, &asked, func(b []byte) []byte { return append([]byte(nil), bytes.ToUpper(b)...) })
	for ref, want := range map[string]string{
		layout + dir + "@" + other:                                       "0 layers of the type application/wasm",
		layout + dir + "@" + bad:                                         "not a WASM module",
		layout + dir + "@sha256:" + strings.Repeat("0", 64):              "not found",
		layout + filepath.Join(dir, "nowhere") + "@" + bad:               "no such file",
		lying + "/x@" + bad:                                              "",
		"registry.example.com/header:v1":                                 "want REGISTRY/NAME@sha256:DIGEST",
		"registry.example.com/header@sha512:" + strings.Repeat("0", 128): "want REGISTRY/NAME@sha256:DIGEST",
	} {
		_, err := build(t, fmt.Sprintf("{image: %q, plain_http: true}", ref))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
	if _, err := build(t, "{image: \"oci:x@"+bad+"\", file: x.wasm}"); err == nil || !strings.Contains(err.Error(), "both say where the module is") {
		t.Errorf("both: %v", err)
	}
}
