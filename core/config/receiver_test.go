package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestReceivers are checked, of traces and of metrics, each mistake at its place.
func TestReceivers(t *testing.T) {
	for _, signal := range []string{"traces", "metrics"} {
		at := "telemetry." + signal
		for written, want := range map[string]string{
			"protocol: udp":                              at + `.protocol: "udp" is not one of grpc, http`,
			"endpoint: \"http://a:1\"":                   at + ".endpoint: ",
			"headers: {\"a b\": c}":                      at + ".headers.a b: ",
			"headers: {\"\": c}":                         at + ".headers.: ",
			"headers: {a: \"c\\nd\"}":                    at + ".headers.a: the value",
			"headers: {a: [b]}":                          at + ".headers.a: want a text",
			"headers: a":                                 at + ".headers: want a map",
			"tls: {cert: a}":                             at + ".tls: cert and key belong together",
			"tls: {key: a}":                              at + ".tls: cert and key belong together",
			"insecure: true, tls: {ca: a}":               at + ".insecure: ",
			"tls: {caa: a}":                              at + ".tls: unknown key \"caa\"",
			"endpoint: \"a:1\", headers: {a: \"\\xe4\"}": at + ".headers.a: the value",
		} {
			_, err := Parse("x.yaml", []byte(example+"telemetry: {"+signal+": {"+written+"}}\n"))
			if err == nil || !strings.Contains(err.Error(), "x.yaml:18:") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", written, err)
			}
		}
		if _, err := Parse("x.yaml", []byte(example+"telemetry: {"+signal+": {endpoint: \"a:1\", headers: {authorization: \"Bearer x\", x-scope-orgid: 7}, tls: {ca: a, cert: b, key: c}}}\n")); err != nil {
			t.Error(err)
		}
	}
	if _, err := Parse("x.yaml", []byte(example+"telemetry: {traces: {spans: some}}\n")); err == nil || !strings.Contains(err.Error(), `x.yaml:18:29: telemetry.traces.spans: "some" is not one of slow, all, `) {
		t.Error(err)
	}
}

// TestHeadersAreNotShown, written in plain, neither where the configuration is shown nor in an
// error; nor are they hidden elsewhere.
func TestHeadersAreNotShown(t *testing.T) {
	source := example + "telemetry: {traces: {headers: {authorization: Bearer-one}}, metrics: {headers: {authorization: Bearer-two}}}\n"
	s, err := Parse("x.yaml", []byte(source))
	must(t, err)
	shown := fmt.Sprint(s.Masked())
	if strings.Contains(shown, "Bearer") || !strings.Contains(shown, "authorization:*****") {
		t.Errorf("%s", shown)
	}
	if got := s.Hide(fmt.Errorf("no header Bearer-one")).Error(); strings.Contains(got, "Bearer-one") {
		t.Error(got)
	}
	if s.Telemetry.Traces.Headers["authorization"] != "Bearer-one" || s.Telemetry.Metrics.Headers["authorization"] != "Bearer-two" {
		t.Error("they are hidden from the exporter too")
	}
	if _, err := Parse("x.yaml", []byte(strings.Replace(source, "Bearer-one", "\"Bearer\\nthree\"", 1))); err == nil || strings.Contains(err.Error(), "three") {
		t.Error(err)
	}
}
