// Package telemetry checks the dashboard and the alert rules of configs/telemetry against the table
// of metrics. It is a module of its own, so that Sluice does not depend on Prometheus' server.
package telemetry

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const dir = "../../configs/telemetry/"

var row = regexp.MustCompile("(?m)^\\| `(sluice_\\w+)` \\| (\\w+) \\| ([^|]*) \\|")

// series returns the labels of every series that METRICS.md promises.
func series(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{"up": {"job", "instance"}}
	for _, m := range row.FindAllStringSubmatch(read(t, "../../core/gateway/METRICS.md"), -1) {
		labels := []string{"job", "instance"} // those that a scrape adds
		if l := strings.TrimSpace(m[3]); l != "" {
			labels = append(labels, strings.Split(l, ", ")...)
		}
		if all[m[1]] = labels; m[2] != "histogram" { // native histograms have but the one name
			continue
		}
		all[m[1]+"_sum"], all[m[1]+"_count"] = labels, labels
		all[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
	}
	if len(all) < 10 {
		t.Fatalf("METRICS.md: %d series read", len(all))
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// problems says what is wrong with an expression: its syntax, or a metric or label that Sluice does
// not show.
func problems(expr string, known map[string][]string) (found []string) {
	root, err := parser.ParseExpr(strings.ReplaceAll(expr, "$__rate_interval", "5m"))
	if err != nil {
		return []string{err.Error()}
	}
	labels := func(e parser.Node) (l []string) { // of the series below a node
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				l = append(l, known[s.Name]...)
			}
			return nil
		})
		return l
	}
	parser.Inspect(root, func(n parser.Node, _ []parser.Node) error {
		var used []string
		switch n := n.(type) {
		case *parser.VectorSelector:
			if known[n.Name] == nil {
				found = append(found, "no metric "+n.Name)
			}
			for _, m := range n.LabelMatchers {
				if m.Name != "__name__" {
					used = append(used, m.Name)
				}
			}
		case *parser.AggregateExpr:
			used = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				used = append(slices.Clone(n.VectorMatching.MatchingLabels), n.VectorMatching.Include...)
			}
		}
		for _, l := range used {
			if !slices.Contains(labels(n), l) {
				found = append(found, "no label "+l+" in "+n.String())
			}
		}
		return nil
	})
	return found
}

func TestProblemsAreFound(t *testing.T) {
	known := series(t)
	for _, expr := range []string{
		"sum(", "sluice_no_such_metric", "sluice_request_duration_seconds_le", `sluice_sessions{topic="x"}`,
		"sum by (cluster) (sluice_sessions)", "sluice_sessions / on (api) sluice_sessions",
	} {
		if problems(expr, known) == nil {
			t.Errorf("%s passes", expr)
		}
	}
}

func TestAlerts(t *testing.T) {
	groups, errs := rulefmt.Parse([]byte(read(t, dir+"alerts.yaml")), false)
	for _, err := range errs {
		t.Fatal(err)
	}
	known, runbook, n := series(t), read(t, dir+"RUNBOOK.md"), 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			n++
			for _, p := range problems(r.Expr, known) {
				t.Errorf("%s: %s", r.Alert, p)
			}
			text := "\n## " + r.Alert + "\n\n" + r.Annotations["description"] + "\n\n" + r.Annotations["runbook"] + "\n"
			if r.Annotations["runbook"] == "" || !strings.Contains(runbook, text) {
				t.Errorf("%s: RUNBOOK.md lacks it or says something else", r.Alert)
			}
		}
	}
	if sections := strings.Count(runbook, "\n## "); n == 0 || n != sections {
		t.Errorf("%d rules, %d sections of RUNBOOK.md", n, sections)
	}
}

var labelValues = regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)

func TestDashboard(t *testing.T) {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Type  string
				Query any
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, dir+"dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	known := series(t)
	if len(d.Panels) == 0 {
		t.Error("no panels")
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s: no query", p.Title)
		}
		for _, q := range p.Targets {
			for _, problem := range problems(q.Expr, known) {
				t.Errorf("%s: %s", p.Title, problem)
			}
		}
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		query, _ := v.Query.(map[string]any)["query"].(string)
		m := labelValues.FindStringSubmatch(query)
		if m == nil || !slices.Contains(known[m[1]], m[2]) {
			t.Errorf("variable: %q", query)
		}
	}
}
