package alerts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// example is what Prometheus has scraped once a minute, and the alerts of a rule that fire at a
// time.
type example struct {
	alert, when string
	series      map[string]string // values by series, in promtool's notation
	at          string
	fires       []map[string]string // labels of each alert, but for its severity
}

// scraped are labels of a gateway that Prometheus scrapes, sent those of one whose metrics come
// over OTLP.
const (
	scraped = `job="sluice",instance="gw-1:8888"`
	sent    = `job="sluice",instance="gw-2:/var/lib/sluice"`
)

func one(more ...string) []map[string]string { return []map[string]string{labelsOf("gw-1:8888", more)} }

func two(more ...string) []map[string]string {
	return append(one(more...), labelsOf("gw-2:/var/lib/sluice", more))
}

func labelsOf(instance string, more []string) map[string]string {
	l := map[string]string{"job": "sluice", "instance": instance}
	for i := 0; i < len(more); i += 2 {
		l[more[i]] = more[i+1]
	}
	return l
}

// both are series of two gateways, of which the labels of each are put behind those that are given.
func both(series ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(series); i += 2 {
		out[with(series[i], scraped)], out[with(series[i], sent)] = series[i+1], series[i+1]
	}
	return out
}

// mine are those of one gateway.
func mine(series ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(series); i += 2 {
		out[with(series[i], scraped)] = series[i+1]
	}
	return out
}

func with(series, labels string) string {
	if series[len(series)-1] == '}' {
		return series[:len(series)-1] + "," + labels + "}"
	}
	return series + "{" + labels + "}"
}

// TestRules: of each rule there is an example of when it fires, and one of when it does not.
func TestRules(t *testing.T) {
	kafkatest.Require(t, "promtool")
	dir := t.TempDir()
	rules := readRules(t)
	type seen struct{ fires, not bool }
	found := map[string]*seen{}
	for _, r := range rules.all() {
		found[r.Alert] = &seen{}
		r.Annotations = nil // what they say is no part of an example
	}
	write(t, filepath.Join(dir, "rules.yaml"), rules)
	type expected struct {
		Labels map[string]string `yaml:"exp_labels"`
	}
	type check struct {
		At       string     `yaml:"eval_time"`
		Name     string     `yaml:"alertname"`
		Expected []expected `yaml:"exp_alerts"`
	}
	type input struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	type test struct {
		Name     string  `yaml:"name"`
		Interval string  `yaml:"interval"`
		Input    []input `yaml:"input_series"`
		Checks   []check `yaml:"alert_rule_test"`
	}
	var tests []test
	for _, e := range examples {
		r := rules.rule(e.alert)
		if r == nil {
			t.Errorf("%s is no rule", e.alert)
			continue
		}
		x := test{Name: e.alert + ": " + e.when, Interval: "1m"}
		for s, v := range e.series {
			x.Input = append(x.Input, input{s, v})
		}
		c := check{At: e.at, Name: e.alert}
		for _, l := range e.fires {
			all := map[string]string{"severity": r.Labels["severity"]}
			for k, v := range l {
				all[k] = v
			}
			c.Expected = append(c.Expected, expected{all})
		}
		x.Checks = []check{c}
		tests = append(tests, x)
		found[e.alert].fires = found[e.alert].fires || len(e.fires) > 0
		found[e.alert].not = found[e.alert].not || len(e.fires) == 0
	}
	for name, s := range found {
		if !s.fires || !s.not {
			t.Errorf("%s has no example of both: it fires %t, it does not %t", name, s.fires, s.not)
		}
	}
	write(t, filepath.Join(dir, "examples.yaml"), map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": tests})
	cmd := exec.Command("promtool", "test", "rules", "examples.yaml")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func write(t *testing.T, file string, content any) {
	t.Helper()
	b, err := yaml.Marshal(content)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
