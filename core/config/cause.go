package config

import (
	"fmt"
	"regexp"
	"strings"
)

// cause is what the reader of YAML does not tell of a syntax error: where the token stands that
// began it.
type cause struct {
	open  []int // brackets that are not closed
	quote int   // the quote that is not closed, or -1
	marks []int // * and & that begin a value or key
	odd   []int // characters that can't begin one
}

// cause looks over a text as YAML does, as far as the begins of tokens go.
func (t *text) cause() cause {
	c := cause{quote: -1}
	begins := true
	for i := t.starts[0]; i < len(t.s); i++ {
		b, rest := t.s[i], t.s[i+1:]
		apart := rest == "" || strings.ContainsRune(" \t\r\n", rune(rest[0]))
		switch {
		case b == '\n' || b == '\r':
			begins = true
		case b == ' ' || b == '\t' && !begins:
		case b == '#' && (i == 0 || strings.ContainsRune(" \t\r\n", rune(t.s[i-1]))):
			i = t.start(t.line(i)+1) - 1
			begins = true
		case len(c.open) > 0 && (b == ']' || b == '}'):
			c.open, begins = c.open[:len(c.open)-1], false
		case len(c.open) > 0 && b == ',', b == ':' && (apart || len(c.open) > 0):
			begins = true
		case !begins:
		case b == '[' || b == '{':
			c.open = append(c.open, i)
		case (b == '-' || b == '?') && apart:
		case b == '"' || b == '\'':
			end, ok := quoted(t.s, i, map[byte]*regexp.Regexp{'"': doubleQuoted, '\'': singleQuoted}[b])
			if !ok {
				c.quote = i
				return c
			}
			i, begins = end-1, false
		case (b == '|' || b == '>') && len(c.open) == 0:
			i = t.blockEnd(i) - 1
		default:
			if b == '*' || b == '&' {
				c.marks = append(c.marks, i)
			}
			if strings.ContainsRune("@`%\t", rune(b)) {
				c.odd = append(c.odd, i)
			}
			begins = b == '\t'
		}
	}
	return c
}

// blockEnd is where the text over several lines ends that begins at a place: at a line that is not
// indented deeper.
func (t *text) blockEnd(at int) int {
	indent := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	first := t.line(at)
	own := indent(t.s[t.starts[first]:])
	for i := first + 1; i < len(t.starts); i++ {
		line := t.s[t.starts[i]:t.start(i+1)]
		if strings.TrimSpace(line) != "" && indent(line) <= own {
			return t.starts[i]
		}
	}
	return len(t.s)
}

var (
	token    = regexp.MustCompile(`^[*&](?:[^\s,\[\]{}:]|:[^\s,\]}])*`)
	anchored = regexp.MustCompile(`^[*&][0-9A-Za-z_-]+$`)
)

// syntaxErrorAt makes an error of what the reader of YAML says of a line.
func (t *text) syntaxErrorAt(path string, line int, msg string) *Error {
	c := t.cause()
	unknown := unknownAnchor.FindStringSubmatch(msg)
	for _, at := range c.marks {
		word := token.FindString(t.s[at:])
		if unknown != nil && word == "*"+unknown[1] || strings.Contains(msg, "alphabetic or numeric") && !anchored.MatchString(word) {
			return t.errorAt(path, at, fmt.Sprintf("%s: in YAML * begins an alias and & an anchor; if it is a text, quote it: %q", msg, word))
		}
	}
	if c.quote >= 0 && strings.Contains(msg, "found unexpected") {
		return t.errorAt(path, c.quote, msg+": this quote is not closed")
	}
	if strings.Contains(msg, "cannot start any token") {
		for _, at := range c.odd {
			if t.line(at) == line-1 {
				what := fmt.Sprintf("%q begins no text: quote it", t.s[at])
				if t.s[at] == '\t' {
					what = "lines are indented by spaces, not by tabs"
				}
				return t.errorAt(path, at, msg+": "+what)
			}
		}
	}
	if n := len(c.open); n > 0 && strings.HasPrefix(msg, "did not find expected") {
		at := t.errorAt(path, c.open[n-1], "")
		msg += fmt.Sprintf(": the %c of line %d, column %d is not closed", t.s[c.open[n-1]], at.Line, at.Col)
	}
	e := errorAt(path, nil, nil, "%s", msg)
	e.Line = line
	return e
}
