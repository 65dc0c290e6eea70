package meter

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

var errStopped = errors.New("stopped")

// endless are modules that export run, () -> (), which does not come back.
func endless() map[string]program {
	one := program{types: [][]byte{signature("", ""), signature("\x7f", "")}, exports: [][]byte{export("run", function, 0)}}
	with := func(change func(*program)) program {
		p := one
		change(&p)
		return p
	}
	// Recursion that is not deep but branches does not use up the stack: 2 to the power of 60
	// calls.
	branch := func(again ...byte) []byte {
		return concat([]byte{localGet, 0, ifElse, emptyBlock},
			[]byte{localGet, 0, i32Const, 1, i32Sub}, again, []byte{localGet, 0, i32Const, 1, i32Sub}, again, []byte{end})
	}
	table := func(p *program) {
		p.tables = [][]byte{{0x70, 0, 3}}
		p.elements = [][]byte{concat([]byte{0}, constI32(0), []byte{end}, vec([]byte{0}, []byte{1}, []byte{2}))}
	}
	memory := func(p *program) { p.memories = [][]byte{{0, 64}} }
	jumps := func(f fn) program {
		return with(func(p *program) { p.funcs = []fn{{locals: []byte{i32, i32}, code: f.code}} })
	}
	return map[string]program{
		"a jump to where it stands": jumps(jumping([][]byte{jump(2, 0, 0, 1), jump(2, 1, 0, 1)})),
		"a jump back":               jumps(jumping([][]byte{jump(3, 0, 0, 1), jump(3, 1, 0, 2), jump(3, 2, 0, 1)})),
		"a jump back with an if":    jumps(jumping([][]byte{jump(2, 0, 0, 1), concat([]byte{i32Const, 1, ifElse, emptyBlock}, jump(2, 1, 1, 0), []byte{end})})),
		"a jump to the last place, by a number past the table": jumps(jumping([][]byte{{}, jump(2, 1, 0, 63)})),
		"a jump by a number that is known to another local":    jumps(jumping([][]byte{{i32Const, 1, localSet, 0, br, 1}, {}})),
		"a jump by a number that was set before":               jumps(jumping([][]byte{{i32Const, 1, localSet, 1, i32Const, 0, localSet, 1, br, 1}, {}})),
		"a jump that is set on another way": jumps(jumping([][]byte{
			{block, emptyBlock, i32Const, 0, i32Eqz, brIf, 0, i32Const, 1, localSet, 1, end, br, 1}, {}})),
		"a jump from where blocks have ended": jumps(jumping([][]byte{{}, {}, concat([]byte{block, emptyBlock, block, emptyBlock}, jump(3, 2, 2, 1), []byte{end, end})})),
		"a head that jumps to itself":         jumps(fn{code: []byte{loop, emptyBlock, block, emptyBlock, localGet, 1, brTable, 1, 1, 1, end, end}}),
		"a loop": with(func(p *program) {
			p.funcs = []fn{{code: []byte{loop, emptyBlock, br, 0, end}}}
		}),
		"a loop with br_table": with(func(p *program) {
			p.funcs = []fn{{locals: []byte{i32}, code: concat(
				[]byte{loop, emptyBlock, block, emptyBlock, block, emptyBlock, localGet, 0, i32Const, 1, i32Add, localTee, 0},
				[]byte{brTable, 3, 0, 1, 2, 1, end, br, 1, end, br, 0, end})}}
		}),
		"a loop in a loop": with(func(p *program) {
			p.funcs = []fn{{locals: []byte{i32}, code: []byte{loop, emptyBlock, i32Const, 3, localSet, 0,
				loop, emptyBlock, localGet, 0, i32Const, 1, i32Sub, localTee, 0, brIf, 0, end, br, 0, end}}}
		}),
		"mutual recursion": with(func(p *program) {
			p.funcs = []fn{{code: []byte{i32Const, 60, call, 1}}, {sig: 1, code: branch(call, 2)}, {sig: 1, code: branch(call, 1)}}
		}),
		"recursion by call_indirect": with(func(p *program) {
			table(p)
			p.funcs = []fn{{code: []byte{i32Const, 60, call, 1}}, {sig: 1, code: branch(i32Const, 2, callIndirect, 1, 0)}, {sig: 1, code: branch(i32Const, 1, callIndirect, 1, 0)}}
		}),
		"a loop that fills memory": with(func(p *program) {
			memory(p)
			p.funcs = []fn{{code: concat([]byte{loop, emptyBlock, i32Const, 0, i32Const, 1}, constI32(64<<16), []byte{0xfc, 0x0b, 0, br, 0, end})}}
		}),
		"a loop that copies memory": with(func(p *program) {
			memory(p)
			p.funcs = []fn{{code: concat([]byte{loop, emptyBlock, i32Const, 0, i32Const, 1}, constI32(64<<16-1), []byte{0xfc, 0x0a, 0, 0, br, 0, end})}}
		}),
		"a loop of much straight code": with(func(p *program) {
			p.funcs = []fn{{locals: []byte{i32}, code: concat([]byte{loop, emptyBlock},
				bytes.Repeat([]byte{localGet, 0, i32Const, 1, i32Add, localSet, 0}, 50_000), []byte{br, 0, end})}}
		}),
	}
}

