// Package schema holds what the JSON Schema of the file promises: it says of the shape of a file
// what the gateway says.
package schema

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/cmd/gateway/cli"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/plugins"
)

const (
	root = "../.."
	file = root + "/configs/schema.json"
)

// TestSchemaIsCommitted; UPDATE=1 writes it.
func TestSchemaIsCommitted(t *testing.T) {
	want, err := cli.Schema(plugins.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("configs/schema.json is not what the settings are: UPDATE=1 go test ./testing/schema (%v)", err)
	}
}

// value is what a node is in JSON. Keys are texts, as for the gateway.
func value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return value(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, value(c))
		}
		return l
	}
	var v any
	if tag := n.ShortTag(); tag != "!!int" && tag != "!!float" && tag != "!!bool" && tag != "!!null" || n.Decode(&v) != nil {
		return n.Value
	}
	return v
}

// judges are the schema and the gateway.
type judges struct {
	t      *testing.T
	schema *jsonschema.Schema
	file   string
}

func court(t *testing.T) judges {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return judges{t, s, filepath.Join(t.TempDir(), "sluice.yaml")}
}

// judge returns what the gateway and the schema say of a file; nothing if it is right.
func (j judges) judge(text []byte) (byGateway config.Errors, bySchema error) {
	j.t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		j.t.Fatalf("%v\n%s", err, text)
	}
	if err := os.WriteFile(j.file, text, 0o600); err != nil {
		j.t.Fatal(err)
	}
	_, err := gateway.Inspect(j.t.Context(), j.file, plugins.Builtin())
	if err != nil && !errors.As(err, &byGateway) {
		j.t.Fatal(err)
	}
	return byGateway, j.schema.Validate(value(doc.Content[0]))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var names = regexp.MustCompile(`^# yaml-language-server: \$schema=(\S+)\n`)

// TestShippedFiles are right, and name the schema where an editor finds it.
func TestShippedFiles(t *testing.T) {
	j := court(t)
	files, err := filepath.Glob(root + "/configs/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	want, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, root+"/examples/failover/compose/sluice/sluice.yaml") {
		text := read(t, path)
		byGateway, bySchema := j.judge(text)
		if bySchema != nil || byGateway != nil {
			t.Errorf("%s: %v\n%v", path, bySchema, byGateway)
		}
		m := names.FindSubmatch(text)
		if m == nil {
			t.Errorf("%s does not begin with the name of its schema", path)
			continue
		}
		if got, err := os.Stat(filepath.Join(filepath.Dir(path), string(m[1]))); err != nil || !os.SameFile(got, want) {
			t.Errorf("%s names %s, which is not configs/schema.json: %v", path, m[1], err)
		}
	}
}

const right = `clusters:
  prod: {bootstrap: [127.0.0.1:9092], slot: 1, nodes: 0-9}
failover: {hold: 5s, compare_limit: 1GiB}
telemetry: {log: {level: info, levels: {upstream: warn}}, traces: {sample_ratio: 0.5, errors: true}}
virtual_clusters:
  main:
    listen: {bootstrap: 127.0.0.1:6969, brokers: {host: 127.0.0.1, ports: 6970-6989}}
    chain:
      - routing: {default: prod, topics: {orders: {cluster: prod, unplanned: never}}, groups: {follow: topics, takeover: 10s}, create_on: all}
      - topics: {hide: ["__*"]}
      - traces: {inject: missing}
      - offsets: {}
`

