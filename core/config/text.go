package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// text is a file, with lines as YAML counts them: they also end behind a lone CR, NEL, LS and PS.
type text struct {
	s      string
	starts []int  // of the lines
	eol    string // what ends a new line
}

// cut replaces a part of a text.
type cut struct {
	from, to int
	with     string
	line     bool // with is a new line
}

func put(from, to int, with string) []cut { return []cut{{from: from, to: to, with: with}} }

func newLine(at int, with string) cut { return cut{from: at, to: at, with: with, line: true} }

// touch reports that cuts meet others, other than new lines at one place.
func touch(cuts, others []cut) bool {
	for _, o := range others {
		for _, c := range cuts {
			if c.from <= o.to && o.from <= c.to && (!c.line || !o.line) {
				return true
			}
		}
	}
	return false
}

const bom = "\ufeff"

var lineBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

func newText(source []byte) *text {
	t := &text{s: string(source), starts: []int{0}, eol: "\n"}
	if strings.HasPrefix(t.s, bom) {
		t.starts[0] = len(bom)
	}
	for i, at := range lineBreak.FindAllStringIndex(t.s, -1) {
		t.starts = append(t.starts, at[1])
		if end := t.s[at[0]:at[1]]; i == 0 && strings.Trim(end, "\r\n") == "" {
			t.eol = end
		}
	}
	return t
}

// with makes cuts, which don't overlap.
func (t *text) with(cuts ...cut) []byte {
	slices.SortStableFunc(cuts, func(a, b cut) int { return cmp.Compare(a.from, b.from) })
	var out []byte
	done := 0
	for _, c := range cuts {
		out = append(append(out, t.s[done:c.from]...), c.with...)
		done = c.to
	}
	return append(out, t.s[done:]...)
}

// line is the index of the line that a place is on.
func (t *text) line(at int) int {
	i, ok := slices.BinarySearch(t.starts, at)
	if !ok && i > 0 {
		i--
	}
	return i
}

// start is where a line begins, or the end of the text.
func (t *text) start(line int) int {
	if line < len(t.starts) {
		return t.starts[line]
	}
	return len(t.s)
}

// errorAt makes an error at a place.
func (t *text) errorAt(file string, at int, msg string) *Error {
	line := t.line(at)
	col := utf8.RuneCountInString(t.s[min(t.starts[line], at):at]) + 1
	return errorAt(file, &yaml.Node{Line: line + 1, Column: col}, nil, "%s", msg)
}

// at is the place of a node, whose column counts characters.
func (t *text) at(n *yaml.Node) int {
	at := t.start(n.Line - 1)
	for range n.Column - 1 {
		_, width := utf8.DecodeRuneInString(t.s[at:])
		at += width
	}
	return at
}

// next passes spaces, line breaks and comments.
func (t *text) next(at int) int {
	for at < len(t.s) {
		r, width := utf8.DecodeRuneInString(t.s[at:])
		switch {
		case strings.ContainsRune(" \t\r\n\u0085\u2028\u2029", r):
			at += width
		case r == '#':
			at = t.start(t.line(at) + 1)
		default:
			return at
		}
	}
	return at
}

// has reports that a character stands at a place.
func (t *text) has(at int, c byte) bool { return at < len(t.s) && t.s[at] == c }

// body is the place of a node behind its anchor.
func (t *text) body(n *yaml.Node) int {
	at := t.at(n)
	if t.has(at, '&') {
		at = t.next(at + len("&") + len(n.Anchor))
	}
	return at
}

// end is the place behind a scalar, an alias or a flow collection. It doesn't know those of block
// scalars, and of plain ones over several lines.
func (t *text) end(n *yaml.Node) (int, bool) {
	from := t.body(n)
	switch {
	case n.Kind == yaml.AliasNode:
		return from + len("*") + len(n.Value), true
	case n.Kind != yaml.ScalarNode:
		return t.flowEnd(n, from)
	case t.has(from, '"') && n.Style&yaml.DoubleQuotedStyle != 0:
		return quoted(t.s, from, doubleQuoted)
	case t.has(from, '\'') && n.Style&yaml.SingleQuotedStyle != 0:
		return quoted(t.s, from, singleQuoted)
	}
	return from + len(n.Value), n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && strings.HasPrefix(t.s[from:], n.Value)
}

var (
	doubleQuoted = regexp.MustCompile(`^"(?s:[^"\\]|\\.)*"`)
	singleQuoted = regexp.MustCompile(`^'(?:[^']|'')*'`)
)

func quoted(s string, from int, shape *regexp.Regexp) (int, bool) {
	at := shape.FindStringIndex(s[from:])
	if at == nil {
		return 0, false
	}
	return from + at[1], true
}

// flowEnd is the place behind the bracket that closes a collection.
func (t *text) flowEnd(n *yaml.Node, from int) (int, bool) {
	if n.Style&yaml.FlowStyle == 0 {
		return 0, false
	}
	bare := !t.has(from, '{') && !t.has(from, '[') // the map in [a: b]
	at := from + 1
	if len(n.Content) > 0 {
		last, ok := t.lastEnd(n)
		if !ok || bare {
			return last, ok
		}
		at = last
	}
	if at = t.next(at); t.has(at, ',') {
		at = t.next(at + 1)
	}
	return at + 1, t.has(at, '}') || t.has(at, ']')
}

// lastEnd is the place behind the last value of a flow collection.
func (t *text) lastEnd(n *yaml.Node) (int, bool) {
	last := n.Content[len(n.Content)-1]
	if n.Kind == yaml.MappingNode {
		return t.entryEnd(n.Content[len(n.Content)-2], last)
	}
	return t.end(last)
}

// entryEnd is the place behind the value of a key: if it is empty, behind the colon, or the key.
func (t *text) entryEnd(k, v *yaml.Node) (int, bool) {
	if !isEmpty(v) {
		return t.end(v)
	}
	at, ok := t.end(k)
	if !ok {
		return 0, false
	}
	if colon := at + len(t.s[at:]) - len(strings.TrimLeft(t.s[at:], " \t")); t.has(colon, ':') {
		return colon + 1, true
	}
	return at, true
}

// isEmpty reports that nothing is written as a value.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" && n.Anchor == ""
}

// leads reports that nothing stands before a place on its line.
func (t *text) leads(at int) bool {
	return strings.Trim(t.s[t.start(t.line(at)):at], " \t") == ""
}

// lastLine is the last line that the value of k stands on.
func (t *text) lastLine(k, v *yaml.Node) int {
	if end, ok := t.entryEnd(k, v); ok {
		return t.line(end)
	}
	if i := len(v.Content) - 1; i >= 0 {
		inner := v // a list, whose items are indented deeper than its dashes
		if v.Kind == yaml.MappingNode {
			inner = v.Content[i-1]
		}
		return t.lastLine(inner, v.Content[i])
	}
	// A scalar over several lines: what is indented deeper than the key, without blank lines at its
	// end.
	last := v.Line - 1
	for i := last + 1; i < len(t.starts); i++ {
		line := t.s[t.starts[i]:t.start(i+1)]
		inner := strings.TrimLeft(line, " ")
		switch blank := strings.Trim(inner, " \t\r\n\u0085\u2028\u2029") == ""; {
		case blank:
		case len(line)-len(inner) >= k.Column:
			last = i
		default:
			return last
		}
	}
	return last
}
