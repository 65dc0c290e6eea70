package wasm

import (
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// BenchmarkRecords shows 500 records of 200 bytes to a guest that adds a header, and of 1 KB to one that changes every
// value where it stands: the host's part and the guest's, per record.
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
			g := w.guest()
			before := g.InGuest.Load()
			b.ReportAllocs()
			for b.Loop() {
				if err := g.Records(b.Context(), &Head{Kind: abi.KindProduce, Version: 9}, []*Partition{{Topic: "orders", Records: raw}}); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N) * 500
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
			b.ReportMetric(float64(g.InGuest.Load()-before)/n, "guest-ns/record")
		})
	}
}

// BenchmarkRebuild is the host's part without a guest: decode, encode anew.
func BenchmarkRebuild(b *testing.B) {
	values := make([]string, 500)
	for i := range values {
		values[i] = string(make([]byte, 1000))
	}
	raw := records(b, shape{producer: 1}, values...)
	for b.Loop() {
		list, err := kafka.Records(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := kafka.Rebuild(raw, list, kafka.CloseGaps); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/record")
}

// BenchmarkCall is a call with nothing to do: the pool, the deadline, the block, the way into the guest and out.
func BenchmarkCall(b *testing.B) {
	w, err := build(b, fmt.Sprintf("{file: %q, config: {key: via, value: sluice}}", guest(b, header)))
	if err != nil {
		b.Fatal(err)
	}
	g := w.guest()
	h := &Head{Kind: abi.KindSession}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.message(b.Context(), abi.ExportOnSession, h, nil, func(result) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
