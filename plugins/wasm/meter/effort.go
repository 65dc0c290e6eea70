package meter

// Compiling cannot be stopped, and some code takes far more time than its size suggests: of a
// function with n blocks in a row, the square of n. So the time is estimated beforehand, and a
// module that would take too long is refused.
//
// The terms are measured: one module for each, of growing size, compiled by wazero on one core of a
// server of 2024. Real modules take what the sum says: 2.6 s for a Go guest of 7.6 MB. TestEffort
// holds the estimate to what compiling takes.

const (
	// MaxEffort is how many microseconds compiling a module may take by the estimate.
	MaxEffort = 20e6
	// MaxValues bounds the parameters and the results of a function or block.
	MaxValues = 1000
	// perElement is what anything that a section lists costs, perByte any byte.
	perElement, perFunction, perByte = 2, 10, 0.1
)

// effort is what a function's code holds that takes time to compile.
type effort struct {
	blocks, loops int
	locals        int
	entries       int // of its br_tables
	squares       int // of the number of entries of each of them
	values        int // that its branches carry
	calls         int
}

func (e *effort) micros(bytes int) float64 {
	blocks, locals, entries := float64(e.blocks+4*e.loops), float64(e.locals), float64(e.entries)
	return perFunction + perByte*float64(bytes) +
		0.016*blocks*blocks +
		blocks*locals*(0.5+0.001*locals) +
		entries*(5+4e-6*entries) + 1.6e-4*float64(e.squares) +
		4*float64(e.values) + 2*float64(e.calls)
}

// spend counts effort that reading up to an offset has found.
func (w *walker) spend(at int, micros float64, what string, args ...any) {
	if w.effort += micros; w.effort > MaxEffort {
		w.failAt(at, "compiling this module would take too long: at this place stands "+what, args...)
	}
}

// elements reads how many elements follow, which take time each.
func (w *walker) elements() uint32 {
	at := w.pos
	n := w.count()
	w.spend(at, perElement*float64(n), "a list of %d elements", n)
	return n
}

// note counts what an instruction, which comes next, adds to the effort of its function, and
// follows its ways. It reads ahead, and leaves errors to those who read on. It reports whether a
// count must stand before the instruction.
func (e *effort) note(w *walker, f *ways) (count bool) {
	r := w.reader
	at := r.pos
	switch op := r.byte(); op {
	case block, ifElse:
		_, results := w.arity(&r)
		e.blocks++
		e.values += results
		f.enter(results, op == ifElse)
	case loop:
		j := findJumps(r, len(f.labels))
		params, results := w.arity(&r)
		e.loops++
		e.values += results
		f.repeat(params, j)
	case elseOp:
		f.otherwise()
	case end:
		f.leave()
	case br, brIf:
		to := r.u32()
		e.values += f.values(to)
		count = f.branch(to, at)
	case call, callIndirect:
		e.calls++
	case brTable:
		n := int(r.count())
		e.entries += n
		e.squares += n * n
		e.values += n * f.values(r.u32())
		count = f.branches(w.reader)
	case i32Const:
		value := uint32(r.signed(32))
		f.known = constant{at: r.pos, value: value}
	case localSet:
		if local := r.u32(); f.known.at == at {
			f.known = constant{at: r.pos, value: f.known.value, set: true, local: local}
		}
	}
	return count
}

// arity reads the type of a block.
func (w *walker) arity(r *reader) (params, results int) {
	at := r.pos
	switch n := r.signed(33); {
	case n >= 0 && n < int64(len(w.arities)):
		return w.arities[n][0], w.arities[n][1]
	case r.err == nil && n < 0 && r.b[at] != emptyBlock:
		return 0, 1
	}
	return 0, 0
}
