package config

import (
	"strings"
	"testing"
)

// breaks are all that YAML takes for the end of a line.
var breaks = map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r", "NEL": "\u0085", "LS": "\u2028", "PS": "\u2029"}

// TestEditsKeepTheEndsOfLines whichever they are; new lines end as the file's first one, where that
// is one of today's.
func TestEditsKeepTheEndsOfLines(t *testing.T) {
	const source = "a: x # it's\n# \u00fc\nm:\n  b: x\n  f: {\n    c: x,\n  }\nl: {c: x}\n\n# the end"
	for name, c := range map[string]struct {
		edit Edit
		want string
	}{
		"a value":          {Edit{Path: []string{"m", "b"}, Value: "v"}, strings.Replace(source, "b: x", "b: v", 1)},
		"the last":         {Edit{Path: []string{"l", "c"}, Value: "v"}, strings.Replace(source, "l: {c: x}", "l: {c: v}", 1)},
		"a new key":        {Edit{Path: []string{"m", "k"}, Value: "v"}, strings.Replace(source, "  }\n", "  }\n  k: vEOL", 1)},
		"a new flow key":   {Edit{Path: []string{"m", "f", "k"}, Value: "v"}, strings.Replace(source, "c: x,\n", "c: x,\n    k: v,EOL", 1)},
		"a key less":       {Edit{Path: []string{"m", "b"}, Delete: true}, strings.Replace(source, "  b: x\n", "", 1)},
		"a flow key less":  {Edit{Path: []string{"m", "f", "c"}, Delete: true}, strings.Replace(source, "    c: x,\n", "", 1)},
		"all keys less":    {Edit{Path: []string{"l", "c"}, Delete: true}, strings.Replace(source, "{c: x}", "{}", 1)},
		"a key at the end": {Edit{Path: []string{"k"}, Value: "v"}, strings.Replace(source, "l: {c: x}\n", "l: {c: x}\nk: vEOL", 1)},
	} {
		for kind, end := range breaks {
			for _, begin := range []string{"", "\ufeff"} {
				eol := end
				if strings.Trim(end, "\r\n") != "" {
					eol = "\n"
				}
				want := strings.NewReplacer("\n", end, "EOL", eol).Replace(c.want)
				got, err := Apply([]byte(begin+strings.ReplaceAll(source, "\n", end)), c.edit)
				if err != nil || string(got) != begin+want {
					t.Errorf("%s, %s: %v, got %q, want %q", name, kind, err, got, begin+want)
				}
			}
		}
	}
}

// TestErrorsSayWhereWhateverEndsLines: the lines of errors are those of YAML.
func TestErrorsSayWhereWhateverEndsLines(t *testing.T) {
	for kind, end := range breaks {
		for name, c := range map[string]struct{ from, to, want string }{
			"a key":       {"bootstrap: [127.0.0.1:19092]", "bootsrap: [127.0.0.1:19092]", "x.yaml:4:10: "},
			"a value":     {"6970-7009", "6970-7000", "x.yaml:8:75: "},
			"syntax":      {"  prod: {bootstrap: [127.0.0.1:19092]}", "  prod: {bootstrap: [127.0.0.1:19092}", "x.yaml:4:1: "},
			"a control":   {"# spare", "\u00fc\x01", "x.yaml:5:58: "},
			"no anchor":   {"cluster: prod}      #", "cluster: *none}      #", "x.yaml:13:40: "},
			"a tab":       {"      - offsets", "\t- offsets", "x.yaml:17:1: "},
			"a key twice": {"groups: {", "topics: {", `x.yaml:15:11: virtual_clusters.passThroughTenant.chain.0.routing: key "topics" stands twice`},
		} {
			source := strings.Replace(example, c.from, c.to, 1)
			if source == example {
				t.Fatal(name)
			}
			for _, begin := range []string{"", "\ufeff"} {
				_, err := Parse("x.yaml", []byte(begin+strings.ReplaceAll(source, "\n", end)))
				if err == nil || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("%s, %s: %v, want %s", name, kind, err, c.want)
				}
			}
		}
	}
}

