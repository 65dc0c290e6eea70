package wasm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/bench/guests/letters"
)

// BenchmarkRecords shows 500 records of 200 bytes to a guest that adds a header, and of 1 KB to one
// that changes every value where it stands: the host's part and the guest's, per record.
func BenchmarkRecords(b *testing.B) {
	for _, c := range []struct {
		name, dir, yaml string
		size            int
	}{
		{"header", header, "config: {key: via, value: sluice}", 200},
		{"upper", probe, "grant: [kv, http, send_request]", 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, err := build(b, fmt.Sprintf("{file: %q, %s}", guest(b, c.dir), c.yaml))
			if err != nil {
				b.Fatal(err)
			}
			values := make([]string, 500)
			for i := range values {
				values[i] = "upper" + string(make([]byte, c.size-5))
			}
			raw := records(b, shape{producer: 1}, values...)
			g := w.Guest()
			before := g.InGuest.Load()
			b.ReportAllocs()
			for b.Loop() {
				if err := g.Records(b.Context(), &blocks.Head{Kind: abi.KindProduce, Version: 9}, []*blocks.Partition{{Topic: "orders", Records: raw}}); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N) * 500
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
			b.ReportMetric(float64(g.InGuest.Load()-before)/n, "guest-ns/record")
		})
	}
}

// BenchmarkEveryValue changes every value of batches of 1 MB: by guests, by a plugin that is
// compiled in, and by an interceptor of the gateway's own. It is CPU that counts; one goroutine
// runs.
func BenchmarkEveryValue(b *testing.B) {
	for _, size := range []int{1000, 200} {
		for name, codec := range map[string]int8{"none": 0, "lz4": 3} {
			values := make([]string, 1_000_000/size)
			for i := range values {
				values[i] = fmt.Sprintf("%08d", i) + strings.Repeat("the quick brown fox, ", size)[:size-8]
			}
			raw := records(b, shape{producer: 1, codec: codec}, values...)
			shape := fmt.Sprintf("%d/%s", size, name)
			for name, w := range uppers(b) {
				b.Run(shape+"/"+name, func(b *testing.B) {
					b.SetBytes(1_000_000)
					b.ReportAllocs()
					g, began := w.Guest(), w.Guest().InGuest.Load()
					for b.Loop() {
						parts := []*blocks.Partition{{Topic: "orders", Records: raw}}
						if err := g.Records(b.Context(), &blocks.Head{Kind: abi.KindProduce, Version: 9}, parts); err != nil {
							b.Fatal(err)
						}
						g.Reclaim(parts)
					}
					b.ReportMetric(float64(g.InGuest.Load()-began)/float64(b.N), "guest-ns/op")
				})
			}
			b.Run(shape+"/interceptor", func(b *testing.B) {
				b.SetBytes(1_000_000)
				b.ReportAllocs()
				var buf []byte
				for b.Loop() {
					next, err := kafka.Bounds{}.Edit(buf, raw, kafka.CloseGaps, func(r *kafka.RawRecord) kafka.Verdict {
						letters.Upper(r.Value)
						return kafka.ChangedInPlace
					})
					if err != nil {
						b.Fatal(err)
					}
					buf = next
				}
			})
		}
	}
}

// uppers make values upper case.
func uppers(b *testing.B) map[string]*Wasm {
	out := map[string]*Wasm{"compiled": compiledFrom(b, "upper", func() *sdk.Guest { return sdk.New("upper", bigLetters{}) }, "{}")}
	for name, file := range map[string]string{"go": guest(b, "../../testing/bench/guests/upper"), "rust": rustGuest(b, "../../testing/bench/guests/rust-upper")} {
		w, err := build(b, fmt.Sprintf("{file: %q}", file))
		if err != nil {
			b.Fatal(err)
		}
		out[name] = w
	}
	return out
}

// bigLetters is what the guests of the benchmarks do.
type bigLetters struct{}

func (bigLetters) OnProduce(r *sdk.Records) error {
	for _, rec := range r.All() {
		letters.Upper(rec.Value())
		rec.SetValueInPlace()
	}
	return nil
}

// BenchmarkCall is a call with nothing to do: the pool, the deadline, the block, the way into the
// guest and out.
func BenchmarkCall(b *testing.B) {
	w, err := build(b, fmt.Sprintf("{file: %q, config: {key: via, value: sluice}}", guest(b, header)))
	if err != nil {
		b.Fatal(err)
	}
	g := w.Guest()
	h := &blocks.Head{Kind: abi.KindSession}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Message(b.Context(), h, nil, func(blocks.Result) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
