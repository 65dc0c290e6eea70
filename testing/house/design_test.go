package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	quoted = regexp.MustCompile("`[^`\n]+`")
	// inCode is what DESIGN.md says of the code: a file, or a file and names that it declares.
	inCode = regexp.MustCompile(`^([\w./-]+\.go)(?:: (\w+(?:\.\w+)?(?:, \w+(?:\.\w+)?)*))?$`)
	inTree = regexp.MustCompile(`^(core|plugins|sdk|cmd|testing|configs|examples)(/[\w.-]+)*$`)
	room   = regexp.MustCompile("(?m)^\\| `([\\w/]+)` \\|")
)

// TestDesignNamesWhatIsThere: DESIGN.md names files by their whole path, and what is declared in
// them: functions, types, methods with their type, constants, variables.
func TestDesignNamesWhatIsThere(t *testing.T) {
	known, checked := map[string][]string{}, 0
	for _, q := range quoted.FindAllString(design(t), -1) {
		q = strings.Trim(q, "`")
		m := inCode.FindStringSubmatch(q)
		switch {
		case m != nil:
		case strings.Contains(q, ".go"):
			t.Errorf("DESIGN.md has %q, which this test can't look up: write `path/file.go`, or `path/file.go: Name, Type.Method`", q)
			continue
		case inTree.MatchString(q):
			if _, err := os.Stat(filepath.Join(root, q)); err != nil {
				t.Errorf("DESIGN.md names %s: %v", q, err)
			}
			continue
		default:
			continue
		}
		file := m[1]
		if _, ok := known[file]; !ok {
			known[file] = declared(t, file)
		}
		for name := range strings.SplitSeq(m[2], ", ") {
			if name == "" {
				continue
			}
			if checked++; !slices.Contains(known[file], name) {
				t.Errorf("DESIGN.md names %s, which %s does not declare", name, file)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d names found", checked)
	}
}

// TestDesignHasEveryRoom: each package that may import something has its line in the map, and each
// line is a package.
func TestDesignHasEveryRoom(t *testing.T) {
	var rooms []string
	for _, m := range room.FindAllStringSubmatch(design(t), -1) {
		rooms = append(rooms, m[1])
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("DESIGN.md has a line for %s: %v", m[1], err)
		}
	}
	for name := range may {
		if !strings.HasSuffix(name, "/") && !slices.Contains(rooms, name) {
			t.Errorf("DESIGN.md has no line for %s in its map", name)
		}
	}
}

func design(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "DESIGN.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// declared are the names of a file's own declarations; methods also with their type.
func declared(t *testing.T, file string) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("DESIGN.md names %s: %v", file, err)
		return nil
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names = append(names, d.Name.Name)
			if d.Recv != nil {
				names = append(names, receiver(d.Recv.List[0].Type)+"."+d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of the type that a method is of.
func receiver(of ast.Expr) string {
	switch of := of.(type) {
	case *ast.StarExpr:
		return receiver(of.X)
	case *ast.IndexExpr:
		return receiver(of.X)
	case *ast.IndexListExpr:
		return receiver(of.X)
	case *ast.Ident:
		return of.Name
	}
	return ""
}
