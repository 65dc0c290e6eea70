package bench

import (
	"errors"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// held is how many bytes of heap and stacks this process needs for each of many connections to an
// address that have sent frame a few times, and are idle since.
func held(t *testing.T, addr string, frame []byte) float64 {
	t.Helper()
	const conns = 200
	memory := func() uint64 {
		for range 3 { // what is pooled goes in two
			debug.FreeOSMemory()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	var list []*Client
	before := memory()
	for range conns {
		c, err := Dial(addr, frame)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		list = append(list, c)
	}
	for range 5 {
		for _, c := range list {
			if err := errors.Join(c.Send(1), c.Receive(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return float64(memory()-before) / conns
}

// TestAnIdleConnectionAndItsLinkAreSmall: what a client and a broker need themselves does not
// count.
func TestAnIdleConnectionAndItsLinkAreSmall(t *testing.T) {
	const most = 20_000
	for _, size := range []int{200, 100_000} {
		sink, err := NewSink("127.0.0.1:0", size)
		if err != nil {
			t.Fatal(err)
		}
		defer sink.Close()
		for name, chain := range map[string]bool{"passed through": false, "routing, topics, offsets": true} {
			file, addr, err := File(t.TempDir(), sink.Addr(), chain)
			if err != nil {
				t.Fatal(err)
			}
			g, err := gatewaytest.OpenWith(t.Context(), otlp.Exporters{}, file, slog.New(slog.NewTextHandler(io.Discard, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if err := Introduce(addr); err != nil {
				t.Fatal(err)
			}
			for what, frame := range map[string][]byte{"produce": ProduceFrame(size), "fetch": FetchFrame()} {
				direct, through := held(t, sink.Addr(), frame), held(t, addr, frame)
				t.Logf("%s of %d bytes, %s: %.0f bytes, %.0f without a gateway", what, size, name, through-direct, direct)
				if n := through - direct; n > most && !raced {
					t.Errorf("%s of %d bytes, %s: %.0f bytes for an idle connection, want at most %d", what, size, name, n, most)
				}
			}
			_ = g.Stop()
		}
	}
}
