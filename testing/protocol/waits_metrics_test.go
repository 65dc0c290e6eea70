package protocol

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// shows waits until the sum of a metric's series is what it should be.
func (h *house) shows(name string, labels map[string]string, holds func(v float64) bool) {
	h.t.Helper()
	var last float64
	if !eventually.True(func() bool {
		f := h.scrape()[name]
		last, _ = value(f, labels)
		return f != nil && holds(last)
	}) {
		h.t.Errorf("%s%v is %v", name, labels, last)
	}
}

func is(want float64) func(float64) bool { return func(v float64) bool { return v == want } }

// TestWhatWaitsNow is shown while it does: by API, for how long, and in which cluster's gates.
func TestWhatWaitsNow(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 1)
	gate := h.gw.Gate(tenant, "orders")
	gate.Hold(t)
	for range 3 {
		p.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("held")}, nil)
	}
	h.shows("sluice_gate_waiting_requests", map[string]string{"virtual_cluster": tenant, "cluster": "prod"}, func(v float64) bool { return v >= 1 })
	h.shows("sluice_gate_waiting_requests", map[string]string{"cluster": "dr"}, is(0))
	h.shows("sluice_held_requests", map[string]string{"virtual_cluster": tenant, "api": "Produce"}, func(v float64) bool { return v >= 1 })
	h.shows("sluice_held_requests", map[string]string{"api": "Metadata"}, is(0))
	h.shows("sluice_held_oldest_age_seconds", map[string]string{"virtual_cluster": tenant}, func(v float64) bool { return v > 0.05 })
	gate.Release(t)
	for _, name := range []string{"sluice_gate_waiting_requests", "sluice_held_requests", "sluice_held_oldest_age_seconds"} {
		h.shows(name, nil, is(0))
	}
}

// TestRefusedConnections are counted beside the limit that they met.
func TestRefusedConnections(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\nlimits: {connections: 2}"); err != nil {
		t.Fatal(err)
	}
	h.shows("sluice_sessions_limit", map[string]string{"virtual_cluster": tenant}, is(2))
	h.shows("sluice_sessions_refused_total", nil, is(0))
	for range 3 {
		c, err := net.Dial("tcp", h.gw.Bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	h.shows("sluice_sessions_refused_total", map[string]string{"virtual_cluster": tenant, "reason": "connections"}, is(1))
	h.shows("sluice_sessions_refused_total", map[string]string{"reason": "files"}, is(0))
	h.shows("sluice_sessions", nil, is(2))
	h.shows("sluice_connections", nil, is(2))
	h.shows("sluice_connections_limit", nil, func(v float64) bool { return v > 2 })
}

// TestWhatBrokersAnswer is counted by cluster, API and error, with the time for which they have
// clients wait.
func TestWhatBrokersAnswer(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 2)
	labels := map[string]string{"cluster": "prod", "api": "Produce", "error": "NONE"}
	h.shows("sluice_upstream_responses_total", labels, is(2))
	h.shows("sluice_upstream_throttle_seconds_total", map[string]string{"cluster": "prod", "api": "Produce"}, is(0))
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r := req.(*kmsg.ProduceRequest)
		resp := r.ResponseKind().(*kmsg.ProduceResponse)
		resp.ThrottleMillis = 1500
		for _, t := range r.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, 29 // TOPIC_AUTHORIZATION_FAILED
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr(); err == nil {
		t.Error("produced")
	}
	labels["error"] = "TOPIC_AUTHORIZATION_FAILED"
	h.shows("sluice_upstream_responses_total", labels, is(1))
	h.shows("sluice_upstream_throttle_seconds_total", map[string]string{"cluster": "prod", "api": "Produce"}, is(1.5))
	labels["cluster"] = "dr"
	h.shows("sluice_upstream_responses_total", labels, is(0))
}

// TestWhenWhatIsInForceBegan and when its certificate ends.
func TestWhenWhatIsInForceBegan(t *testing.T) {
	ctx := eventually.Context(t)
	h := &house{t: t, ctx: ctx, prod: fake(t, "prod", nil)}
	dir := t.TempDir()
	certificate(t, dir, "kafka.test")
	port, err := kafkatest.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
admin: {listen: 127.0.0.1:%d, users: [{name: none, password: none}]}
state: {dir: ./state}
clusters: {prod: {bootstrap: [%s]}}
virtual_clusters:
  %s:
    listen: {bootstrap: 127.0.0.1:%d, tls: {cert: server.crt, key: server.key}, brokers: {sni: b$(node).kafka.test}}
    chain: []
`, port+1, strings.Join(h.prod.Bootstrap(), ", "), tenant, port), 0o644); err != nil {
		t.Fatal(err)
	}
	if h.gw, err = gatewaytest.Open(ctx, file, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.gw.Stop() })
	h.gw.Bootstrap = fmt.Sprintf("127.0.0.1:%d", port)
	h.gw.Admin = fmt.Sprintf("http://127.0.0.1:%d", port+1)
	c, err := net.Dial("tcp", h.gw.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("no TLS at all\n"))
	_ = c.Close()
	h.shows("sluice_sessions_refused_total", map[string]string{"reason": "handshake"}, is(1))
	h.shows("sluice_certificate_expiry_time_seconds", map[string]string{"virtual_cluster": tenant}, func(v float64) bool {
		left := time.Until(time.Unix(int64(v), 0)) // it was made for an hour
		return left > 30*time.Minute && left < time.Hour
	})
	began, _ := value(h.scrape()["sluice_config_in_force_time_seconds"], nil)
	if age := time.Since(time.UnixMilli(int64(1000 * began))); age < 0 || age > 10*time.Minute {
		t.Errorf("in force for %s", age)
	}
	if err := h.gw.Edit("chain: []", "chain: [nonsense: {}]"); err != nil { // refused: the same stays in force
		t.Fatal(err)
	}
	h.shows("sluice_config_last_reload_successful", nil, is(0))
	h.shows("sluice_config_in_force_time_seconds", nil, is(began))
	if err := h.gw.Edit("chain: [nonsense: {}]", "chain: [] # again"); err != nil {
		t.Fatal(err)
	}
	h.shows("sluice_config_last_reload_successful", nil, is(1))
	h.shows("sluice_config_in_force_time_seconds", nil, func(v float64) bool { return v > began })
}
