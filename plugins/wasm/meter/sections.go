package meter

const (
	customSection = iota
	typeSection
	importSection
	functionSection
	tableSection
	memorySection
	globalSection
	exportSection
	startSection
	elementSection
	codeSection
	dataSection
	dataCountSection
)

// sections says how each section is walked.
var sections = [...]func(*walker){
	typeSection:      (*walker).typeSection,
	importSection:    (*walker).importSection,
	functionSection:  (*walker).functionSection,
	tableSection:     (*walker).tableSection,
	memorySection:    (*walker).memorySection,
	globalSection:    (*walker).globalSection,
	exportSection:    (*walker).exportSection,
	startSection:     (*walker).function,
	elementSection:   (*walker).elementSection,
	codeSection:      (*walker).codeSection,
	dataSection:      (*walker).dataSection,
	dataCountSection: func(w *walker) { w.u32() },
}

// The kinds of what is imported and exported.
const (
	function = iota
	table
	memory
	global
)

// typeSection adds the types of the hook, () -> (), and of the function that charges, (i32) ->
// (i32).
func (w *walker) typeSection() {
	w.types = w.grow(2)
	for range w.types {
		var arity [2]int // parameters and results
		w.expect(0x60, "type of kind")
		for i := range arity {
			at := w.pos
			n := w.count()
			if n > MaxValues {
				w.failAt(at, "a type of %d values, at most %d are supported", n, MaxValues)
			}
			for range n {
				w.valueType()
			}
			arity[i] = int(n)
		}
		if w.err != nil {
			return
		}
		w.arities = append(w.arities, arity)
	}
	w.insert(w.pos, []byte{0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f})
}

// importSection adds the hook. It becomes the last of the imported functions.
func (w *walker) importSection() {
	for range w.grow(1) {
		w.name()
		w.name()
		switch at, kind := w.pos, w.byte(); kind {
		case function:
			w.index(w.types, "type")
			w.imported++
		case table:
			w.referenceType()
			w.limits()
		case memory:
			w.limits()
		case global:
			w.globalType()
			w.globals++
		default:
			w.failAt(at, "import of kind %d is not supported", kind)
		}
	}
	w.functions = w.imported
	hook := append([]byte{byte(len(Module))}, Module...)
	hook = append(append(hook, byte(len(Yield))), Yield...)
	w.insert(w.pos, number(append(hook, function), w.types))
}

// functionSection adds the function that charges behind all others.
func (w *walker) functionSection() {
	n := w.count()
	if n == 0 { // there will be no code either
		return
	}
	w.announce(n + 1)
	for range n {
		kind := w.index(w.types, "type")
		if w.err != nil {
			return
		}
		w.defined = append(w.defined, kind)
	}
	w.functions += n
	w.insert(w.pos, number(nil, w.types+1))
}

func (w *walker) tableSection() {
	at := w.pos
	n := w.count()
	if n > MaxTables {
		w.failAt(at, "%d tables, at most %d are supported", n, MaxTables)
	}
	for range n {
		w.referenceType()
		w.tableLimits()
	}
}

// tableLimits bounds a table: limits of memory don't hold for it.
func (w *walker) tableLimits() {
	at := w.pos
	flags := w.byte()
	if flags > 1 {
		w.failAt(at, "limits of kind %#x are not supported", flags)
	}
	least, most := w.u32(), uint32(MaxElements)
	if flags == 1 {
		most = min(most, w.u32())
	}
	if least > MaxElements {
		w.failAt(at, "a table of %d elements, at most %d are supported", least, MaxElements)
	}
	w.keepTo(at)
	if w.err == nil {
		w.out, w.kept = number(number(append(w.out, 1), least), most), w.pos
	}
}

func (w *walker) memorySection() {
	for range w.elements() {
		w.limits()
	}
}

func (w *walker) globalType() {
	w.valueType()
	if at, b := w.pos, w.byte(); b > 1 {
		w.failAt(at, "mutability %#x is not supported", b)
	}
}

// globalSection adds the counter behind all others, so that none of them moves.
func (w *walker) globalSection() {
	n := w.grow(1)
	w.globals += n
	for range n {
		w.globalType()
		w.constant()
	}
	w.insert(w.pos, append(append([]byte{i32, 1}, everyConst...), end))
}

func (w *walker) exportSection() {
	for range w.elements() {
		w.name()
		switch at, kind := w.pos, w.byte(); kind {
		case function:
			w.function()
		case global:
			w.index(w.globals, "global")
		case table, memory:
			w.u32()
		default:
			w.failAt(at, "export of kind %d is not supported", kind)
		}
	}
}

// elementSection walks the eight kinds of segments, which three bits tell apart.
func (w *walker) elementSection() {
	for range w.elements() {
		at := w.pos
		kind := w.u32()
		if kind > 7 {
			w.failAt(at, "element segment of kind %d is not supported", kind)
		}
		passive, explicit, expressions := kind&1 != 0, kind&2 != 0, kind&4 != 0
		if !passive {
			if explicit {
				w.u32() // the table
			}
			w.constant()
		}
		if passive || explicit {
			if expressions {
				w.referenceType()
			} else {
				w.expect(0, "element kind")
			}
		}
		for range w.count() {
			if expressions {
				w.constant()
			} else {
				w.function()
			}
		}
	}
}

func (w *walker) dataSection() {
	for range w.elements() {
		switch at, kind := w.pos, w.u32(); kind {
		case 0:
			w.constant()
		case 1:
		case 2:
			if at, m := w.pos, w.u32(); m != 0 {
				w.failAt(at, "memory %d is not supported", m)
			}
			w.constant()
		default:
			w.failAt(at, "data segment of kind %d is not supported", kind)
		}
		w.bytes(int(w.count()))
	}
}
