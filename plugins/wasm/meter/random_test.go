package meter

// The functions of a random program have these locals; the last ones count the turns of loops.
const (
	ints    = 4 // i32, the first of them a parameter
	longs   = 3 // i64, the first of them a parameter
	doubles = 2
	loops   = 3
)

// Its globals.
const (
	fuel = iota // falls at every loop head and function entry, for a program must end
	intGlobal
	longGlobal
)

// random makes a valid function of the choices that it reads from bytes. When there are none left
// it takes the first and simplest choice everywhere, as it does in deep nests.
type random struct {
	in     []byte
	code   []byte
	labels []bool // whether a branch to it carries nothing
	depth  int
	index  int // of the function
	loops  byte
}

const randomFunctions = 4

// randomProgram exports its functions f0, f1..., all (i32, i64) -> i32.
func randomProgram(in []byte) program {
	p := program{
		types:    [][]byte{signature("\x7f\x7e", "\x7f"), signature("\x7f", "\x7f"), signature("", "")},
		tables:   [][]byte{{0x70, 0, 6}},
		memories: [][]byte{{1, 1, 3}},
		globals: [][]byte{
			concat([]byte{i32, 1}, constI32(0), []byte{end}),
			concat([]byte{i32, 1}, constI32(7), []byte{end}),
			concat([]byte{i64, 1}, sleb([]byte{i64Const}, -9), []byte{end}),
		},
		exports:  [][]byte{export("memory", memory, 0), export("g0", global, 0), export("g1", global, 1), export("g2", global, 2)},
		elements: [][]byte{concat([]byte{0}, constI32(0), []byte{end}, vec([]byte{0}, []byte{1}, []byte{2}, []byte{3}))}, // and two of null
		data:     [][]byte{concat([]byte{0}, constI32(16), []byte{end}, sized([]byte("some bytes to begin with")))},
	}
	for i := range byte(randomFunctions) {
		p.exports = append(p.exports, export("f"+string('0'+rune(i)), function, i))
		part := len(in) / (randomFunctions - int(i))
		p.funcs = append(p.funcs, (&random{in: in[:part], index: int(i)}).function())
		in = in[part:]
	}
	return p
}

// pick returns a number below n.
func (g *random) pick(n int) int {
	if len(g.in) == 0 || g.depth > 9 {
		return 0
	}
	b := g.in[0]
	g.in = g.in[1:]
	return int(b) % n
}

// rare is what ends most programs too soon when it is frequent: traps, recursion.
func (g *random) rare() bool { return g.pick(32) == 31 }

func (g *random) emit(code ...byte) { g.code = append(g.code, code...) }

// Locals: the parameters, an i32 and an i64, then the others.
func (g *random) int() byte    { return []byte{0, 2, 3, 4}[g.pick(ints)] }
func (g *random) long() byte   { return []byte{1, 5, 6}[g.pick(longs)] }
func (g *random) double() byte { return []byte{7, 8}[g.pick(doubles)] }

func (g *random) function() fn {
	g.burn()
	for range 1 + g.pick(5) {
		g.statement()
	}
	g.i32()
	return fn{locals: []byte{i32, i32, i32, i64, i64, f64, f64, i32, i32, i32}, code: g.code}
}

// burn takes one of the fuel, or traps.
func (g *random) burn() {
	g.emit(globalGet, fuel, i32Const, 1, i32Sub, globalSet, fuel, globalGet, fuel, i32Const, 1, i32LtS, ifElse, emptyBlock, unreachable, end)
}

func (g *random) inside(nothing bool, f func()) {
	g.labels = append(g.labels, nothing)
	f()
	g.labels = g.labels[:len(g.labels)-1]
}

// label picks a label that a branch without operands may go to, from inside to outside.
func (g *random) label() (byte, bool) {
	if n := len(g.labels); n > 0 {
		l := g.pick(n)
		return byte(l), g.labels[n-1-l]
	}
	return 0, false
}

func (g *random) statements() {
	for range g.pick(4) {
		g.statement()
	}
}

func (g *random) statement() {
	g.depth++
	defer func() { g.depth-- }()
	switch g.pick(16) {
	case 0:
		g.i32()
		g.emit(localSet, g.int())
	case 1:
		g.i64()
		g.emit(localSet, g.long())
	case 2:
		g.f64()
		g.emit(localSet, g.double())
	case 3:
		g.i32()
		g.emit(ifElse, emptyBlock)
		g.inside(true, func() { g.statements(); g.emit(elseOp); g.statements() })
		g.emit(end)
	case 4, 5:
		g.loop()
	case 6:
		g.emit(block, emptyBlock)
		g.inside(true, g.statements)
		g.emit(end)
	case 7:
		if l, ok := g.label(); ok {
			g.i32()
			g.emit(brIf, l)
		}
	case 8:
		g.table()
	case 9:
		g.address()
		g.i32()
		g.emit(i32Store, 2, 8)
	case 10:
		g.address()
		g.i64()
		g.emit(0x37, 3, 0) // i64.store
	case 11:
		g.i32()
		g.emit(globalSet, intGlobal)
		g.i64()
		g.emit(globalSet, longGlobal)
	case 12:
		g.address()
		g.address()
		g.i32()
		g.emit(i32Const, 0x3f, 0x71) // i32.and
		g.emit(0xfc, 0x0a, 0, 0)
	case 13:
		g.address()
		g.i32()
		g.i32()
		g.emit(constI32(0x1fff)...)
		g.emit(0x71) // i32.and
		g.emit(0xfc, 0x0b, 0)
	case 14:
		g.i32()
		g.emit(ifElse, emptyBlock)
		g.inside(true, g.i32)
		g.emit(returnOp, end)
	case 15:
		g.i32()
		g.emit(drop)
	}
}

