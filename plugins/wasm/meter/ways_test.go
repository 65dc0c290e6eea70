package meter

import (
	"bytes"
	"context"
	"testing"
)

// turnsOf runs a function n times in a row, and counts how often it calls the hook.
func turnsOf(t *testing.T, n int, f fn) (turns int) {
	t.Helper()
	p := program{
		types:   [][]byte{signature("\x7f", "")},
		exports: [][]byte{export("run", function, 0)},
		funcs: []fn{
			{code: []byte{loop, emptyBlock, localGet, 0, call, 1, localGet, 0, i32Const, 1, i32Sub, localTee, 0, brIf, 0, end}},
			f,
		},
	}
	if _, err := start(t, rewrite(t, p.bytes()), func() { turns++ }).ExportedFunction("run").Call(context.Background(), uint64(n)); err != nil {
		t.Fatal(err)
	}
	return turns
}

// TestWaysPastCounts pass code that is long together in pieces that are not, and past the end of
// each by a branch: to where a count would stand that went by the code's offset alone.
func TestWaysPastCounts(t *testing.T) {
	const pieces, passed, n = 64, stretch / 4, Every
	code := func(n int) []byte { return bytes.Repeat([]byte{0x01}, n) } // nop
	long := code(passed)
	for name, piece := range map[string]func(past []byte) []byte{
		"br": func(past []byte) []byte {
			return concat([]byte{block, emptyBlock}, long, []byte{br, 0}, past, []byte{br, 0, end})
		},
		"br_if": func(past []byte) []byte {
			return concat([]byte{block, emptyBlock}, long, []byte{i32Const, 1, brIf, 0}, past, []byte{returnOp, end})
		},
		"br_table": func(past []byte) []byte {
			return concat([]byte{block, emptyBlock}, long, []byte{i32Const, 0, brTable, 1, 0, 0}, past, []byte{end})
		},
		"if": func(past []byte) []byte {
			return concat(long, []byte{i32Const, 0, ifElse, emptyBlock}, past, []byte{returnOp, end})
		},
		"then": func(past []byte) []byte {
			return concat([]byte{i32Const, 1, ifElse, emptyBlock}, long, []byte{elseOp}, past, []byte{returnOp, end})
		},
		"else": func(past []byte) []byte {
			return concat(long[:passed/2], []byte{i32Const, 0, ifElse, emptyBlock}, past, []byte{returnOp, elseOp}, long[passed/2:], []byte{end})
		},
		"from deep": func(past []byte) []byte {
			return concat([]byte{block, emptyBlock, block, emptyBlock, loop, emptyBlock}, long, []byte{br, 2, end, end}, past, []byte{br, 0, end})
		},
	} {
		past := code(stretch + 1 - len(piece(nil))) // so that all pieces are as long as a stretch
		got := turnsOf(t, n, fn{code: concat(code(stretch/4), bytes.Repeat(piece(past), pieces))})
		if want := n * (2 + pieces*passed/(stretch+passed)) / Every; got < want {
			t.Errorf("%s: %d turns, want %d at least", name, got, want)
		}
	}
}

// jumping is a function as Go writes them, of so many parts. Each of them has its place in a
// br_table, and code of its own, which may jump to any by its number: jump makes that jump from a
// part.
func jumping(parts [][]byte) fn {
	code := []byte{loop, emptyBlock}
	for range parts {
		code = append(code, block, emptyBlock)
	}
	code = append(code, localGet, 1, brTable, byte(len(parts)-1))
	for i := range parts {
		code = append(code, byte(i))
	}
	for _, part := range parts {
		code = append(append(code, end), part...)
	}
	return fn{locals: []byte{i32}, code: append(code, end)}
}

// jump goes from a part, inside of so many blocks, to another.
func jump(parts, from, inside, to byte) []byte {
	return []byte{i32Const, to, localSet, 1, br, parts - 1 - from + inside}
}

// TestJumpsForward count nothing; those backward count one each.
func TestJumpsForward(t *testing.T) {
	const n, parts = Every, 6
	forward := make([][]byte, parts)
	for i := range byte(parts - 1) {
		forward[i] = concat([]byte{i32Const, 1, ifElse, emptyBlock}, jump(parts, i, 1, i+1), []byte{end, unreachable})
	}
	if got, want := turnsOf(t, n, jumping(forward)), (1+2*n)/Every; got != want { // the call and the loop around it
		t.Errorf("forward: %d turns, want %d", got, want)
	}
	// Part 1 is come to once, and then from 3 three times.
	back := [][]byte{
		jump(4, 0, 0, 1),
		jump(4, 1, 0, 3),
		{unreachable},
		concat([]byte{localGet, 2, i32Const, 1, i32Add, localTee, 2, i32Const, 4, i32LtS, ifElse, emptyBlock}, jump(4, 3, 1, 1), []byte{end}),
	}
	f := jumping(back)
	f.locals = []byte{i32, i32}
	if got, want := turnsOf(t, n, f), (1+2*n+3*n)/Every; got != want {
		t.Errorf("back: %d turns, want %d", got, want)
	}
}

// TestJumpsPastCounts count for the code that is passed between them.
func TestJumpsPastCounts(t *testing.T) {
	const n, parts = Every, 64
	long := make([][]byte, parts)
	for i := range long {
		long[i] = bytes.Repeat([]byte{0x01}, stretch-50) // nop
		if i < parts-1 {
			long[i] = concat(long[i], jump(parts, byte(i), 0, byte(i)+1), bytes.Repeat([]byte{0x01}, 100))
		}
	}
	got := turnsOf(t, n, jumping(long))
	if want := n * (2 + parts/2 - 1) / Every; got < want {
		t.Errorf("%d turns, want %d at least", got, want)
	}
}
