package config

import (
	"strings"
	"testing"
)

// TestSyntaxErrorsSayWhereTheyBegin: the line, and where it can be found the column, and what to
// do.
func TestSyntaxErrorsSayWhereTheyBegin(t *testing.T) {
	for source, want := range map[string]string{
		"a:\n  *: {c: d}\n":                    `x.yaml:2:3: |quote it: "*"`,
		"a:\n  b: 1\n  *foo: {c: d}\n":         `x.yaml:3:3: |quote it: "*foo"`,
		"a:\n  *-foo: {c: d}\n":                `x.yaml:2:3: |quote it: "*-foo"`,
		"a:\n  *.int: {c: d}\n":                `x.yaml:2:3: |quote it: "*.int"`,
		"a: {*: d}\n":                          `x.yaml:1:5: |quote it: "*"`,
		"a: [x, *, b]\n":                       `x.yaml:1:8: |quote it: "*"`,
		"a: [x,\n *y]\n":                       `x.yaml:2:2: |quote it: "*y"`,
		"a:\n  - b\n  - *\n":                   `x.yaml:3:5: |quote it: "*"`,
		"a: *a*\n":                             `x.yaml:1:4: |quote it: "*a*"`,
		"a: &\nb: 1\n":                         `x.yaml:1:4: |quote it: "&"`,
		"b: 1\na: &.x\n":                       `x.yaml:2:4: |quote it: "&.x"`,
		"b: 1\na: &x\n":                        `x.yaml:2:4: |quote it: "&x"`,
		"b: 1\na: [&x]\n":                      `x.yaml:2:5: |quote it: "&x"`,
		"# *f\nx: \"*f\"\nz: |\n  *f\ny: *f\n": `x.yaml:5:4: |quote it: "*f"`,
		"b: 1\na: 'x\nc: 1\nd: 2\n":            "x.yaml:2:4: |this quote is not closed",
		"b: it's\na: \"x\nc: 1\n":              "x.yaml:2:4: |this quote is not closed",
		"b: 1\na: [1, 2\nc: 3\n":               "x.yaml:2:1: |the [ of line 2, column 4 is not closed",
		"b: 1\na: {x: [1]\nc: 3\n":             "x.yaml:2:1: |the { of line 2, column 4 is not closed",
		"a: [1,\n\n\n":                         "x.yaml:4:1: |the [ of line 1, column 4 is not closed",
		"b: 1\na: @x\n":                        "x.yaml:2:4: |quote it",
		"b: 1\na: [`x`]\n":                     "x.yaml:2:5: |quote it",
		"a:\n\tb: 2\n":                         "x.yaml:2:1: |not by tabs",
		"a: 1\n\tb: 2\n":                       "x.yaml:2:1: |tab",
		"a: b: c\n":                            "x.yaml:1:1: |mapping values",
		"a:\n  b: 1\n c: 2\n":                  "x.yaml:3:1: |did not find expected key",
	} {
		for _, begin := range []string{"", "\ufeff"} {
			_, err := Parse("x.yaml", []byte(begin+source))
			at, text, _ := strings.Cut(want, "|")
			if err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v, want %s", source, err, want)
			}
		}
	}
}
