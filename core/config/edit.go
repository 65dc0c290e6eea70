package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Edit is one change of a file: the value at a path of keys and list indexes. Missing maps on the
// way are made.
type Edit struct {
	Path   []string
	Value  any // text, number, boolean, or map[string]any of such
	Delete bool
}

// Apply makes edits that touch only the lines they must: comments, order and style of everything
// else stay. It verifies that the result says what was asked for and nothing else.
func Apply(source []byte, edits ...Edit) ([]byte, error) {
	for _, e := range edits {
		out, err := apply(source, e)
		if err != nil {
			return nil, fmt.Errorf("edit of %s: %w", strings.Join(e.Path, "."), err)
		}
		if err := verify(source, out, e); err != nil {
			return nil, fmt.Errorf("edit of %s: %w", strings.Join(e.Path, "."), err)
		}
		source = out
	}
	return source, nil
}

var errShape = errors.New("the file is written in a way that can't be edited in place (anchors, or values over several lines); edit it by hand")

func apply(source []byte, e Edit) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(source, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, errShape
	}
	t := text{lines(source)}
	n := doc.Content[0]
	for i, key := range e.Path {
		if n.Kind == yaml.AliasNode || n.Anchor != "" {
			return nil, errShape
		}
		next := find(n, key)
		if next == nil {
			if e.Delete {
				return source, nil
			}
			return t.insert(n, key, nest(e.Path[i+1:], e.Value))
		}
		if i == len(e.Path)-1 {
			if e.Delete {
				return t.remove(n, key)
			}
			return t.replace(next, e.Value)
		}
		n = next
	}
	return nil, errShape
}

func nest(path []string, v any) any {
	for _, k := range slices.Backward(path) {
		v = map[string]any{k: v}
	}
	return v
}

func keyNode(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i]
		}
	}
	return nil
}

// text is the source by lines, each with its line end.
type text struct{ lines []string }

// lines cuts where YAML counts a new line: also behind a lone CR, NEL, LS and PS.
func lines(b []byte) (out []string) {
	s := string(b)
	for {
		at := lineBreak.FindStringIndex(s)
		if at == nil {
			return append(out, s)
		}
		out, s = append(out, s[:at[1]]), s[at[1]:]
	}
}

var lineBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

func (t text) bytes() []byte { return []byte(strings.Join(t.lines, "")) }

// column is the byte position of a node's column, which counts runes.
func (t text) column(n *yaml.Node) (line, at int) {
	line = n.Line - 1
	r := 1
	for i := range t.lines[line] {
		if r == n.Column {
			return line, i
		}
		r++
	}
	return line, len(t.lines[line])
}

// replace writes another value over a scalar, or fills an empty one.
func (t text) replace(n *yaml.Node, v any) ([]byte, error) {
	line, from := t.column(n)
	s := t.lines[line]
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "":
		from = len(strings.TrimRight(strings.SplitN(s, " #", 2)[0], " \r\n"))
		t.lines[line] = s[:from] + " " + render(v) + s[from:]
		return t.bytes(), nil
	case n.Kind == yaml.ScalarNode:
		to, ok := scalarEnd(s, from, n)
		if !ok {
			return nil, errShape
		}
		t.lines[line] = s[:from] + render(v) + s[to:]
		return t.bytes(), nil
	case n.Style&yaml.FlowStyle != 0:
		endLine, to, ok := t.flowEnd(line, from)
		if !ok || endLine != line {
			return nil, errShape
		}
		t.lines[line] = s[:from] + render(v) + s[to+1:]
		return t.bytes(), nil
	}
	return nil, errShape
}

func scalarEnd(s string, from int, n *yaml.Node) (int, bool) {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, false
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := from + 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case '"':
				return i + 1, true
			}
		}
		return 0, false
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := from + 1; i < len(s); i++ {
			if s[i] == '\'' {
				if i+1 < len(s) && s[i+1] == '\'' {
					i++
					continue
				}
				return i + 1, true
			}
		}
		return 0, false
	}
	if !strings.HasPrefix(s[from:], n.Value) {
		return 0, false
	}
	return from + len(n.Value), true
}

// flowEnd finds the bracket that closes the one at from.
func (t text) flowEnd(line, from int) (endLine, at int, ok bool) {
	depth, quote := 0, byte(0)
	for ; line < len(t.lines); line, from = line+1, 0 {
		s := t.lines[line]
		for i := from; i < len(s); i++ {
			switch c := s[i]; {
			case quote != 0:
				if c == '\\' && quote == '"' {
					i++
				} else if c == quote {
					quote = 0
				}
			case (c == '"' || c == '\'') && (i == 0 || strings.IndexByte(" \t{[,:", s[i-1]) >= 0): // not in it's
				quote = c
			case c == '#' && i > 0 && (s[i-1] == ' ' || s[i-1] == '\t'):
				i = len(s)
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth == 0 {
					return line, i, true
				}
			}
		}
	}
	return 0, 0, false
}

