// Package jsonspan finds where the values of some fields stand in the text of a JSON document, so
// that they can be replaced and all other bytes stay as they are.
package jsonspan

import (
	"errors"
	"fmt"
	"strings"
)

// Span is where a value stands: [Start, End) of the text. Path is the index of the field's path.
type Span struct{ Start, End, Path int }

// Paths are fields to look for.
type Paths struct{ root node }

type node struct {
	children map[string]*node
	path     int // -1 for a part of longer paths
}

// Compile reads paths such as "card" or "customer.email". Arrays on the way are looked through:
// "items.card" is the card of every item.
func Compile(paths []string) (*Paths, error) {
	p := &Paths{root: node{path: -1}}
	for i, path := range paths {
		n := &p.root
		for name := range strings.SplitSeq(path, ".") {
			if name == "" {
				return nil, fmt.Errorf("%q is not a path such as customer.email", path)
			}
			if n.path >= 0 {
				return nil, fmt.Errorf("%q is inside of %q: leave one of them out", path, paths[n.path])
			}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			if n.children[name] == nil {
				n.children[name] = &node{path: -1}
			}
			n = n.children[name]
		}
		if n.path >= 0 || n.children != nil {
			return nil, fmt.Errorf("%q is there twice, or another path is inside of it: leave one of them out", path)
		}
		n.path = i
	}
	return p, nil
}

// ErrNotJSON says that a text is not one JSON object or array. The rules are strict, so that no
// reader finds a field where this package finds none: nothing that only some parsers accept is JSON
// here.
var ErrNotJSON = errors.New("not a JSON object or array")

// Find appends the spans of the fields to dst, in the order of the text. Every field that is there
// twice is found twice; of a field that holds an array, the elements are found.
func (p *Paths) Find(doc []byte, dst []Span) ([]Span, error) {
	s := scanner{b: doc, spans: dst}
	s.space()
	if c := s.peek(); c != '{' && c != '[' {
		return dst, ErrNotJSON
	}
	if !s.value(&p.root, 0) {
		return dst, ErrNotJSON
	}
	if s.space(); s.at != len(s.b) {
		return dst, ErrNotJSON
	}
	return s.spans, nil
}
