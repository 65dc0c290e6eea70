package meter

// The opcodes that are looked at or written.
const (
	unreachable  = 0x00
	block        = 0x02
	loop         = 0x03
	ifElse       = 0x04
	elseOp       = 0x05
	end          = 0x0b
	br           = 0x0c
	brIf         = 0x0d
	brTable      = 0x0e
	returnOp     = 0x0f
	call         = 0x10
	callIndirect = 0x11
	localGet     = 0x20
	localSet     = 0x21
	globalGet    = 0x23
	globalSet    = 0x24
	i32Const     = 0x41
	i32Eqz       = 0x45
	i32LtS       = 0x48
	i32Sub       = 0x6b
	i32ShrU      = 0x76
	emptyBlock   = 0x40
	i32          = 0x7f
)

const (
	// stretch is how many bytes of code without a loop count as one.
	stretch = 4096
	// share is the logarithm of how many bytes or elements of a bulk operation count as one.
	share = 12
)

// everyConst is i32.const Every.
var everyConst = []byte{i32Const, Every&0x7f | 0x80, Every>>7&0x7f | 0x80, Every >> 14}

// codeSection counts in every function, and adds the one that charges.
func (w *walker) codeSection() {
	defined := w.functions - w.imported
	at := w.pos
	if n := w.count(); n != defined {
		w.failAt(at, "code of %d functions, of which there are %d", n, defined)
	}
	if defined == 0 {
		return
	}
	w.announce(defined + 1)
	w.prepare()
	for i := range defined {
		if w.err != nil {
			return
		}
		at := w.pos
		body := w.enter()
		e := body.body(w.arities[w.defined[i]][1])
		w.leave(body)
		w.spend(at, e.micros(w.pos-at), "a function with %d blocks, %d loops, %d locals, and %d entries of br_table", e.blocks, e.loops, e.locals, e.entries)
	}
	charge := w.charging()
	w.out = append(number(w.out, uint32(len(charge))), charge...)
}

// prepare makes the code that counts one.
func (w *walker) prepare() {
	get, set := number([]byte{globalGet}, w.globals), number([]byte{globalSet}, w.globals)
	w.tick = concat(get, []byte{i32Const, 1, i32Sub}, set, get, []byte{i32Eqz}, w.turn())
	w.charge = number([]byte{call}, w.functions+1)
}

// turn makes the code that calls the hook if the value on the stack says so. The counter begins
// anew first: the hook may call the guest, or not return.
func (w *walker) turn() []byte {
	return concat([]byte{ifElse, emptyBlock}, everyConst, number([]byte{globalSet}, w.globals), number([]byte{call}, w.imported), []byte{end})
}

// charging makes a function that counts for a bulk operation and returns the size it was given, so
// that it can be called when the operation's operands are on the stack.
func (w *walker) charging() []byte {
	get, set := number([]byte{globalGet}, w.globals), number([]byte{globalSet}, w.globals)
	return concat([]byte{0}, // locals
		get, []byte{localGet, 0, i32Const, share, i32ShrU, i32Sub}, set,
		get, []byte{i32Const, 1, i32LtS}, w.turn(),
		[]byte{localGet, 0, end})
}

// body walks one function, of so many results. Code that counts leaves the stack as it is, so it
// may stand anywhere between two instructions.
func (w *walker) body(results int) (e effort) {
	for range w.count() {
		e.locals += int(w.u32())
		w.valueType()
	}
	w.insert(w.pos, w.tick)
	for f := (ways{labels: []label{{values: results}}}); len(f.labels) > 0 && w.err == nil; {
		at := w.pos
		if f.since > stretch {
			w.one(at, &f, &e)
		}
		if e.note(w, &f) {
			w.one(at, &f, &e)
		}
		switch w.instruction() {
		case block:
		case loop:
			if f.top().jumps == nil {
				w.insert(w.pos, w.tick)
				f.since = 0
			}
		case br, brTable, returnOp, unreachable: // what follows is reached from elsewhere
			f.since = 0
		default:
			f.since += w.pos - at
		}
	}
	return e
}

// one counts one before the offset.
func (w *walker) one(at int, f *ways, e *effort) {
	w.insert(at, w.tick)
	f.since = 0
	e.blocks++
}

// instruction walks one instruction with its immediates.
func (w *walker) instruction() byte {
	at := w.pos
	code := w.byte()
	op := w.lookUp(at, code)
	for i := range len(op.immediates) {
		switch op.immediates[i] {
		case 't':
			w.index(w.types, "type")
		case 'f':
			w.function()
		case 'g':
			w.index(w.globals, "global")
		case 'x':
			w.u32()
		case 'X':
			for range w.count() {
				w.u32()
			}
		case 'm':
			w.memoryArgument()
		case 'z':
			w.expect(0, "memory")
		case 'i':
			w.signed(32)
		case 'l':
			w.signed(64)
		case '1':
			w.byte()
		case '4':
			w.bytes(4)
		case '8':
			w.bytes(8)
		case 'v':
			w.bytes(16)
		case 'b':
			w.blockType()
		case 'T':
			for range w.count() {
				w.valueType()
			}
		case 'r':
			w.referenceType()
		case '$':
			w.insert(at, w.charge)
		}
	}
	return code
}

// blockType is a type, none, or the index of a function's type.
func (w *walker) blockType() {
	at := w.pos
	switch n := w.signed(33); {
	case n >= 0:
		if n >= int64(w.types) && w.err == nil {
			w.failAt(at, "there is no type %d", n)
		}
	case w.b[at] != emptyBlock:
		w.pos = at
		w.valueType()
	}
}

// memoryArgument refuses the flag of several memories.
func (w *walker) memoryArgument() {
	at := w.pos
	if align := w.u32(); align >= 32 {
		w.failAt(at, "memory argument %#x is not supported", align)
	}
	w.u32()
}

// constant walks an expression that initialises something.
func (w *walker) constant() {
	for w.err == nil {
		at := w.pos
		code := w.instruction()
		if code == end {
			return
		}
		if !constants[code] {
			w.failAt(at, "opcode %#x in a constant expression is not supported", code)
		}
	}
}

func concat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
