package meter

// opcode is an instruction that is known, with one letter for each immediate:
//
//	t f g  index of a type, a function, a global
//	x X    another index, a list of them
//	m z    alignment and offset of an access to memory, index 0 of the only memory
//	i l    signed number of 32 bits, of 64
//	1 4 8 v  1, 4, 8, 16 bytes
//	b T r  type of a block, list of types, type of a reference
//	$      none: the operand on top of the stack says how much there is to do
type opcode struct {
	known      bool
	immediates string
}

// row describes the opcodes of a range.
type row struct {
	from, to   int
	immediates string
}

var plain = table256([]row{
	{0x00, 0x01, ""},   // unreachable, nop
	{0x02, 0x04, "b"},  // block, loop, if
	{0x05, 0x05, ""},   // else
	{0x0b, 0x0b, ""},   // end
	{0x0c, 0x0d, "x"},  // br, br_if
	{0x0e, 0x0e, "Xx"}, // br_table
	{0x0f, 0x0f, ""},   // return
	{0x10, 0x10, "f"},  // call
	{0x11, 0x11, "tx"}, // call_indirect
	{0x1a, 0x1b, ""},   // drop, select
	{0x1c, 0x1c, "T"},  // select of given types
	{0x20, 0x22, "x"},  // local.get, set, tee
	{0x23, 0x24, "g"},  // global.get, set
	{0x25, 0x26, "x"},  // table.get, set
	{0x28, 0x3e, "m"},  // loads and stores
	{0x3f, 0x40, "z"},  // memory.size, grow
	{0x41, 0x41, "i"},  // i32.const
	{0x42, 0x42, "l"},  // i64.const
	{0x43, 0x43, "4"},  // f32.const
	{0x44, 0x44, "8"},  // f64.const
	{0x45, 0xc4, ""},   // comparisons, arithmetic, conversions, sign extension
	{0xd0, 0xd0, "r"},  // ref.null
	{0xd1, 0xd1, ""},   // ref.is_null
	{0xd2, 0xd2, "f"},  // ref.func
})

var misc = table256([]row{
	{0x00, 0x07, ""},    // saturating conversions
	{0x08, 0x08, "$xz"}, // memory.init
	{0x09, 0x09, "x"},   // data.drop
	{0x0a, 0x0a, "$zz"}, // memory.copy
	{0x0b, 0x0b, "$z"},  // memory.fill
	{0x0c, 0x0c, "$xx"}, // table.init
	{0x0d, 0x0d, "x"},   // elem.drop
	{0x0e, 0x0e, "$xx"}, // table.copy
	{0x0f, 0x0f, "$x"},  // table.grow
	{0x10, 0x10, "x"},   // table.size
	{0x11, 0x11, "$x"},  // table.fill
})

var vector = table256([]row{
	{0x00, 0x0b, "m"},  // loads and stores
	{0x0c, 0x0d, "v"},  // v128.const, i8x16.shuffle
	{0x0e, 0x14, ""},   // swizzle, splats
	{0x15, 0x22, "1"},  // lanes
	{0x23, 0x53, ""},   // comparisons, bits
	{0x54, 0x5b, "m1"}, // loads and stores of a lane
	{0x5c, 0x5d, "m"},  // loads that fill up with zeros
	{0x5e, 0x99, ""},   // arithmetic, to the end, with some that were given up
	{0x9b, 0xa1, ""},
	{0xa3, 0xa4, ""},
	{0xa7, 0xae, ""},
	{0xb1, 0xb1, ""},
	{0xb5, 0xba, ""},
	{0xbc, 0xc1, ""},
	{0xc3, 0xc4, ""},
	{0xc7, 0xce, ""},
	{0xd1, 0xd1, ""},
	{0xd5, 0xe1, ""},
	{0xe3, 0xed, ""},
	{0xef, 0xff, ""},
})

const (
	miscPrefix   = 0xfc
	vectorPrefix = 0xfd
)

// constants are the opcodes of constant expressions besides end: constants, references, globals,
// and the sums, differences and products of the extended ones. Of the vectors, v128.const is meant;
// the runtime refuses the others.
var constants = [256]bool{0x41: true, 0x42: true, 0x43: true, 0x44: true, 0xd0: true, 0xd2: true, 0x23: true,
	0x6a: true, 0x6b: true, 0x6c: true, 0x7c: true, 0x7d: true, 0x7e: true, vectorPrefix: true}

// foreign names what is not supported, for the errors.
var foreign = []struct {
	from, to byte
	what     string
}{
	{0x06, 0x0a, "exception handling"}, {0x18, 0x19, "exception handling"}, {0x1f, 0x1f, "exception handling"},
	{0x12, 0x13, "tail calls"},
	{0x14, 0x15, "typed function references"}, {0xd3, 0xd6, "typed function references"},
	{0xfb, 0xfb, "garbage collection"},
	{0xfe, 0xfe, "threads"},
}

// lookUp reads what follows a prefix and returns the instruction.
func (r *reader) lookUp(at int, code byte) opcode {
	var op opcode
	switch code {
	case miscPrefix:
		op = r.prefixed(at, code, &misc)
	case vectorPrefix:
		op = r.prefixed(at, code, &vector)
	default:
		op = plain[code]
	}
	if op.known || r.err != nil {
		return op
	}
	for _, f := range foreign {
		if f.from <= code && code <= f.to {
			r.failAt(at, "opcode %#x (%s) is not supported", code, f.what)
		}
	}
	r.failAt(at, "opcode %#x is not supported", code)
	return op
}

func (r *reader) prefixed(at int, code byte, all *[256]opcode) opcode {
	n := r.u32()
	if n < 256 && all[n].known {
		return all[n]
	}
	r.failAt(at, "opcode %#x %#x is not supported", code, n)
	return opcode{}
}

func table256(rows []row) (t [256]opcode) {
	for _, r := range rows {
		for i := r.from; i <= r.to; i++ {
			t[i] = opcode{known: true, immediates: r.immediates}
		}
	}
	return t
}
