package config

import (
	"strings"
	"testing"
)

// TestClustersAreNotTheGatewayItself, nor each other, by whichever of its names a host is called.
func TestClustersAreNotTheGatewayItself(t *testing.T) {
	const itself = "is where the gateway itself listens"
	for name, c := range map[string]struct{ bootstrap, with, want string }{
		"bootstrap":            {"127.0.0.1:6969", "", itself + " (virtual_clusters.passThroughTenant.listen.bootstrap)"},
		"by name":              {"localhost:6969", "", itself},
		"by name, in capitals": {"LocalHost:6969", "", itself},
		"any host":             {"0.0.0.0:6969", "", itself},
		"no host":              {"\":6969\"", "", itself},
		"first broker":         {"127.0.0.1:6970", "", itself + " (virtual_clusters.passThroughTenant.listen.brokers.ports)"},
		"last broker":          {"localhost:7009", "", itself},
		"admin":                {"127.0.0.1:8888", "", itself + " (admin.listen)"},
		"bound to all":         {"127.0.0.1:6969", "bootstrap: 0.0.0.0:6969", itself},
		"bound to all, IPv6":   {"\"[::1]:6969\"", "bootstrap: \"[::]:6969\"", itself},
		"bound to a name":      {"127.0.0.1:6969", "bootstrap: localhost:6969", itself},
		"an outer address":     {"192.0.2.7:6969", "bootstrap: 192.0.2.7:6969", itself},
		"not bound there":      {"192.0.2.7:6969", "", ""},
		"behind the last":      {"127.0.0.1:7010", "", ""},
		"another loopback":     {"127.0.0.2:6969", "", ""},
		"another cluster's":    {"127.0.0.1:29092", "", `is also a bootstrap address of cluster "prod": a broker belongs to one cluster`},
		"another's, by name":   {"localhost:29092", "", `is also a bootstrap address of cluster "prod"`},
	} {
		source := strings.Replace(example, "[127.0.0.1:19092]", "[127.0.0.1:19092, "+c.bootstrap+"]", 1)
		if c.with != "" {
			source = strings.Replace(source, "bootstrap: 127.0.0.1:6969", c.with, 1)
		}
		at, where := "x.yaml:4:39: clusters.prod.bootstrap.1: ", c.want
		if strings.Contains(c.want, `"prod"`) {
			at = "x.yaml:5:22: clusters.dr.bootstrap.0: "
		}
		s, err := Parse("x.yaml", []byte(source))
		if strings.HasPrefix(c.want, itself) {
			must(t, err)
			at, err = strings.Replace(at, "39: ", "39: warning: ", 1), s.Warnings.Err()
		}
		switch {
		case c.want == "" && (err != nil || len(s.Warnings) > 0):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), at) || !strings.Contains(err.Error(), where) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want %s%s", name, err, at, where)
		}
	}
}

// TestClustersThatClientsAreToldOf may be the gateway, if names mean something else where it runs.
func TestClustersThatClientsAreToldOf(t *testing.T) {
	for name, c := range map[string]struct{ brokers, bootstrap string }{
		"ports": {"{host: kafka.example.com, bind: 127.0.0.1, ports: 6970-7009}", "kafka.example.com:6970"},
		"other ports": {"{host: kafka.example.com, bind: 127.0.0.1, ports: 6970-7009, advertised_ports: 9000-9039}",
			"Kafka.example.com:9039"},
		"server names": {"{sni: b$(node).example.com, advertised_port: 9000}, tls: {cert: c, key: k}", "b1048577.example.com:9000"},
	} {
		source := strings.NewReplacer("{host: 127.0.0.1, ports: 6970-7009}", c.brokers, "127.0.0.1:29092", c.bootstrap).Replace(example)
		s, err := Parse("x.yaml", []byte(source))
		must(t, err)
		if len(s.Warnings) != 1 || !strings.HasPrefix(s.Warnings[0].Error(), "x.yaml:5:22: warning: clusters.dr.bootstrap.0: ") {
			t.Errorf("%s: %v", name, s.Warnings)
		}
	}
	s, err := Parse("x.yaml", []byte(example))
	must(t, err)
	if len(s.Warnings) != 0 {
		t.Error(s.Warnings)
	}
}
