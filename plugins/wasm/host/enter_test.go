package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// within is an instance in a call that is over after a while.
func within(limit time.Duration) *instance {
	i := &instance{call: call{guest: &Guest{Options: Options{Limits: DefaultLimits()}}}}
	i.ctx = context.WithValue(context.Background(), instanceKey{}, i)
	i.within(context.Background(), limit)
	return i
}

// ends runs what must end with the call.
func ends(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, ErrDeadline) {
			t.Errorf("%s: %v", what, err)
		}
	}()
	f()
}

// TestEveryImportEndsWithItsCall, whatever it is for: of our own modules, and of WASI.
func TestEveryImportEndsWithItsCall(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer func() { _ = r.Close(context.Background()) }()
	if err := offerAll(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	i := within(-time.Second)
	for module, least := range map[string]int{"sluice_rt": 1, abi.Module: 17, "wasi_snapshot_preview1": 40} {
		all := r.Module(module).ExportedFunctionDefinitions()
		if len(all) < least {
			t.Errorf("%s has %d functions", module, len(all))
		}
		for name, f := range all {
			ends(t, module+"."+name, func() {
				f.GoFunction().(api.GoModuleFunction).Call(i.ctx, nil, make([]uint64, 16))
			})
		}
	}
	if len(importable) != 3 {
		t.Errorf("%v may be imported: some are not looked at here", importable)
	}
}

// TestOneCallOfTheHostEnds though it would take long: what it handles is counted on the way.
func TestOneCallOfTheHostEnds(t *testing.T) {
	i := within(-time.Second)
	for what, f := range map[string]func(){
		"lines":           func() { _, _ = (&lineWriter{instance: i}).Write(make([]byte, spendStep)) },
		"pieces of lines": func() { pieces(&lineWriter{instance: i}, spendStep/perLine) },
		"random bytes":    func() { _, _ = randomness{i}.Read(make([]byte, spendStep)) },
	} {
		i.spent = 0
		ends(t, what, f)
	}
}

func pieces(w io.Writer, n int) {
	for range n {
		_, _ = w.Write(nil)
	}
}

// TestLinesOfOutput are divided where they end, and where they are too long; what they take is in
// proportion to their bytes.
func TestLinesOfOutput(t *testing.T) {
	var out strings.Builder
	i := within(time.Hour)
	i.guest.Limits.LogLines = 1 << 30
	i.guest.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key != slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
	w := &lineWriter{instance: i}
	long := strings.Repeat("x", maxLine)
	for _, p := range []string{"a\nb", "c\n", "", long, "\n", long + "y\n", "rest"} {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("%d of %d bytes, %v", n, len(p), err)
		}
	}
	want := "msg=a\nmsg=bc\nmsg=" + long + "\nmsg=\"\"\nmsg=" + long + "\nmsg=y\n"
	if out.String() != want || string(w.begun) != "rest" || cap(w.begun) > 2*maxLine {
		t.Errorf("%q, rest %q of %d", out.String(), w.begun, cap(w.begun))
	}
}
