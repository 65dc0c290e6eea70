package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Globs know two characters: * is any text, also none, and ? is one character. An exact name is a
// glob as well.

// IsGlob reports a glob that is no exact name.
func IsGlob(s string) bool { return strings.ContainsAny(s, "*?") }

// CheckGlob is what is wrong with a glob, or nil.
func CheckGlob(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("a name is empty")
	case strings.ContainsAny(s, "[]"):
		return fmt.Errorf("%q is not a glob: classes of characters like [a-z] are not known, only * (any text) and ? (one character)", s)
	case strings.ContainsAny(s, "{}"):
		return fmt.Errorf("%q is not a glob: alternatives like {a,b} are not known, write each by itself", s)
	case strings.Contains(s, `\`):
		return fmt.Errorf("%q is not a glob: \\ makes nothing literal, write ? for one character that may be any", s)
	case strings.Contains(s, "**"):
		return fmt.Errorf("%q is not a glob: write * for **, it is any text", s)
	}
	return nil
}

// MatchGlob reports a name that a glob stands for.
func MatchGlob(glob, name string) bool { return matchGlob(glob, name, false) }

// matchGlob goes back to the last * when a character does not match. A name may be a glob: then
// only * stands for its *.
func matchGlob(glob, name string, ofGlob bool) bool {
	g, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		c, width := utf8.DecodeRuneInString(name[n:])
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, n
			g++
		case g < len(glob) && glob[g] == '?' && (c != '*' || !ofGlob):
			g, n = g+1, n+width
		case strings.HasPrefix(glob[g:], name[n:n+width]):
			g, n = g+width, n+width
		case star >= 0:
			_, width = utf8.DecodeRuneInString(name[from:])
			from += width
			g, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// GlobCovers reports that glob a stands for every name that b stands for. It may miss it where they
// are written very differently.
func GlobCovers(a, b string) bool { return matchGlob(runsOf(a), runsOf(b), true) }

// runsOf writes each run of wildcards as its ?s and then one *.
func runsOf(glob string) string {
	var out, stars strings.Builder
	for _, c := range glob {
		if c == '*' {
			stars.Reset()
			stars.WriteRune(c)
			continue
		}
		if c != '?' {
			out.WriteString(stars.String())
			stars.Reset()
		}
		out.WriteRune(c)
	}
	return out.String() + stars.String()
}

// GlobsMeet reports that two globs stand for one name.
func GlobsMeet(a, b string) bool {
	for a != "" && b != "" && !strings.ContainsAny(a[:1]+b[:1], "*?") { // most differ soon
		if a[0] != b[0] {
			return false
		}
		a, b = a[1:], b[1:]
	}
	x, y := []rune(a), []rune(b)
	next := make([]bool, len(y)+1) // by the place in y, for the place behind the one in x
	for i := len(x); i >= 0; i-- {
		row := make([]bool, len(y)+1)
		for j := len(y); j >= 0; j-- {
			switch {
			case i == len(x) && j == len(y):
				row[j] = true
			case i < len(x) && x[i] == '*':
				row[j] = next[j] || j < len(y) && row[j+1]
			case j < len(y) && y[j] == '*':
				row[j] = row[j+1] || i < len(x) && next[j]
			case i < len(x) && j < len(y):
				row[j] = next[j+1] && (x[i] == y[j] || x[i] == '?' || y[j] == '?')
			}
		}
		next = row
	}
	return next[0]
}
