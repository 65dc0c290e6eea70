package bench

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// BenchmarkGuests produces a record of 200 bytes through chains of guests that change it: what each
// further one costs. A gateway, its client and the sink run in this process.
func BenchmarkGuests(b *testing.B) {
	guest := filepath.Join(b.TempDir(), "upper.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", guest, "./guests/upper")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, n := range []int{0, 1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			sink, err := NewSink("127.0.0.1:0", 200)
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			chain := strings.Repeat(fmt.Sprintf("wasm: {file: %q}, ", guest), n) + "routing: {default: prod}, topics: {}, offsets: {}"
			file, addr, err := ChainFile(b.TempDir(), sink.Addr(), "["+chain+"]", "")
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
			c, err := Dial(addr, ProduceFrame(200))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				if c.Send(1) != nil || c.Receive(1) != nil {
					b.Fatal("connection ended")
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took) // the fast half, which others on the machine disturb least
			b.ReportMetric(float64(took[len(took)/4])/1e3, "us-at-p25")
		})
	}
}
