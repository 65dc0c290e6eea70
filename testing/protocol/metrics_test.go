package protocol

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// value is the sum of a family's series with the labels.
func value(f *dto.MetricFamily, labels map[string]string) (sum float64, n uint64) {
	for _, m := range f.GetMetric() {
		left := len(labels)
		for _, l := range m.Label {
			if labels[l.GetName()] == l.GetValue() {
				left--
			}
		}
		if left == 0 {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			n += m.GetHistogram().GetSampleCount()
		}
	}
	return sum, n
}

// scrape reads the gateway's metrics.
func (h *house) scrape() map[string]*dto.MetricFamily {
	h.t.Helper()
	code, body := h.call("GET", "/metrics", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil || code != 200 {
		h.t.Fatalf("%d, %v: %s", code, err, body)
	}
	return families
}

// produceHeld sends a record that has to wait at its topic's gate.
func (h *house) produceHeld(p *kgo.Client, topic string) {
	h.t.Helper()
	gate := h.gw.Gate(tenant, topic)
	gate.Hold(h.t)
	done := make(chan error, 1)
	go func() { done <- p.ProduceSync(h.ctx, &kgo.Record{Topic: topic, Value: []byte("held")}).FirstErr() }()
	h.wait("a held produce", func() bool { return gate.Waiting() == 1 })
	h.wait("as long as counts", func() bool { // a hold of less than a millisecond is none
		age, _ := value(h.scrape()["sluice_held_oldest_age_seconds"], map[string]string{"virtual_cluster": tenant})
		return age > 0.002
	})
	gate.Release(h.t)
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

// TestMetrics of a gateway under traffic, through a move and a refused edit, as Prometheus reads
// them. Each family is in the table that documents them, and follows Prometheus' conventions.
func TestMetrics(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 10)
	h.copier(kafkatest.Faults{}, "orders")
	h.produceHeld(p, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	h.read(h.gw.Bootstrap, "orders", 0, 11)
	for range 600 { // of which one in 32 is measured in each interceptor
		if _, err := kmsg.NewPtrMetadataRequest().RequestWith(h.ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.gw.Edit("orders: {cluster: dr}", "orders: {cluster: nowhere}"); err != nil {
		t.Fatal(err)
	}
	var families map[string]*dto.MetricFamily
	h.wait("the refused edit in the metrics", func() bool {
		families = h.scrape()
		ok, _ := value(families["sluice_config_last_reload_successful"], nil)
		return ok == 0
	})
	_, text := h.call("GET", "/metrics", "")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sluice_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	table, err := os.ReadFile("../../core/gateway/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("`(sluice_[a-z_]+)`").FindAllStringSubmatch(string(table), -1)
	for name := range families {
		found := !strings.HasPrefix(name, "sluice_")
		for _, d := range documented {
			found = found || d[1] == name
		}
		if !found {
			t.Errorf("%s is not in METRICS.md", name)
		}
	}
	produce := map[string]string{"virtual_cluster": tenant, "api": "Produce"}
	for name, want := range map[string]func(v float64, n uint64) bool{
		"sluice_requests_total":                    func(v float64, _ uint64) bool { return v == 11 },
		"sluice_request_size_bytes_total":          func(v float64, _ uint64) bool { return v > 11*50 },
		"sluice_response_size_bytes_total":         func(v float64, _ uint64) bool { return v > 11*20 },
		"sluice_request_duration_seconds":          func(v float64, n uint64) bool { return n == 11 && v > 0 },
		"sluice_move_pause_seconds":                func(v float64, _ uint64) bool { return v > 0 },
		"sluice_request_gateway_duration_seconds":  func(v float64, n uint64) bool { return n == 11 && v > 0 },
		"sluice_request_upstream_duration_seconds": func(v float64, n uint64) bool { return n == 11 && v > 0 },
		"sluice_request_held_duration_seconds":     func(v float64, n uint64) bool { return n >= 1 && v > 0 },
		"sluice_request_memory_limit_bytes":        func(v float64, _ uint64) bool { return v > 1<<20 },
		"sluice_links":                             func(v float64, _ uint64) bool { return v > 0 },
		"sluice_interceptor_failures_total":        func(v float64, _ uint64) bool { return v == 0 },
		"sluice_sessions":                          func(v float64, _ uint64) bool { return v > 0 },
		"sluice_moves_ended":                       func(v float64, _ uint64) bool { return v == 1 },
		"sluice_upstream_duration_seconds":         func(v float64, n uint64) bool { return n >= 11 && v > 0 },
		"sluice_cluster_reachable":                 func(v float64, _ uint64) bool { return v == 2 },
		"sluice_config_info":                       func(v float64, _ uint64) bool { return v == 1 },
		"sluice_config_last_reload_time_seconds":   func(v float64, _ uint64) bool { return v > 0 },
		"sluice_start_time_seconds":                func(v float64, _ uint64) bool { return v > 0 },
		"sluice_interceptor_duration_seconds":      func(v float64, n uint64) bool { return n >= chain.SampledOf && n%chain.SampledOf == 0 && v > 0 },
		"process_open_fds":                         func(v float64, _ uint64) bool { return v > 0 },
	} {
		labels := map[string]string{}
		if strings.HasPrefix(name, "sluice_interceptor") {
			labels = map[string]string{"virtual_cluster": tenant, "interceptor": "routing"}
		}
		if strings.HasPrefix(name, "sluice_request") && !strings.Contains(name, "memory") || strings.HasPrefix(name, "sluice_response") {
			labels = produce
		}
		if v, n := value(families[name], labels); families[name] == nil || !want(v, n) {
			t.Errorf("%s is %v (%d)", name, v, n)
		}
	}
}
