package kafka

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TestCodesHaveKafkasNames: each constant is called what its code is called, and the library that
// clients here use says the same, but for the one code that it calls by an old name.
func TestCodesHaveKafkasNames(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(f, func(n ast.Node) bool {
		if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, s := range d.Specs {
				constants = append(constants, s.(*ast.ValueSpec).Names[0].Name)
			}
		}
		return true
	})
	if len(constants) != len(codeNames) {
		t.Fatalf("%d constants for %d names", len(constants), len(codeNames))
	}
	for i, name := range codeNames {
		code := Code(i - 1)
		if got := strings.ToUpper(constants[i]); got != strings.ReplaceAll(name, "_", "") {
			t.Errorf("%s stands for %s", constants[i], name)
		}
		var known *kerr.Error
		if !errors.As(kerr.ErrorForCode(int16(code)), &known) {
			continue
		}
		if known.Message != name && code != NotLeaderOrFollower {
			t.Errorf("code %d is %s, want %s", code, name, known.Message)
		}
	}
	for code, want := range map[Code]string{None: "", NotLeaderOrFollower: "NOT_LEADER_OR_FOLLOWER", UnknownServerError: "UNKNOWN_SERVER_ERROR", 9999: "UNKNOWN_SERVER_ERROR", -2: "UNKNOWN_SERVER_ERROR"} {
		if got := code.Name(); got != want {
			t.Errorf("code %d is called %q, want %q", code, got, want)
		}
	}
}
