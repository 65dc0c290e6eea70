package house

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is how many columns a line of a comment may have, of which a tab takes four.
const widest = 100

// commentLine is one that is nothing else, and no instruction to a tool.
var commentLine = regexp.MustCompile(`(?m)^\t*// .*$`)

// TestCommentsAreNarrow: what is read, other than code, is read best in lines that the eye can
// follow.
func TestCommentsAreNarrow(t *testing.T) {
	n := 0
	each(t, ".go", func(path string, b []byte) {
		for _, line := range commentLine.FindAllString(string(b), -1) {
			n++
			if columns := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); columns > widest {
				t.Errorf("%s has a comment of %d columns, at most %d: %s", path, columns, widest, strings.TrimSpace(line))
			}
		}
	})
	if least := 1000; n < least {
		t.Errorf("only %d lines found, want at least %d", n, least)
	}
}
