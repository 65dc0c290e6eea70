package wasm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
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
			if err == nil || !strings.Contains(err.Error(), "deadline") && !strings.Contains(err.Error(), host.ErrDeadline.Error()) {
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
	if n, _ := i.(*Wasm).Guest().Instances(); n != 1 {
		t.Errorf("%d instances", n)
	}
	if err := i.(*Wasm).Close(); err != nil {
		t.Error(err)
	}
}
