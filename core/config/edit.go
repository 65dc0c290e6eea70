package config

import (
	"errors"
	"fmt"
	"reflect"
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
// else stay. It verifies that the result says what was asked for and nothing else. Deleting what is
// not there is done.
func Apply(source []byte, edits ...Edit) ([]byte, error) {
	for _, e := range edits {
		if err := e.literal(); err != nil {
			return nil, fmt.Errorf("edit of %s: %w", strings.Join(e.Path, "."), err)
		}
	}
	for len(edits) > 0 {
		n, out, err := apply(source, edits)
		if err != nil {
			return nil, fmt.Errorf("edit of %s: %w", strings.Join(edits[0].Path, "."), err)
		}
		source, edits = out, edits[n:]
	}
	return source, nil
}

var errShape = errors.New("the file is written in a way that can't be edited in place (anchors, or values over several lines); edit it by hand")

// apply makes the first n edits: as many as can be made together, because a failover may edit the
// rules of thousands of topics and reading the file takes its time.
func apply(source []byte, edits []Edit) (n int, out []byte, err error) {
	written, plain, errs := parse("", source)
	if len(errs) > 0 {
		return 0, nil, errs.sorted()
	}
	if e := edits[0]; e.Delete && !there(plain, e.Path) {
		return 1, source, nil
	}
	t := newText(source)
	var cuts []cut
	for _, e := range edits {
		more := t.edit(written, e)
		if more == nil || touch(cuts, more) || (n > 0 && e.Delete) {
			break
		}
		cuts = append(cuts, more...)
		if n++; e.Delete {
			break // what is left decides how the next key is deleted
		}
	}
	if n == 0 {
		return 0, nil, errShape
	}
	out = t.with(cuts...)
	if err = verify(plain, out, edits[:n]); err != nil && n > 1 {
		return apply(source, edits[:1])
	}
	return n, out, err
}

func there(n *yaml.Node, path []string) bool {
	for _, name := range path {
		n = find(n, name)
	}
	return n != nil
}

// edit returns the cuts that make an edit of what is written; nil if there are none.
func (t *text) edit(n *yaml.Node, e Edit) []cut {
	var k *yaml.Node
	for i, name := range e.Path {
		if n.Kind == yaml.AliasNode || n.Anchor != "" {
			return nil
		}
		key, v := entry(n, name)
		switch last := i == len(e.Path)-1; {
		case v == nil && e.Delete: // it comes from a merged map
			return nil
		case v == nil:
			value := e.Value
			for j := len(e.Path) - 1; j > i; j-- {
				value = map[string]any{e.Path[j]: value}
			}
			return t.insert(k, n, name, value)
		case last && e.Delete:
			return t.remove(n, key, v)
		case last:
			return t.replace(key, v, e.Value)
		}
		k, n = key, v
	}
	return nil
}

// replace writes another value over one that stands on one line, or fills an empty one.
func (t *text) replace(k, v *yaml.Node, value any) []cut {
	if isEmpty(v) && k != nil {
		at, ok := t.entryEnd(k, v)
		space := " "
		if !t.has(at-1, ':') {
			space = ": "
		}
		return t.inLine(at, at, ok, space+render(value))
	}
	if v.Kind == yaml.AliasNode || v.Anchor != "" {
		return nil
	}
	to, ok := t.end(v)
	return t.inLine(t.at(v), to, ok, render(value))
}

// inLine is a cut, if it is ok and within a line.
func (t *text) inLine(from, to int, ok bool, with string) []cut {
	if !ok || t.line(from) != t.line(to) {
		return nil
	}
	return put(from, to, with)
}

// insert adds a key to n, the value of k.
func (t *text) insert(k, n *yaml.Node, key string, value any) []cut {
	switch written := scalar(key) + ": " + render(value); {
	case isNull(n):
		return t.replace(k, n, map[string]any{key: value})
	case n.Kind != yaml.MappingNode:
		return nil
	case n.Style&yaml.FlowStyle != 0:
		return t.insertFlow(n, written)
	default:
		return t.insertBlock(n, written)
	}
}

func (t *text) insertBlock(n *yaml.Node, written string) []cut {
	last := len(n.Content) - 1
	at := t.start(t.lastLine(n.Content[last-1], n.Content[last]) + 1)
	line := strings.Repeat(" ", n.Content[0].Column-1) + written + t.eol
	if t.start(t.line(at)) != at { // the last line has no end
		return put(at, at, t.eol+line)
	}
	return []cut{newLine(at, line)}
}

// insertFlow writes the new key as the last one is: on a line of its own or behind it, with a comma
// behind or without.
func (t *text) insertFlow(n *yaml.Node, written string) []cut {
	from := t.at(n)
	if !t.has(from, '{') {
		return nil
	}
	if len(n.Content) == 0 {
		return put(from+1, from+1, written)
	}
	end, ok := t.lastEnd(n)
	if !ok {
		return nil
	}
	behind := end
	comma := t.has(t.next(end), ',')
	if comma {
		behind = t.next(end) + 1
	}
	first := t.at(n.Content[len(n.Content)-2])
	start, next := t.start(t.line(first)), t.start(t.line(behind)+1)
	switch own := t.leads(first) && t.next(behind) >= next; {
	case own && comma:
		return []cut{newLine(next, t.s[start:first]+written+","+t.eol)}
	case own:
		return append(put(end, end, ","), newLine(next, t.s[start:first]+written+t.eol))
	case comma:
		return put(behind, behind, " "+written+",")
	}
	return put(end, end, ", "+written)
}

// remove deletes a key with its value, and the lines that are its own.
func (t *text) remove(n, k, v *yaml.Node) []cut {
	if k == nil {
		return nil
	}
	if n.Style&yaml.FlowStyle != 0 {
		return t.removeFlow(k, v)
	}
	from, last := t.at(k), t.lastLine(k, v)
	if !t.leads(from) {
		return nil // the first key of a list item
	}
	if len(n.Content) == 2 {
		// A map without keys must still be a map.
		end := t.start(last + 1)
		return put(from, from+len(strings.TrimRight(t.s[from:end], "\r\n\u0085\u2028\u2029")), "{}")
	}
	return put(t.start(t.line(from)), t.start(last+1), "")
}

func (t *text) removeFlow(k, v *yaml.Node) []cut {
	from := t.at(k)
	to, ok := t.entryEnd(k, v)
	if !ok {
		return nil
	}
	comma := t.has(t.next(to), ',')
	if comma {
		to = t.next(to) + 1
	}
	if next := t.start(t.line(to) + 1); t.leads(from) && t.next(to) >= next {
		return put(t.start(t.line(from)), next, "")
	}
	if comma {
		return t.inLine(from, to+len(t.s[to:])-len(strings.TrimLeft(t.s[to:], " ")), true, "")
	}
	before := strings.TrimSuffix(strings.TrimRight(t.s[:from], " "), ",")
	return t.inLine(len(before), to, true, "")
}

// verify compares the result with the same edits made on the values.
func verify(before *yaml.Node, after []byte, edits []Edit) error {
	_, root, errs := parse("", after)
	if len(errs) > 0 {
		return errors.Join(errShape, errs)
	}
	var want, got any
	if err := errors.Join(before.Decode(&want), root.Decode(&got)); err != nil {
		return errors.Join(errShape, err)
	}
	for _, e := range edits {
		want = set(want, e.Path, e)
	}
	if !reflect.DeepEqual(normal(want), normal(got)) {
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

// other is a value that is no text, as it is printed: numbers have many types.
type other string

// normal makes values comparable.
func normal(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, y := range x {
			out[k] = normal(y)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = normal(x[i])
		}
		return out
	case string, nil:
		return v
	}
	return other(fmt.Sprint(v))
}
