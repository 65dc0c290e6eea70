package config

import (
	"strings"
	"testing"
)

// TestManyNodes: a range as wide as ports can be is checked at once.
func TestManyNodes(t *testing.T) {
	source := strings.NewReplacer("prod: {", "prod: {nodes: 0-50000, ", "6970-7009", "9000-65000", "127.0.0.1:19092", "b1:19092", "127.0.0.1:29092", "b2:29092").Replace(example)
	s, err := Parse("x.yaml", []byte(source))
	must(t, err)
	if at := s.VirtualClusters[0].Listen.Bind(s.Clusters, "dr", 19); at != "127.0.0.1:59020" {
		t.Error(at)
	}
	_, err = Parse("x.yaml", []byte(strings.Replace(source, "127.0.0.1:8888", "127.0.0.1:59020", 1)))
	if err == nil || !strings.Contains(err.Error(), "x.yaml:8:75: virtual_clusters.passThroughTenant.listen.brokers.ports: 127.0.0.1:59020 is also the address of admin.listen") {
		t.Error(err)
	}
}

// TestRangesOfNodes are ranges and nothing else.
func TestRangesOfNodes(t *testing.T) {
	for written, want := range map[string]Nodes{"0-19": {0, 19}, "1 - 3": {1, 3}, "7": {7, 7}} {
		s, err := Parse("x.yaml", []byte(strings.Replace(example, "prod: {", "prod: {nodes: "+written+", ", 1)))
		if err != nil || s.Clusters[0].Nodes != want {
			t.Errorf("%s: %v", written, err)
		}
	}
	for _, written := range []string{"0-19x", "a", "3-1", "-1-3", "0-1048576", "0-99999999999", "1-2-3"} {
		_, err := Parse("x.yaml", []byte(strings.Replace(example, "prod: {", "prod: {nodes: "+written+", ", 1)))
		if err == nil || !strings.Contains(err.Error(), "x.yaml:4:17: clusters.prod.nodes: ") {
			t.Errorf("%s: %v", written, err)
		}
	}
}

// TestNumbersHaveBounds: what bounds or waits is not negative, a ratio is at most 1.
func TestNumbersHaveBounds(t *testing.T) {
	for written, want := range map[string]string{
		"limits: {connections: -1}": "limits.connections: ", "limits: {process_bytes: -1}": "limits.process_bytes: ", "limits: {batch_bytes: -1}": "limits.batch_bytes: ", "limits: {idle_timeout: -1s}": "limits.idle_timeout: ",
		"failover: {retry_for: -1s}": "failover.retry_for: ", "failover: {max_drain: -1s}": "failover.max_drain: ", "failover: {unreachable: -1s}": "failover.unreachable: ",
		"failover: {align: {rate: 0}}": "failover.align.rate: ", "failover: {compare_limit: -1}": "failover.compare_limit: ", "telemetry: {traces: {sample_ratio: 1.1}}": "telemetry.traces.sample_ratio: ",
		"telemetry: {traces: {sample_ratio: -0.1}}": "telemetry.traces.sample_ratio: ", "limits: {frame_bytes: 0}": "limits.frame_bytes: ",
		"telemetry: {metrics: {interval: -1s}}": "telemetry.metrics.interval: ", "telemetry: {metrics: {endpoint: \"http://a:1\"}}": "telemetry.metrics.endpoint: ", "telemetry: {metrics: {protocol: udp}}": "telemetry.metrics.protocol: ",
		"telemetry: {metrics: {topics: [a, \"[\"]}}": "telemetry.metrics.topics.1: ", "telemetry: {metrics: {topics: [\"\"]}}": "telemetry.metrics.topics.0: ",
	} {
		if _, err := Parse("x.yaml", []byte(example+written+"\n")); err == nil || !strings.Contains(err.Error(), "x.yaml:18:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", written, err)
		}
	}
	if _, err := Parse("x.yaml", []byte(strings.Replace(example, "admin: {", "admin: {delete_grace: -1s, ", 1))); err == nil || !strings.Contains(err.Error(), "admin.delete_grace: ") {
		t.Error(err)
	}
}

// TestRolesOfUsers are known, and by default that of an admin.
func TestRolesOfUsers(t *testing.T) {
	for written, edits := range map[string]bool{"": true, ", role: admin": true, ", role: reader": false} {
		s, err := Parse("x.yaml", []byte(strings.Replace(example, "{name: none, password: none}", "{name: none, password: none"+written+"}", 1)))
		must(t, err)
		if s.Admin.Users[0].Edits() != edits {
			t.Errorf("%q: edits %t", written, !edits)
		}
	}
	_, err := Parse("x.yaml", []byte(strings.Replace(example, "{name: none, password: none}", "{name: none, password: none, role: king}", 1)))
	if err == nil || !strings.Contains(err.Error(), `admin.users.0.role: "king" is not one of admin, reader`) {
		t.Error(err)
	}
}

// TestAnAPIWithoutUsersIsThisMachinesAlone.
func TestAnAPIWithoutUsersIsThisMachinesAlone(t *testing.T) {
	open := strings.Replace(example, ", users: [{name: none, password: none}]", "", 1)
	if open == example {
		t.Fatal("the example has other users")
	}
	for listen, own := range map[string]bool{
		"127.0.0.1:8888": true, "127.1.2.3:8888": true, "localhost:8888": true, "\"[::1]:8888\"": true,
		"0.0.0.0:8888": false, "\":8888\"": false, "\"[::]:8888\"": false, "192.0.2.1:8888": false, "ops.example.com:8888": false, "localhost.example.com:8888": false,
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(open, "127.0.0.1:8888", listen, 1)))
		if refused := err != nil && strings.Contains(err.Error(), "admin.listen: "); refused == own {
			t.Errorf("%s: %v", listen, err)
		}
		if _, err := Parse("x.yaml", []byte(strings.Replace(example, "127.0.0.1:8888", listen, 1))); err != nil {
			t.Errorf("%s with users: %v", listen, err)
		}
	}
}
