package jsonspan

import (
	"bytes"
	"encoding/binary"
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
	b, i := s.b, s.at
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	s.at = i
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

const (
	each = 0x0101010101010101 // a byte in each place
	high = 0x80 * each
)

// special has high bits if one of eight bytes ends a string, begins an escape, or is not printable
// ASCII.
func special(w uint64) uint64 {
	quote, slash := w^'"'*each, w^'\\'*each
	return (w | (w - ' '*each) | ((quote - each) &^ quote) | ((slash - each) &^ slash)) & high
}

// plain is how many bytes at the front, of 8 and 32, are nothing special. Branches are dear in a
// guest, more than what is between them.
func plain(b []byte) int {
	rest := b
	le := binary.LittleEndian
	for len(rest) >= 32 && special(le.Uint64(rest))|special(le.Uint64(rest[8:]))|special(le.Uint64(rest[16:]))|special(le.Uint64(rest[24:])) == 0 {
		rest = rest[32:]
	}
	for len(rest) >= 8 && special(le.Uint64(rest)) == 0 {
		rest = rest[8:]
	}
	return len(b) - len(rest)
}

// text reads a string and returns what stands between its quotes. Most of a document is strings.
func (s *scanner) text() ([]byte, bool) {
	b, i := s.b, s.at+1
	if s.at >= len(b) || b[s.at] != '"' {
		return nil, false
	}
	ascii := true
	for i < len(b) {
		if len(b)-i >= 8 {
			if i += plain(b[i:]); i == len(b) {
				break
			}
		}
		c := b[i]
		if c == '"' {
			raw := b[s.at+1 : i]
			s.at = i + 1
			return raw, ascii || utf8.Valid(raw)
		}
		if c < ' ' {
			return nil, false
		}
		i++
		if c == '\\' {
			n := escape(b[i:])
			if n == 0 {
				return nil, false
			}
			i += n
		} else if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	return nil, false
}

// escape is the length of what follows a backslash, 0 if it is none.
func escape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(b) < 5 {
			return 0
		}
		for _, c := range b[1:5] {
			if (c < '0' || c > '9') && (c|' ' < 'a' || c|' ' > 'f') {
				return 0
			}
		}
		return 5
	}
	return 0
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
	b, i := s.b, s.at
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	found := i > s.at
	s.at = i
	return found
}
