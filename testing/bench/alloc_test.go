package bench

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"testing"

	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// allocations counts the allocations per request of a gateway in this process.
func allocations(t *testing.T, chain, session, watched bool, make func(id [16]byte) []byte) (mallocs, bytes float64) {
	t.Helper()
	sink, err := NewWideSink("127.0.0.1:0", 200, width)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	interceptors, telemetry := "[]", ""
	if chain {
		interceptors = "[routing: {default: prod}, topics: {}, offsets: {}]"
	}
	if watched { // for errors, of which there are none
		telemetry = "traces: {endpoint: 127.0.0.1:1, insecure: true, sample_ratio: 0}"
	}
	file, addr, err := ChainFile(t.TempDir(), sink.Addr(), interceptors, telemetry)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gatewaytest.OpenWith(t.Context(), otlp.Exporters{}, file, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	id, err := TopicID(addr)
	if err != nil {
		t.Fatal(err)
	}
	frame := make(id)
	c, err := Dial(addr, frame)
	if session {
		c, err = DialSession(addr, frame, frame)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	const n = 5_000
	run := func(n int) {
		for range n {
			if err := c.Send(1); err != nil {
				t.Fatal(err)
			}
			if err := c.Receive(1); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(n)
	runtime.ReadMemStats(&after)
	if session {
		if code, err := c.Code(); code != 0 || err != nil {
			t.Fatalf("the session has ended: code %d, %v", code, err)
		}
	}
	return float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n
}

// width is how many partitions a wide request has.
const width = 5

// TestAllocations asserts what a request costs the garbage collector: nothing, through whatever
// built-in chain, in the oldest and newest versions that clients speak, with one partition and with
// several. The rest is timers of the gateway, which don't grow with the load.
func TestAllocations(t *testing.T) {
	const limit = 0.5
	for _, c := range []struct {
		name    string
		session bool
		make    func(id [16]byte) []byte
	}{
		{"Produce 3", false, func(id [16]byte) []byte { return ProduceFrameOf(3, id, width) }},
		{"Produce 9", false, func(id [16]byte) []byte { return ProduceFrameOf(9, id, width) }},
		{"Produce 13", false, func(id [16]byte) []byte { return ProduceFrameOf(13, id, width) }},
		{"Fetch 4", false, func(id [16]byte) []byte { return FetchFrameOf(4, id, width) }},
		{"Fetch 12", false, func(id [16]byte) []byte { return FetchFrameOf(12, id, width) }},
		{"Fetch 12 in a session", true, func(id [16]byte) []byte { return FetchFrameOf(12, id, width) }},
		{"Fetch 18", false, func(id [16]byte) []byte { return FetchFrameOf(18, id, width) }},
	} {
		for _, chain := range []bool{false, true} {
			for _, watched := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, chain %t, watched %t", c.name, chain, watched), func(t *testing.T) {
					mallocs, bytes := allocations(t, chain, c.session, watched, c.make)
					t.Logf("%.2f allocations, %.0f bytes per request", mallocs, bytes)
					if mallocs > limit && !raced {
						t.Errorf("%.2f allocations per request, want at most %.1f", mallocs, limit)
					}
				})
			}
		}
	}
}
