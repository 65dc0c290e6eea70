package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const withSecret = `
failover: {hold: 10s}
admin: {listen: 127.0.0.1:$3, users: [{name: ops, password: "${file:pw}"}]}
clusters: {prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}}
virtual_clusters:
  a: {listen: {bootstrap: 127.0.0.1:$1, brokers: {host: 127.0.0.1, ports: $2-$2}}, chain: []}
`

// TestASecretThatIsGoneKeepsNoEditFromBeingMade: by hand and by the API; that it is gone is told
// until it is back.
func TestASecretThatIsGoneKeepsNoEditFromBeingMade(t *testing.T) {
	r := writeReloading(t, withSecret)
	secret := filepath.Join(filepath.Dir(r.path), "pw")
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	if all := (operator{r.Gateway}).Ready().Broken; len(all) != 0 {
		t.Fatalf("%v is broken", all)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	r.edits(strings.Replace(withSecret, "10s", "11s", 1))
	if s := r.Snapshot(); s.Failover.Hold.String() != "12s" || s.Admin.Users[0].Password != "hush" {
		t.Errorf("in force are %v and %v", s.Failover.Hold, s.Admin.Users)
	}
	all := (operator{r.Gateway}).Ready().Broken
	if len(all) != 1 || all[0].Part != "${file:pw}" || !strings.Contains(all[0].Error, "no such file") {
		t.Errorf("%v is broken", all)
	}
	n := 0
	for _, s := range r.collect() {
		if s.Metric.Name == "sluice.part.broken" && fmt.Sprint(s.Values) == "[ ${file:pw}]" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d series of what is broken", n)
	}
	if err := r.apply(strings.Replace(withSecret, "${file:pw}", "${file:other}", 1)); err == nil || !strings.Contains(err.Error(), "sluice.yaml:3:") {
		t.Errorf("another secret, which is not there: %v", err)
	}
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all := (operator{r.Gateway}).Ready().Broken; len(all) != 0 {
		t.Errorf("%v is broken", all)
	}
}
