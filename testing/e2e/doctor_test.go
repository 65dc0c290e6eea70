package e2e

import (
	"strings"

	"github.com/sluice-gateway/sluice/core/doctor"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/plugins"
)

// examine has the doctor look at real clusters: what they alone tell is known, and records that
// nobody copies are found.
func (p *pair) examine() {
	p.t.Helper()
	checked, err := gateway.Check(p.ctx, p.gw.File, plugins.Builtin())
	if err != nil {
		p.t.Fatal(err)
	}
	var chains []doctor.Chain
	for _, c := range checked {
		chains = append(chains, doctor.Chain(c))
	}
	found := map[string]doctor.Finding{}
	err = doctor.Examine(p.ctx, p.gw.Snapshot(), chains, func(f doctor.Finding) {
		if old, ok := found[f.Subject+", "+f.Check]; !ok || old.Level == doctor.OK {
			found[f.Subject+", "+f.Check] = f
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for what, says := range map[string]string{
		"cluster prod, reachable": "2 nodes", "cluster dr, versions": "metadata.version", "cluster prod, clock": "this machine's",
		"cluster dr, rights": "", "cluster dr, advertised address of node 2": "", "clusters, common APIs": "",
	} {
		if f := found[what]; f.Level != doctor.OK || !strings.Contains(f.Message, says) {
			p.t.Errorf("%s: %+v", what, f)
		}
	}
	for _, what := range []string{"copy of payments on prod", "copy of resilient_topic on dr"} {
		if f := found["virtual cluster passThroughTenant, "+what]; f.Level != doctor.Fail || f.Fix == "" {
			p.t.Errorf("%s: %+v", what, f)
		}
	}
	for what, f := range found {
		p.t.Logf("%s %s: %s", f.Level, what, f.Message)
	}
}
