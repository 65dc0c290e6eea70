package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// odd are files that once made somebody's YAML reader fail.
var odd = []string{
	"", "\n", "---\n...\n", "a", "- a\n", "? a\n: b\n", "{", "a: &a [*a]\n", "a: *b\n", "\xff\xfe", "a:\tb\n", "!!binary x\n", "%YAML 9.9\n---\na: b\n",
	"clusters: {x: {bootstrap: [\"h:1\"], nodes: 9-1, slot: -1}}\nvirtual_clusters: {v: {listen: {bootstrap: \"h:1\", brokers: {ports: 70000-1}}, chain: []}}\n",
	"admin: {users: [{name: a, password: \"${env:NOT_SET}\"}]}\nlimits: {frame_bytes: 1EiB, connections: .nan, idle_timeout: 1}\n",
	"clusters: &c {x: {bootstrap: [\"h:1\"]}}\nvirtual_clusters: *c\n", "clusters: ~\nvirtual_clusters:\n", "? {a: b}\n: c\n", "a: \"\\\n",
}

// FuzzLoad: whatever stands in a file, Load says what it means, or what is wrong with which place
// of it.
func FuzzLoad(f *testing.F) {
	for _, s := range append(odd, example, block, strings.ReplaceAll(example, "\n", "\r\n"), "\ufeff"+example) {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "sluice.yaml")
	f.Fuzz(func(t *testing.T, source []byte) {
		must(t, os.WriteFile(path, source, 0o600))
		s, err := Load(path)
		if err != nil {
			var errs Errors
			if s != nil || !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("a snapshot, or an error without places: %v", err)
			}
			for _, e := range errs {
				at := fmt.Sprintf("%s:%d:%d: ", path, e.Line, e.Col)
				// A reader of YAML may say the line behind the last, where something is missing.
				about := fact.Must(t, "%+v is not a place in the file", e)
				fact.AtLeast(about, "e.Line", e.Line, 1)
				fact.AtMost(about, "e.Line", e.Line, bytes.Count(source, []byte("\n"))+2+others(source))
				fact.AtLeast(about, "e.Col", e.Col, 1)
				fact.Other(about, "e.Msg", e.Msg, "")
				fact.True(about, "strings.HasPrefix(e.Error(), at)", strings.HasPrefix(e.Error(), at))
			}
			return
		}
		about := fact.Must(t, "a snapshot without its parts: %+v", s)
		fact.Other(about, "len(s.Clusters)", len(s.Clusters), 0)
		fact.Other(about, "len(s.VirtualClusters)", len(s.VirtualClusters), 0)
		fact.List(about, "s.Source", s.Source, source)
		fact.Equal(about, "len(s.Revision)", len(s.Revision), 12)
		fact.True(about, "filepath.IsAbs(s.State.Dir)", filepath.IsAbs(s.State.Dir))
		for _, v := range s.VirtualClusters {
			for _, c := range s.Spans(&v) {
				v.Listen.Advertised(s.Clusters, c.Name, c.Nodes.Last)
			}
			for _, c := range v.Chain {
				var into struct {
					Default string `koanf:"default"`
				}
				_ = c.Section.Decode(&into)
			}
		}
		if err := s.CheckTypes([]string{"routing"}); err != nil && !strings.HasPrefix(err.Error(), path+":") {
			t.Fatalf("an error without a place: %v", err)
		}
		s.Masked()
	})
}

// others counts the line breaks that YAML knows besides "\n".
func others(source []byte) (n int) {
	for _, b := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		n += bytes.Count(source, []byte(b))
	}
	return n
}

