package wasm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/handmade"
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
			if (what == "loop" || what == "sleep") && onError == "reject" && !errors.Is(err, host.ErrDeadline) {
				t.Errorf("%s: %v", what, err)
			}
			served(t, w, what, "fine")
		}
		if n, memory := w.Guest().Instances(); memory > 32<<20 || n < 1 {
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
	if w.Guest().Failed.Load() != 0 {
		t.Error("a refusal is no failure")
	}
	if _, _, err := create(t, probing(t, ", limits: {timeout: 300ms}"), "loop"); !errors.Is(err, host.ErrDeadline) {
		t.Errorf("a message handler that loops: %v", err)
	}
	flood := probing(t, ", limits: {timeout: 5m}")
	if _, answer, err := run(t, flood, produce("orders", records(t, shape{}, "log"))); err != nil || answer.ErrorCode != 0 {
		t.Errorf("a flood of lines: %v", err)
	}
	if dropped := flood.Guest().Costs().DroppedLines; dropped < 10_000 {
		t.Errorf("%d lines dropped", dropped)
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

// TestCostlyCallsOfTheHostEnd: fewer than the meter counts, each within what a call may take, and
// together far beyond.
func TestCostlyCallsOfTheHostEnd(t *testing.T) {
	w, err := build(t, fmt.Sprintf("{file: %q, grant: [kv], limits: {timeout: 100ms, log_lines: 0}}", cGuest(t, "testdata/costly/costly.c", false)))
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"lines", "pieces", "random", "wasi random", "kv", "cas", "polls"} {
		if _, _, err := run(t, w, produce("orders", records(t, shape{}, what))); !errors.Is(err, host.ErrDeadline) {
			t.Errorf("%s: %v", what, err)
		}
		served(t, w, what, "fine")
	}
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
