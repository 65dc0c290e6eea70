package bench

import (
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// BenchmarkRequests runs a gateway, its clients and the sink in this process: 16 connections with 5
// requests in flight each. What the gateway alone costs is in the report.
func BenchmarkRequests(b *testing.B) {
	for _, c := range []struct {
		name  string
		chain bool
		frame []byte
	}{
		{"pass-through/Produce", false, ProduceFrame(200)}, {"routed/Produce", true, ProduceFrame(200)},
		{"pass-through/Fetch", false, FetchFrame()}, {"routed/Fetch", true, FetchFrame()},
	} {
		b.Run(c.name, func(b *testing.B) {
			sink, err := NewSink("127.0.0.1:0", 200)
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
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					cl, err := Dial(addr, c.frame)
					if err != nil {
						b.Error(err)
						return
					}
					defer func() { _ = cl.Close() }()
					if err := cl.Send(5); err != nil {
						b.Error(err)
					}
					for range b.N / 16 {
						if cl.Receive(1) != nil || cl.Send(1) != nil {
							b.Error("connection ended")
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