// TestKeysAreTexts: topics may be called what YAML would take for numbers and the like.
func TestKeysAreTexts(t *testing.T) {
	for _, name := range []string{"123", "1.5", "1.50", "007", "0x10", "1_000", "true", "null", "~", "yes", ".nan", "2024-01-01", "1e3"} {
		for _, written := range []string{name, `"` + name + `"`, "'" + name + "'"} {
			source := "t: {" + written + ": {c: x}, other: {c: 007}}\nb:\n  " + written + ":\n    c: x\n  other: x\n"
			for _, c := range []struct {
				edit     Edit
				from, to string
			}{
				{Edit{Path: []string{"t", name, "c"}, Value: "v"}, written + ": {c: x}", written + ": {c: v}"},
				{Edit{Path: []string{"b", name, "c"}, Value: "v"}, written + ":\n    c: x", written + ":\n    c: v"},
				{Edit{Path: []string{"t", "other", "c"}, Value: "v"}, "{c: 007}", "{c: v}"},
				{Edit{Path: []string{"b", "new"}, Value: "v"}, "other: x\n", "other: x\n  new: v\n"},
				{Edit{Path: []string{"t", name}, Delete: true}, written + ": {c: x}, ", ""},
				{Edit{Path: []string{"t", "k"}, Value: name}, "007}}", `007}, k: "` + name + `"}`},
				{Edit{Path: []string{"t", name, name}, Value: map[string]any{name: name}}, "{c: x}", `{c: x, "` + name + `": {"` + name + `": "` + name + `"}}`},
			} {
				got, err := Apply([]byte(source), c.edit)
				if want := strings.Replace(source, c.from, c.to, 1); err != nil || string(got) != want {
					t.Errorf("%s, %v: %v, got\n%s\nwant\n%s", written, c.edit, err, got, want)
				}
			}
			s, err := Parse("x.yaml", []byte(strings.Replace(example, "orders: {cluster: prod, names: {dr: prod.orders}}", written+": {cluster: prod, names: {dr: "+name+"}}", 1)))
			must(t, err)
			var c struct {
				Default string            `koanf:"default"`
				Groups  map[string]string `koanf:"groups"`
				Topics  map[string]struct {
					Cluster string            `koanf:"cluster"`
					Names   map[string]string `koanf:"names"`
				} `koanf:"topics"`
			}
			must(t, s.VirtualClusters[0].Chain[0].Section.Decode(&c))
			want := name
			if name == "null" || name == "~" {
				want = "" // as a value it is none
			}
			if c.Topics[name].Cluster != "prod" || c.Topics[name].Names["dr"] != want {
				t.Errorf("%s: %+v", written, c.Topics)
			}
		}
	}
}

// TestWhatIsWrittenIsRead: a text comes back, whatever stands in it.
func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, s := range []string{"", "a", "y", "no", "OFF", "<<", "=", "a: b", "a\r\nb\u0085c\u2028d\u2029e", "\x00\x1b\x7f\ufeff", `"'\`, " a ", "\u00fc\U0001f600", "#", "{", "- a", "!!x", "&a", "*a", "12:30", "+1", "1_0"} {
		out, err := Apply([]byte("m: {}\n"), Edit{Path: []string{"m", s}, Value: s})
		if err != nil || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%q: %v, %q", s, err, out)
		}
	}
}

// TestKeysInFlowMaps are added and removed in the style of the map.
func TestKeysInFlowMaps(t *testing.T) {
	for source, want := range map[string]string{
		"t: {a: x}\n":                              "t: {a: x, k: v}\n",
		"t: { a: x, }\n":                           "t: { a: x, k: v, }\n",
		"t: {a: x,}\n":                             "t: {a: x, k: v,}\n",
		"t: {\n  a: {c: x},\n}\n":                  "t: {\n  a: {c: x},\n  k: v,\n}\n",
		"t: {\n  a: {c: x}\n}\n":                   "t: {\n  a: {c: x},\n  k: v\n}\n",
		"t: {\n  a: x # why, it's\n  # more\n}\n":  "t: {\n  a: x, # why, it's\n  k: v\n  # more\n}\n",
		"t: {\n  a: x, # why, it's\n  # more\n}\n": "t: {\n  a: x, # why, it's\n  k: v,\n  # more\n}\n",
		"t: {\n\ta: x,\n}\n":                       "t: {\n\ta: x,\n\tk: v,\n}\n",
		"t: {a: x,\n    b: x}\n":                   "t: {a: x,\n    b: x, k: v}\n",
		"t: {a: x,\n    b: x,}\n":                  "t: {a: x,\n    b: x, k: v,}\n",
		"t: {\n}\n":                                "t: {k: v\n}\n",
		"t: { # none\n}\n":                         "t: {k: v # none\n}\n",
	} {
		got, err := Apply([]byte(source), Edit{Path: []string{"t", "k"}, Value: "v"})
		if err != nil || string(got) != want {
			t.Errorf("%q: %v, got %q, want %q", source, err, got, want)
		}
		if got, err = Apply(got, Edit{Path: []string{"t", "k"}, Delete: true}); err != nil || strings.Contains(string(got), "k: v") || strings.Contains(string(got), "\n\n") {
			t.Errorf("%q: %v, without it %q", source, err, got)
		}
	}
}

// TestDeletingWhatIsNotThereIsDone wherever its path ends.
func TestDeletingWhatIsNotThereIsDone(t *testing.T) {
	const source = "a: &x {b: 1}\nc: *x\nl: [1]\nn:\n"
	for _, path := range []string{"z", "z.z", "a.z", "a.z.z", "a.b.z", "c.z", "c.z.z", "l.1", "l.z", "l.0.z", "n.z", "n.z.z"} {
		got, err := Apply([]byte(source), Edit{Path: strings.Split(path, "."), Delete: true})
		if err != nil || string(got) != source {
			t.Errorf("%s: %v\n%s", path, err, got)
		}
	}
}
