package protocol

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/eventually"
)

// swaps is how often the guest is swapped; SLUICE_TEST_SWAPS says otherwise.
func swaps(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SLUICE_TEST_SWAPS"))
	if err != nil {
		return 6
	}
	t.Logf("%d swaps", n)
	return n
}

// resident is the memory of the process, after all that can be given back has been.
func resident(t *testing.T) int {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestSwapsUnderLoad swaps a guest again and again under a producer: no record fails, each has the
// header of one version or the other, and no version stays in memory.
func TestSwapsUnderLoad(t *testing.T) {
	h := build(t, "orders")
	n := swaps(t)
	long, cancel := context.WithTimeout(context.Background(), 2*eventually.Limit+time.Duration(n)*5*time.Second)
	defer cancel()
	h.ctx = long
	var versions [2][]byte
	for i, flags := range []string{"-s", "-s -w"} {
		file := filepath.Join(t.TempDir(), "header.wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags="+flags, "-o", file, "../../sdk/examples/header")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var err error
		if versions[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		_, b := h.call("GET", "/plugins", "")
		_, b, _ = strings.Cut(b, `"sha256": "`)
		d, _, _ := strings.Cut(b, `"`)
		return d
	}
	swap := func(i int) {
		t.Helper()
		before := digest()
		next := filepath.Join(h.gw.Dir, "next")
		if err := os.WriteFile(next, versions[i%2], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(h.gw.Dir, "header.wasm")); err != nil {
			t.Fatal(err)
		}
		h.wait("another version", func() bool { return digest() != before })
	}
	if err := os.WriteFile(filepath.Join(h.gw.Dir, "header.wasm"), versions[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Edit("      - routing:", "      - wasm: {file: header.wasm, limits: {timeout: 5m}, config: {key: via, value: sluice}}\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	h.wait("the guest", func() bool { return digest() != "" })
	swap(0)
	swap(1)
	before := resident(t)

	ctx, stop := context.WithCancel(h.ctx)
	defer stop()
	p := h.client(h.gw.Bootstrap)
	var sent, failed atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		pace := time.NewTicker(5 * time.Millisecond) // what the clusters keep in memory is not to be measured
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "r-%d", sent.Load())}).FirstErr(); err != nil {
				failed.Add(1)
				t.Error(err)
			}
			sent.Add(1)
		}
	}()
	for i := range n {
		swap(i)
		at := sent.Load()
		h.wait("records", func() bool { return sent.Load() > at+20 })
	}
	stop()
	<-done
	grown := resident(t) - before
	t.Logf("%d swaps under %d records, memory grown by %d KiB", n, sent.Load(), grown>>10)
	if grown > 40<<20 {
		t.Errorf("memory has grown by %d MiB", grown>>20)
	}
	for i, r := range h.read(h.gw.Bootstrap, "orders", 0, int(sent.Load())) {
		if string(r.Value) != fmt.Sprintf("r-%d", i) || fmt.Sprint(r.Headers) != "[{via [115 108 117 105 99 101]}]" {
			t.Fatalf("record %d is %s with %v", i, r.Value, r.Headers)
		}
	}
}