// TestFaultyFiles are refused by both.
func TestFaultyFiles(t *testing.T) {
	j := court(t)
	if byGateway, bySchema := j.judge([]byte(right)); bySchema != nil || byGateway != nil {
		t.Fatalf("%v\n%v", bySchema, byGateway)
	}
	for _, change := range [][2]string{
		{"failover:", "failovers:"},
		{"hold: 5s", "holt: 5s"},
		{"hold: 5s", "hold: 5 parsecs"},
		{"hold: 5s", "hold: 5"},
		{"hold: 5s", "hold: [5s]"},
		{"1GiB", "1 GiByte"},
		{"1GiB", "1.5"},
		{"sample_ratio: 0.5", "sample_ratio: half"},
		{"errors: true", `errors: "true"`},
		{"level: info", "level: loud"},
		{"level: info", `level: ""`},
		{"upstream: warn", "upstream: loud"},
		{"bootstrap: [127.0.0.1:9092], ", ""},
		{"bootstrap: [127.0.0.1:9092]", "bootstrap: []"},
		{"bootstrap: [127.0.0.1:9092]", "bootstrap: 127.0.0.1:9092"},
		{"slot: 1", "slot: first"},
		{"nodes: 0-9", "nodes: 0..9"},
		{", ports: 6970-6989", ""},
		{"6970-6989", "few"},
		{"bootstrap: 127.0.0.1:6969, ", ""},
		{"    listen: {bootstrap: 127.0.0.1:6969, brokers: {host: 127.0.0.1, ports: 6970-6989}}\n", ""},
		{"- offsets: {}", "- offset: {}"},
		{"- offsets: {}", "- offsets: {keep: true}"},
		{"- offsets: {}", "- offsets"},
		{"- topics: {", "- topics: {prefx: a, "},
		{"inject: missing", "inject: all"},
		{"{inject: missing}", "{}"},
		{"{cluster: prod, unplanned: never}", "{unplanned: never}"},
		{"unplanned: never", "unplanned: sometimes"},
		{"follow: topics", "follow: groups"},
		{"takeover: 10s", "takeover: soon, really"},
		{"create_on: all", "create_on: some"},
		{"hold: 5s", "hold: 5s, fence: {headers: {a: b}}"},
		{"hold: 5s", "hold: 5s, fence: {tls: {ca: a.pem}}"},
		{"default: prod", `default: "${prod}"`},
		{"orders:", `"${env:TOPIC}":`},
		{"- offsets: {}", "- wasm: {on_error: reject}"},
		{"- offsets: {}", "- wasm: {file: x.wasm, produce_drop: drop}"},
		{"- offsets: {}", "- wasm: {file: x.wasm, limits: {memory: much}}"},
	} {
		text := strings.Replace(right, change[0], change[1], 1)
		if text == right {
			t.Errorf("%q is not there", change[0])
		}
		byGateway, bySchema := j.judge([]byte(text))
		if bySchema == nil {
			t.Errorf("%q in place of %q: the schema takes it", change[1], change[0])
		}
		if byGateway == nil {
			t.Errorf("%q in place of %q: the gateway takes it", change[1], change[0])
		}
	}
}

// TestReferencesStandForAnything: what is not known yet is not refused.
func TestReferencesStandForAnything(t *testing.T) {
	j := court(t)
	t.Setenv("SLUICE_NUMBER", "7")
	t.Setenv("SLUICE_TRUE", "true")
	t.Setenv("SLUICE_LEVEL", "warn")
	for from, to := range map[string]string{
		"hold: 5s":  `hold: "${env:SLUICE_NUMBER}s"`,
		"1GiB":      `"${env:SLUICE_NUMBER}"`,
		"failover:": "limits:\n  drain: ${env:SLUICE_NUMBER}s\nadmin:\n  hosts: []\nstate:\n  dir: ${env:SLUICE_LEVEL}\nfailover:",
		"failover: {hold: 5s, compare_limit: 1GiB}": "failover:\n  atomic: ${env:SLUICE_TRUE}",
		"sample_ratio: 0.5":                         `sample_ratio: "0.${env:SLUICE_NUMBER}"`,
		"level: info":                               `level: "${env:SLUICE_LEVEL}"`,
		"upstream: warn":                            `upstream: "${env:SLUICE_LEVEL}"`,
		"nodes: 0-9":                                `nodes: "0-${env:SLUICE_NUMBER}"`,
		"failover: {":                               "admin: {users: [{name: a, password: '$${x}'}]}\nfailover: {",
		"failover: {hold":                           "admin: {users: [{name: 007, password: true}]}\nfailover: {hold",
		"takeover: 10s":                             `takeover: "${env:SLUICE_NUMBER}s"`,
		"level: info, levels":                       "level: null, levels",
		"telemetry: {log: {level":                   "limits:\ntelemetry: {log: {level",
	} {
		text := strings.Replace(right, from, to, 1)
		if byGateway, bySchema := j.judge([]byte(text)); bySchema != nil || byGateway != nil {
			t.Errorf("%q in place of %q: %v\n%v", to, from, bySchema, byGateway)
		}
	}
}

