package meter

import "strings"

// custom copies a custom section, puts the one with the names aside, or drops the ones that name
// places in the code.
func (w *walker) custom() {
	at := w.pos - 1
	content := w.enter()
	w.spend(at, perByte*float64(w.pos-at), "a section of %d bytes", w.pos-at)
	switch name := content.name(); {
	case name == "name":
		if w.nameSection != nil {
			w.failAt(at, "a second section of names")
		}
		w.nameSection, w.kept = content, w.pos
	case strings.HasPrefix(name, ".debug_"), strings.HasPrefix(name, "metadata.code."):
		w.kept = w.pos
	default:
		w.keep()
	}
	if w.err == nil {
		w.err = content.err
	}
}

// names writes the section with the names, last of all: it can be moved only when everything that
// the module imports is known.
func (w *walker) names() {
	if w.nameSection == nil || w.err != nil {
		return
	}
	in := w.nameSection
	for in.pos < in.end {
		id := in.byte()
		in.keep()
		part := in.enter()
		switch id {
		case 0: // the module's name
			part.name()
		case 1: // names of functions
			part.functionNames(func() { part.name() })
		case 2, 3: // names of locals and labels, by function
			part.functionNames(func() {
				for range part.count() {
					part.u32()
					part.name()
				}
			})
		default:
			part.pos = part.end
		}
		in.leave(part)
	}
	w.out = append(w.out, customSection)
	w.leave(in)
}

// functionNames walks a map by functions. It may name some that don't exist.
func (w *walker) functionNames(value func()) {
	for range w.count() {
		at := w.pos
		w.move(at, w.u32())
		value()
	}
}
