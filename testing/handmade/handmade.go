// Package handmade writes WASM guests for tests byte by byte, in no time: guests that do nothing,
// guests that never end, and modules that are made to be slow to compile.
package handmade

import (
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Opcodes for the code of tests.
const (
	Block    = 0x02
	Loop     = 0x03
	If       = 0x04
	End      = 0x0b
	Br       = 0x0c
	BrTable  = 0x0e
	Drop     = 0x1a
	LocalGet = 0x20
	LocalSet = 0x21
	I32Const = 0x41
	I64Const = 0x42
	Empty    = 0x40 // the type of a block
)

// Forever is code that never ends.
var Forever = []byte{Loop, Empty, Br, 0, End}

// Guest describes a guest that sees records of producers and leaves them as they are. Code is
// without the last end.
type Guest struct {
	Name, Version string
	// Start, Configure, SelfTest and Closing are run before their functions return that all is
	// well.
	Start, Configure, OnRecords, SelfTest, Idle, Closing []byte
	// More are the bodies of further functions without parameters and results, locals included; see
	// Body.
	More [][]byte
	// The rest adds encoded elements to sections.
	Types, Tables, Globals, Exports, Elements, Data [][]byte
	// Custom is a custom section at the end.
	Custom []byte
}

// Types of functions: () -> (), () -> i32, () -> i64, i32 -> i32, i32 -> i64.
var signatures = [][]byte{{0x60, 0, 0}, {0x60, 0, 1, 0x7f}, {0x60, 0, 1, 0x7e}, {0x60, 1, 0x7f, 1, 0x7f}, {0x60, 1, 0x7f, 1, 0x7e}}

const manifestAt, blockAt = 1024, 64 << 10

// Module is the guest's module.
func (g Guest) Module() []byte {
	manifest, _ := json.Marshal(map[string]any{"name": g.Name, "version": g.Version, "records": []string{"produce"}})
	well := []byte{I64Const, 0}
	named := []struct {
		name string
		kind byte
		code []byte
	}{
		{"_initialize", 0, g.Start},
		{abi.ExportABI, 1, signed([]byte{I32Const}, abi.Version)},
		{abi.ExportManifest, 2, signed([]byte{I64Const}, int64(manifestAt)<<32|int64(len(manifest)))},
		{abi.ExportAlloc, 3, signed([]byte{I32Const}, blockAt)},
		{abi.ExportConfigure, 4, slices.Concat(g.Configure, well)},
		{abi.ExportOnRecords, 4, slices.Concat(g.OnRecords, well)},
		{abi.ExportSelfTest, 2, slices.Concat(g.SelfTest, well)},
		{abi.ExportIdle, 0, g.Idle},
		{abi.ExportClose, 0, g.Closing},
	}
	var kinds, bodies, exports [][]byte
	for i, f := range named {
		kinds, bodies = append(kinds, []byte{f.kind}), append(bodies, Body(nil, f.code))
		exports = append(exports, Export(f.name, 0, uint64(i)))
	}
	for _, body := range g.More {
		kinds, bodies = append(kinds, []byte{0}), append(bodies, body)
	}
	exports = append(exports, Export(abi.ExportMemory, 2, 0))
	data := slices.Concat([]byte{0}, signed([]byte{I32Const}, manifestAt), []byte{End}, sized(manifest))
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id    byte
		items [][]byte
	}{
		{1, slices.Concat(signatures, g.Types)}, {3, kinds}, {4, g.Tables}, {5, [][]byte{{0, 4}}}, {6, g.Globals},
		{7, slices.Concat(exports, g.Exports)}, {9, g.Elements}, {10, bodies}, {11, slices.Concat([][]byte{data}, g.Data)},
	} {
		if len(s.items) > 0 {
			out = append(append(out, s.id), sized(Vec(s.items...))...)
		}
	}
	return append(out, g.Custom...)
}

// Body is a function's body: groups of locals, and code without its last end.
func Body(locals [][]byte, code []byte) []byte {
	return sized(slices.Concat(Vec(locals...), code, []byte{End}))
}

// Locals are n locals of type i32.
func Locals(n uint64) []byte { return append(Number(n), 0x7f) }

// Export is an export of a kind.
func Export(name string, kind byte, index uint64) []byte {
	return slices.Concat(sized([]byte(name)), []byte{kind}, Number(index))
}

// Section is a section with a content.
func Section(id byte, content []byte) []byte { return append([]byte{id}, sized(content)...) }

// Vec is a vector of elements.
func Vec(items ...[]byte) []byte {
	return append(Number(uint64(len(items))), slices.Concat(items...)...)
}

// Repeat is n times the same element.
func Repeat(n int, item []byte) [][]byte { return slices.Repeat([][]byte{item}, n) }

// Number encodes an unsigned number.
func Number(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func sized(b []byte) []byte { return append(Number(uint64(len(b))), b...) }

func signed(b []byte, n int64) []byte {
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n == 0 && c < 0x40 || n == -1 && c >= 0x40 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
