package bench

import (
	"io"
	"log/slog"
	"runtime"
	"testing"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// allocations counts the allocations per request of a gateway in this process.
func allocations(t *testing.T, chain, session, watched bool, frame []byte) (mallocs, bytes float64) {
	t.Helper()
	sink, err := NewSink("127.0.0.1:0", 200)
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
	g, err := gatewaytest.Open(t.Context(), file, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	if err := Introduce(addr); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(addr, frame)
	if session {
		c, err = DialSession(addr, frame, frame)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	const n = 20_000
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
	run(2000)
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

// TestAllocations asserts what a request costs the garbage collector. The rest is timers of the
// gateway, which don't grow with the load.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		name    string
		chain   bool
		session bool
		watched bool
		frame   []byte
		limit   float64
	}{
		{"pass-through Produce", false, false, false, ProduceFrame(200), 0.5},
		{"pass-through Fetch", false, false, false, FetchFrame(), 0.5},
		{"pass-through Fetch in a session", false, true, false, FetchFrame(), 0.5},
		{"Produce through routing, topics, offsets", true, false, false, ProduceFrame(200), 6.5},
		{"Fetch through routing, topics, offsets", true, false, false, FetchFrame(), 6.5},
		{"Fetch in a session through routing, topics, offsets", true, true, false, FetchFrame(), 6.5},
		{"watched pass-through Produce", false, false, true, ProduceFrame(200), 0.5},
		{"watched pass-through Fetch", false, false, true, FetchFrame(), 0.5},
		{"watched Produce through routing, topics, offsets", true, false, true, ProduceFrame(200), 6.5},
		{"watched Fetch through routing, topics, offsets", true, false, true, FetchFrame(), 6.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			mallocs, bytes := allocations(t, c.chain, c.session, c.watched, c.frame)
			t.Logf("%.2f allocations, %.0f bytes per request", mallocs, bytes)
			if mallocs > c.limit && !raced {
				t.Errorf("%.2f allocations per request, at most %.1f", mallocs, c.limit)
			}
		})
	}
}
