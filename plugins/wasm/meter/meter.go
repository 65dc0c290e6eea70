// Package meter rewrites a WASM module before it is compiled, so that its guest can be stopped and
// lets Go's garbage collector in.
//
// Compiled code cannot be preempted: a guest that loops stops neither for a deadline nor for a
// collection of garbage, which then stops the whole process. So the rewritten module counts the
// heads of loops that it passes and the functions that it enters, and calls a host function every
// so many of them. That call lets the collector in, and the function may panic, which ends the
// guest's call with an error.
//
// What is counted bounds the work between two of those calls, whatever the guest does:
//   - heads of loops and entries of functions, one each;
//   - jumps backward in place of heads, where a compiler makes all jumps of a function with one
//     loop, as Go's does;
//   - straight code, one per stretch of 4 KiB on every way through it, for code without loops is
//     long in a large module;
//   - bulk operations on memory and tables, one per 4096 bytes or elements, before they begin.
//
// Tables are bounded, since no limit of memory is theirs. The rest of a module stays as it is, byte
// by byte, but for the indices of functions: the imported hook stands before the module's own
// functions. Two kinds of custom sections go, because they name places in the code that have moved:
// DWARF and code metadata. The names of functions stay.
//
// Compiling cannot be stopped either, so a module that would take long to compile is refused; see
// effort.go.
//
// A module that holds anything this package does not know is refused: what it cannot walk it cannot
// stop. It knows WebAssembly 2.0 and extended constant expressions.
//
// What it costs, measured by the benchmarks, which run both forms in turn: a Go guest that sorts
// takes 1.05 times as long, one that formats and parses JSON 1.1, one that copies pieces of 100
// bytes 1.2, calls of empty functions 1.05, and loops that do next to nothing 1 to 3. The rewrite
// takes about 10 ms per MB.
package meter

import (
	"bytes"
	"fmt"
	"slices"
)

// The hook, a function without parameters and results that the host must provide.
const (
	Module = "sluice_rt"
	Yield  = "yield"
	// MaxTables and MaxElements bound the tables of a module, and how far one of them can grow.
	MaxTables   = 16
	MaxElements = 1 << 20
	// MaxBytes bounds a module.
	MaxBytes = 64 << 20
	// Every is how many counts lie between two calls of the hook.
	Every = 10_000
)

var header = []byte("\x00asm\x01\x00\x00\x00")

// order lists the sections as they must follow each other. The one that counts data segments is
// younger than its neighbours, hence its number.
var order = []byte{typeSection, importSection, functionSection, tableSection, memorySection, globalSection, exportSection,
	startSection, elementSection, dataCountSection, codeSection, dataSection}

// Rewrite returns the module with a counter, or an error that names the offset of what it does not
// know. It keeps no part of its argument.
func Rewrite(module []byte) ([]byte, error) {
	if len(module) > MaxBytes {
		return nil, fmt.Errorf("a module of more than %d bytes is not supported", MaxBytes)
	}
	w := walk(module)
	if w.err != nil {
		return nil, w.err
	}
	return w.out, nil
}

// walk rewrites a module.
func walk(module []byte) *walker {
	w := &walker{reader: reader{b: module, end: len(module)}, space: &space{}, out: make([]byte, 0, len(module)+len(module)/4)}
	if !bytes.HasPrefix(module, header) {
		w.fail("not a WASM module of version 1")
	}
	w.bytes(len(header))
	w.keep()
	next := 0 // in order
	for w.err == nil && w.pos < w.end {
		at := w.pos
		id := w.byte()
		if id == customSection {
			w.custom()
			continue
		}
		place := slices.Index(order, id)
		if place < next {
			w.failAt(at, "section %d is unknown or in the wrong place", id)
			break
		}
		w.add(order[next:place])
		next = place + 1
		w.section(id, w.enter())
	}
	w.add(order[next:])
	w.names()
	return w
}

// section writes a section with what the counter adds to it.
func (w *walker) section(id byte, content *walker) {
	sections[id](content)
	w.out = append(w.out, id)
	w.leave(content)
}

// add makes those sections that the module does not have and the counter needs.
func (w *walker) add(missing []byte) {
	for _, id := range missing {
		if id == typeSection || id == importSection || id == globalSection {
			none := &walker{reader: reader{b: []byte{0}, end: 1, err: w.err}, space: w.space}
			w.section(id, none)
		}
	}
}
