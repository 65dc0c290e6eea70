package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	probed "github.com/sluice-gateway/sluice/plugins/wasm/testdata/probe/probe"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestHostileGuestsCostTheirOwnRequest: it is answered as on_error says, and the next one is served
// by a new instance.
func TestHostileGuestsCostTheirOwnRequest(t *testing.T) {
	for _, onError := range []string{"reject", "pass"} {
		w := probing(t, ", limits: {timeout: 300ms, memory: 32MiB}, on_error: "+onError)
		for _, what := range []string{"loop", "recurse", "panic", "memory", "sleep", "exit"} {
			sent, answer, err := run(t, w, produce("orders", records(t, shape{}, what)))
			about := fact.Of(t, "%s, %s: code %d, %v", onError, what, answer.ErrorCode, err)
			if onError == "reject" {
				fact.True(about, "refused", refused(err, answer))
				fact.True(about, "nothing is sent", sent == nil)
			} else {
				fact.NoError(about, err)
				fact.Equal(about, "code", answer.ErrorCode, 0)
				fact.True(about, "it is sent", sent != nil)
			}
			if (what == "loop" || what == "sleep") && onError == "reject" && !errors.Is(err, ErrDeadline) {
				t.Errorf("%s: %v", what, err)
			}
			served(t, w, what, "fine")
		}
		if n, memory := w.guest().Instances(); memory > 32<<20 || n < 1 {
			t.Errorf("%d instances of up to %d bytes", n, memory)
		}
		replaced(t, w, 6)
	}
	w := probing(t, "")
	for what, code := range map[string]int16{"refuse": 44, "code": 87} {
		if sent, answer, err := run(t, w, produce("orders", records(t, shape{}, what))); err != nil || answer.ErrorCode != code || sent != nil {
			t.Errorf("%s: code %d, %v, sent %v", what, answer.ErrorCode, err, sent)
		}
	}
	silent := produce("orders", records(t, shape{}, "refuse"))
	silent.Acks = 0
	if sent, answer, err := run(t, w, silent); err != nil || answer.ErrorCode != 44 || sent != nil {
		t.Errorf("acks=0: code %d, %v, sent %v", answer.ErrorCode, err, sent)
	}
	if w.guest().Failed.Load() != 0 {
		t.Error("a refusal is no failure")
	}
	if _, _, err := create(t, probing(t, ", limits: {timeout: 300ms}"), "loop"); !errors.Is(err, ErrDeadline) {
		t.Errorf("a message handler that loops: %v", err)
	}
	flood := probing(t, ", limits: {timeout: 5m}")
	if _, answer, err := run(t, flood, produce("orders", records(t, shape{}, "log"))); err != nil || answer.ErrorCode != 0 {
		t.Errorf("a flood of lines: %v", err)
	}
	if dropped := flood.guest().lines.lost(); dropped < 10_000 {
		t.Errorf("%d lines dropped", dropped)
	}
}

// TestAClientThatLeavesEndsItsCall: nobody waits for a guest that works for nobody.
func TestAClientThatLeavesEndsItsCall(t *testing.T) {
	w := probing(t, ", limits: {timeout: 10m}")
	ctx, cancel := context.WithCancel(t.Context())
	req, next := bare(t, produce("orders", records(t, shape{}, "loop")))
	done := make(chan error, 1)
	go func() {
		_, err := w.Intercept(ctx, req, next)
		done <- err
	}()
	for w.guest().Called.Load() == 0 && len(w.guest().free) > 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if w.guest().Failed.Load() != 0 {
		t.Error("that counts as a failure of the guest")
	}
}

// TestManyAtOnce: a hostile request holds up others for as long as it may run, and no instance is
// lost.
func TestManyAtOnce(t *testing.T) {
	w := probing(t, "")
	var failed atomic.Int32
	done := make(chan struct{})
	for i := range 40 {
		go func() {
			what := "fine"
			if i%10 == 0 {
				what = "panic"
			}
			if _, answer, err := run(t, w, produce("orders", records(t, shape{}, what))); refused(err, answer) {
				failed.Add(1)
			}
			done <- struct{}{}
		}()
	}
	for range 40 {
		<-done
	}
	if failed.Load() != 4 {
		t.Errorf("%d failed", failed.Load())
	}
}

