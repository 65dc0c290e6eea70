package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unusedWords are the words that DESIGN.md's table says others stand for, and those others.
func unusedWords(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "DESIGN.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(b), "| say | not |\n|---|---|\n")
	if !found {
		t.Fatal("DESIGN.md has no table of words that are not used")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	words := map[string]string{}
	for _, row := range strings.Split(table, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		for _, word := range strings.Split(cells[1], ", ") {
			words[word] = cells[0]
		}
	}
	return words
}

var (
	// codeInText is code in a text: names of others, and what somebody else says.
	codeInText = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	// comment is one of Go.
	comment = regexp.MustCompile(`(?m)(?:^|[ \t])// .*$`)
)

// TestOneWordHasOneMeaning in comments and documents: what has a word in DESIGN.md is called so.
func TestOneWordHasOneMeaning(t *testing.T) {
	words := unusedWords(t)
	if least := 10; len(words) < least {
		t.Fatalf("%d words, want at least %d", len(words), least)
	}
	var all []string
	for word := range words {
		first := "[" + strings.ToUpper(word[:1]) + word[:1] + "]"
		all = append(all, first+strings.ReplaceAll(regexp.QuoteMeta(word[1:]), " ", "[ -]"))
	}
	unused := regexp.MustCompile(`\b(?:` + strings.Join(all, "|") + `)s?\b`)
	look := func(path, text string) {
		for _, found := range unused.FindAllString(codeInText.ReplaceAllString(text, ""), -1) {
			word := strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(found, "-", " "), "s"))
			t.Errorf("%s says %q: the word is %s", path, found, words[word])
		}
	}
	each(t, ".go", func(path string, b []byte) {
		for _, line := range comment.FindAllString(string(b), -1) {
			look(path, line)
		}
	})
	each(t, ".md", func(path string, b []byte) {
		text := string(b)
		if path == "DESIGN.md" { // which has the table
			_, text, _ = strings.Cut(text, "Names in the code that mislead")
		}
		look(path, text)
	})
}
