package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestAliasesLoadWithTheirValues: chains, interceptors, lists, keys and merged maps.
func TestAliasesLoadWithTheirValues(t *testing.T) {
	const source = `
limits: &l {connections: 7}
clusters:
  prod: &p {bootstrap: [h:1], aliases: [main]}
  dr: {<<: *p, bootstrap: [h:2], aliases: [spare]}
  third: {bootstrap: [h:3]}
virtual_clusters:
  one:
    clusters: &all [prod, dr, third]
    listen: &listen {bootstrap: 127.0.0.1:7000, brokers: {ports: 7001-7060}}
    chain: &chain
      - &routing {routing: &r {default: prod, topics: {a: {cluster: dr}}}}
  two:
    clusters: *all
    listen: {<<: *listen, bootstrap: 127.0.0.1:8000, brokers: {ports: 8001-8060}}
    chain: *chain
  three:
    listen: {<<: [{bootstrap: 127.0.0.1:9000, brokers: {ports: 9001-9060}}, *listen]}
    chain: [*routing]
  four:
    listen: {bootstrap: 127.0.0.1:10000, brokers: {ports: 10001-10060}}
    chain: [routing: *r]
`
	s, err := Parse("x.yaml", []byte(source))
	must(t, err)
	for i, c := range s.Clusters {
		if alias := []string{"[main]", "[spare]", "[]"}[i]; len(c.Bootstrap) != 1 || fmt.Sprint(c.Aliases) != alias || c.Slot != i {
			t.Errorf("%+v", c)
		}
	}
	for i, v := range s.VirtualClusters {
		var c struct {
			Default string `koanf:"default"`
			Topics  map[string]struct {
				Cluster string `koanf:"cluster"`
			} `koanf:"topics"`
		}
		about := fact.Of(t, "%s: %+v, %+v", v.Name, v.Chain, c)
		if fact.Equal(about, "len(v.Chain)", len(v.Chain), 1) {
			fact.Equal(about, "v.Chain[0].Type", v.Chain[0].Type, "routing")
			if fact.NoError(about, v.Chain[0].Section.Decode(&c)) {
				fact.Equal(about, "c.Default", c.Default, "prod")
				fact.Equal(about, `c.Topics["a"].Cluster`, c.Topics["a"].Cluster, "dr")
			}
		}
		if i < 2 && len(v.Clusters) != 3 {
			t.Errorf("%s spans %v", v.Name, v.Clusters)
		}
		if at := fmt.Sprintf("127.0.0.1:%d", 7000+1000*i); v.Listen.Bootstrap != at {
			t.Errorf("%s at %s", v.Name, v.Listen.Bootstrap)
		}
		if err := v.Chain[0].Section.Errorf([]string{"topics", "a", "cluster"}, "wrong"); err.Line != 12 || err.Path != "virtual_clusters."+v.Name+".chain.0.routing.topics.a.cluster" {
			t.Errorf("%v", err)
		}
	}
}

// TestAliasesHideSecretsToo: what is masked where it is defined is masked where it is used.
func TestAliasesHideSecretsToo(t *testing.T) {
	t.Setenv("SLUICE_SECRET", "hush")
	s, err := Parse("x.yaml", []byte(strings.Replace(example, "{name: none, password: none}",
		"{name: &n \"${env:SLUICE_SECRET}\", password: 007}, {name: *n, password: *n}, {name: x, password: '${env:SLUICE_SECRET}'}", 1)))
	must(t, err)
	if u := s.Admin.Users; u[0] != (User{Name: "hush", Password: "007"}) || u[1] != (User{Name: "hush", Password: "hush"}) || u[2] != (User{Name: "x", Password: "hush"}) {
		t.Errorf("%v", u)
	}
	shown := fmt.Sprint(s.Masked())
	if strings.Contains(shown, "hush") || strings.Contains(shown, "007") || strings.Count(shown, "password:*****") != 3 {
		t.Error(shown)
	}
}

// TestReferences: what comes from outside is a text in a text, a number in a number.
func TestReferences(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"secret": "a: ${env:SLUICE_A} #b\r\n", "number": "12\n"} {
		write(t, filepath.Join(dir, name), content)
	}
	for in, want := range map[string]string{
		"007": "007", "1e3": "1e3", "true": "true", "null": "null", "~": "~", "": "", "${env:B}": "${env:B}", "a\n b: {": "a\n b: {",
	} {
		t.Setenv("SLUICE_A", in)
		for _, written := range []string{"${env:SLUICE_A}", `"${env:SLUICE_A}"`} {
			s, err := Parse("x.yaml", []byte(strings.Replace(example, "admin: {listen: 127.0.0.1:8888, users: [{name: none, password: none}]}\n", "admin:\n  users:\n  - name: none\n    password: "+written+"\n", 1)))
			must(t, err)
			if got := s.Admin.Users[0].Password; got != want {
				t.Errorf("%q became %q", in, got)
			}
		}
	}
	t.Setenv("SLUICE_A", "true")
	s, err := Parse(filepath.Join(dir, "x.yaml"), []byte(strings.Replace(example, "password: none", "password: \"${file:secret}\"", 1)+
		"limits:\n  connections: ${file:number}\ntelemetry:\n  traces:\n    insecure: ${env:SLUICE_A}\n"))
	must(t, err)
	if s.Admin.Users[0].Password != "a: ${env:SLUICE_A} #b" || s.Limits.Connections != 12 || !s.Telemetry.Traces.Insecure {
		t.Errorf("%+v %+v %+v", s.Admin, s.Limits, s.Telemetry)
	}
	for written, want := range map[string]string{
		"${env:}": "environment variable  is not set", "${env:SLUICE_NOT_SET}": "SLUICE_NOT_SET is not set", "${file:missing}": "no such file",
		"${file:}": "is not a file", "${file:/dev/zero}": "is not a file",
	} {
		_, err := Parse(filepath.Join(dir, "x.yaml"), []byte(strings.Replace(example, "password: none", "password: \""+written+"\"", 1)))
		if err == nil || !strings.Contains(err.Error(), "x.yaml:2:64: admin.users.0.password: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", written, err)
		}
	}
}

