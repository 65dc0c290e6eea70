package alerts

import (
	"os"
	"testing"

	"gopkg.in/yaml.v3"
)

// rulesFile is the file of rules that are tested.
const rulesFile = "../../configs/telemetry/alerts.yaml"

// ruleFile is a file of rules.
type ruleFile struct {
	Groups []struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval,omitempty"`
		Rules    []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func readRules(t *testing.T) *ruleFile {
	t.Helper()
	b, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	f := &ruleFile{}
	if err := yaml.Unmarshal(b, f); err != nil {
		t.Fatal(err)
	}
	if len(f.all()) < 15 {
		t.Fatalf("%d rules", len(f.all()))
	}
	return f
}

func (f *ruleFile) all() (out []*rule) {
	for i := range f.Groups {
		for j := range f.Groups[i].Rules {
			out = append(out, &f.Groups[i].Rules[j])
		}
	}
	return out
}

func (f *ruleFile) rule(name string) *rule {
	for _, r := range f.all() {
		if r.Alert == name {
			return r
		}
	}
	return nil
}
