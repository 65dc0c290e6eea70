package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"*", "", true}, {"*", "a/b.c", true}, {"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"a?", "a", false}, {"a?", "a\u00fc", true}, {"?", "\u00fc", true}, {"??", "\u00fc", false},
		{"a*b*c", "axxbxxbc", true}, {"a*b*c", "axxbxxb", false}, {"app", "app", true}, {"app", "apps", false}, {"*\u00fc", "x\u00fc", true}, {"", "", true}, {"", "a", false}, {"?", "*", true},
		{"*-*-x", "a-b-c-x", true}, {"*?x", "x", false}, {"*?x", "ax", true},
	} {
		if MatchGlob(c.glob, c.name) != c.want {
			t.Errorf("%q, %q: %t", c.glob, c.name, !c.want)
		}
	}
}

// words are all texts of the letters up to a length.
func words(letters string, n int) []string {
	out := []string{""}
	for last := out; n > 0; n-- {
		var next []string
		for _, w := range last {
			for _, c := range letters {
				next = append(next, w+string(c))
			}
		}
		out, last = append(out, next...), next
	}
	return out
}

// TestGlobsMeetAndCover: every glob of four characters with every other, against all names that can
// tell them apart. That one covers another is never said wrongly, and found for all but those that
// are written very differently.
func TestGlobsMeetAndCover(t *testing.T) {
	globs, names := words("ab*?", 3), words("abc", 5)
	stands := map[string]map[string]bool{}
	for _, g := range globs {
		stands[g] = map[string]bool{}
		for _, n := range names {
			if MatchGlob(g, n) {
				stands[g][n] = true
			}
		}
	}
	missed := 0
	for _, a := range globs {
		for _, b := range globs {
			meet, cover := false, true
			for n := range stands[b] {
				meet, cover = meet || stands[a][n], cover && stands[a][n]
			}
			if got := GlobsMeet(a, b); got != meet {
				t.Fatalf("%q and %q meet: %t", a, b, got)
			}
			if got := GlobCovers(a, b); got && !cover {
				t.Fatalf("%q does not cover %q", a, b)
			} else if cover && !got {
				missed++
			}
		}
	}
	if missed > 120 {
		t.Errorf("of %d, %d covers are missed", len(globs)*len(globs), missed)
	}
}

// TestGlobsThatAreNone are refused, and not taken for something else.
func TestGlobsThatAreNone(t *testing.T) {
	for glob, want := range map[string]string{
		"": "empty", "a[b-z]*": "classes of characters", "[": "classes", "a]": "classes", "{a,b}*": "alternatives", "a}": "alternatives", `a\*`: "literal", "a**": "write * for **", "**": "write *",
		"a*": "", "*": "", "?": "", "a*b*": "", "a": "",
	} {
		if err := CheckGlob(glob); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", glob, err)
		}
	}
}

func BenchmarkMatchGlob(b *testing.B) {
	name := fmt.Sprint("orders-", strings.Repeat("x", 40))
	b.ReportAllocs()
	for b.Loop() {
		MatchGlob("orders-*-x", name)
	}
}
