package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// mostAlternatives is how many conditions an if of a test may join by ||: one that fails for any of
// many says nothing of which it was.
const mostAlternatives = 3

// alternatives counts what is joined by || in a condition, in brackets and in other operators too.
func alternatives(cond ast.Expr) int {
	n := 1
	ast.Inspect(cond, func(x ast.Node) bool {
		switch x := x.(type) {
		case *ast.FuncLit:
			return false // whose conditions are its own
		case *ast.BinaryExpr:
			if x.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// packed lists the ifs of a file that join too many conditions.
func packed(t *testing.T, path string, text []byte) (places []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(x ast.Node) bool {
		if s, ok := x.(*ast.IfStmt); ok && alternatives(s.Cond) > mostAlternatives {
			places = append(places, set.Position(s.Pos()).String())
		}
		return true
	})
	return places
}

// TestOneFactPerAssertion: a test that fails says which fact does not hold; testing/fact states
// them one by one.
func TestOneFactPerAssertion(t *testing.T) {
	n := 0
	each(t, ".go", func(path string, b []byte) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		n++
		for _, at := range packed(t, path, b) {
			t.Errorf("%s joins more than %d conditions by ||: state each by itself, with testing/fact", at, mostAlternatives)
		}
	})
	if least := 200; n < least {
		t.Errorf("only %d files found, want at least %d", n, least)
	}
}

// TestPackedIfsAreFound, wherever the alternatives are.
func TestPackedIfsAreFound(t *testing.T) {
	for cond, want := range map[string]int{
		"a || b || c":                      0,
		"a || b || c || d":                 1,
		"a || (b || c) || d":               1,
		"!(a || b || c || d)":              1,
		"a && (b || c) && (d || e || f)":   1,
		"a && b && c && d && e":            0,
		"f(func() bool { return a || b })": 0,
	} {
		if got := packed(t, "x.go", []byte("package x\nfunc f() {\nif "+cond+" {\n}\n}")); len(got) != want {
			t.Errorf("in %q %d are found, want %d", cond, len(got), want)
		}
	}
}
