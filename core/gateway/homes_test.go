package gateway

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/offsets"
	"github.com/sluice-gateway/sluice/plugins/routing"
	"github.com/sluice-gateway/sluice/plugins/topics"
)

const twoHomes = `
clusters:
  prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}
  dr: {bootstrap: [127.0.0.1:2], nodes: 0-0}
virtual_clusters:
  a:
    listen: {bootstrap: 127.0.0.1:$1, brokers: {host: 127.0.0.1, ports: $2-$3}}
    chain:
      - routing: {default: prod}
      - topics: {}
      - offsets: {}
`

var kafkaSpecs = []plugin.Spec{routing.Spec(), topics.Spec(), offsets.Spec()}

// homed is a gateway on whose first cluster topics live. Neither answers; who they are the store
// knows.
func homed(t *testing.T, source string) *reloading {
	t.Helper()
	r := writeReloading(t, source)
	r.start(kafkaSpecs...)
	r.lives("a", "orders", "prod")
	for name, slot := range map[string]int{"prod": 0, "dr": 1} {
		if err := r.catalog.SetValue(t.Context(), catalog.KindCluster, name, map[string]any{"slot": slot, "cluster_id": "id-" + name}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// lives makes a topic live on a cluster.
func (r *reloading) lives(vc, topic, cluster string) {
	r.t.Helper()
	if err := r.catalog.Virtual(vc).Ensure(r.t.Context(), catalog.Seen{Name: topic, Cluster: cluster, ID: [16]byte{1}, Partitions: 1}); err != nil {
		r.t.Fatal(err)
	}
	if got := r.Topic(vc, topic); got == nil || got.Home != cluster {
		r.t.Fatalf("topic %s is %+v", topic, got)
	}
}

// restart ends the gateway and starts it on another content of the file.
func (r *reloading) restart(source string) {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path, r.file(source), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// without is a file without its first cluster.
var without = strings.NewReplacer("  prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}\n", "", "{bootstrap: [127.0.0.1:2],", "{bootstrap: [127.0.0.1:2], slot: 1,", "default: prod", "default: dr").Replace(twoHomes)

func renamed(more string) string {
	return strings.NewReplacer("  prod: {", "  production: {"+more, "default: prod", "default: production").Replace(twoHomes)
}

// TestAClusterThatTopicsLiveOnStays: what takes it away is refused, says where and what to do, and
// changes nothing; also as a check of the file while no gateway runs, and at start.
func TestAClusterThatTopicsLiveOnStays(t *testing.T) {
	for name, c := range map[string]struct{ refused, at, says string }{
		"taken away":                        {without, ":3:3:", `topics of virtual cluster "a" live on it: orders. If it has another name now`},
		"renamed":                           {renamed(""), ":3:3:", "aliases: [prod]"},
		"renamed, with another slot":        {strings.Replace(renamed("slot: 7, aliases: [prod], "), "dr: {", "dr: {slot: 1, ", 1), ":3:22:", "set `slot: 0`"},
		"not spanned":                       {strings.Replace(twoHomes, "    chain:", "    clusters: [dr]\n    chain:", 1), ":10:", "is not a cluster of this virtual cluster"},
		"not spanned by other rules":        {strings.Replace(strings.Replace(twoHomes, "    chain:", "    clusters: [dr]\n    chain:", 1), "default: prod", "default: dr, groups: {\"*\": dr}, transactions: {\"*\": dr}", 1), ":8:", "List it"},
		"its name is another one's":         {strings.Replace(without, "dr: {", "dr: {aliases: [prod], ", 1), ":3:", "can't take its name"},
		"its name is another one's, by key": {strings.NewReplacer("  dr: {", "  gone: {", "prod: {", "dr: {").Replace(twoHomes), ":3:7:", "set `slot: 1`"},
	} {
		t.Run(name, func(t *testing.T) {
			r := homed(t, twoHomes)
			before := r.now()
			wrong := func(err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), r.path+c.at) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q at %s", err, c.says, c.at)
				}
			}
			wrong(r.apply(c.refused))
			if r.now() != before {
				t.Error("something else is in force")
			}
			if err := r.apply(twoHomes); err != nil {
				t.Error(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.path, r.file(c.refused), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Check(t.Context(), r.path, kafkaSpecs)
			wrong(err)
			_, err = Start(t.Context(), Options{Path: r.path, Specs: kafkaSpecs, Log: r.opts.Log})
			wrong(err)
			if err := os.WriteFile(r.path, r.file(twoHomes), 0o600); err != nil {
				t.Fatal(err)
			}
			r.open()
		})
	}
}

// TestAnAliasIsARename: the cluster is the same one, with the same connections, while the gateway
// runs and after a restart, also without the alias and once more renamed; edits write the name of
// the file.
func TestAnAliasIsARename(t *testing.T) {
	r := homed(t, twoHomes)
	before := r.now().clusters["prod"]
	with := renamed("aliases: [prod], ")
	if err := r.apply(with); err != nil {
		t.Fatal(err)
	}
	if r.now().clusters["prod"] != before {
		t.Error("it was opened again")
	}
	if got := r.now().runtimes["a"].chain.Placement().Home("orders").Cluster; got != "prod" {
		t.Errorf("the rules put the topic on %s", got)
	}
	if len(r.Moves()) != 0 {
		t.Errorf("moves: %v", r.Moves())
	}
	if _, err := Check(t.Context(), r.path, kafkaSpecs); err != nil {
		t.Error(err)
	}
	for _, source := range []string{with, renamed(""), strings.ReplaceAll(renamed("aliases: [production], "), "production: {", "main: {")} {
		source = strings.ReplaceAll(source, "default: production", "default: "+map[bool]string{true: "main", false: "production"}[strings.Contains(source, "main:")])
		r.restart(source)
		if rt := r.now().runtimes["a"]; rt.env.Cluster("prod") == nil || rt.env.Cluster("prod").Slot() != 0 {
			t.Fatalf("the cluster is gone with\n%s", source)
		}
	}
	if err := r.EditFile(t.Context(), r.now().runtimes["a"].chain.Placement().SetHome("orders", "prod", ""), failover.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := string(r.Snapshot().Source); !strings.Contains(got, "cluster: main") {
		t.Errorf("the edit made\n%s", got)
	}
	// Its old name is taken while topics know it by that.
	err := r.apply(strings.NewReplacer("  dr: {", "  prod: {", "prod: {", "main: {", "default: prod", "default: main").Replace(twoHomes))
	if err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("another cluster of the old name: %v", err)
	}
}

// TestGroupsKeepTheirHome: the cluster that coordinates groups without a rule goes only when rules
// name their home.
func TestGroupsKeepTheirHome(t *testing.T) {
	r := writeReloading(t, twoHomes)
	r.start(kafkaSpecs...)
	if err := r.apply(without); err == nil || !strings.Contains(err.Error(), r.path+":8:") || !strings.Contains(err.Error(), `groups: {"*": dr}`) {
		t.Errorf("taken away: %v", err)
	}
	for _, source := range []string{renamed("aliases: [prod], "), twoHomes} {
		if err := r.apply(source); err != nil {
			t.Error(err)
		}
		if got := r.now().runtimes["a"].chain.Placement().GroupHome("g"); got != "prod" {
			t.Errorf("groups live on %s", got)
		}
	}
	if err := r.apply(strings.Replace(without, "default: dr", "default: dr, groups: {\"*\": dr}, transactions: {\"*\": dr}", 1)); err != nil {
		t.Error(err)
	}
}

// TestARefusedEditKeepsNothing: where the groups of a virtual cluster live is decided by the edit
// that comes into force.
func TestARefusedEditKeepsNothing(t *testing.T) {
	r := writeReloading(t, twoHomes)
	r.start(kafkaSpecs...)
	const b = `  b:
    listen: {bootstrap: 127.0.0.1:PORT, brokers: {host: 127.0.0.1, ports: $6-$7}}
    chain: [{routing: {default: HOME}}, {topics: {prefix: b.}}, {offsets: {}}]
`
	if err := r.apply(twoHomes + strings.NewReplacer("PORT", "$taken", "HOME", "dr").Replace(b)); err == nil {
		t.Fatal("accepted")
	}
	if _, ok, err := r.catalog.Virtual("b").Kept("group_home"); ok || err != nil {
		t.Errorf("kept: %t, %v", ok, err)
	}
	// The other one's prefix must not begin with its own.
	next := strings.Replace(twoHomes, "topics: {}", "topics: {prefix: a.}", 1) + strings.NewReplacer("PORT", "$5", "HOME", "prod").Replace(b)
	if err := r.apply(next); err != nil {
		t.Fatal(err)
	}
	if got := r.now().runtimes["b"].chain.Placement().GroupHome("g"); got != "prod" {
		t.Errorf("groups live on %s", got)
	}
}
