package meter

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// compare calls a function of both forms in turn and reports how many times as long the rewritten
// one takes, at the median.
func compare(b *testing.B, plain, metered api.Module, name string, args ...uint64) {
	var times [2][]time.Duration
	forms := []api.Function{plain.ExportedFunction(name), metered.ExportedFunction(name)}
	for b.Loop() {
		for i, f := range forms {
			begin := time.Now()
			if _, err := f.Call(context.Background(), args...); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	middle := len(times[0]) / 2
	b.ReportMetric(float64(times[1][middle])/float64(times[0][middle]), "times")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkGuest runs a guest made with Go.
func BenchmarkGuest(b *testing.B) {
	plain, _ := compileGuest(b, guest(b), func() {})()
	metered, _ := compileGuest(b, rewrite(b, guest(b)), func() {})()
	for name, n := range map[string]uint64{"sorted": 3000, "parsed": 20, "copied": 10_000} {
		b.Run(name, func(b *testing.B) { compare(b, plain, metered, name, n) })
	}
}

// BenchmarkLoop runs loops that do next to nothing, and calls that do nothing: the worst that can
// happen.
func BenchmarkLoop(b *testing.B) {
	down := []byte{localGet, 0, i32Const, 1, i32Sub, localTee, 0, brIf, 0, end}
	p := program{
		types:    [][]byte{signature("\x7f", ""), signature("", "")},
		memories: [][]byte{{0, 2}},
		exports:  [][]byte{export("empty", function, 0), export("sum", function, 1), export("bytes", function, 2), export("calls", function, 3), export("bulk", function, 4)},
		funcs: []fn{
			{code: concat([]byte{loop, emptyBlock}, down)},
			{locals: []byte{i32}, code: concat([]byte{loop, emptyBlock, localGet, 1, localGet, 0, i32Add, i32Const, 3, 0x6c, localSet, 1}, down, []byte{i32Const, 0, localGet, 1, i32Store, 2, 0})},
			{code: concat([]byte{loop, emptyBlock, localGet, 0, localGet, 0, 0x2d, 0, 0, i32Const, 0x2a, 0x73, 0x3a, 0, 0}, down)}, // load, xor, store
			{code: concat([]byte{loop, emptyBlock, call, 5}, down)},
			{code: concat([]byte{loop, emptyBlock, i32Const, 0}, constI32(512), []byte{i32Const, 32, 0xfc, 0x0a, 0, 0}, down)},
			{sig: 1},
		},
	}
	plain, metered := start(b, p.bytes(), func() {}), start(b, rewrite(b, p.bytes()), func() {})
	for _, name := range []string{"empty", "sum", "bytes", "calls", "bulk"} {
		b.Run(name, func(b *testing.B) { compare(b, plain, metered, name, 100_000) })
	}
}

// BenchmarkRewrite of a guest made with Go.
func BenchmarkRewrite(b *testing.B) {
	module := guest(b)
	b.SetBytes(int64(len(module)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Rewrite(module); err != nil {
			b.Fatal(err)
		}
	}
}