// TestEndlessGuestsStop when the hook says so. How often it is called is counted below.
func TestEndlessGuestsStop(t *testing.T) {
	for name, p := range endless() {
		t.Run(name, func(t *testing.T) {
			const last = 10
			turns := 0
			m := start(t, rewrite(t, p.bytes()), func() {
				if turns++; turns == last {
					panic(errStopped)
				}
			})
			if _, err := m.ExportedFunction("run").Call(context.Background()); !errors.Is(err, errStopped) {
				t.Error(err)
			}
			if turns != last {
				t.Errorf("%d turns", turns)
			}
		})
	}
}

// TestCollectorGetsIn beside a running guest.
func TestCollectorGetsIn(t *testing.T) {
	for name, p := range endless() {
		t.Run(name, func(t *testing.T) {
			var stop atomic.Bool
			running := make(chan struct{}, 1)
			m := start(t, rewrite(t, p.bytes()), func() {
				select {
				case running <- struct{}{}:
				default:
				}
				if stop.Load() {
					panic(errStopped)
				}
			})
			done := make(chan error)
			go func() {
				_, err := m.ExportedFunction("run").Call(context.Background())
				done <- err
			}()
			<-running
			for range 3 {
				runtime.GC()
			}
			stop.Store(true)
			if err := <-done; !errors.Is(err, errStopped) {
				t.Error(err)
			}
		})
	}
}

// TestStartFunctionStops before its module is there.
func TestStartFunctionStops(t *testing.T) {
	p := endless()["a loop"]
	p.start = []byte{0}
	module := rewrite(t, p.bytes())
	_, err := engine(t, api.CoreFeaturesV2, func() { panic(errStopped) }).Instantiate(context.Background(), module)
	if !errors.Is(err, errStopped) {
		t.Error(err)
	}
}

// TestDeepRecursion uses up the stack: that is an error of its own, with or without the counter.
func TestDeepRecursion(t *testing.T) {
	p := program{types: [][]byte{signature("", "")}, exports: [][]byte{export("run", function, 0)}, funcs: []fn{{code: []byte{call, 1}}, {code: []byte{call, 0}}}}
	_, err := start(t, p.bytes(), func() {}).ExportedFunction("run").Call(context.Background())
	_, metered := start(t, rewrite(t, p.bytes()), func() {}).ExportedFunction("run").Call(context.Background())
	if err == nil || message(err) != message(metered) {
		t.Errorf("%v, rewritten %v", message(err), message(metered))
	}
}

