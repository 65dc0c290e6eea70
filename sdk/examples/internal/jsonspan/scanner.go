package jsonspan

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// maxDepth is what common parsers take.
const maxDepth = 1000

// scanner walks a document once and checks all of it.
type scanner struct {
	b     []byte
	at    int
	spans []Span
}

// peek is the next byte, 0 at the end: no JSON begins with it.
func (s *scanner) peek() byte {
	if s.at < len(s.b) {
		return s.b[s.at]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) space() {
	for s.at < len(s.b) {
		switch s.b[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// value reads a value that stands at n of the paths, nil for none of them.
func (s *scanner) value(n *node, depth int) bool {
	s.space()
	start, c := s.at, s.peek()
	inside := n
	if n != nil && n.path >= 0 && c != '[' {
		inside = nil
	}
	var ok bool
	switch {
	case depth > maxDepth:
	case c == '{':
		ok = s.object(inside, depth)
	case c == '[':
		ok = s.array(inside, depth)
	case c == '"':
		_, ok = s.text()
	case c == 't':
		ok = s.word("true")
	case c == 'f':
		ok = s.word("false")
	case c == 'n':
		ok = s.word("null")
	default:
		ok = s.number()
	}
	if ok && n != nil && inside == nil {
		s.spans = append(s.spans, Span{start, s.at, n.path})
	}
	return ok
}

func (s *scanner) object(n *node, depth int) bool {
	s.at++
	if s.space(); s.take('}') {
		return true
	}
	for {
		s.space()
		name, ok := s.text()
		if !ok {
			return false
		}
		if s.space(); !s.take(':') || !s.value(n.child(name), depth+1) {
			return false
		}
		if s.space(); s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// child is the node of a field's name as it stands in the text.
func (n *node) child(name []byte) *node {
	if n == nil || len(n.children) == 0 {
		return nil
	}
	if bytes.IndexByte(name, '\\') < 0 {
		return n.children[string(name)]
	}
	return n.children[Text(name)]
}

// Text is what a string means whose text, without the quotes, is raw.
func Text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var t string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &t) != nil {
		return string(raw)
	}
	return t
}

func (s *scanner) array(n *node, depth int) bool {
	s.at++
	if s.space(); s.take(']') {
		return true
	}
	for {
		if !s.value(n, depth+1) {
			return false
		}
		if s.space(); s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// text reads a string and returns what stands between its quotes.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	start := s.at
	for s.at < len(s.b) {
		switch c := s.b[s.at]; {
		case c == '"':
			raw := s.b[start:s.at]
			s.at++
			return raw, utf8.Valid(raw)
		case c < ' ':
			return nil, false
		case c == '\\':
			if s.at++; !s.escape() {
				return nil, false
			}
		default:
			s.at++
		}
	}
	return nil, false
}

// escape reads what follows a backslash.
func (s *scanner) escape() bool {
	c := s.peek()
	s.at++
	if c != 'u' {
		return c != 0 && bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0
	}
	for range 4 {
		c := s.peek()
		if (c < '0' || c > '9') && (c|' ' < 'a' || c|' ' > 'f') {
			return false
		}
		s.at++
	}
	return true
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		_ = s.take('+') || s.take('-')
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	return s.at > start
}