// insert adds a key to a map.
func (t text) insert(n *yaml.Node, key string, v any) ([]byte, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return t.replace(n, map[string]any{key: v})
	case n.Kind != yaml.MappingNode:
		return nil, errShape
	case n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0:
		line, from := t.column(n)
		end, at, ok := t.flowEnd(line, from)
		if !ok {
			return nil, errShape
		}
		s := t.lines[end]
		before := strings.TrimRight(s[:at], " ")
		space := s[len(before):at]
		sep := ", "
		if len(n.Content) == 0 || t.endsWithComma(end, before) {
			sep = ""
		}
		if before == "" && sep == "" && len(n.Content) > 0 {
			// One key a line, each with a comma.
			indent := strings.Repeat(" ", n.Content[0].Column-1)
			t.lines = slices.Insert(t.lines, end, indent+scalar(key)+": "+render(v)+",\n")
			return t.bytes(), nil
		}
		t.lines[end] = before + sep + scalar(key) + ": " + render(v) + space + s[at:]
		return t.bytes(), nil
	}
	indent := strings.Repeat(" ", n.Content[0].Column-1)
	at := t.blockEnd(n)
	if at > 0 && !strings.HasSuffix(t.lines[at-1], "\n") {
		t.lines[at-1] += "\n"
	}
	t.lines = slices.Insert(t.lines, at, indent+scalar(key)+": "+render(v)+"\n")
	return t.bytes(), nil
}

// endsWithComma reports that the last thing before a position is a comma: the end of before, or of a
// line above it.
func (t text) endsWithComma(line int, before string) bool {
	for {
		before = strings.TrimSpace(strings.SplitN(" "+before, " #", 2)[0])
		if before != "" || line == 0 {
			return strings.HasSuffix(before, ",")
		}
		line--
		before = strings.TrimRight(t.lines[line], "\r\n")
	}
}

// blockEnd is the index of the line behind the last one of a block map, without the comments and
// blank lines that follow.
func (t text) blockEnd(n *yaml.Node) int { return lastLine(n, t) + 1 }

// lastLine is the index of the last line that a node stands on.
func lastLine(n *yaml.Node, t text) int {
	last := n.Line - 1
	if n.Style&yaml.FlowStyle != 0 && (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) {
		line, from := t.column(n)
		if end, _, ok := t.flowEnd(line, from); ok {
			return end
		}
	}
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		last += strings.Count(n.Value, "\n")
	}
	for _, c := range n.Content {
		last = max(last, lastLine(c, t))
	}
	return last
}

// remove deletes a key with its value.
func (t text) remove(n *yaml.Node, key string) ([]byte, error) {
	k, v := keyNode(n, key), find(n, key)
	if k == nil {
		return nil, errShape
	}
	line, from := t.column(k)
	if n.Style&yaml.FlowStyle != 0 {
		end := lastLine(v, t)
		if end != line {
			return nil, errShape
		}
		s := t.lines[line]
		vl, vf := t.column(v)
		var to int
		var ok bool
		if v.Style&yaml.FlowStyle != 0 && v.Kind != yaml.ScalarNode {
			_, to, ok = t.flowEnd(vl, vf)
			to++
		} else {
			to, ok = scalarEnd(s, vf, v)
		}
		if !ok {
			return nil, errShape
		}
		rest := strings.TrimLeft(s[to:], " ")
		if strings.HasPrefix(rest, ",") {
			rest = strings.TrimLeft(rest[1:], " ")
			t.lines[line] = s[:from] + rest
		} else {
			t.lines[line] = strings.TrimRight(strings.TrimRight(s[:from], " "), ",") + s[to:]
		}
		return t.bytes(), nil
	}
	if strings.TrimSpace(t.lines[line][:from]) != "" {
		return nil, errShape // the first key of a list item
	}
	end := max(lastLine(v, t), line)
	if len(n.Content) == 2 {
		// A map without keys must still be a map.
		t.lines[line] = t.lines[line][:from] + "{}\n"
		t.lines = slices.Delete(t.lines, line+1, end+1)
		return t.bytes(), nil
	}
	t.lines = slices.Delete(t.lines, line, end+1)
	return t.bytes(), nil
}

// render writes a value in flow style.
func render(v any) string {
	switch x := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		parts := make([]string, len(keys))
		for i, k := range keys {
			parts[i] = scalar(k) + ": " + render(x[k])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case string:
		return scalar(x)
	}
	return fmt.Sprint(v)
}

var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*$`)

// scalar writes a text, quoted where YAML would take it for something else.
func scalar(s string) string {
	if plain.MatchString(s) {
		var n yaml.Node
		if yaml.Unmarshal([]byte(s), &n) == nil && len(n.Content) == 1 && n.Content[0].Tag == "!!str" {
			return s
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// verify compares the result with the same edit made on the decoded values.
func verify(before, after []byte, e Edit) error {
	var want, got any
	if err := yaml.Unmarshal(before, &want); err != nil {
		return err
	}
	if err := yaml.Unmarshal(after, &got); err != nil {
		return errors.Join(errShape, err)
	}
	want = set(normal(want), e.Path, e)
	if !reflect.DeepEqual(normal(want), normal(got)) {
		return errShape
	}
	if bytes.Equal(before, after) && !e.Delete && !reflect.DeepEqual(normal(want), normal(got)) {
		return errShape
	}
	return nil
}

func set(v any, path []string, e Edit) any {
	if len(path) == 0 {
		return e.Value
	}
	if l, ok := v.([]any); ok {
		for i := range l {
			if fmt.Sprint(i) == path[0] {
				l[i] = set(l[i], path[1:], e)
			}
		}
		return l
	}
	m, _ := v.(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	if len(path) == 1 && e.Delete {
		delete(m, path[0])
		return m
	}
	m[path[0]] = set(m[path[0]], path[1:], e)
	return m
}

// normal makes empty maps and nothing equal and numbers comparable.
func normal(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, y := range x {
			out[k] = normal(y)
		}
		return out
	case map[any]any: // keys that are numbers, say
		out := map[string]any{}
		for k, y := range x {
			out[fmt.Sprint(k)] = normal(y)
		}
		return out
	case []any:
		for i := range x {
			x[i] = normal(x[i])
		}
		return x
	case nil:
		return nil
	}
	return fmt.Sprint(v)
}
