package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

const example = `# the demo
admin: {listen: 127.0.0.1:8888, users: [{name: none, password: none}]}
clusters:
  prod: {bootstrap: [127.0.0.1:19092]}
  dr:   {bootstrap: [127.0.0.1:29092], aliases: [main]} # spare
virtual_clusters:
  passThroughTenant:
    listen: {bootstrap: 127.0.0.1:6969, brokers: {host: 127.0.0.1, ports: 6970-7009}}
    chain:
      - routing:
          default: prod
          topics:
            resilient_topic: {cluster: prod}      # edit to dr
            orders: {cluster: prod, names: {dr: prod.orders}}
          groups: {"app-*": prod}
      - topics: {prefix: "", hide: ["__*", "mm2-*"]}
      - offsets: {}
`

func TestParse(t *testing.T) {
	s, err := Parse("x.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	about := fact.Of(t, "clusters: %+v", s.Clusters)
	if fact.Equal(about, "len(s.Clusters)", len(s.Clusters), 2) {
		fact.Equal(about, "s.Clusters[0].Name", s.Clusters[0].Name, "prod")
		fact.Equal(about, "s.Clusters[1].Slot", s.Clusters[1].Slot, 1)
		fact.Equal(about, "s.Clusters[0].Nodes.Last", s.Clusters[0].Nodes.Last, 19)
	}
	v := s.VirtualClusters[0]
	if len(v.Chain) != 3 || v.Chain[0].Type != "routing" {
		t.Errorf("chain: %+v", v.Chain)
	}
	if host, port := v.Listen.Advertised(s.Clusters, "dr", 2); host != "127.0.0.1" || port != 6992 {
		t.Errorf("node 2 of dr at %s:%d", host, port)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown key":   {"bootstrap: [127.0.0.1:19092]", "bootsrap: [127.0.0.1:19092]", `x.yaml:4:10: clusters.prod: unknown key "bootsrap" (did you mean "bootstrap"?)`},
		"few ports":     {"6970-7009", "6970-7000", "x.yaml:8:75: virtual_clusters.passThroughTenant.listen.brokers.ports: the range has 31 ports, but the clusters may have 40 nodes"},
		"same address":  {"127.0.0.1:8888", "127.0.0.1:6970", "is also the address of"},
		"wrong type":    {"bootstrap: [127.0.0.1:19092]", "bootstrap: 3", "x.yaml:4:21: clusters.prod.bootstrap: want a list"},
		"missing env":   {"password: none", "password: \"${env:SLUICE_NOT_SET}\"", "environment variable SLUICE_NOT_SET is not set"},
		"twice":         {"# spare", "\n  prod: {bootstrap: [127.0.0.1:1]}", "prod"},
		"bad duration":  {"admin: {", "admin: {delete_grace: 3, ", `want a duration like 30s or 5m, got "3"`},
		"broken syntax": {"admin: {", "admin: [", "x.yaml:"},
		"bad limit":     {"admin: {", "limits: {fetch_session_partitions: -1}\nadmin: {", "fetch_session_partitions: must not be negative"},
		"dup alias":     {"aliases: [main]", "aliases: [prod]", `the name "prod" is also one of cluster "prod"`},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(example, c.from, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestApplyTouchesOnlyItsLine(t *testing.T) {
	at := []string{"virtual_clusters", "passThroughTenant", "chain", "0", "routing"}
	path := func(more ...string) []string { return append(append([]string{}, at...), more...) }
	for name, c := range map[string]struct {
		edit     Edit
		from, to string
	}{
		"scalar":    {Edit{Path: path("topics", "resilient_topic", "cluster"), Value: "dr"}, "resilient_topic: {cluster: prod} ", "resilient_topic: {cluster: dr} "},
		"default":   {Edit{Path: path("default"), Value: "dr"}, "default: prod", "default: dr"},
		"flow key":  {Edit{Path: path("topics", "orders", "names", "prod"), Value: "o"}, "{dr: prod.orders}", "{dr: prod.orders, prod: o}"},
		"block key": {Edit{Path: path("topics", "new.topic"), Value: map[string]any{"cluster": "dr"}}, "prod.orders}}\n", "prod.orders}}\n            new.topic: {cluster: dr}\n"},
		"new map":   {Edit{Path: path("transactions", "a*"), Value: "dr"}, "groups: {\"app-*\": prod}\n", "groups: {\"app-*\": prod}\n          transactions: {\"a*\": dr}\n"},
		"delete":    {Edit{Path: path("topics", "orders"), Delete: true}, "            orders: {cluster: prod, names: {dr: prod.orders}}\n", ""},
	} {
		got, err := Apply([]byte(example), c.edit)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := strings.Replace(example, c.from, c.to, 1); string(got) != want {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse("x.yaml", b)
		if (s == nil) == (err == nil) {
			t.Fatal("neither a snapshot nor an error")
		}
		var errs Errors
		if err != nil && !errors.As(err, &errs) {
			t.Fatalf("an error without a position: %v", err)
		}
	})
}
