package bench

import (
	"io"
	"log/slog"
	"testing"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// BenchmarkWideFetch is one consumer of 2,000 partitions of which one has records: what it costs to
// name and to be told of all of them, and what a fetch session leaves of that. Sink and gateway
// share the process; between them every fetch is a full one.
func BenchmarkWideFetch(b *testing.B) {
	const width = 2000
	for _, c := range []struct {
		name           string
		chain, session bool
	}{{"pass-through", false, false}, {"pass-through/session", false, true}, {"routed", true, false}, {"routed/session", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			sink, err := NewWideSink("127.0.0.1:0", 200, width)
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			file, addr, err := File(b.TempDir(), sink.Addr(), c.chain)
			if err != nil {
				b.Fatal(err)
			}
			g, err := gatewaytest.Open(b.Context(), file, slog.New(slog.NewTextHandler(io.Discard, nil)))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = g.Stop() }()
			if err := Introduce(addr); err != nil {
				b.Fatal(err)
			}
			cl, err := Dial(addr, WideFetchFrame(width))
			if c.session {
				cl, err = DialSession(addr, WideFetchFrame(width), FetchFrame())
			}
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = cl.Close() }()
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if cl.Send(1) != nil || cl.Receive(1) != nil {
					b.Fatal("connection ended")
				}
			}
			b.ReportMetric(float64(len(cl.frame)), "sent-B/op")
		})
	}
}
