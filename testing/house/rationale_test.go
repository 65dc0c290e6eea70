package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	heading = regexp.MustCompile(`(?m)^(##+) (.+)$`)
	toPlace = regexp.MustCompile(`\]\(#([^)]*)\)`)
	noSlug  = regexp.MustCompile(`[^\pL\pN_\- ]`)
)

// TestRationaleAnswersQuestions: each heading below a section is one, and the contents name all
// headings, in their order.
func TestRationaleAnswersQuestions(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "RATIONALE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, m := range heading.FindAllStringSubmatch(string(b), -1) {
		if level, text := m[1], m[2]; level == "###" && !strings.HasSuffix(text, "?") {
			t.Errorf("%q is no question", text)
		}
		places = append(places, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[2]), ""), " ", "-"))
	}
	var contents []string
	for _, m := range toPlace.FindAllStringSubmatch(string(b), -1) {
		contents = append(contents, m[1])
	}
	if got, want := strings.Join(contents, "\n"), strings.Join(places, "\n"); got != want {
		t.Errorf("the contents name\n%s\nwant\n%s", got, want)
	}
	if least := 50; len(places) < least {
		t.Errorf("only %d headings found, want at least %d", len(places), least)
	}
}
