package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/handmade"
)

// patience is a spender that is never over.
type patience struct{}

func (patience) spend(int) error { return nil }

// within is an instance in a call that is over after a while.
func within(limit time.Duration) *instance {
	i := &instance{call: call{guest: &Guest{limits: DefaultLimits()}}}
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
	i.guest.limits.LogLines = 1 << 30
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

// TestCostlyCallsOfTheHostEnd: fewer than the meter counts, each within what a call may take, and
// together far beyond.
func TestCostlyCallsOfTheHostEnd(t *testing.T) {
	w, err := build(t, fmt.Sprintf("{file: %q, grant: [kv], limits: {timeout: 100ms, log_lines: 0}}", cGuest(t, "testdata/costly/costly.c", false)))
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"lines", "pieces", "random", "wasi random", "kv", "cas", "polls"} {
		if _, _, err := run(t, w, produce("orders", records(t, shape{}, what))); !errors.Is(err, ErrDeadline) {
			t.Errorf("%s: %v", what, err)
		}
		served(t, w, what, "fine")
	}
}

// TestEditsAreInTheCallsTime: edits of a record with many headers are many times as many steps.
func TestEditsAreInTheCallsTime(t *testing.T) {
	var edits []byte
	for range 1000 {
		edits = append(edits, 0, 0, 0, 0, abi.OpRemoveHeaders, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'x')
	}
	g := &Guest{limits: DefaultLimits()}
	raw := oneRecord(t, make([]kmsg.Header, 1000))
	edit := func(s spender) (*batch, error) {
		batches := g.collect(kafka.Bounds{}, abi.KindProduce, []*Partition{{Records: raw}})
		return batches[0], g.change(s, g.portions(batches)[0], edits, nil, abi.KindProduce)
	}
	if _, err := edit(within(-time.Second)); !errors.Is(err, ErrDeadline) {
		t.Errorf("%v", err)
	}
	b, err := edit(patience{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(decoded(t, out)[0].Headers); n != 1000 {
		t.Errorf("%d headers", n)
	}
}

// oneRecord is a batch of a record with headers.
func oneRecord(t testing.TB, headers []kmsg.Header) kafka.Batch {
	t.Helper()
	b, err := kafka.Rebuild(records(t, shape{}, "x"), []kafka.Record{{Timestamp: 1000, Headers: headers}}, kafka.CloseGaps)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAnEndlessRestCostsNoRequest: it ends in the time of a call, and with it the instance alone.
func TestAnEndlessRestCostsNoRequest(t *testing.T) {
	section := strings.TrimSuffix(module(t, handmade.Guest{Name: "endless", Idle: handmade.Forever}), "}")
	w, err := build(t, section+", limits: {timeout: 2s}}")
	if err != nil {
		t.Fatal(err)
	}
	if sent, answer, err := run(t, w, produce("orders", records(t, shape{}, "fine"))); err != nil || answer.ErrorCode != 0 || sent == nil {
		t.Errorf("code %d, %v", answer.ErrorCode, err)
	}
	replaced(t, w, 1)
}

// TestManyHeadersOfOneRecord are added in memory that is used again, and those of another record
// are its own.
func TestManyHeadersOfOneRecord(t *testing.T) {
	var edits []byte
	add := func(record, name byte) {
		edits = append(edits, record, 0, 0, 0, abi.OpAddHeader, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, name)
	}
	for range 10_000 {
		add(0, 'a')
	}
	add(1, 'b')
	g := &Guest{limits: DefaultLimits()}
	raw := records(t, shape{}, "has headers", "none")
	var out kafka.Batch
	made := testing.AllocsPerRun(1, func() {
		batches := g.collect(kafka.Bounds{}, abi.KindProduce, []*Partition{{Records: raw}})
		if err := g.change(patience{}, g.portions(batches)[0], edits, nil, abi.KindProduce); err != nil {
			t.Fatal(err)
		}
		var err error
		if out, err = batches[0].finish(); err != nil {
			t.Fatal(err)
		}
	})
	if made > 40 {
		t.Errorf("%v allocations", made)
	}
	list := decoded(t, out)
	first, second := list[0].Headers, list[1].Headers
	about := fact.Of(t, "%d headers, %v", len(first), second)
	if fact.Equal(about, "headers of the first record", len(first), 10_001) {
		fact.Equal(about, "the first", first[0].Key, "via")
		fact.Equal(about, "the second", first[1].Key, "a")
		fact.Equal(about, "the last", first[10_000].Key, "a")
	}
	if fact.Equal(about, "headers of the second record", len(second), 1) {
		fact.Equal(about, "its first", second[0].Key, "b")
	}
}
