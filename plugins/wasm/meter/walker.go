package meter

import (
	"encoding/binary"
	"math"
)

// walker copies what it reads. What it is not told to change is written as it stood.
type walker struct {
	reader
	*space
	out  []byte
	kept int // offset up to which out holds what was read
}

// space is what is known of the whole module: the sizes of its index spaces as it came. What the
// counter adds has the indices that follow; one of the module's own that is out of range must not
// reach it.
type space struct {
	types, functions, imported, globals uint32
	arities                             [][2]int // parameters and results of the types
	defined                             []uint32 // types of the functions that are defined
	effort                              float64  // that compiling takes, so far

	nameSection  *walker // what was read of it
	tick, charge []byte  // code that counts one, and for a bulk operation
}

// keep writes what was read and not written yet.
func (w *walker) keep() { w.keepTo(w.pos) }

func (w *walker) keepTo(at int) {
	if w.err == nil {
		w.out = append(w.out, w.b[w.kept:at]...)
		w.kept = at
	}
}

// insert writes code before the offset.
func (w *walker) insert(at int, code []byte) {
	w.keepTo(at)
	w.out = append(w.out, code...)
}

// enter reads a size and returns a walker for as many bytes.
func (w *walker) enter() *walker {
	n := int(w.count())
	w.pos += n
	return &walker{reader: reader{b: w.b, pos: w.pos - n, end: w.pos, err: w.err}, space: w.space, kept: w.pos - n}
}

// leave writes the size of what a walker made and all of that.
func (w *walker) leave(in *walker) {
	if in.pos != in.end {
		in.fail("%d bytes too many", in.end-in.pos)
	}
	in.keep()
	if w.err == nil {
		w.err = in.err
	}
	w.out = number(w.out, uint32(len(in.out)))
	w.out = append(w.out, in.out...)
	w.kept = w.pos
}

// grow reads how many elements follow and announces more.
func (w *walker) grow(more uint32) uint32 {
	n := w.elements()
	w.announce(n + more)
	return n
}

// announce writes a number instead of the one that was read.
func (w *walker) announce(n uint32) { w.out, w.kept = number(w.out, n), w.pos }

// index reads the index of something, of which there are n.
func (w *walker) index(n uint32, what string) uint32 {
	at := w.pos
	i := w.u32()
	if i >= n && w.err == nil {
		w.failAt(at, "there is no %s %d", what, i)
	}
	return i
}

// function reads and moves the index of a function.
func (w *walker) function() {
	at := w.pos
	w.move(at, w.index(w.functions, "function"))
}

// move writes the new index of a function, which was read at an offset, if it has one.
func (w *walker) move(at int, i uint32) {
	if i >= w.imported && i < math.MaxUint32 {
		w.keepTo(at)
		w.out, w.kept = number(w.out, i+1), w.pos
	}
}

func number(b []byte, n uint32) []byte { return binary.AppendUvarint(b, uint64(n)) }
