package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// BenchmarkAccessLog is what the access log costs a produce that passes through, off, sampled, and
// of everything. Lines are written to a file, as standard error is mostly one.
func BenchmarkAccessLog(b *testing.B) {
	for _, ratio := range []string{"0", "0.01", "1"} {
		b.Run(ratio, func(b *testing.B) {
			sink, err := NewSink("127.0.0.1:0", 200)
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			file, addr, err := File(b.TempDir(), sink.Addr(), false)
			if err != nil {
				b.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			text = []byte(strings.Replace(string(text), "level: error", fmt.Sprintf("level: error, format: json, access: {sample_ratio: %s}", ratio), 1))
			if err := os.WriteFile(file, text, 0o600); err != nil {
				b.Fatal(err)
			}
			stderr := os.Stderr
			defer func() { os.Stderr = stderr }()
			if os.Stderr, err = os.Create(file + ".log"); err != nil {
				b.Fatal(err)
			}
			g, err := gatewaytest.Open(b.Context(), file, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = g.Stop() }()
			if err := Introduce(addr); err != nil {
				b.Fatal(err)
			}
			c, err := Dial(addr, ProduceFrame(200))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			b.ReportAllocs()
			for b.Loop() {
				if c.Send(1) != nil || c.Receive(1) != nil {
					b.Fatal("connection ended")
				}
			}
		})
	}
}
