package jsonspan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		paths     []string
		want      []string // values found, nil for "not JSON"
	}{
		{"top", `{"card": "4111", "n": 1}`, []string{"card"}, []string{`"4111"`}},
		{"nested", ` {"customer":{"email":"a@b","id":7}} `, []string{"customer.email"}, []string{`"a@b"`}},
		{"same name elsewhere", `{"email":"x","customer":{"id":{"email":"y"}}}`, []string{"customer.email"}, []string{}},
		{"through arrays", `{"items":[{"card":"1"},[{"card":"2"}]]}`, []string{"items.card"}, []string{`"1"`, `"2"`}},
		{"array of values", `{"cards":["1",2,{"a":3},[4]]}`, []string{"cards"}, []string{`"1"`, `2`, `{"a":3}`, `4`}},
		{"top array", `[{"a":true},{"a":null}]`, []string{"a"}, []string{"true", "null"}},
		{"twice", `{"a":1,"a":2}`, []string{"a"}, []string{"1", "2"}},
		{"escaped name", `{"c\u0061rd":1,"c\/d":2}`, []string{"card", "c/d"}, []string{"1", "2"}},
		{"escaped quote", `{"a\"b":"x\"y\\","c":1}`, []string{"c"}, []string{"1"}},
		{"object as value", `{"a":{"b":[1,{}]},"c":-1.5e+3}`, []string{"a", "c"}, []string{`{"b":[1,{}]}`, "-1.5e+3"}},
		{"empty", `{}`, []string{"a"}, []string{}},
		{"unicode", `{"naïve":"é","x":0}`, []string{"naïve"}, []string{`"é"`}},
		{"scalar", `4111111111111111`, []string{"a"}, nil},
		{"trailing", `{"a":1} {"card":2}`, []string{"a"}, nil},
		{"comment", `{/*x*/"a":1}`, []string{"a"}, nil},
		{"bare name", `{a:1}`, []string{"a"}, nil},
		{"trailing comma", `{"a":1,}`, []string{"a"}, nil},
		{"newline in string", "{\"a\":\"\n\"}", []string{"a"}, nil},
		{"bad escape", `{"a":"\x41"}`, []string{"a"}, nil},
		{"bad hex", "{\"a\":\"\\u00\x101\"}", []string{"a"}, nil},
		{"bad utf-8", "{\"a\xff\":1}", []string{"a"}, nil},
		{"leading zero", `{"a":01}`, []string{"a"}, nil},
		{"nan", `{"a":NaN}`, []string{"a"}, nil},
		{"cut", `{"a":`, []string{"a"}, nil},
		{"empty text", ``, []string{"a"}, nil},
		{"too deep", strings.Repeat(`[`, 2000) + strings.Repeat(`]`, 2000), []string{"a"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Compile(c.paths)
			if err != nil {
				t.Fatal(err)
			}
			spans, err := p.Find([]byte(c.doc), nil)
			if (err != nil) != (c.want == nil) {
				t.Fatalf("error %v", err)
			}
			var got []string
			for _, s := range spans {
				got = append(got, c.doc[s.Start:s.End])
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	for _, paths := range [][]string{{""}, {"a..b"}, {"a", "a"}, {"a", "a.b"}, {"a.b", "a"}, {".a"}} {
		if _, err := Compile(paths); err == nil {
			t.Errorf("%q is accepted", paths)
		}
	}
}

// FuzzFind compares with encoding/json: the same texts are JSON, and with all found values
// replaced, no field is left that a reader would see.
func FuzzFind(f *testing.F) {
	for _, s := range []string{`{"a":{"b":[1,"x"]}}`, `[{"a":{"b":null}}]`, `{"a":"\u0041\n","a":{"b":1.5E-7}}`, `{"\u0061":{"b":[[true]]}} `, `{"a":01}`} {
		f.Add([]byte(s))
	}
	p, err := Compile([]string{"a.b"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		spans, err := p.Find(doc, nil)
		start := bytes.TrimLeft(doc, " \t\r\n")
		container := len(start) > 0 && (start[0] == '{' || start[0] == '[')
		if depth := bytes.Count(doc, []byte("[")) + bytes.Count(doc, []byte("{")); depth > maxDepth {
			return
		}
		if want := json.Valid(doc) && utf8.Valid(doc) && container; (err == nil) != want {
			t.Fatalf("%q: %v, want valid %v", doc, err, want)
		}
		if err != nil {
			return
		}
		var out []byte
		at := 0
		for _, s := range spans {
			out = append(append(out, doc[at:s.Start]...), `"masked"`...)
			at = s.End
		}
		out = append(out, doc[at:]...)
		var v any
		if err := json.Unmarshal(out, &v); err != nil {
			t.Fatalf("%q became %q: %v", doc, out, err)
		}
		check(t, v, "a", "b")
	})
}

func check(t *testing.T, v any, path ...string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			check(t, e, path...)
		}
	case map[string]any:
		if len(path) == 0 {
			t.Errorf("%v is left", v)
		} else if e, ok := v[path[0]]; ok {
			check(t, e, path[1:]...)
		}
	default:
		if len(path) == 0 && v != "masked" {
			t.Errorf("%v is left", v)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	doc := []byte(`{"id":"8a1f","amount":12.5,"card":"4111111111111111","customer":{"name":"Ann","email":"ann@example.com"},"items":[{"sku":"a","n":1},{"sku":"b","n":2}]}`)
	p, err := Compile([]string{"card", "customer.email"})
	if err != nil {
		b.Fatal(err)
	}
	var spans []Span
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if spans, err = p.Find(doc, spans[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPlain agrees with a look at each byte, wherever it stands.
func TestPlain(t *testing.T) {
	for c := range 256 {
		special := c < ' ' || c >= 0x80 || c == '"' || c == '\\'
		for n := range 81 {
			for place := range n {
				b := bytes.Repeat([]byte{"!#[]~\x7f "[n%7]}, n)
				b[place] = byte(c)
				want := n &^ 7
				if special {
					want = place &^ 7
				}
				if got := plain(b); got != want {
					t.Fatalf("%#x at %d of %d: %d are plain, want %d", c, place, n, got, want)
				}
			}
		}
	}
}