// written is a valid file in which each byte says how one topic is written: fuzzers find few files
// that are valid.
func written(style []byte) []byte {
	block := []string{
		"NAME: {cluster: prod}\n", "NAME:\n  cluster:  prod # why\n  unplanned: never\n", "NAME: { cluster: 'prod', names: {dr: \"a, }b\"} } # why\n",
		"# before\nNAME: {cluster: prod,}\n\n# behind\n", "NAME:\n", "NAME: {\n  cluster: prod, # it's }\n  unplanned: never\n}\n", "\"NAME\": {cluster: \"prod\"}\n",
		"NAME:\n  names:\n    # in between\n    dr: x\n\n  cluster: prod\n", "'NAME': ~ # nothing\n", "NAME:\n  cluster: >-\n    prod\n", "NAME: &one {cluster: prod}\nof-NAME: *one\n",
		"NAME: {cluster: \"pr\\x6fd\"}\n", "NAME: {}\n", "NAME:\n  cluster: \"prod\"\n  names: {dr: it's}\n", "? NAME\n: cluster: prod\n", "NAME: {\"cluster\":prod}\n",
		"NAME: {\n  cluster: prod,\n  # more to come\n}\n", "NAME: {<<: {cluster: prod}}\n", "123:\n", "null: {cluster: prod}\n", "1.5: {cluster: prod}\n",
		"NAME:\n  cluster: |-\n    prod\n", "NAME: {cluster: prod,\n  names: {dr: 007}} # why\n", "NAME:\n  cluster: pr\n   od\n",
	}
	flow := []string{"NAME: {cluster: prod}", "'NAME': {cluster: 'prod'} # it's }\n", "\"NAME\": { }", "\n# [\nNAME: {cluster: \"prod\", names: {dr: x}}", "NAME: ", "NAME"}
	name := func(i int) string { return []string{"orders", "new.topic", "app-*"}[i%3] + strings.Repeat("x", i/3) }
	var topics strings.Builder
	for i, b := range style[:min(len(style), 12)] {
		if i == 0 {
			continue
		}
		if style[0]%3 > 0 {
			topics.WriteString(strings.ReplaceAll(flow[int(b)%len(flow)], "NAME", name(i-1)) + []string{",", ", ", "\n,", ",\n"}[int(b>>4)%4])
			continue
		}
		topics.WriteString(strings.ReplaceAll(block[int(b)%len(block)], "NAME", name(i-1)))
	}
	out := "topics:\n  " + strings.ReplaceAll(topics.String(), "\n", "\n  ")
	if len(style) > 0 && style[0]%3 > 0 {
		list := topics.String()
		if style[0]%3 == 1 {
			list = strings.TrimRight(list, ", \n")
		}
		out = "topics: {" + strings.ReplaceAll(list, "\n", "\n  ") + "\n  }"
	}
	indent := "          "
	return []byte(strings.Replace(example, "topics:\n            resilient_topic: {cluster: prod}      # edit to dr\n            orders: {cluster: prod, names: {dr: prod.orders}}\n",
		strings.ReplaceAll(out, "\n", "\n"+indent)+"\n", 1))
}