func TestBadSectionsAreRefused(t *testing.T) {
	file := func(content string) string {
		f := filepath.Join(t.TempDir(), "x.wasm")
		if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	good, all := guest(t, header), guest(t, probe)
	for yaml, want := range map[string]string{
		"{}":                   "file is missing",
		"{file: nowhere.wasm}": "no such file",
		"{file: " + file("\x00asm\x01\x00\x00\x00") + "}":                                       "does not export sluice_abi",
		"{file: " + file("text") + "}":                                                          "not a WASM module",
		"{file: " + good + ", sha256: abcd}":                                                    "digest",
		"{file: " + good + ", config: {value: x}}":                                              "config.key is missing",
		"{file: " + good + ", on_error: maybe}":                                                 "reject, pass",
		"{file: " + good + ", produce_drop: maybe}":                                             "reject, tombstone",
		"{file: " + good + ", produce_drop: drop}":                                              "brokers want every sequence number",
		"{file: " + good + ", topics: [\"[\"]}":                                                 "glob",
		"{file: " + good + ", grant: [\"send_request:Metdata\"]}":                               "no Kafka API",
		"{file: " + good + ", grant: [root]}":                                                   "kv, http, send_request",
		"{file: " + good + ", limits: {memory: 1}}":                                             "memory",
		"{file: " + good + ", limits: {timeout: 0s}}":                                           "timeout",
		"{file: " + good + ", limits: {kv: -1}}":                                                "kv",
		"{file: " + good + ", limits: {timeuot: 1s}}":                                           "timeout",
		"{file: " + all + ", grant: [kv]}":                                                      "asks for http, send_request, which is not granted",
		"{file: " + all + ", grant: [kv, http, send_request], config: {self_test_fails: true}}": "self-test: it does not work",
	} {
		_, err := build(t, yaml)
		var errs config.Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), want) || errs[0].Line == 0 {
			t.Errorf("%s: %v, want %q with a position", yaml, err, want)
		}
	}
}

// TestTheSameGuestIsSharedByRuntimes: an edit that does not concern it starts nothing, one of its
// configuration compiles nothing, and its store stays.
func TestTheSameGuestIsSharedByRuntimes(t *testing.T) {
	spec := Spec()
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
	make := func(more string) *Wasm {
		t.Helper()
		i, err := spec.New(t.Context(), env, plugintest.Section(t, fmt.Sprintf("{file: %q, grant: [kv, http, send_request]%s}", guest(t, probe), more)))
		if err != nil {
			t.Fatal(err)
		}
		return i.(*Wasm)
	}
	a, b, c := make(""), make(", topics: [orders]"), make(", config: {deny: nobody}")
	if a.use != b.use {
		t.Error("started twice")
	}
	if a.guest().code != c.guest().code || a.guest() == c.guest() {
		t.Error("compiled twice, or not configured again")
	}
	if got := answer(t, a, "kv"); !strings.HasPrefix(got, "2 ") {
		t.Error(got)
	}
	_ = a.Close()
	_ = b.Close()
	if got := answer(t, c, "kv"); !strings.HasPrefix(got, "4 ") {
		t.Errorf("after the others have closed: %s", got)
	}
	_ = c.Close()
}

// FuzzResult: what a guest returns never panics, and is refused or within its bounds.
func FuzzResult(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(append([]byte{40, 0, 0, 0}, make([]byte, 36)...))
	edit := []byte{1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x'}
	with := append([]byte{40, 0, 0, 0}, make([]byte, 36)...)
	with[32], with[36] = 40, byte(len(edit))
	f.Add(append(with, edit...))
	three := records(f, shape{}, "a", "b", "c")
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseResult(raw)
		if err != nil {
			return
		}
		g := &Guest{limits: DefaultLimits(), Options: Options{Tombstones: true}}
		p := &Partition{Records: three}
		batches := g.collect(kafka.Bounds{}, abi.KindProduce, []*Partition{p})
		call := g.portions(batches)[0]
		b := block{head: &Head{Kind: abi.KindProduce}, call: call}
		block := b.encode(nil)
		if most := headRoom + call.block + len(call.groups)*abi.GroupSize; len(block) > most {
			t.Fatalf("a block of %d bytes, not %d", len(block), most)
		}
		if g.change(patience{}, call, r.changes, block, abi.KindProduce) != nil || !batches[0].touched || p.Refused != nil {
			return
		}
		g.settle(t.Context(), &Head{Kind: abi.KindProduce}, batches[0])
		if err := g.assemble([]*Partition{p}, batches); err != nil {
			t.Fatal(err)
		}
		if p.Out == nil {
			return
		}
		again := &Partition{Records: p.Out}
		if g.collect(kafka.Bounds{}, abi.KindProduce, []*Partition{again}); again.Refused != nil {
			t.Error(again.Refused)
		}
	})
}

// TestAStartOutlivesTheCallThatNeedsIt: an instance that starts for longer than a call may take
// serves those that come later.
func TestAStartOutlivesTheCallThatNeedsIt(t *testing.T) {
	slow := &slowCode{Code: compiledIn(t, probed.New)}
	g, err := NewGuest(t.Context(), slow, Options{Name: "slow", Limits: DefaultLimits()}, nil, nil)
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
