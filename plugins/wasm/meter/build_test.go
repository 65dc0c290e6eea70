package meter

import "encoding/binary"

// program is a small module, written by hand or at random.
type program struct {
	types    [][]byte // see signature
	imports  [][]byte
	funcs    []fn
	tables   [][]byte
	memories [][]byte
	globals  [][]byte
	exports  [][]byte
	start    []byte
	elements [][]byte
	data     [][]byte
	custom   []byte // behind the rest
}

type fn struct {
	sig    byte
	locals []byte // types
	code   []byte // without the last end
}

const (
	i64 = 0x7e
	f64 = 0x7c

	// more opcodes
	drop, localTee                                  = 0x1a, 0x22
	i32Load, i32Store, memoryGrow, i64Const, i32Add = 0x28, 0x36, 0x40, 0x42, 0x6a
)

func (p program) bytes() []byte {
	var sigs, bodies [][]byte
	for _, f := range p.funcs {
		sigs = append(sigs, []byte{f.sig})
		var locals [][]byte
		for _, l := range f.locals {
			locals = append(locals, []byte{1, l})
		}
		bodies = append(bodies, sized(concat(vec(locals...), f.code, []byte{end})))
	}
	out := concat(header)
	for _, s := range []struct {
		id    byte
		items [][]byte
	}{{typeSection, p.types}, {importSection, p.imports}, {functionSection, sigs}, {tableSection, p.tables}, {memorySection, p.memories},
		{globalSection, p.globals}, {exportSection, p.exports}, {startSection, nil}, {elementSection, p.elements}, {codeSection, bodies}, {dataSection, p.data}} {
		switch {
		case s.id == startSection && p.start != nil:
			out = concat(out, section(s.id, p.start))
		case len(s.items) > 0:
			out = concat(out, section(s.id, vec(s.items...)))
		}
	}
	return append(out, p.custom...)
}

func section(id byte, content ...[]byte) []byte {
	return append([]byte{id}, sized(concat(content...))...)
}

func sized(b []byte) []byte { return append(number(nil, uint32(len(b))), b...) }

func vec(items ...[]byte) []byte { return append(number(nil, uint32(len(items))), concat(items...)...) }

func signature(params, results string) []byte {
	return concat([]byte{0x60}, sized([]byte(params)), sized([]byte(results)))
}

func export(name string, kind, index byte) []byte {
	return append(sized([]byte(name)), kind, index)
}

func constI32(n int32) []byte { return sleb([]byte{i32Const}, int64(n)) }

func sleb(b []byte, n int64) []byte {
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n == 0 && c < 0x40 || n == -1 && c >= 0x40 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// constF64 takes the bits of the number.
func constF64(n uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{0x44}, n) }