// TestFilesThatAreNotMeant are refused, each with the place that is wrong.
func TestFilesThatAreNotMeant(t *testing.T) {
	lol := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		lol += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	merged := "m0: &m0 {a: x}\n"
	for i := range 2 * depthLimit {
		merged += fmt.Sprintf("m%d: &m%d {<<: *m%d}\n", i+1, i+1, i)
	}
	for name, c := range map[string]struct{ source, want string }{
		"a laugh":            {lol, "the aliases stand for more than 100000 values"},
		"deep":               {"a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "x.yaml:1:104: more than 100 maps and lists in each other"},
		"deeper":             {"a:" + strings.Repeat(" [", 500_000), "exceeded max depth"},
		"deep merges":        {merged, "maps and lists in each other"},
		"itself":             {"a: &a [*a]\n", "x.yaml:1:8: *a stands inside of what it names"},
		"itself, merged":     {"a: &a {<<: *a}\n", "x.yaml:1:12: *a stands inside of what it names"},
		"no anchor":          {"a: x\nb: *c\n", "x.yaml:2:4: unknown anchor 'c' referenced"},
		"a merged text":      {"a: {<<: x}\n", "x.yaml:1:5: a: << merges a map or a list of maps"},
		"twice":              {"a: x\n'a': x\n", `x.yaml:2:1: key "a" stands twice`},
		"twice, a number":    {"m: {1: x, '1': x}\n", `x.yaml:1:11: m: key "1" stands twice`},
		"twice, by an alias": {"m: {&k a: x, *k : x}\n", `x.yaml:1:14: m: key "a" stands twice`},
		"a key that is none": {"? [a]\n: x\n", "x.yaml:1:3: a key must be a text"},
		"a tag":              {"a: !!binary x\n", "x.yaml:1:4: a: tags like !!binary have no meaning here"},
		"two documents":      {"a: x\n---\nb: x\n", "x.yaml:2:1: a second document begins here"},
		"two, one broken":    {"a: x\n---\nb: [\n", "x.yaml:4:1: did not find expected node content"},
		"UTF-16":             {"\xff\xfea\x00:\x00", "x.yaml:1:1: this is not UTF-8"},
		"Latin 1":            {"a: x\nb: \xfc\n", "x.yaml:2:4: this is not UTF-8"},
		"too large":          {"a: x\n" + strings.Repeat("# large\n", sizeLimit/8), "the file has more than 16 MiB"},
		"a text":             {"a", "the file is empty"},
		"no chain":           {example[:strings.Index(example, "      - routing")], "chain is missing"},
	} {
		_, err := Parse("x.yaml", []byte(c.source))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), c.want) != 1 {
			t.Errorf("%s: %.500v, want %s", name, err, c.want)
		}
		if _, err := Apply([]byte(c.source), Edit{Path: []string{"a"}, Value: "v"}); err == nil && name != "no chain" {
			t.Errorf("%s is edited", name)
		}
	}
}

// TestFilesWithoutAnEnd are not read to it.
func TestFilesWithoutAnEnd(t *testing.T) {
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "more than 16 MiB") {
		t.Error(err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
	if _, err := Load(filepath.Join(t.TempDir(), "x.yaml")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// TestNumbers are decimal, and too large ones are said to be.
func TestNumbers(t *testing.T) {
	for written, want := range map[string]int64{"010": 10, "\"5\"": 5, "64KiB": 64 << 10, "1 GB": 1e9, "9GiB": 9 << 30} {
		s, err := Parse("x.yaml", []byte(example+"limits: {session_bytes: "+written+"}\n"))
		if err != nil || s.Limits.SessionBytes != want {
			t.Errorf("%s: %v", written, err)
		}
	}
	for _, written := range []string{"99999999999GiB", "0x10", "1e3", "1_000", "99999999999999999999", "[1]", "one"} {
		if _, err := Parse("x.yaml", []byte(example+"limits: {session_bytes: "+written+"}\n")); err == nil || !strings.Contains(err.Error(), "x.yaml:18:25: limits.session_bytes: want a number") {
			t.Errorf("%s: %v", written, err)
		}
	}
	for _, written := range []string{".nan", "NaN", "inf", "a"} {
		if _, err := Parse("x.yaml", []byte(example+"telemetry: {traces: {sample_ratio: "+written+"}}\n")); err == nil || !strings.Contains(err.Error(), "want a number") {
			t.Errorf("%s: %v", written, err)
		}
	}
}