// TestCounting calls the hook exactly once for every Every heads and entries, across calls.
func TestCounting(t *testing.T) {
	p := program{
		types:   [][]byte{signature("\x7f", "")},
		exports: [][]byte{export("run", function, 0)},
		funcs: []fn{
			{code: []byte{loop, emptyBlock, localGet, 0, call, 1, localGet, 0, i32Const, 1, i32Sub, localTee, 0, brIf, 0, end}},
			{code: nil},
		},
	}
	turns, counted := 0, 0
	run := start(t, rewrite(t, p.bytes()), func() { turns++ }).ExportedFunction("run")
	for _, n := range []int{1, Every/2 - 2, 1, 2, Every, 3 * Every, 12_345, 1, 99_999} {
		if _, err := run.Call(context.Background(), uint64(n)); err != nil {
			t.Fatal(err)
		}
		if counted += 1 + 2*n; turns != counted/Every {
			t.Errorf("%d counted, %d turns, want %d", counted, turns, counted/Every)
		}
	}
}

// TestCountingBulk counts an operation by its size, straight code by its length.
func TestCountingBulk(t *testing.T) {
	const pages = 64
	p := program{
		types:    [][]byte{signature("\x7f\x7f", "")},
		memories: [][]byte{{0, pages}},
		tables:   [][]byte{concat([]byte{0x70, 0}, number(nil, 1<<20))},
		data:     [][]byte{append([]byte{1}, vec()...)},
		elements: [][]byte{{1, 0, 0}},
		exports:  [][]byte{export("fill", function, 0), export("copy", function, 1), export("table", function, 2), export("straight", function, 3)},
	}
	repeat := func(code ...byte) fn {
		return fn{code: concat([]byte{loop, emptyBlock}, code, []byte{localGet, 0, i32Const, 1, i32Sub, localTee, 0, brIf, 0, end})}
	}
	p.funcs = []fn{
		repeat(i32Const, 0, i32Const, 0, localGet, 1, 0xfc, 0x0b, 0),
		repeat(i32Const, 0, i32Const, 0, localGet, 1, 0xfc, 0x0a, 0, 0),
		repeat(i32Const, 0, i32Const, 0, localGet, 1, 0xfc, 0x0e, 0, 0),
		repeat(bytes.Repeat([]byte{0x01}, 3*(stretch+1)+10)...), // nop
	}
	run := func(name string, n, size int) (turns int) {
		f := start(t, rewrite(t, p.bytes()), func() { turns++ }).ExportedFunction(name)
		if _, err := f.Call(context.Background(), uint64(n), uint64(size)); err != nil {
			t.Fatal(err)
		}
		return turns
	}
	if got, want := run("straight", 2*Every, 0), (1+2*Every*4)/Every; got != want {
		t.Errorf("straight: %d turns, want %d", got, want)
	}
	for name, size := range map[string]int{"fill": pages << 16, "copy": pages<<16 - 5, "table": 1 << 20} {
		const n = 200
		want := 0
		for c, i := Every-1, 0; i < n; i++ {
			if c--; c == 0 {
				c, want = Every, want+1
			}
			if c -= size >> share; c <= 0 { // what is more than what was left is not carried over
				c, want = Every, want+1
			}
		}
		if got := run(name, n, size); got != want {
			t.Errorf("%s: %d turns, want %d", name, got, want)
		}
	}
}

// TestHookMayCall back into the guest: the counter began anew before.
func TestHookMayCall(t *testing.T) {
	p := program{
		types:   [][]byte{signature("\x7f", ""), signature("", "\x7f")},
		exports: [][]byte{export("run", function, 0), export("one", function, 1)},
		funcs: []fn{
			{code: []byte{loop, emptyBlock, localGet, 0, i32Const, 1, i32Sub, localTee, 0, brIf, 0, end}},
			{sig: 1, code: []byte{i32Const, 1}},
		},
	}
	var m api.Module
	var turns, inside uint64
	m = start(t, rewrite(t, p.bytes()), func() {
		turns++
		out, err := m.ExportedFunction("one").Call(context.Background())
		if err != nil {
			panic(err)
		}
		inside += out[0]
	})
	if _, err := m.ExportedFunction("run").Call(context.Background(), 5*Every); err != nil || turns != 5 || inside != 5 {
		t.Errorf("%d turns, %d calls, %v", turns, inside, err)
	}
}
