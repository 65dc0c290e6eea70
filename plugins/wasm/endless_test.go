package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/handmade"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// endless are guests of which a function never ends.
var endless = map[string]handmade.Guest{
	"start":     {Name: "endless", Start: handmade.Forever},
	"config":    {Name: "endless", Configure: handmade.Forever},
	"self-test": {Name: "endless", SelfTest: handmade.Forever},
}

// module writes a guest into a file and returns a section that names it.
func module(t *testing.T, g handmade.Guest) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(file, g.Module(), 0o600); err != nil {
		t.Fatal(err)
	}
	return "{file: \"" + file + "\"}"
}

// TestAnEndlessStartHasALimit: it ends with an error.
func TestAnEndlessStartHasALimit(t *testing.T) {
	for name, g := range endless {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
			_, err := Spec().New(ctx, env, plugintest.Section(t, module(t, g)))
			if err == nil || !strings.Contains(err.Error(), "deadline") && !strings.Contains(err.Error(), ErrDeadline.Error()) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAnEndlessStartHoldsNothing: others are started meanwhile, and it ends when nobody wants it
// any more.
func TestAnEndlessStartHoldsNothing(t *testing.T) {
	for name, g := range endless {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, env := Spec(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
			started := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			section := plugintest.Section(t, module(t, g))
			go func() {
				close(started)
				_, err := spec.Prepare(ctx, env, section, false)
				done <- err
			}()
			<-started
			for range 3 {
				i, err := spec.New(t.Context(), env, plugintest.Section(t, module(t, handmade.Guest{Name: "other"})))
				if err != nil {
					t.Fatal(err)
				}
				if err := i.(*Wasm).Close(); err != nil {
					t.Error(err)
				}
			}
			select {
			case err := <-done:
				t.Fatalf("it has ended: %v", err)
			default:
			}
			cancel()
			if err := <-done; err == nil {
				t.Error("it has started")
			}
		})
	}
}

// TestAnEndlessCloseHasALimit of all instances together.
func TestAnEndlessCloseHasALimit(t *testing.T) {
	m, err := Compile(t.Context(), handmade.Guest{Name: "endless", Closing: handmade.Forever}.Module(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	i, err := m.open(t.Context(), &Guest{limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	i.close(ctx) // returns
}

// TestNobodyWaitsForACompilerThatIsNotWanted: it ends alone.
func TestNobodyWaitsForACompilerThatIsNotWanted(t *testing.T) {
	const ifs = 5000
	g := handmade.Guest{Name: "slow", More: [][]byte{handmade.Body(nil, bytes.Repeat([]byte{handmade.I32Const, 0, handmade.If, handmade.Empty, handmade.End}, ifs))}}
	ctx, cancel := context.WithCancel(t.Context())
	code := g.Module()
	cancel()
	if m, err := Compile(ctx, code, 64<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
		if m != nil {
			_ = m.Close()
		}
	}
	m, err := Compile(t.Context(), code, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
}

// TestWhatIsPreparedIsTaken by the one who builds, once.
func TestWhatIsPreparedIsTaken(t *testing.T) {
	spec, env := Spec(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
	section := plugintest.Section(t, module(t, handmade.Guest{Name: "guest", Version: "1"}))
	p, err := spec.Prepare(t.Context(), env, section, false)
	if err != nil || !p.News {
		t.Fatalf("%+v, %v", p, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nothing can be started any more
	i, err := spec.New(ended, env, section)
	if err != nil {
		t.Fatal(err)
	}
	again, err := spec.Prepare(t.Context(), env, section, true)
	if err != nil || again.News || again.Broken != nil {
		t.Errorf("the same file: %+v, %v", again, err)
	}
	for _, c := range []plugin.Prepared{p, again} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, _ := i.(*Wasm).guest().Instances(); n != 1 {
		t.Errorf("%d instances", n)
	}
	if err := i.(*Wasm).Close(); err != nil {
		t.Error(err)
	}
}