// bare takes comments out of a tree, which are not written again where they stood.
func bare(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		bare(c)
	}
}

// shape are the complaints about the shape of a file; the others are about what it means.
var shape = regexp.MustCompile(`unknown key|unknown interceptor|^want |is missing|is not one of|is not a range of|is not a time|name at least one|say .missing.`)

// TestEveryMutationOfTheReference: each key of the reference is taken out, misspelt and given other
// values. The schema never refuses what the gateway takes, and refuses what has a shape that the
// gateway refuses.
func TestEveryMutationOfTheReference(t *testing.T) {
	j := court(t)
	text := read(t, root+"/configs/reference.yaml")
	hidden := regexp.MustCompile(`(?m)^( *)# ( *(?:- )?[a-z_0-9]+:(?: .*)?)$`)
	for range 2 { // what stands there as a comment counts too
		text = hidden.ReplaceAll(text, []byte("$1$2"))
	}
	text = bytes.Replace(text, []byte(`url: ""`), []byte("url: https://ops.example/fence"), 1)
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	bare(&doc)
	known := map[string]bool{} // of what stands there twice, and of files that are not there
	byGateway, bySchema := j.judge(text)
	if bySchema != nil {
		t.Fatal(bySchema)
	}
	for _, e := range byGateway {
		known[e.Path+e.Msg] = true
		if shape.MatchString(e.Msg) {
			t.Fatal(e)
		}
	}
	mutations := 0
	try := func(what string) {
		t.Helper()
		mutations++
		changed, err := yaml.Marshal(&doc)
		if err != nil {
			t.Fatal(err)
		}
		byGateway, bySchema := j.judge(changed)
		var news, shapes []string
		for _, e := range byGateway {
			if known[e.Path+e.Msg] {
				continue
			}
			news = append(news, e.Error())
			if shape.MatchString(e.Msg) {
				shapes = append(shapes, e.Error())
			}
		}
		switch {
		case bySchema != nil && len(news) == 0:
			t.Errorf("%s: the gateway takes it, the schema does not: %v", what, bySchema)
		case bySchema == nil && len(shapes) > 0:
			t.Errorf("%s: the schema takes it, the gateway does not: %v", what, shapes)
		}
	}
	others := map[string]*yaml.Node{}
	for _, other := range []string{"{other: 1}", "[other]", "[]", "{}", "other", "12345", "true", "1.5", "null", "-3", "10 parsecs", `""`} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(other), &n); err != nil {
			t.Fatal(err)
		}
		others[other] = n.Content[0]
	}
	var walk func(n *yaml.Node, at string)
	walk = func(n *yaml.Node, at string) {
		for i := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue
			}
			path := at + "." + strconv.Itoa(i)
			if n.Kind == yaml.MappingNode {
				path = at + "." + n.Content[i-1].Value
			}
			was := n.Content[i]
			for text, other := range others {
				n.Content[i] = other
				try(path + " is " + text)
			}
			n.Content[i] = was
			if n.Kind == yaml.MappingNode {
				k := n.Content[i-1]
				k.Value += "x"
				try(path + " is misspelt")
				k.Value = strings.TrimSuffix(k.Value, "x")
				all := n.Content
				n.Content = slices.Concat(all[:i-1], all[i+1:])
				try(path + " is left out")
				n.Content = all
			}
			if !strings.HasSuffix(path, ".config") { // of guests, which is free
				walk(was, path)
			}
		}
	}
	walk(doc.Content[0], "")
	if least := 2000; mutations < least {
		t.Errorf("only %d mutations, want at least %d", mutations, least)
	}
}
