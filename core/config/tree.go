package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// What a file may cost: far more than any real one needs, far less than hurts.
const (
	sizeLimit  = 16 << 20 // bytes
	depthLimit = 100      // maps and lists in each other
	aliasLimit = 100_000  // values that stand there by an alias
)

// parse reads the one document of a file: as it is written, for edits, and plain, for all else.
func parse(path string, source []byte) (written, plain *yaml.Node, errs Errors) {
	if e := unreadable(path, source); e != nil {
		return nil, nil, Errors{e}
	}
	d := yaml.NewDecoder(bytes.NewReader(source))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, Errors{syntaxError(path, source, err)}
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, nil, Errors{errorAt(path, nil, nil, "the file is empty: it needs at least clusters and virtual_clusters")}
	}
	switch err := d.Decode(&more); {
	case err == nil:
		errs = append(errs, errorAt(path, &more, nil, "a second document begins here; only one is read"))
	case !errors.Is(err, io.EOF):
		errs = append(errs, syntaxError(path, source, err))
	}
	r := resolver{file: path, within: map[*yaml.Node]bool{}}
	plain = r.resolve(doc.Content[0], nil)
	if r.ended {
		plain = nil
	}
	return doc.Content[0], plain, append(errs, r.errs...)
}

// unreadable finds what no YAML may contain.
func unreadable(path string, source []byte) *Error {
	if len(source) > sizeLimit {
		return errorAt(path, nil, nil, "the file has more than %d MiB", sizeLimit>>20)
	}
	for i := 0; i < len(source); {
		r, width := utf8.DecodeRune(source[i:])
		msg := ""
		switch {
		case r == utf8.RuneError && width == 1:
			msg = "this is not UTF-8: save the file as UTF-8"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r > '~' && r < 0xa0 && r != '\u0085', r == 0xfffe, r == 0xffff:
			msg = "control characters are not allowed"
		}
		if msg != "" {
			return newText(source).errorAt(path, i, msg)
		}
		i += width
	}
	return nil
}

var (
	syntaxLine = regexp.MustCompile(`^line (\d+): `)
	// behind are the errors of which yaml.v3 says the line before.
	behind        = regexp.MustCompile(`^(did not find expected (<|node|'|key)|found (undefined|duplicate|incompatible))`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

func syntaxError(path string, source []byte, err error) *Error {
	msg, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if m := syntaxLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		if msg = msg[len(m[0]):]; behind.MatchString(msg) {
			line++
		}
	}
	return newText(source).syntaxErrorAt(path, line, msg)
}

// resolver makes a plain tree of a written one: aliases and merged maps are replaced by copies of
// what they name, which keep its place, and keys are the text that is written.
type resolver struct {
	file   string
	errs   Errors
	depth  int
	within map[*yaml.Node]bool // the aliased values around this one
	copies int
	ended  bool // by a limit
}

// bad notes what is wrong, once: not again for each alias.
func (r *resolver) bad(n *yaml.Node, path []string, format string, args ...any) {
	if len(r.within) == 0 {
		r.errs = append(r.errs, errorAt(r.file, n, path, format, args...))
	}
}

// end gives up: the tree is too large to be meant.
func (r *resolver) end(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, errorAt(r.file, n, nil, format, args...))
	r.ended = true
}

func (r *resolver) resolve(n *yaml.Node, path []string) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
	if len(r.within) > 0 {
		r.copies++
	}
	switch {
	case r.ended:
		return c
	case r.depth > depthLimit:
		r.end(n, "more than %d maps and lists in each other", depthLimit)
		return c
	case r.copies > aliasLimit:
		r.end(n, "the aliases stand for more than %d values", aliasLimit)
		return c
	case n.Anchor != "" && isNull(n) && n.Value == "":
		r.bad(n, path, "in YAML & begins an anchor, and here it names nothing; if it is a text, quote it: %q", "&"+n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.bad(n, path, "tags like %s have no meaning here; quotes make a text", n.Tag)
	}
	r.depth++
	defer func() { r.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		return r.alias(n, path)
	case yaml.MappingNode:
		r.mapping(c, n, path)
	case yaml.SequenceNode:
		for i, v := range n.Content {
			c.Content = append(c.Content, r.resolve(v, sub(path, strconv.Itoa(i))))
		}
	}
	return c
}

func (r *resolver) alias(n *yaml.Node, path []string) *yaml.Node {
	if r.within[n.Alias] {
		r.end(n, "*%s stands inside of what it names", n.Value)
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	r.within[n.Alias] = true
	defer delete(r.within, n.Alias)
	return r.resolve(n.Alias, path)
}

// mapping fills c with the keys of n. Its own keys go before merged ones, of which the first
// counts.
func (r *resolver) mapping(c, n *yaml.Node, path []string) {
	seen, wrong := map[string]bool{}, map[*yaml.Node]bool{}
	each(n, func(_ int, k, _ *yaml.Node) {
		name, ok := keyText(k)
		switch {
		case !ok:
			r.bad(k, path, "a key must be a text")
			wrong[k] = true
		case seen[name] && !isMerge(k):
			r.bad(k, path, "key %q stands twice", name)
			wrong[k] = true
		}
		seen[name] = seen[name] || !isMerge(k)
	})
	each(n, func(_ int, k, v *yaml.Node) {
		if wrong[k] {
			return
		}
		name, _ := keyText(k)
		if !isMerge(k) {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: k.Line, Column: k.Column}
			c.Content = append(c.Content, key, r.resolve(v, sub(path, name)))
			return
		}
		from := r.resolve(v, path)
		maps := []*yaml.Node{from}
		if from.Kind == yaml.SequenceNode {
			maps = from.Content
		}
		for _, m := range maps {
			if m.Kind != yaml.MappingNode {
				r.bad(k, path, "<< merges a map or a list of maps")
				return
			}
			each(m, func(_ int, k, v *yaml.Node) {
				if !seen[k.Value] {
					seen[k.Value] = true
					c.Content = append(c.Content, k, v)
				}
			})
		}
	})
}

// keyText is the text of a key as it is written: a topic may be called 123, true or null.
func keyText(k *yaml.Node) (string, bool) {
	if k.Kind == yaml.AliasNode {
		k = k.Alias
	}
	return k.Value, k.Kind == yaml.ScalarNode
}

func isMerge(k *yaml.Node) bool { return k.Kind == yaml.ScalarNode && k.Tag == "!!merge" }

// each walks the keys and values of a map.
func each(n *yaml.Node, f func(i int, k, v *yaml.Node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(i/2, n.Content[i], n.Content[i+1])
	}
}

// find returns the value of a key or index.
func find(n *yaml.Node, key string) *yaml.Node {
	_, v := entry(n, key)
	return v
}

// entry returns the value of a key or index, and the key if there is one.
func entry(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n == nil {
		return nil, nil
	}
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return nil, n.Content[i]
		}
	}
	each(n, func(_ int, ek, ev *yaml.Node) {
		if name, ok := keyText(ek); ok && name == key && !isMerge(ek) && v == nil {
			k, v = ek, ev
		}
	})
	return k, v
}

func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, x := range n.Content {
		c.Content[i] = clone(x)
	}
	return &c
}
