package abi_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"strings"
	"testing"
	"unicode"
)

var update = flag.Bool("update", false, "write what the other languages and ABI.md say anew from abi.go")

// entry is one constant of the contract.
type entry struct {
	name, value, comment string
	text                 bool // a string
}

// section is one group of constants and what stands above it.
type section struct {
	doc     string
	entries []entry
}

// read takes the contract from abi.go, the only place where it is written by hand.
func read(t *testing.T) (out []section) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "abi.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := (&types.Config{Importer: importer.Default()}).Check("abi", fset, []*ast.File{f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		s := section{doc: strings.Join(strings.Fields(g.Doc.Text()), " ")}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			c := pkg.Scope().Lookup(v.Names[0].Name).(*types.Const).Val()
			e := entry{name: v.Names[0].Name, value: c.ExactString(), comment: strings.Join(strings.Fields(v.Comment.Text()), " ")}
			if c.Kind() == constant.String {
				e.value, e.text = constant.StringVal(c), true
			}
			s.entries = append(s.entries, e)
		}
		out = append(out, s)
	}
	return out
}

// upper turns KVGet into KV_GET.
func upper(name string) string {
	var b strings.Builder
	r := []rune(name)
	for i, c := range r {
		if i > 0 && unicode.IsUpper(c) && (!unicode.IsUpper(r[i-1]) || (i+1 < len(r) && unicode.IsLower(r[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(c))
	}
	return b.String()
}

func header(all []section) []byte {
	var b bytes.Buffer
	b.WriteString("/* The names and numbers of sluice_v1. Written from sdk/abi/abi.go by `go test ./sdk/abi -update`. */\n#ifndef SLUICE_ABI_H\n#define SLUICE_ABI_H\n")
	for _, s := range all {
		fmt.Fprintf(&b, "\n/* %s */\n", s.doc)
		for _, e := range s.entries {
			v := e.value
			if e.text {
				v = fmt.Sprintf("%q", v)
			} else if strings.HasPrefix(v, "-") {
				v = "(" + v + ")"
			}
			line := fmt.Sprintf("#define SLUICE_%s %s", upper(e.name), v)
			if e.comment != "" {
				line += " /* " + e.comment + " */"
			}
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("\n#endif\n")
	return b.Bytes()
}

func rust(all []section) []byte {
	var b bytes.Buffer
	b.WriteString("//! The names and numbers of sluice_v1. Written from sdk/abi/abi.go by `go test ./sdk/abi -update`.\n")
	for _, s := range all {
		fmt.Fprintf(&b, "\n// %s\n", s.doc)
		for _, e := range s.entries {
			kind, v := "i64", e.value
			if e.text {
				kind, v = "&str", fmt.Sprintf("%q", v)
			}
			if e.comment != "" {
				fmt.Fprintf(&b, "/// %s\n", e.comment)
			}
			fmt.Fprintf(&b, "pub const %s: %s = %s;\n", upper(e.name), kind, v)
		}
	}
	return b.Bytes()
}

const (
	begin = "<!-- from here on written from abi/abi.go by `go test ./sdk/abi -update` -->\n"
)

func tables(t *testing.T, all []section) []byte {
	t.Helper()
	old, err := os.ReadFile("../ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	prose, _, ok := bytes.Cut(old, []byte(begin))
	if !ok {
		t.Fatal("ABI.md has no place for the tables")
	}
	b := bytes.NewBuffer(bytes.Clone(prose))
	b.WriteString(begin)
	for _, s := range all {
		fmt.Fprintf(b, "\n%s\n\n| name | value | |\n|---|---|---|\n", s.doc)
		for _, e := range s.entries {
			v := e.value
			if e.text {
				v = "`" + v + "`"
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", e.name, v, strings.ReplaceAll(e.comment, "|", `\|`))
		}
	}
	return b.Bytes()
}

// TestEverybodySaysTheSame: ABI.md, the C header and the Rust crate have the names and numbers of
// abi.go.
func TestEverybodySaysTheSame(t *testing.T) {
	all := read(t)
	for file, want := range map[string][]byte{
		"../c/sluice_abi.h": header(all), "../rust/src/abi.rs": rust(all), "../ABI.md": tables(t, all),
	} {
		got, err := os.ReadFile(file)
		if *update {
			err = os.WriteFile(file, want, 0o644)
			got = want
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what abi.go says: run go test ./sdk/abi -update", file)
		}
	}
}
