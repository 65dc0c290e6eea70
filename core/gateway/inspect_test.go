package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/plugins"
)

// inspected is what is said of a file, without its name.
func inspected(t *testing.T, source string) (errs, warnings []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Inspect(t.Context(), path, plugins.Builtin())
	var all config.Errors
	if err != nil && !errors.As(err, &all) {
		t.Fatal(err)
	}
	text := func(all config.Errors) (out []string) {
		for _, e := range all {
			out = append(out, fmt.Sprintf("%d:%d %s: %s", e.Line, e.Col, e.Path, e.Msg))
		}
		return out
	}
	return text(all), text(c.Warnings)
}

// says wants texts that begin and contain, in order, and no others.
func says(t *testing.T, what string, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		at, text, _ := strings.Cut(want[i], "|")
		ok = ok && strings.HasPrefix(got[i], at) && strings.Contains(got[i], text)
	}
	if !ok {
		t.Errorf("%s: got\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestAllThatIsWrongIsToldAtOnce: in every part of a file, and nothing of what only follows.
func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	errs, warnings := inspected(t, `admin: {listen: 127.0.0.1, users: [{name: a, password: "${OPS_PW}", role: king}]}
limits: {conections: 3, frame_bytes: many, session_bytes: 0}
state: 3
failover: {hold: 3}
clusters:
  prod: {bootsrap: [127.0.0.1:19092]}
  dr: {bootstrap: [nowhere], slot: -1}
  third: 7
virtual_clusters:
  a:
    listen: {bootstrap: 127.0.0.1:6969, brokers: {ports: 9-7}, tls: {cert: missing.pem, key: missing.pem}}
    chain:
      - routing: {default: prdo, topics: {t: {cluster: nope}, u: {clustr: prod}, v: {cluster: [x]}, "w[a-z]": {cluster: dr}}, creat_on: all}
      - topics: {prefix: "ä", hide: ["{a,b}", "ok*"], hid: []}
      - ofsets: {}
      - wasm: {file: missing.wasm, on_error: maybe}
      - 7
  b:
    listen: {bootstrap: localhost:6969, brokers: {ports: 7100-7200}}
    clusters: [prod, drr]
    chain:
      - routing: {default: third, groups: {"${env:X}": prod}}
  c: {chain: no}
nonsense: 1
`)
	says(t, "errors", errs, []string{
		"1:17 admin.listen|is not an address", "1:56 admin.users.0.password|is no reference", "1:75 admin.users.0.role|king",
		"2:10 limits|unknown key", "2:38 limits.frame_bytes|want a number", "2:59 limits.session_bytes|above 0",
		"3:8 state|want a map", "4:18 failover.hold|duration",
		`6:10 clusters.prod|(did you mean "bootstrap"?)`, "7:20 clusters.dr.bootstrap.0|address", "7:36 clusters.dr.slot|slot -1", "8:10 clusters.third|want a map",
		"11:58 virtual_clusters.a.listen.brokers.ports|range of ports",
		"13:28 virtual_clusters.a.chain.0.routing.default|prdo", "13:56 virtual_clusters.a.chain.0.routing.topics.t.cluster|nope", "13:67 virtual_clusters.a.chain.0.routing.topics.u|clustr",
		"13:95 virtual_clusters.a.chain.0.routing.topics.v.cluster|want a text", "13:111 virtual_clusters.a.chain.0.routing.topics.w[a-z]|classes", "13:127 virtual_clusters.a.chain.0.routing|creat_on",
		"14:26 virtual_clusters.a.chain.1.topics.prefix|characters", "14:38 virtual_clusters.a.chain.1.topics.hide.0|alternatives", "14:55 virtual_clusters.a.chain.1.topics|hid",
		`15:17 virtual_clusters.a.chain.2.ofsets|(did you mean "offsets"?)`, "16:46 virtual_clusters.a.chain.3.wasm.on_error|maybe", "17:9 virtual_clusters.a.chain.4|one interceptor",
		"19:25 virtual_clusters.b.listen.bootstrap|also the address of virtual_clusters.a", "20:22 virtual_clusters.b.clusters.1|drr",
		"22:28 virtual_clusters.b.chain.0.routing.default|(prod)", "22:44 virtual_clusters.b.chain.0.routing.groups|references stand in values alone",
		"23:6 virtual_clusters.c.listen|bootstrap is missing", "23:6 virtual_clusters.c.listen.brokers|ports is missing", "23:14 virtual_clusters.c.chain|want a list", "24:1 |nonsense",
	})
	says(t, "warnings", warnings, []string{"11:69 virtual_clusters.a.listen.tls|missing.pem"})
}

// TestDoubts: what is in force but probably not meant is told with its place.
func TestDoubts(t *testing.T) {
	const file = `clusters:
  prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}
  dr: {bootstrap: [127.0.0.1:2], aliases: [spare], nodes: 0-0}
virtual_clusters:
  a:
    listen: {bootstrap: 127.0.0.1:6969, brokers: {ports: 6970-6971}}
    chain: CHAIN
`
	const at = "virtual_clusters.a.chain.0.routing."
	for chain, want := range map[string]struct{ errs, warnings []string }{
		`[{routing: {default: prod}}]`: {},
		`[]`:                           {nil, []string{"7:12 virtual_clusters.a.chain|no `routing`, so that everything goes to cluster \"prod\" and nothing to \"dr\""}},
		`[{topics: {prefix: x}}]`:      {nil, []string{"7:12 virtual_clusters.a.chain|no `routing`"}},
		`[{routing: {topics: {"a*": {cluster: prod}, "*b": {cluster: dr}}}}]`:                 {nil, []string{"7:39 " + at + "topics.a*|\"*b\" has as many literal characters"}},
		`[{routing: {topics: {"a*": {cluster: prod}, "*b": {cluster: prod}}}}]`:               {},
		`[{routing: {topics: {"a*": {cluster: spare}, "*b": {cluster: dr}}}}]`:                {},
		`[{routing: {topics: {"a*": {cluster: prod}, "b*": {cluster: dr}}}}]`:                 {},
		`[{routing: {topics: {"a*": {cluster: prod}, "ab*": {cluster: dr}}}}]`:                {},
		`[{routing: {topics: {"a*": {cluster: dr}, "*b": {cluster: dr, unplanned: never}}}}]`: {nil, []string{"7:39 " + at + "topics.a*|"}},
		`[{routing: {groups: {"a*": prod, "*b": dr}}}]`:                                       {nil, []string{"7:39 " + at + "groups.a*|\"*b\""}},
		`[{routing: {transactions: {"a*": prod, "*b": dr}}}]`:                                 {nil, []string{"7:45 " + at + "transactions.a*|\"*b\""}},
		`[{routing: {topics: {"*": {cluster: prod}, "?*": {cluster: dr}}}}]`:                  {[]string{"7:61 " + at + "topics.?*|never applies"}, nil},
		`[{routing: {topics: {"*": {cluster: dr}, "?*": {cluster: spare}}}}]`:                 {nil, []string{"7:59 " + at + "topics.?*|never applies"}},
		`[{routing: {groups: {"a*b": prod, ab: dr}}}]`:                                        {[]string{"7:50 " + at + "groups.ab|never applies"}, nil},
		`[{routing: {topics: {"a{b,c}": {cluster: dr}}}}]`:                                    {[]string{"7:43 " + at + "topics.a{b,c}|alternatives"}, nil},
		`[{routing: {groups: {"a[b-c]": dr, "**": dr}}}]`:                                     {[]string{"7:43 " + at + "groups.a[b-c]|classes", "7:53 " + at + "groups.**|write *"}, nil},
		`[{routing: {topics: {"a b": {cluster: dr}}}}]`:                                       {[]string{"7:40 " + at + "topics.a b|can't be the name of a topic"}, nil},
		`[{routing: {topics: {tmp-x: {cluster: dr}}}}, {topics: {hide: ["tmp-*"]}}]`:          {nil, []string{"7:40 " + at + "topics.tmp-x|hides"}},
		`[{routing: {topics: {"tmp-?*": {cluster: dr}}}}, {topics: {hide: ["tmp-*"]}}]`:       {nil, []string{"7:43 " + at + "topics.tmp-?*|hides"}},
		`[{routing: {topics: {"mm2*": {cluster: dr}}}}, {topics: {hide: ["tmp-*"]}}]`:         {},
		`[{routing: {topics: {"tmp-*": {cluster: dr}}}}, {topics: {hide: ["tmp-?"]}}]`:        {},
	} {
		errs, warnings := inspected(t, strings.Replace(file, "CHAIN", chain, 1))
		says(t, chain+" errors", errs, want.errs)
		says(t, chain+" warnings", warnings, want.warnings)
	}
}
