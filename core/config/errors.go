package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Level says whether a file can come into force all the same.
type Level string

// The levels.
const (
	Wrong   Level = "error"
	Warning Level = "warning"
)

// Error is one thing wrong with a file, or one that is probably not meant.
type Error struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Col   int    `json:"column"`
	Path  string `json:"path"`
	Level Level  `json:"level"`
	Msg   string `json:"message"`

	about []string // places of what is not known because of it
}

func (e *Error) Error() string {
	at := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Col)
	if e.Level == Warning {
		at += "warning: "
	}
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

// Err is nil, or everything wrong in the order of the file.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e.sorted()
}

func (e Errors) sorted() Errors {
	e.Sort()
	return e
}

// Sort brings errors into the order of the file.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b *Error) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col)) })
}

// And adds what else is wrong, but for what only follows: nothing is said of a value that could not
// be read.
func (e Errors) And(more ...*Error) Errors {
	unknown := map[string]bool{}
	for _, x := range e {
		for _, at := range x.about {
			unknown[at] = true
		}
	}
	return append(e, slices.DeleteFunc(more, func(m *Error) bool {
		return slices.ContainsFunc(m.about, func(at string) bool { return within(unknown, at) })
	})...)
}

// within reports that a place is one of some, or inside of one.
func within(some map[string]bool, at string) bool {
	for end := len(at); end >= 0; end = strings.LastIndex(at[:end], between) {
		if some[at[:end]] {
			return true
		}
	}
	return false
}

// between stands between the keys of a place; names of topics contain dots.
const between = "\x00"

// concerns makes an error one about keys of a map.
func (e *Error) concerns(path []string, keys ...string) *Error {
	e.about = nil
	for _, k := range keys {
		e.about = append(e.about, strings.Join(sub(path, k), between))
	}
	return e
}

// warning makes an error a warning.
func (e *Error) warning() *Error {
	e.Level = Warning
	return e
}

// errorAt makes an error at a node.
func errorAt(file string, n *yaml.Node, path []string, format string, args ...any) *Error {
	e := &Error{File: file, Line: 1, Col: 1, Path: strings.Join(path, "."), Level: Wrong, Msg: fmt.Sprintf(format, args...)}
	if len(path) > 0 {
		e.about = []string{strings.Join(path, between)}
	}
	if n != nil && n.Line > 0 {
		e.Line, e.Col = n.Line, n.Column
	}
	return e
}

// Errorf makes an error at a key of the file, or at the nearest one that exists above it: of what
// is found wrong with the file when it is brought into force.
func (s *Snapshot) Errorf(path []string, format string, args ...any) Errors {
	return Errors{s.top().Errorf(path, format, args...)}
}

// Positioned is an error as Errors: one without a place is at the begin of the file.
func (s *Snapshot) Positioned(err error) (errs Errors) {
	if err != nil && !errors.As(err, &errs) {
		errs = s.Errorf(nil, "%v", err)
	}
	return errs
}

// Warnf is Errorf of a warning.
func (s *Snapshot) Warnf(path []string, format string, args ...any) *Error {
	return s.top().Warnf(path, format, args...)
}

// top is the whole file.
func (s *Snapshot) top() Section {
	_, root, _ := parse(s.Path, s.Source)
	return Section{file: s.Path, node: root}
}

// nearest returns " (did you mean ...?)" for the candidate that is closest to a misspelt name.
func nearest(name string, candidates []string) string {
	best := nearestOf(name, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// nearestOf is the candidate that is closest to a misspelt name; "" if none is close.
func nearestOf(name string, candidates []string) string {
	best, at := "", len(name)/2+2
	for _, c := range candidates {
		if d := distance(name, c); d < at {
			best, at = c, d
		}
	}
	return best
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
