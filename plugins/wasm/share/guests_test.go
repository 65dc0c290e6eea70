package share

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/testing/handmade"
)

// wants is what a section wants that names a guest.
func wants(section, variant string) Wanted {
	return Wanted{
		Section: section, Identity: "guest", Variant: variant, Limits: host.DefaultLimits(),
		Source: Source{What: "guest.wasm", Load: func(context.Context) (Loaded, error) {
			return Loaded{ID: "1", Code: func(ctx context.Context) (host.Code, error) {
				return host.Compile(ctx, handmade.Guest{Name: "guest"}.Module(), host.DefaultLimits().Memory)
			}}, nil
		}},
		Options: func(m manifest.Manifest) (host.Options, error) {
			return host.Options{Name: m.Name, Limits: host.DefaultLimits()}, nil
		},
		Wrong: func(err error) error { return err },
	}
}

func get(t *testing.T, g *Guests, w Wanted) *Claim {
	t.Helper()
	h, err := g.Get(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestTheSameGuestIsSharedByRuntimes: an edit that does not concern it starts nothing, one of its
// configuration compiles nothing, and its store stays. When all have closed nothing is left.
func TestTheSameGuestIsSharedByRuntimes(t *testing.T) {
	g := NewGuests()
	a, b, c := get(t, g, wants("a", "x")), get(t, g, wants("b", "x")), get(t, g, wants("c", "y"))
	if a.use != b.use {
		t.Error("started twice")
	}
	if a.use.code != c.use.code {
		t.Error("compiled twice")
	}
	if a.Guest() == c.Guest() {
		t.Error("not configured again")
	}
	if code := a.Guest().Store.Set([]byte("k"), []byte("v"), 0); code != 0 {
		t.Fatal(code)
	}
	for _, h := range []*Claim{a, b} {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, ok := c.Guest().Store.Get([]byte("k")); !ok {
		t.Error("its store went with the others")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n := len(g.codes) + len(g.running) + len(g.sections) + len(g.kept); n != 0 {
		t.Errorf("%d things are left: %+v", n, g)
	}
}

// TestWhatCannotBeHad is held without a guest by a gateway that starts, which says whether it
// protects; any other is told why.
func TestWhatCannotBeHad(t *testing.T) {
	reason := errors.New("not with this section")
	for _, protects := range []bool{false, true} {
		g, w := NewGuests(), wants("a", "x")
		w.Options = func(manifest.Manifest) (host.Options, error) {
			if protects {
				return host.Options{}, &ProtectsError{Err: reason}
			}
			return host.Options{}, reason
		}
		if h, err := g.Get(t.Context(), w); h != nil || !errors.Is(err, reason) {
			t.Errorf("%v, %v", h, err)
		}
		w.Starting = true
		h, err := g.Get(t.Context(), w)
		if h == nil || !errors.Is(err, reason) {
			t.Fatalf("while it starts: %v, %v", h, err)
		}
		if h.Guest() != nil {
			t.Error("there is a guest")
		}
		if h.Protects() != protects {
			t.Errorf("it protects: %t", h.Protects())
		}
		if !errors.Is(h.Broken(), reason) {
			t.Errorf("broken: %v", h.Broken())
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if n := len(g.codes) + len(g.running) + len(g.sections) + len(g.kept); n != 0 {
			t.Errorf("%d things are left", n)
		}
	}
}

// TestEverySectionIsAsked whether it allows a guest, also one that runs for another.
func TestEverySectionIsAsked(t *testing.T) {
	g := NewGuests()
	c := get(t, g, wants("a", "x"))
	reason := errors.New("not with this section")
	other := wants("b", "x")
	other.Options = func(manifest.Manifest) (host.Options, error) { return host.Options{}, reason }
	if _, err := g.Get(t.Context(), other); !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n := len(g.codes) + len(g.running) + len(g.sections) + len(g.kept); n != 0 {
		t.Errorf("%d things are left", n)
	}
}
