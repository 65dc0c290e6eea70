package meter

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/sluice-gateway/sluice/testing/handmade"
)

// shapes are modules that grow with n.
var shapes = map[string]func(n int) handmade.Guest{
	"empty ifs":      func(n int) handmade.Guest { return inOne(nil, times(n, i32Const, 0, ifElse, emptyBlock, end)) },
	"blocks":         func(n int) handmade.Guest { return inOne(nil, times(n, block, emptyBlock, end)) },
	"loops":          func(n int) handmade.Guest { return inOne(nil, times(n, loop, emptyBlock, end)) },
	"loops in loops": func(n int) handmade.Guest { return inOne(nil, append(times(n, loop, emptyBlock), times(n, end)...)) },
	"ifs in ifs": func(n int) handmade.Guest {
		return inOne(nil, append(times(n, i32Const, 0, ifElse, emptyBlock), times(n, end)...))
	},
	"one br_table":   func(n int) handmade.Guest { return inOne(nil, tableOf(n)) },
	"many br_tables": func(n int) handmade.Guest { return inOne(nil, bytes.Repeat(tableOf(n/100), 100)) },
	"a br_table to as many blocks": func(n int) handmade.Guest {
		code := append(times(n, block, emptyBlock), i32Const, 0, brTable)
		code = append(code, handmade.Number(uint64(n-1))...)
		for i := range n {
			code = append(code, handmade.Number(uint64(i))...)
		}
		return inOne(nil, append(code, times(n, end)...))
	},
	"functions": func(n int) handmade.Guest { return handmade.Guest{More: handmade.Repeat(n, handmade.Body(nil, nil))} },
	"functions of loops": func(n int) handmade.Guest {
		return handmade.Guest{More: handmade.Repeat(n/100, handmade.Body(nil, times(100, loop, emptyBlock, end)))}
	},
	"locals and ifs": func(n int) handmade.Guest {
		var code []byte
		for i := range n {
			code = append(append(append(code, i32Const, 0, ifElse, emptyBlock, i32Const, 1, localSet), handmade.Number(uint64(i))...), end)
		}
		for i := range n {
			code = append(append(append(code, localGet), handmade.Number(uint64(i))...), drop)
		}
		return inOne([][]byte{handmade.Locals(uint64(n))}, code)
	},
	"blocks with results": func(n int) handmade.Guest {
		g := inOne(nil, times(n/100, slices.Concat([]byte{block, 5}, times(100, call, 1), []byte{i32Const, 0, brIf, 0, end}, times(100, drop))...))
		g.Types = [][]byte{valuesOf(100)}
		return g
	},
	"branches with results": func(n int) handmade.Guest {
		g := inOne(nil, slices.Concat([]byte{block, 5}, times(100, call, 1), times(n/10, i32Const, 0, brIf, 0), []byte{end}, times(100, drop)))
		g.Types = [][]byte{valuesOf(100)}
		return g
	},
	"straight code": func(n int) handmade.Guest { return inOne(nil, times(100*n, i32Const, 0, drop)) },
	"values":        func(n int) handmade.Guest { return inOne(nil, append(times(n, call, 1), times(n, drop)...)) },
	"types":         func(n int) handmade.Guest { return handmade.Guest{Types: handmade.Repeat(10*n, []byte{0x60, 0, 0})} },
	"globals": func(n int) handmade.Guest {
		return handmade.Guest{Globals: handmade.Repeat(10*n, []byte{i32, 0, i32Const, 0, end})}
	},
	"data segments": func(n int) handmade.Guest {
		return handmade.Guest{Data: handmade.Repeat(10*n, []byte{0, i32Const, 0, end, 0})}
	},
	"element segments": func(n int) handmade.Guest {
		return handmade.Guest{Tables: [][]byte{{0x70, 0, 1}}, Elements: handmade.Repeat(10*n, []byte{0, i32Const, 0, end, 1, 0})}
	},
	"exports": func(n int) handmade.Guest {
		var g handmade.Guest
		for i := range 10 * n {
			g.Exports = append(g.Exports, handmade.Export(fmt.Sprint(i), function, 0))
		}
		return g
	},
	"names": func(n int) handmade.Guest {
		var names [][]byte
		for i := range 10 * n {
			names = append(names, append(handmade.Number(uint64(i)), 1, 'x'))
		}
		return handmade.Guest{Custom: handmade.Section(customSection, slices.Concat([]byte{4}, []byte("name"), handmade.Section(1, handmade.Vec(names...))))}
	},
}

func inOne(locals [][]byte, code []byte) handmade.Guest {
	return handmade.Guest{More: [][]byte{handmade.Body(locals, code)}}
}

func times(n int, code ...byte) []byte { return bytes.Repeat(code, n) }

func tableOf(n int) []byte {
	return slices.Concat([]byte{block, emptyBlock, i32Const, 0, brTable}, handmade.Number(uint64(n)), times(n+1, 0), []byte{end})
}

func valuesOf(n int) []byte {
	return slices.Concat([]byte{0x60, 0}, handmade.Number(uint64(n)), times(n, i32))
}

// TestWhatTakesLongToCompileIsRefused: shapes of which a module of a few megabytes takes minutes.
func TestWhatTakesLongToCompileIsRefused(t *testing.T) {
	for name, n := range map[string]int{
		"empty ifs": 200_000, "blocks": 200_000, "loops": 20_000, "loops in loops": 20_000, "ifs in ifs": 200_000,
		"one br_table": 1_000_000, "many br_tables": 5_000_000, "a br_table to as many blocks": 100_000, "functions of loops": 1_000_000,
		"locals and ifs": 5_000, "branches with results": 1_000_000,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Rewrite(shapes[name](n).Module())
			if err == nil || !strings.Contains(err.Error(), "compiling this module would take too long") {
				t.Errorf("%d of them: %v", n, err)
			}
		})
	}
	for name, module := range map[string][]byte{
		"bytes":   make([]byte, MaxBytes+1),
		"results": handmade.Guest{Types: [][]byte{valuesOf(MaxValues + 1)}}.Module(),
	} {
		if _, err := Rewrite(module); err == nil || !strings.Contains(err.Error(), "supported") {
			t.Errorf("too many %s: %v", name, err)
		}
	}
}

// TestEffort: a module that is twice as large, in whichever way, is known to take at least about
// twice as long to compile.
func TestEffort(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			once, twice := walk(shape(1000).Module()).effort, walk(shape(2000).Module()).effort
			if twice < 1.8*once {
				t.Errorf("%.0f µs for one, %.0f for two", once, twice)
			}
		})
	}
}

// BenchmarkEffort compiles, of every shape, about the largest module that should take 100 ms, and
// reports how many times as long it takes.
func BenchmarkEffort(b *testing.B) {
	const share = MaxEffort / 200
	for name, shape := range shapes {
		b.Run(name, func(b *testing.B) {
			n := 100
			for walk(shape(2*n).Module()).effort < share && n < 1<<16 {
				n *= 2
			}
			module := rewrite(b, shape(n).Module())
			for b.Loop() {
				compiled, err := engine(b, api.CoreFeaturesV2, func() {}).CompileModule(context.Background(), module)
				if err != nil {
					b.Fatal(err)
				}
				_ = compiled.Close(context.Background())
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/walk(shape(n).Module()).effort, "times")
			b.ReportMetric(0, "ns/op")
		})
	}
}
