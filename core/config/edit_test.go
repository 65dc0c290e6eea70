package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// block is a file as people write it: comments everywhere, quotes of every kind, odd spaces.
const block = `# Sluice in front of two clusters.   
admin: {listen: "127.0.0.1:8888"}   # operators only

clusters:
    prod:
        bootstrap: [ '127.0.0.1:19092' ]
    dr: {bootstrap: ["127.0.0.1:29092"]}
virtual_clusters:
  "tenant":
    listen: {bootstrap: 127.0.0.1:6969, brokers: {ports: 6970-7009}}
    chain:
      # who lives where
      - routing:
          default: 'prod' # the rest
          topics:
            # payments first
            orders:
              cluster:   prod     # edit to dr
              unplanned: never
            'quoted name': {cluster: "prod"}
            Bücher: {cluster: prod, names: {dr: "a, b: {c}"}} # Ü
            "app-*": { cluster: prod, }

            empty:
              # nothing decided
            last: {cluster: 'prod'}
            # the end of the topics

          groups:
          transactions: {}
      - offsets: {}
# the end`

// routingOf is a path below the routing of block.
func routingOf(more ...string) []string {
	return append([]string{"virtual_clusters", "tenant", "chain", "0", "routing"}, more...)
}

// TestEditsOfABlockFile: each edit is told as the one place that differs; all other bytes stay.
func TestEditsOfABlockFile(t *testing.T) {
	dr := map[string]any{"cluster": "dr"}
	for name, c := range map[string]struct {
		edit     Edit
		from, to string
	}{
		"a block topic":          {Edit{Path: routingOf("topics", "orders", "cluster"), Value: "dr"}, "cluster:   prod     # edit", "cluster:   dr     # edit"},
		"none":                   {Edit{Path: routingOf("topics", "orders", "cluster"), Value: "none"}, "cluster:   prod     # edit", "cluster:   none     # edit"},
		"a quoted topic":         {Edit{Path: routingOf("topics", "quoted name", "cluster"), Value: "dr"}, `{cluster: "prod"}`, `{cluster: dr}`},
		"behind other letters":   {Edit{Path: routingOf("topics", "Bücher", "names", "dr"), Value: "b"}, `{dr: "a, b: {c}"}} # Ü`, `{dr: b}} # Ü`},
		"a flow key":             {Edit{Path: routingOf("topics", "Bücher", "names", "prod"), Value: "p"}, `{dr: "a, b: {c}"}}`, `{dr: "a, b: {c}", prod: p}}`},
		"a flow key, comma":      {Edit{Path: routingOf("topics", "app-*", "unplanned"), Value: "always"}, `cluster: prod, }`, `cluster: prod, unplanned: always, }`},
		"the default":            {Edit{Path: routingOf("default"), Value: "dr"}, "'prod' # the rest", "dr # the rest"},
		"a topic of the default": {Edit{Path: routingOf("topics", "new.topic"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            new.topic: {cluster: dr}\n"},
		"a topic of a glob":      {Edit{Path: routingOf("topics", "app-1"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            app-1: {cluster: dr}\n"},
		"a glob":                 {Edit{Path: routingOf("topics", "app-*", "cluster"), Value: "dr"}, `{ cluster: prod, }`, `{ cluster: dr, }`},
		"a new glob":             {Edit{Path: routingOf("topics", "*"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            \"*\": {cluster: dr}\n"},
		"a name like a number":   {Edit{Path: routingOf("topics", "007"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            \"007\": {cluster: dr}\n"},
		"a name like a boolean":  {Edit{Path: routingOf("topics", "true"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            \"true\": {cluster: dr}\n"},
		"a name like nothing":    {Edit{Path: routingOf("topics", "null"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            \"null\": {cluster: dr}\n"},
		"a name with a dash":     {Edit{Path: routingOf("topics", "-"), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            \"-\": {cluster: dr}\n"},
		"a name with quotes":     {Edit{Path: routingOf("topics", `a"b\c: d #e`), Value: dr}, "last: {cluster: 'prod'}\n", "last: {cluster: 'prod'}\n            \"a\\\"b\\\\c: d #e\": {cluster: dr}\n"},
		"a topic without rules":  {Edit{Path: routingOf("topics", "empty", "cluster"), Value: "dr"}, "empty:\n", "empty: {cluster: dr}\n"},
		"a block key":            {Edit{Path: routingOf("topics", "orders", "names", "dr"), Value: "prod.orders"}, "unplanned: never\n", "unplanned: never\n              names: {dr: prod.orders}\n"},
		"into nothing":           {Edit{Path: routingOf("groups", "app-*"), Value: "dr"}, "groups:\n", "groups: {\"app-*\": dr}\n"},
		"into an empty map":      {Edit{Path: routingOf("transactions", "a"), Value: "dr"}, "transactions: {}", "transactions: {a: dr}"},
		"a map over a value":     {Edit{Path: routingOf("topics", "last"), Value: dr}, "last: {cluster: 'prod'}", "last: {cluster: dr}"},
		"a number":               {Edit{Path: []string{"limits", "connections"}, Value: 7}, "# the end", "limits: {connections: 7}\n# the end"},
		"a boolean":              {Edit{Path: []string{"telemetry", "traces", "insecure"}, Value: true}, "# the end", "telemetry: {traces: {insecure: true}}\n# the end"},
		"the same again":         {Edit{Path: routingOf("topics", "last", "cluster"), Value: "prod"}, "last: {cluster: 'prod'}", "last: {cluster: prod}"},
		"deleted":                {Edit{Path: routingOf("topics", "last"), Delete: true}, "            last: {cluster: 'prod'}\n", ""},
		"deleted, block":         {Edit{Path: routingOf("topics", "orders"), Delete: true}, "            orders:\n              cluster:   prod     # edit to dr\n              unplanned: never\n", ""},
		"deleted, flow":          {Edit{Path: routingOf("topics", "Bücher", "names"), Delete: true}, `{cluster: prod, names: {dr: "a, b: {c}"}}`, `{cluster: prod}`},
		"deleted, first of flow": {Edit{Path: routingOf("topics", "Bücher", "cluster"), Delete: true}, `{cluster: prod, names: `, `{names: `},
		"deleted, not there":     {Edit{Path: routingOf("topics", "other"), Delete: true}, "", ""},
		"deleted, the only one":  {Edit{Path: []string{"admin", "listen"}, Delete: true}, `{listen: "127.0.0.1:8888"}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			source := []byte(block)
			// The end of the file is the last of several places with these words.
			at := strings.LastIndex(block, c.from)
			want := block[:at] + c.to + block[at+len(c.from):]
			got, err := Apply(source, c.edit)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if string(source) != block {
				t.Error("the source was changed in place")
			}
			if _, err := Parse("x.yaml", got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEditsTogether are made one after the other, or not at all.
func TestEditsTogether(t *testing.T) {
	got, err := Apply([]byte(block),
		Edit{Path: routingOf("topics", "orders", "cluster"), Value: "dr"},
		Edit{Path: routingOf("topics", "new", "cluster"), Value: "prod"},
		Edit{Path: routingOf("topics", "new", "names"), Value: map[string]any{"dr": "x"}},
		Edit{Path: routingOf("topics", "new", "cluster"), Value: "dr"},
		Edit{Path: routingOf("topics", "last"), Delete: true},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("cluster:   prod", "cluster:   dr", "last: {cluster: 'prod'}", "new: {cluster: dr, names: {dr: x}}").Replace(block)
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	if got, err := Apply([]byte(block), Edit{Path: routingOf("default"), Value: "dr"}, Edit{Path: routingOf("default", "deeper"), Value: 1}); err == nil || got != nil {
		t.Errorf("half of the edits were made: %v\n%s", err, got)
	}
}

// TestEditsOfOtherShapes: ends of lines, a file without a last one, maps over several lines.
func TestEditsOfOtherShapes(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		edit   Edit
		want   string
	}{
		"CRLF":              {"a: 1\r\nb: {c: x}\r\nd: 2\r\n", Edit{Path: []string{"b", "c"}, Value: "w"}, "a: 1\r\nb: {c: w}\r\nd: 2\r\n"},
		"CRLF, empty":       {"a: 1\r\nb:\r\nd: 2\r\n", Edit{Path: []string{"b"}, Value: "w"}, "a: 1\r\nb: w\r\nd: 2\r\n"},
		"no last line end":  {"a: 1\nb: x", Edit{Path: []string{"b"}, Value: "w"}, "a: 1\nb: w"},
		"behind the last":   {"a: 1\nb: x", Edit{Path: []string{"c"}, Value: "w"}, "a: 1\nb: x\nc: w\n"},
		"several lines":     {"t: {\n  a: {c: x}, # it's }\n  b: {c: x}\n}\n", Edit{Path: []string{"t", "b", "c"}, Value: "w"}, "t: {\n  a: {c: x}, # it's }\n  b: {c: w}\n}\n"},
		"several, inserted": {"t: {\n  a: {c: x}, # it's }\n  b: {c: x}}\n", Edit{Path: []string{"t", "d"}, Value: "w"}, "t: {\n  a: {c: x}, # it's }\n  b: {c: x}, d: w}\n"},
		"empty, a comment":  {"a: # none yet\nb: 1\n", Edit{Path: []string{"a", "c"}, Value: "w"}, "a: {c: w} # none yet\nb: 1\n"},
		"a lone CR":         {"a: x # one\r# two\nb: x", Edit{Path: []string{"b"}, Value: "w"}, "a: x # one\r# two\nb: w"},
		"a line separator":  {"a: x # one\u2028# two\nb: x", Edit{Path: []string{"b"}, Value: "w"}, "a: x # one\u2028# two\nb: w"},
		"a number as a key": {"t: {2024: {c: x}, b: {c: x}}\n", Edit{Path: []string{"t", "b", "c"}, Value: "w"}, "t: {2024: {c: x}, b: {c: w}}\n"},
		"a trailing comma":  {"t: {\n  a: {c: x}, # last\n  }\n", Edit{Path: []string{"t", "b"}, Value: "w"}, "t: {\n  a: {c: x}, # last\n  b: w,\n  }\n"},
		"an apostrophe":     {"t: {a: {c: it's}}\n", Edit{Path: []string{"t", "b"}, Value: "w"}, "t: {a: {c: it's}, b: w}\n"},
		"a list":            {"l:\n- a: x\n  b: x\n- a: x # second\n", Edit{Path: []string{"l", "1", "a"}, Value: "w"}, "l:\n- a: x\n  b: x\n- a: w # second\n"},
		"a flow list":       {"l: [x, 'it''s', \"x\\\"\", z]\n", Edit{Path: []string{"l", "1"}, Value: "w"}, "l: [x, w, \"x\\\"\", z]\n"},
		"escapes":           {"l: [x, \"x\\\"\", z]\n", Edit{Path: []string{"l", "1"}, Value: "w"}, "l: [x, w, z]\n"},
		"brackets in texts": {"m: {a: \"}\", b: '}{', c: x}\n", Edit{Path: []string{"m", "d"}, Value: "w"}, "m: {a: \"}\", b: '}{', c: x, d: w}\n"},
		"behind a literal":  {"m:\n  a: |\n    one\n    two\nn: x\n", Edit{Path: []string{"m", "b"}, Value: "w"}, "m:\n  a: |\n    one\n    two\n  b: w\nn: x\n"},
		"a document":        {"---\n# first\na: x\n", Edit{Path: []string{"a"}, Value: "w"}, "---\n# first\na: w\n"},
		"a null":            {"a: ~ # none\n", Edit{Path: []string{"a"}, Value: "w"}, "a: w # none\n"},
		"the last of a map": {"m:\n  a: x\nn: x\n", Edit{Path: []string{"m", "a"}, Delete: true}, "m:\n  {}\nn: x\n"},
		"a list of maps":    {"m:\n  l:\n  - a: {\n}\n  - |-\n    # one\n\n    two\n\n# n\nn: x\n", Edit{Path: []string{"m", "b"}, Value: "w"}, "m:\n  l:\n  - a: {\n}\n  - |-\n    # one\n\n    two\n  b: w\n\n# n\nn: x\n"},
		"a short map":       {"l: [a: {b: x}, c: {}]\n", Edit{Path: []string{"l", "0", "a", "d"}, Value: "w"}, "l: [a: {b: x, d: w}, c: {}]\n"},
		"a key alone":       {"m: {a}\n", Edit{Path: []string{"m", "a"}, Value: "w"}, "m: {a: w}\n"},
		"behind a lone key": {"m: {a , # none\n}\n", Edit{Path: []string{"m", "b"}, Value: "w"}, "m: {a , b: w, # none\n}\n"},
		"a key of its own":  {"b: &b {c: x}\nm: {<<: *b}\n", Edit{Path: []string{"m", "c"}, Value: "w"}, "b: &b {c: x}\nm: {<<: *b, c: w}\n"},
	} {
		got, err := Apply([]byte(c.source), c.edit)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}

// TestShapesThatAreNotEdited: better refused than another file than was asked for.
func TestShapesThatAreNotEdited(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		edit   Edit
	}{
		"an alias":            {"a: &x {c: 1}\nb: *x\n", Edit{Path: []string{"b", "c"}, Value: 2}},
		"what is aliased":     {"a: &x {c: 1}\nb: *x\n", Edit{Path: []string{"a", "c"}, Value: 2}},
		"an aliased value":    {"a: &x one\nb: *x\n", Edit{Path: []string{"a"}, Value: "two"}},
		"a merged key":        {"a: &x {c: 1}\nb: {<<: *x, d: 1}\n", Edit{Path: []string{"b", "c"}, Delete: true}},
		"a merged map":        {"a: &x {c: 1}\nb: {<<: *x, d: 1}\n", Edit{Path: []string{"a", "c"}, Value: 2}},
		"a text over lines":   {"a: one\n  two\nb: x\n", Edit{Path: []string{"a"}, Value: "y"}},
		"quoted over lines":   {"a: \"one\n  two\"\nb: x\n", Edit{Path: []string{"a"}, Value: "y"}},
		"a literal":           {"a: |\n  one\nb: x\n", Edit{Path: []string{"a"}, Value: "y"}},
		"a map over lines":    {"a: {\n  b: x\n}\n", Edit{Path: []string{"a"}, Value: "y"}},
		"a block map":         {"a:\n  b: x\n", Edit{Path: []string{"a"}, Value: "y"}},
		"below a text":        {"a: x\n", Edit{Path: []string{"a", "b"}, Value: "y"}},
		"a list's next":       {"l: [a]\n", Edit{Path: []string{"l", "1"}, Value: "y"}},
		"a list item's first": {"l:\n- a: x\n  b: x\n", Edit{Path: []string{"l", "0", "a"}, Delete: true}},
		"nothing":             {"# only this\n", Edit{Path: []string{"a"}, Value: "y"}},
		"no YAML":             {"a: [\n", Edit{Path: []string{"a"}, Value: "y"}},
		"no path":             {"a: x\n", Edit{Value: "y"}},
	} {
		if got, err := Apply([]byte(c.source), c.edit); err == nil {
			t.Errorf("%s is edited to\n%s", name, got)
		}
	}
}

// TestWriteFile replaces the content and nothing else: links stay links, rights stay, nothing is
// left beside it.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	real := filepath.Join(dir, "real", "sluice.yaml")
	must(t, os.WriteFile(real, []byte("old, and longer than what follows"), 0o640))
	must(t, os.Chmod(real, 0o640))
	must(t, os.Symlink("real", filepath.Join(dir, "..data")))
	must(t, os.Symlink("..data/sluice.yaml", filepath.Join(dir, "link.yaml")))
	before := "old, and longer than what follows"
	for i, path := range []string{real, filepath.Join(dir, "link.yaml")} {
		content := strings.Repeat("new", 1-i) + "content"
		must(t, WriteFile(path, []byte(before), []byte(content)))
		before = content
		got, err := os.ReadFile(real)
		must(t, err)
		if string(got) != content {
			t.Errorf("written through %s: %q", path, got)
		}
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for path, want := range map[string]string{"link.yaml": "..data/sluice.yaml", "..data": "real"} {
		if to, err := os.Readlink(filepath.Join(dir, path)); err != nil || to != want {
			t.Errorf("%s links to %q, %v", path, to, err)
		}
	}
	for d, want := range map[string]int{dir: 3, filepath.Dir(real): 1} {
		if list, err := os.ReadDir(d); err != nil || len(list) != want {
			t.Errorf("%v in %s, %v", list, d, err)
		}
	}
	if err := WriteFile(filepath.Join(dir, "missing.yaml"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestWriteFileIsOneStep: who has the old file open, or reads meanwhile, sees all of the old
// content or all of the new one.
func TestWriteFileIsOneStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	old, next := bytes.Repeat([]byte("old\n"), 50_000), bytes.Repeat([]byte("next\n"), 50_000)
	must(t, os.WriteFile(path, old, 0o600))
	open, err := os.Open(path)
	must(t, err)
	defer open.Close()
	done := make(chan error, 1)
	go func() { done <- WriteFile(path, old, next) }()
	for over := false; !over; {
		select {
		case err := <-done:
			must(t, err)
			over = true
		default:
		}
		got, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(got, old) && !bytes.Equal(got, next) {
			t.Fatalf("half a file of %d bytes", len(got))
		}
	}
	var before bytes.Buffer
	if _, err := before.ReadFrom(open); err != nil || !bytes.Equal(before.Bytes(), old) {
		t.Error("the old file was written over")
	}
}

// TestReadOnlyFilesStay: an error that the admin API can tell, and nothing has changed.
func TestReadOnlyFilesStay(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "link.yaml")
	must(t, os.WriteFile(path, []byte("old"), 0o444))
	must(t, os.Symlink("sluice.yaml", link))
	before, err := os.Stat(path)
	must(t, err)
	for _, p := range []string{path, link} {
		if err := WriteFile(p, []byte("old"), []byte("new")); !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", p, err)
		}
	}
	got, err := os.ReadFile(path)
	must(t, err)
	after, err := os.Stat(path)
	must(t, err)
	list, _ := os.ReadDir(dir)
	about := fact.Of(t, "%q, %v", got, list)
	fact.Equal(about, "string(got)", string(got), "old")
	fact.True(about, "os.SameFile(before, after)", os.SameFile(before, after))
	fact.True(about, "after.ModTime().Equal(before.ModTime())", after.ModTime().Equal(before.ModTime()))
	fact.Equal(about, "len(list)", len(list), 2)
}

// TestAFolderThatMayNotBeWritten: the file is written in place, as a bind-mounted one is.
func TestAFolderThatMayNotBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sluice.yaml")
	must(t, os.WriteFile(path, []byte("old, and longer"), 0o666))
	must(t, os.Chmod(path, 0o666))
	before, err := os.Stat(path)
	must(t, err)
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	nobody(t)
	must(t, WriteFile(path, []byte("old, and longer"), []byte("new")))
	got, err := os.ReadFile(path)
	must(t, err)
	after, err := os.Stat(path)
	must(t, err)
	if string(got) != "new" || before.Sys().(*syscall.Stat_t).Ino != after.Sys().(*syscall.Stat_t).Ino {
		t.Errorf("%q, another file: %t", got, !os.SameFile(before, after))
	}
}

// nobody makes this thread, if it is root's, one of a user who may not write everywhere.
func nobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread()
	must(t, syscall.Setfsuid(65534))
	t.Cleanup(func() {
		must(t, syscall.Setfsuid(0))
		runtime.UnlockOSThread()
	})
}

// TestManyEdits: a failover edits the rules of all topics of a cluster at once.
func TestManyEdits(t *testing.T) {
	const n = 2000
	var topics strings.Builder
	for i := range n {
		fmt.Fprintf(&topics, "            topic-%d: {cluster: prod} # %d\n", i, i)
	}
	source := strings.Replace(block, "          topics:\n", "          topics:\n"+topics.String(), 1)
	var edits []Edit
	for i := range n {
		edits = append(edits, Edit{Path: routingOf("topics", fmt.Sprint("topic-", i), "cluster"), Value: "dr"})
	}
	for i := range n {
		edits = append(edits, Edit{Path: routingOf("topics", fmt.Sprint("new-", i)), Value: map[string]any{"cluster": "dr"}})
	}
	reads := testing.AllocsPerRun(1, func() { _, _, _ = parse("", []byte(source)) })
	var got []byte
	edited := testing.AllocsPerRun(1, func() {
		var err error
		got, err = Apply([]byte(source), edits...)
		must(t, err)
	})
	for i := range n {
		if !strings.Contains(string(got), fmt.Sprintf("topic-%d: {cluster: dr} # %d\n", i, i)) || !strings.Contains(string(got), fmt.Sprintf("\n            new-%d: {cluster: dr}\n", i)) {
			t.Fatalf("%d is not edited:\n%s", i, got)
		}
	}
	if edited > 20*reads {
		t.Errorf("%d edits cost as much as reading the file %.0f times", len(edits), edited/reads)
	}
}
