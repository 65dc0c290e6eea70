package config

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestLogs: defaults, names and places.
func TestLogs(t *testing.T) {
	_, err := Parse("dir/x.yaml", []byte(example+"telemetry: {log: {levels: {routing: debug, wasm.mask: warn}, audit: {file: audit.json}}}\n"))
	if err == nil || !strings.Contains(err.Error(), `dir/x.yaml:18:55: telemetry.log.levels.wasm.mask: no component "wasm.mask": admin, audit, config,`) {
		t.Errorf("a guest where there is none: %v", err)
	}
	source := strings.Replace(example, "- offsets: {}", "- wasm: {file: mask.wasm}", 1)
	s, err := Parse("dir/x.yaml", []byte(source+"telemetry: {log: {levels: {routing: debug, wasm.mask: warn}, audit: {file: audit.json}}}\n"))
	must(t, err)
	l := s.Telemetry.Log
	about := fact.Of(t, "%+v", l)
	fact.Equal(about, "l.Level", l.Level, "info")
	fact.Equal(about, "l.Format", l.Format, "text")
	fact.Equal(about, "l.Repeats.Seconds()", l.Repeats.Seconds(), 10)
	fact.Equal(about, "l.Access", l.Access, (AccessLog{}))
	fact.Equal(about, `l.Levels["wasm.mask"]`, l.Levels["wasm.mask"], "warn")
	fact.Equal(about, "l.Audit.File", l.Audit.File, "dir/audit.json")
	if got := strings.Join(s.Components(), " "); got != "admin audit config failover gateway routing server topics upstream wasm" {
		t.Error(got)
	}
	s, err = Parse("x.yaml", []byte(example+"telemetry: {log: {audit: {cluster: main, topic: audit}}}\n"))
	must(t, err)
	if a := s.Telemetry.Log.Audit; a.Cluster != "dr" || a.File != "" {
		t.Errorf("%+v", a)
	}
	for written, want := range map[string]string{
		"levels: {upstream: loud}":              `18:38: telemetry.log.levels.upstream: "loud" is not one of debug, info, warn, error`,
		"levels: {upstraem: info}":              `18:38: telemetry.log.levels.upstraem: no component "upstraem"`,
		"level: all":                            `telemetry.log.level: "all" is not one of`,
		"format: xml":                           `telemetry.log.format: "xml" is not one of text, json`,
		"repeats: -1s":                          "telemetry.log.repeats: must not be negative",
		"access: {sample_ratio: 1.5}":           "telemetry.log.access.sample_ratio: 1.5 is not from 0 to 1",
		"audit: {file: x, topic: y}":            "telemetry.log.audit: say either file, or cluster and topic",
		"audit: {topic: y}":                     "telemetry.log.audit: cluster and topic belong together",
		"audit: {cluster: prot, topic: y}":      `telemetry.log.audit.cluster: no cluster "prot" (did you mean "prod"?)`,
		"access: {sample_ratio: 1, error: yes}": `unknown key "error" (did you mean "errors"?)`,
	} {
		if _, err := Parse("x.yaml", []byte(example+"telemetry: {log: {"+written+"}}\n")); err == nil || !strings.Contains(err.Error(), "x.yaml:18:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", written, err)
		}
	}
}
