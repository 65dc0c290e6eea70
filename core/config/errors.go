package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Error is one thing wrong with a file.
type Error struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"column"`
	Path string `json:"path"`
	Msg  string `json:"message"`
}

func (e *Error) Error() string {
	at := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Col)
	if e.Path != "" {
		at += e.Path + ": "
	}
	return at + e.Msg
}

// Errors is everything wrong with a file, in the order of the file.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col)) })
	return e
}

// errorAt makes an error at a node.
func errorAt(file string, n *yaml.Node, path []string, format string, args ...any) *Error {
	e := &Error{File: file, Line: 1, Col: 1, Path: strings.Join(path, "."), Msg: fmt.Sprintf(format, args...)}
	if n != nil && n.Line > 0 {
		e.Line, e.Col = n.Line, n.Column
	}
	return e
}

// Errorf makes an error at a key of the file, or at the nearest one that exists above it: of what is found wrong with the
// file when it is brought into force.
func (s *Snapshot) Errorf(path []string, format string, args ...any) Errors {
	_, root, _ := parse(s.Path, s.Source)
	at := Section{file: s.Path, node: root}
	return Errors{at.Errorf(path, format, args...)}
}

// nearest returns " (did you mean ...?)" for the candidate that is closest to a misspelt name.
func nearest(name string, candidates []string) string {
	best, at := "", len(name)/2+2
	for _, c := range candidates {
		if d := distance(name, c); d < at {
			best, at = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := diag
			if a[i-1] != b[j-1] {
				d++
			}
			diag = row[j]
			row[j] = min(d, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