// FuzzEdit: an edit of a valid file is refused, or makes a valid file that says what was asked for
// and differs nowhere else: not in its comments, not in its order, not in another line.
func FuzzEdit(f *testing.F) {
	sources := []string{example, block, strings.ReplaceAll(block, "\n", "\r\n")}
	for i, topic := range []string{"orders", "new.topic", "app-*", "007", "123", "1.5", "a \"b\" 'c' #d: {e}", "Ü", "null", "<<", "-"} {
		for op := range 5 {
			f.Add([]byte(sources[(i+op)%3]), byte(op), topic, "dr")
		}
	}
	for i := range byte(60) {
		f.Add([]byte{i / 16, i % 16, 3 * i, i + 1}, i, []string{"orders", "new.topic", "t"}[i%3], "none")
	}
	f.Fuzz(func(t *testing.T, source []byte, op byte, topic, cluster string) {
		if _, err := Parse("x.yaml", source); err != nil {
			source = written(source)
		}
		// All other breaks of lines, and what some editors write before the first one.
		ends := []string{"\n", "\r\n", "\r", "\u0085", "\u2028", "\u2029"}
		source = bytes.ReplaceAll(source, []byte("\n"), []byte(ends[op/5%6]))
		if op/30%2 == 1 {
			source = append([]byte(bom), bytes.TrimPrefix(source, []byte(bom))...)
		}
		s, err := Parse("x.yaml", source)
		if err != nil {
			return
		}
		at := []string{"limits", topic}
		for _, v := range s.VirtualClusters {
			for i, c := range v.Chain {
				if c.Type == "routing" {
					at = []string{"virtual_clusters", v.Name, "chain", fmt.Sprint(i), "routing"}
				}
			}
		}
		var e Edit
		switch op % 5 {
		case 0:
			e = Edit{Path: append(at, "topics", topic, "cluster"), Value: cluster}
		case 1:
			e = Edit{Path: append(at, "topics", topic), Value: map[string]any{"cluster": cluster, "names": map[string]any{cluster: topic}}}
		case 2:
			e = Edit{Path: append(at, "default"), Value: cluster}
		case 3:
			e = Edit{Path: append(at, "topics", topic), Delete: true}
		case 4:
			e = Edit{Path: append(at, "groups", topic), Value: cluster}
		}
		before := bytes.Clone(source)
		after, err := Apply(source, e)
		if !bytes.Equal(source, before) {
			t.Fatal("the source was changed in place")
		}
		if err != nil {
			return
		}
		if at[0] != "limits" { // which would be an unknown key
			if _, err := Parse("x.yaml", after); err != nil {
				t.Fatalf("no valid file any more: %v\n%s", err, after)
			}
		}
		was, is := decoded(t, before), decoded(t, after)
		got, ok := valueAt(is, e.Path)
		if e.Delete {
			if ok {
				t.Fatalf("not deleted:\n%s", after)
			}
		} else if !ok || !reflect.DeepEqual(got, e.Value) {
			t.Fatalf("it says %#v, want %#v:\n%s", got, e.Value, after)
		}
		if was, is := without(was, e.Path), without(is, e.Path); !reflect.DeepEqual(was, is) {
			t.Fatalf("it differs elsewhere: %v, was %v\n%s", is, was, after)
		}
		// All lines that differ stand together: at most one is another, and one more is there, or
		// those of what was deleted are gone.
		old, now := slices.DeleteFunc(lines(before), empty), slices.DeleteFunc(lines(after), empty)
		for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
			old, now = old[1:], now[1:]
		}
		for len(old) > 0 && len(now) > 0 && old[len(old)-1] == now[len(now)-1] {
			old, now = old[:len(old)-1], now[:len(now)-1]
		}
		if len(now) > 2 || (len(old) > 1 && !e.Delete) {
			t.Fatalf("%q became %q", old, now)
		}
		if !e.Delete && !slices.Equal(comments(before), comments(after)) {
			t.Fatalf("comments %q became %q", comments(before), comments(after))
		}
	})
}

func empty(s string) bool { return s == "" }

// lines are those of a file, each with its end.
func lines(b []byte) (out []string) {
	t := newText(b)
	for i, from := range t.starts {
		out = append(out, t.s[from:t.start(i+1)])
	}
	return out
}

func decoded(t *testing.T, b []byte) (v any) {
	t.Helper()
	_, root, errs := parse("x.yaml", b)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	must(t, root.Decode(&v))
	return v
}

// valueAt is the value at a path.
func valueAt(v any, path []string) (any, bool) {
	for _, k := range path {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[k]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i := slices.IndexFunc(count(len(x)), func(s string) bool { return s == k })
			if i < 0 {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

func count(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// without leaves out what an edit may make: its place, and what is empty on the way there.
func without(v any, path []string) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, y := range x {
			if k == path[0] {
				if len(path) == 1 {
					continue
				}
				y = without(y, path[1:])
				if y == nil {
					continue
				}
			}
			out[k] = y
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out := slices.Clone(x)
		for i := range out {
			if fmt.Sprint(i) == path[0] && len(path) > 1 {
				out[i] = without(out[i], path[1:])
			}
		}
		return out
	}
	return v
}

// comments lists the comments of a file, in order.
func comments(b []byte) (out []string) {
	var doc yaml.Node
	_ = yaml.Unmarshal(b, &doc)
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for l := range strings.SplitSeq(c, "\n") {
				if l = strings.TrimSpace(l); l != "" {
					out = append(out, l)
				}
			}
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(&doc)
	slices.Sort(out) // the reader may give one to another node
	return out
}
