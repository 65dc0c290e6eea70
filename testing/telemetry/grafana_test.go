package telemetry

import (
	"errors"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestGrafanaTakesTheDashboard: it is read strictly with Grafana's own types, its panels and
// queries included.
func TestGrafanaTakesTheDashboard(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	load := func(text string) (d dashboard.Dashboard, err error) {
		err = d.UnmarshalJSONStrict([]byte(text))
		var list cog.BuildErrors
		if errors.As(err, &list) && len(list) == 0 { // what it returns for none
			err = nil
		}
		return d, errors.Join(err, d.Validate())
	}
	text := read(t, dir+"dashboard.json")
	d, err := load(text)
	if err != nil {
		t.Fatal(err)
	}
	if d.Title == nil || len(d.Panels) < 20 {
		t.Errorf("%d panels were read", len(d.Panels))
	}
	for right, wrong := range map[string]string{`"schemaVersion": 39`: `"schemaVersion": "39"`, `"targets"`: `"targtes"`, `"gridPos"`: `"grid"`, `"legendFormat"`: `"legend"`} {
		if _, err := load(strings.Replace(text, right, wrong, 1)); err == nil {
			t.Errorf("%s is taken for %s", wrong, right)
		}
	}
}
