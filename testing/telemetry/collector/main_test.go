package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const kept = "../../../configs/telemetry/collector.yaml"

// validate does what the Collector does before it starts.
func validate(t *testing.T, file string) error {
	t.Helper()
	t.Setenv("TRACES_BACKEND", "http://localhost:3200")
	t.Setenv("METRICS_BACKEND", "http://localhost:9090/api/v1/otlp")
	c := command()
	c.SetArgs([]string{"validate", "--config", file})
	return c.ExecuteContext(t.Context())
}

func TestTheKeptConfiguration(t *testing.T) {
	if err := validate(t, kept); err != nil {
		t.Error(err)
	}
}

// TestMistakesAreFound shows that the test above can fail.
func TestMistakesAreFound(t *testing.T) {
	text, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	for _, mistake := range [][2]string{
		{"limit_mib: 256", "limit_mb: 256"}, {"exporters: [otlp_http/traces]", "exporters: [otlp_http/elsewhere]"},
		{"${env:TRACES_BACKEND}", "${env:NOWHERE}"}, {"receivers: [otlp]", "receivers: []"}, {"check_interval: 1s", "check_interval: soon"},
	} {
		wrong := strings.Replace(string(text), mistake[0], mistake[1], 1)
		if wrong == string(text) {
			t.Fatalf("the file has no %q", mistake[0])
		}
		file := filepath.Join(t.TempDir(), "collector.yaml")
		if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if validate(t, file) == nil {
			t.Errorf("%q passes", mistake[1])
		}
	}
}
