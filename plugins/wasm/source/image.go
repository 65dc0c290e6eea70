package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/sluice-gateway/sluice/plugins/wasm/cache"
	"github.com/sluice-gateway/sluice/plugins/wasm/meter"
)

const (
	// pullLimit is how long fetching an image may take: a reload waits for it.
	pullLimit = 30 * time.Second
	// layout marks an image in a folder.
	layout = "oci:"
)

// layerTypes are the media types of a layer that is a module, as the common tools for WASM images
// write them.
var layerTypes = []string{"application/wasm", "application/vnd.module.wasm.content.layer.v1+wasm", "application/vnd.wasm.content.layer.v1+wasm"}

// ParseImage divides REGISTRY/NAME@DIGEST or oci:FOLDER@DIGEST. Without a digest nobody knows what
// will run.
func ParseImage(ref string) (where, digest string, err error) {
	where, digest, ok := strings.Cut(ref, "@")
	if !ok || !strings.HasPrefix(digest, "sha256:") || where == "" || where == layout {
		return "", "", errors.New("want REGISTRY/NAME@sha256:DIGEST, or oci:FOLDER@sha256:DIGEST for an image layout in a folder")
	}
	return where, digest, nil
}

// Image is the module of an image. What was fetched before is taken from the cache, after its
// digest was compared again.
func Image(ctx context.Context, ref string, plainHTTP bool, resolve func(string) string) ([]byte, error) {
	where, digest, err := ParseImage(ref)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	source, err := open(ctx, where, plainHTTP, resolve)
	if err != nil {
		return nil, err
	}
	if images, err := cache.Images(); err == nil {
		if cache, err := oci.NewWithContext(ctx, images); err == nil {
			return fetch(ctx, cached{source, cache}, digest)
		}
	}
	return fetch(ctx, source, digest)
}

// open opens where an image is.
func open(ctx context.Context, where string, plainHTTP bool, resolve func(string) string) (oras.ReadOnlyTarget, error) {
	if folder, ok := strings.CutPrefix(where, layout); ok {
		return oci.NewFromFS(ctx, os.DirFS(resolve(folder)))
	}
	repo, err := remote.NewRepository(where)
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = plainHTTP
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache()}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		client.Credential = credentials.Credential(store) // as docker login left them
	}
	repo.Client = client
	return repo, nil
}

// cached looks into a cache first, and puts into it what it had to fetch.
type cached struct {
	oras.ReadOnlyTarget
	cache *oci.Store
}

// fetchDescriptor reads what a descriptor names, verified.
func fetchDescriptor(ctx context.Context, from oras.ReadOnlyTarget, d ocispec.Descriptor) ([]byte, error) {
	c, ok := from.(cached)
	if !ok {
		return content.FetchAll(ctx, from, d)
	}
	if b, err := content.FetchAll(ctx, c.cache, d); err == nil {
		return b, nil
	}
	b, err := content.FetchAll(ctx, c.ReadOnlyTarget, d)
	if err == nil {
		_ = c.cache.Push(ctx, d, strings.NewReader(string(b))) // next time
	}
	return b, err
}

// find is the descriptor of the manifest: the cache knows those that it has.
func find(ctx context.Context, from oras.ReadOnlyTarget, digest string) (ocispec.Descriptor, error) {
	if c, ok := from.(cached); ok {
		if d, err := c.cache.Resolve(ctx, digest); err == nil {
			return d, nil
		}
	}
	return from.Resolve(ctx, digest)
}

// fetch reads the manifest and its only layer that is a module.
func fetch(ctx context.Context, from oras.ReadOnlyTarget, digest string) ([]byte, error) {
	d, err := find(ctx, from, digest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}
	if d.Digest.String() != digest {
		return nil, fmt.Errorf("asked for %s, got %s", digest, d.Digest)
	}
	raw, err := fetchDescriptor(ctx, from, d)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var found []ocispec.Descriptor
	for _, l := range m.Layers {
		if slices.Contains(layerTypes, l.MediaType) {
			found = append(found, l)
		}
	}
	switch {
	case len(found) != 1:
		return nil, fmt.Errorf("the image has %d layers of the type %s, want one", len(found), layerTypes[0])
	case found[0].Size > meter.MaxBytes:
		return nil, fmt.Errorf("the module has %d bytes, at most %d are fetched", found[0].Size, meter.MaxBytes)
	}
	code, err := fetchDescriptor(ctx, from, found[0])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the image lacks its layer: %w", err)
	}
	return code, err
}
