package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secret = "s3cret\"word"

// TestErrorsShowNoSecrets: whatever a reference stands for, and wherever it is wrong.
func TestErrorsShowNoSecrets(t *testing.T) {
	t.Setenv("SECRET", secret)
	t.Setenv("SHORT", "xyz")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const rest = "clusters: {prod: {bootstrap: [127.0.0.1:1]}}\nvirtual_clusters: {vc: {listen: {bootstrap: 127.0.0.1:2, brokers: {ports: 3-40}}, chain: []}}\n"
	for _, ref := range []string{"${env:SECRET}", "${file:secret}", "${env:SHORT}"} {
		for _, text := range []string{
			"limits: {connections: \"" + ref + "\"}\n" + rest,
			"limits: {idle_timeout: \"" + ref + "\"}\n" + rest,
			"limits: {process_bytes: " + ref + "}\n" + rest,
			"admin: {listen: \"" + ref + "\"}\n" + rest,
			"admin: {users: [{name: a, password: b, role: \"" + ref + "\"}]}\n" + rest,
			"telemetry: {log: {level: \"" + ref + "\"}}\n" + rest,
			"telemetry: {traces: {endpoint: \"a " + ref + "\", protocol: \"" + ref + "\"}}\n" + rest,
			"clusters: {prod: {bootstrap: [\"" + ref + "\"], nodes: \"" + ref + "\"}}\nvirtual_clusters: {vc: {listen: {bootstrap: \"" + ref + "\"}, chain: []}}\n",
			"clusters: {prod: {bootstrap: [127.0.0.1:1]}}\nvirtual_clusters: {vc: {clusters: [\"" + ref + "\"], listen: {bootstrap: 127.0.0.1:2, brokers: {ports: \"" + ref + "\"}}, chain: []}}\n",
		} {
			_, err := Parse(filepath.Join(dir, "sluice.yaml"), []byte(text))
			if err == nil {
				continue // it is no error there
			}
			for _, shown := range []string{secret, fmt.Sprintf("%q", secret), `s3cret`, `"xyz"`} {
				if strings.Contains(err.Error(), shown) {
					t.Errorf("%s\nshows %s: %v", text, shown, err)
				}
			}
		}
	}
}

func TestASnapshotHidesItsSecrets(t *testing.T) {
	t.Setenv("SECRET", secret)
	s, err := Parse("sluice.yaml", []byte("admin: {users: [{name: ops, password: \"in plain\"}, {name: b, password: \"${env:SECRET}\"}]}\nclusters: {prod: {bootstrap: [127.0.0.1:1]}}\nvirtual_clusters: {vc: {listen: {bootstrap: 127.0.0.1:2, brokers: {ports: 3-40}}, chain: []}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{secret, "in plain"} {
		positioned := Errors{{Line: 3, Msg: "bad " + shown}}
		for _, err := range []error{errors.New("bad " + shown), fmt.Errorf("bad %q", shown), positioned, fmt.Errorf("apply: %w", positioned)} {
			if got := s.Hide(err).Error(); strings.Contains(got, "s3cret") || strings.Contains(got, shown) || !strings.Contains(got, "bad") {
				t.Errorf("%q", got)
			}
		}
	}
	if err := errors.New("nothing of it"); !errors.Is(s.Hide(err), err) {
		t.Error("another error")
	}
}

// TestEditsHoldNoReferences: what comes over HTTP is written as it is, or not at all.
func TestEditsHoldNoReferences(t *testing.T) {
	source := []byte("clusters: {prod: {bootstrap: [127.0.0.1:1]}}\n")
	for _, e := range []Edit{
		{Path: []string{"a"}, Value: "${file:/etc/shadow}"},
		{Path: []string{"a"}, Value: "x${env:HOME}"},
		{Path: []string{"a"}, Value: "$${later"},
		{Path: []string{"a"}, Value: map[string]any{"b": map[string]any{"c": "${env:HOME}"}}},
		{Path: []string{"a"}, Value: map[string]any{"${env:HOME}": "b"}},
		{Path: []string{"a"}, Value: []any{"${env:HOME}"}},
		{Path: []string{"${env:HOME}"}, Value: "b"},
	} {
		if _, err := Apply(source, e); !errors.Is(err, ErrReference) {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if _, err := Apply(source, Edit{Path: []string{"a"}, Value: "$x {y}"}); err != nil {
		t.Error(err)
	}
}
