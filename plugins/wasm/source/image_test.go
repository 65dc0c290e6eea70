package source

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

// pack writes a module as an image into a folder, and returns the manifest's digest.
func pack(t *testing.T, dir, mediaType string, module []byte) string {
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

// resolved is a folder that is named by its whole path.
func resolved(folder string) string { return folder }

// TestImages: a module comes from a registry or a folder, is verified, and is kept.
func TestImages(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	module, dir := []byte("the module"), t.TempDir()
	d := pack(t, dir, layerTypes[0], module)
	asked := 0
	host := registry(t, dir, &asked, func(b []byte) []byte { return b })
	for _, where := range []string{host + "/plugins/header", layout + dir} {
		got, err := Image(t.Context(), where+"@"+d, true, resolved)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if !bytes.Equal(got, module) {
			t.Errorf("%s: %q", where, got)
		}
	}
	before := asked
	if _, err := Image(t.Context(), host+"/plugins/header@"+d, true, resolved); err != nil || asked > before+2 {
		t.Errorf("fetched again: %d requests, %v", asked-before, err)
	}
}

// TestImagesThatAreRefused: nothing is given that is not what the digest says.
func TestImagesThatAreRefused(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	other := pack(t, dir, "application/octet-stream", []byte("a module of another kind"))
	module := pack(t, dir, layerTypes[1], []byte("a module"))
	asked := 0
	lying := registry(t, dir, &asked, func(b []byte) []byte { return append([]byte(nil), bytes.ToUpper(b)...) })
	for ref, want := range map[string]string{
		layout + dir + "@" + other:                                       "0 layers of the type application/wasm",
		layout + dir + "@sha256:" + strings.Repeat("0", 64):              "not found",
		layout + filepath.Join(dir, "nowhere") + "@" + module:            "no such file",
		lying + "/x@" + module:                                           "",
		"registry.example.com/header:v1":                                 "want REGISTRY/NAME@sha256:DIGEST",
		"registry.example.com/header@sha512:" + strings.Repeat("0", 128): "want REGISTRY/NAME@sha256:DIGEST",
	} {
		_, err := Image(t.Context(), ref, true, resolved)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
}
