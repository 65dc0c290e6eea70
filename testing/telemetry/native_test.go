package telemetry

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// kept are histograms as Prometheus keeps them: as it finds them in text, native ones alone, which
// is what it does by itself when they are turned on, or both.
var kept = map[string]struct{ classic, native bool }{"classic": {classic: true}, "native": {native: true}, "both": {true, true}}

// shown are the histograms of METRICS.md.
func shown(t *testing.T) (names map[string]string) {
	t.Helper()
	names = map[string]string{}
	for _, m := range row.FindAllStringSubmatch(read(t, "../../core/gateway/METRICS.md"), -1) {
		if m[2] == "histogram" {
			names[m[1]] = strings.TrimSpace(m[3])
		}
	}
	if len(names) < 5 {
		t.Fatalf("%d histograms", len(names))
	}
	return names
}

// load is what Prometheus has of a gateway after ten minutes: histograms of 60 durations of 3 s a
// minute, and all else growing by one.
func load(t *testing.T, classic, native bool) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("load 1m\n")
	labels := func(list []string) string {
		out := []string{`job="sluice"`, `instance="gw:8888"`}
		for _, l := range list {
			switch l {
			case "job", "instance", "le":
			case "api":
				out = append(out, `api="Produce"`)
			default:
				out = append(out, fmt.Sprintf(`%s="x"`, l))
			}
		}
		return strings.Join(out, ",")
	}
	histograms := shown(t)
	for name, list := range series(t) {
		if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""); name == "up" || histograms[base] != "" || histograms[name] != "" {
			continue
		}
		fmt.Fprintf(&b, "  %s{%s} 0+1x10\n", name, labels(list))
	}
	for name, list := range histograms {
		l := labels(strings.Split(list, ", "))
		if classic {
			fmt.Fprintf(&b, "  %s_bucket{%s,le=\"2\"} 0x10\n  %[1]s_bucket{%[2]s,le=\"4\"} 0+60x10\n  %[1]s_bucket{%[2]s,le=\"+Inf\"} 0+60x10\n  %[1]s_count{%[2]s} 0+60x10\n  %[1]s_sum{%[2]s} 0+180x10\n", name, l)
		}
		if native {
			// The seventh bucket of schema 2 reaches from 2.8 to 3.4.
			fmt.Fprintf(&b, "  %s{%s} {{schema:2 sum:0 count:0 offset:7 buckets:[0]}}+{{schema:2 sum:180 count:60 offset:7 buckets:[60]}}x10\n", name, l)
		}
	}
	return b.String()
}

// value is what an expression comes to after ten minutes; without its comparison, if it is one.
func value(t *testing.T, e *promql.Engine, s storage.Queryable, expr string) (v float64, known bool) {
	t.Helper()
	root, err := parser.ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := root.(*parser.BinaryExpr); ok && b.Op.IsComparisonOperator() {
		expr = b.LHS.String()
	}
	q, err := e.NewInstantQuery(t.Context(), s, nil, expr, time.Unix(0, 0).Add(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	r := q.Exec(t.Context())
	if r.Err != nil {
		t.Fatalf("%s: %v", expr, r.Err)
	}
	vector, err := r.Vector()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range vector {
		if x.H == nil && !math.IsNaN(x.F) {
			return x.F, true
		}
	}
	return 0, false
}

// histogramExpressions are those of alerts and panels that look at histograms.
func histogramExpressions(t *testing.T) (all []string) {
	t.Helper()
	names := shown(t)
	looks := func(expr string) {
		expr = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$virtual_cluster", ".*").Replace(expr)
		for name := range names {
			if regexp.MustCompile(`\b` + name + `(_bucket|_sum|_count)?\b`).MatchString(expr) {
				all = append(all, expr)
				return
			}
		}
	}
	groups, errs := rulefmt.Parse([]byte(read(t, dir+"alerts.yaml")), false)
	for _, err := range errs {
		t.Fatal(err)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			looks(r.Expr)
		}
	}
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(read(t, dir+"dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			looks(q.Expr)
		}
	}
	if len(all) < 8 {
		t.Fatalf("%d expressions", len(all))
	}
	return all
}

// TestHistogramsMayBeClassicOrNative: alerts and panels say the same of both, as nearly as their
// buckets allow.
func TestHistogramsMayBeClassicOrNative(t *testing.T) {
	e := promqltest.NewTestEngine(t, false, 0, 1_000_000)
	exprs := histogramExpressions(t)
	values := map[string]map[string]float64{}
	for how, form := range kept {
		s := promqltest.LoadedStorage(t, load(t, form.classic, form.native))
		t.Cleanup(func() { _ = s.Close() })
		values[how] = map[string]float64{}
		for _, expr := range exprs {
			v, known := value(t, e, s, expr)
			if !known {
				t.Errorf("with %s histograms nothing is shown of %s", how, expr)
			}
			values[how][expr] = v
		}
	}
	for _, expr := range exprs {
		c, n, b := values["classic"][expr], values["native"][expr], values["both"][expr]
		if c != b || n < c/1.5 || n > c*1.5 {
			t.Errorf("%s is %v with classic histograms, %v with native ones, %v with both", expr, c, n, b)
		}
	}
}
