package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/breaker"
	"github.com/sluice-gateway/sluice/plugins/wasm/cache"
	"github.com/sluice-gateway/sluice/plugins/wasm/kept"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/handmade"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// compile compiles a guest.
func compile(t *testing.T, g handmade.Guest) *Module {
	t.Helper()
	m, err := Compile(t.Context(), g.Module(), DefaultLimits().Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// compiledIn is the code of a plugin that is compiled in.
func compiledIn(t testing.TB, create func() *sdk.Guest) Code {
	t.Helper()
	n, err := Native(create)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// start starts a guest, which ends with the test.
func start(t *testing.T, code Code, limits Limits) *Guest {
	t.Helper()
	g, err := NewGuest(t.Context(), code, Options{Name: "guest", Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// onlyOne are limits with one instance.
func onlyOne(timeout time.Duration) Limits {
	l := DefaultLimits()
	l.Timeout, l.Instances = timeout, 1
	return l
}

// orders is a call of a producer, whose value the editor makes upper case.
func orders(t *testing.T) (*blocks.Head, []*blocks.Partition) {
	t.Helper()
	b := plugintest.Batch(t, plugintest.Shape{}, []kafka.Record{{Timestamp: 1000, Key: []byte("u"), Value: []byte("x")}})
	return &blocks.Head{Kind: abi.KindProduce, ClientID: "patient"}, []*blocks.Partition{{Topic: "orders", Records: b}}
}

// TestAStartOutlivesTheCallThatNeedsIt: an instance that starts for longer than a call may take
// serves those that come later.
func TestAStartOutlivesTheCallThatNeedsIt(t *testing.T) {
	slow := &slowCode{Code: compiledIn(t, newEditor)}
	g, err := NewGuest(t.Context(), slow, Options{Name: "slow", Limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	first := <-g.free
	slow.started = make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := g.take(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(slow.started)
	second := <-g.free // nobody starts another one
	g.put(first)
	g.put(second)
}

// slowCode opens once started is closed.
type slowCode struct {
	Code
	started chan struct{}
}

func (s *slowCode) open(ctx context.Context, g *Guest) (runner, error) {
	if s.started != nil {
		<-s.started
	}
	return s.Code.open(ctx, g)
}

// TestWaitingForAnInstanceIsNoFailure: others have them all.
func TestWaitingForAnInstanceIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, compiledIn(t, newEditor), onlyOne(time.Second))
		h, parts := orders(t)
		only := <-g.free
		for range breaker.After + 1 {
			if err := g.Serve(t.Context(), h, parts); !errors.Is(err, errBusy) {
				t.Errorf("%v", err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- g.Serve(t.Context(), h, parts) }()
		time.Sleep(waitLimit / 2) // longer than a call may take
		g.put(only)
		if err := <-done; err != nil {
			t.Errorf("the wait counts: %v", err)
		}
		if n, _ := g.Instances(); n != 1 {
			t.Errorf("%d instances", n)
		}
		if n := g.LeftAlone(); n != 0 {
			t.Errorf("the guest is left alone with %d", n)
		}
	})
}

// ticker panics at its first tick.
type ticker struct{ ticks *atomic.Int32 }

func (k ticker) OnTick(*sdk.Gateway, time.Time) {
	if k.ticks.Add(1) == 1 {
		panic("not today")
	}
}

// TestOneBadTickEndsNoOthers: those that work after it are no failures.
func TestOneBadTickEndsNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ticks atomic.Int32
		g := start(t, compiledIn(t, func() *sdk.Guest { return sdk.New("ticker", ticker{&ticks}, sdk.Every(10*time.Millisecond)) }), DefaultLimits())
		time.Sleep(105 * time.Millisecond)
		g.Close()
		if n := ticks.Load(); n != 10 {
			t.Errorf("%d ticks", n)
		}
		if n := g.Failed.Load(); n != 1 {
			t.Errorf("%d of them failed", n)
		}
	})
}

// TestAClientThatLeavesEndsItsCall: nobody waits for a guest that works for nobody.
func TestAClientThatLeavesEndsItsCall(t *testing.T) {
	g := start(t, compile(t, handmade.Guest{Name: "endless", OnRecords: handmade.Forever}), onlyOne(10*time.Minute))
	h, parts := orders(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, h, parts) }()
	if !eventually.True(func() bool { return len(g.free) == 0 }) {
		t.Fatal("it is not called")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if g.Failed.Load() != 0 {
		t.Error("that counts as a failure of the guest")
	}
}

// TestAnEndlessCloseHasALimit of all instances together.
func TestAnEndlessCloseHasALimit(t *testing.T) {
	m := compile(t, handmade.Guest{Name: "endless", Closing: handmade.Forever})
	i, err := m.open(t.Context(), &Guest{Options: Options{Limits: DefaultLimits()}})
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

// TestTheStoreIsItsOwn: what a compiled plugin does to a value that it got does not change the
// store.
func TestTheStoreIsItsOwn(t *testing.T) {
	c := &call{guest: &Guest{Options: Options{Grant: manifest.Grants{abi.CapKV}, Store: kept.NewStore(1 << 10)}}}
	if code := c.KVSet([]byte("k"), []byte("value"), 0); code != 0 {
		t.Fatal(code)
	}
	got, _ := c.KVGet([]byte("k"))
	got[0] = 'X'
	if again, code := c.KVGet([]byte("k")); code != 0 || string(again) != "value" {
		t.Errorf("%q, %d", again, code)
	}
}

// TestCompilingKeepsTheCacheWithinItsSize.
func TestCompilingKeepsTheCacheWithinItsSize(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, _, err := cache.Modules()
	if err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 2<<30); err != nil { // which takes no room on most disks
		t.Fatal(err)
	}
	if err := os.Chtimes(large, time.Time{}, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	compile(t, handmade.Guest{Name: "small"})
	if _, err := os.Stat(large); !os.IsNotExist(err) {
		t.Errorf("the large file is still there: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) == 0 {
		t.Errorf("nothing is kept: %v", err)
	}
}