// loop counts down to its end, but for branches.
func (g *random) loop() {
	if g.loops == loops {
		return
	}
	counter := 9 + g.loops
	g.loops++
	times := byte(1 + g.pick(20))
	again := []byte{localGet, counter, i32Const, 1, i32Sub, localTee, counter, brIf, 0, end}
	if g.pick(4) == 3 { // one that hands a number on from turn to turn
		g.i32()
		g.emit(i32Const, times, localSet, counter, loop, 1)
		g.inside(false, func() { g.burn(); g.i32(); g.emit(0x73) }) // i32.xor
		g.emit(again...)
		g.emit(localSet, g.int())
	} else {
		g.emit(i32Const, times, localSet, counter, loop, emptyBlock)
		g.inside(true, func() { g.burn(); g.statements() })
		g.emit(again...)
	}
	g.loops--
}

// table branches to one of three blocks of its own.
func (g *random) table() {
	g.emit(block, emptyBlock, block, emptyBlock, block, emptyBlock)
	g.inside(true, func() { g.inside(true, func() { g.inside(true, g.i32) }) })
	g.emit(brTable, 3, 0, 1, 2, byte(g.pick(3)), end)
	g.inside(true, func() { g.inside(true, g.statements) })
	g.emit(end)
	g.inside(true, g.statements)
	g.emit(end)
}

// address is within the memory most of the time.
func (g *random) address() {
	g.i32()
	if !g.rare() {
		g.emit(constI32(0xffff)...)
		g.emit(0x71) // i32.and
	}
}

// call calls one of the functions behind this one, most of the time.
func (g *random) call() {
	first, n := g.index+1, randomFunctions-1-g.index
	if g.rare() {
		first, n = 0, randomFunctions
	}
	if n == 0 {
		g.emit(localGet, g.int())
		return
	}
	g.i32()
	g.i64()
	callee := byte(first + g.pick(n))
	switch {
	case g.rare():
		g.i32()
		g.emit(i32Const, 7, 0x71, callIndirect, 0, 0) // i32.and
	case g.pick(2) == 1:
		g.emit(i32Const, callee, callIndirect, 0, 0)
	default:
		g.emit(call, callee)
	}
}

// arithmetic ends in one of add, sub, mul, four divisions, and, or, xor, shl, two shr, rotl, rotr.
func (g *random) arithmetic(first, constant, or byte) {
	op := byte(g.pick(15))
	if op >= 3 && op <= 6 && !g.rare() {
		g.emit(constant, 1, or)
	}
	g.emit(first + op)
}

func (g *random) i32() {
	g.depth++
	defer func() { g.depth-- }()
	switch g.pick(14) {
	case 0:
		g.emit(localGet, g.int())
	case 1:
		g.emit(constI32(int32(g.pick(256))<<g.pick(25) - int32(g.pick(256)))...)
	case 2, 3:
		g.i32()
		g.i32()
		g.arithmetic(0x6a, i32Const, 0x72)
	case 4:
		g.i64()
		g.i64()
		g.emit(0x51 + byte(g.pick(10))) // comparisons
	case 5:
		g.address()
		g.emit(i32Load, 2, 4)
	case 6, 7:
		g.call()
	case 8:
		g.i32()
		g.emit(ifElse, i32)
		g.inside(false, func() { g.i32(); g.emit(elseOp); g.i32() })
		g.emit(end)
	case 9:
		g.emit(block, i32)
		g.inside(false, func() { g.statements(); g.i32(); g.i32(); g.emit(brIf, 0) })
		g.emit(end)
	case 10:
		g.i64()
		g.emit(0xa7) // i32.wrap_i64
	case 11:
		g.f64()
		if g.rare() {
			g.emit([]byte{0xaa, 0xab}[g.pick(2)]) // i32.trunc_f64
		} else {
			g.emit(0xfc, 2) // the saturating one
		}
	case 12:
		g.i32()
		g.emit(i32Const, 1, 0x71, memoryGrow, 0)
	case 13:
		g.i32()
		g.i32()
		g.i32()
		g.emit(0x1b) // select
	}
}

func (g *random) i64() {
	g.depth++
	defer func() { g.depth-- }()
	switch g.pick(6) {
	case 0:
		g.emit(localGet, g.long())
	case 1:
		g.emit(sleb([]byte{i64Const}, int64(g.pick(256))<<g.pick(57)-int64(g.pick(256)))...)
	case 2:
		g.i64()
		g.i64()
		g.arithmetic(0x7c, i64Const, 0x84)
	case 3:
		g.i32()
		g.emit([]byte{0xac, 0xad}[g.pick(2)]) // i64.extend_i32
	case 4:
		g.emit(globalGet, longGlobal)
	case 5:
		g.f64()
		g.emit(0xfc, 6) // i64.trunc_sat_f64_s
	}
}

func (g *random) f64() {
	g.depth++
	defer func() { g.depth-- }()
	switch g.pick(5) {
	case 0:
		g.emit(localGet, g.double())
	case 1:
		g.emit(constF64(uint64(g.pick(256))<<56 | uint64(g.pick(256))<<48)...)
	case 2:
		g.f64()
		g.f64()
		g.emit(0xa0 + byte(g.pick(6))) // add, sub, mul, div, min, max
	case 3:
		g.i32()
		g.emit(0xb7) // f64.convert_i32_s
	case 4:
		g.i64()
		g.emit(0xb9) // f64.convert_i64_s
	}
}
