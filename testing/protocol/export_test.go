package protocol

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// metricReceiver is an OTLP receiver that keeps the last value of each metric.
type metricReceiver struct {
	collector.UnimplementedMetricsServiceServer
	mu   sync.Mutex
	last map[string]*metrics.Metric
}

func (r *metricReceiver) Export(_ context.Context, req *collector.ExportMetricsServiceRequest) (*collector.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rm := range req.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				r.last[m.Name] = m
			}
		}
	}
	return &collector.ExportMetricsServiceResponse{}, nil
}

func (r *metricReceiver) all() map[string]*metrics.Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.last)
}

func receiveMetrics(t *testing.T) (*metricReceiver, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &metricReceiver{last: map[string]*metrics.Metric{}}
	s := grpc.NewServer()
	collector.RegisterMetricsServiceServer(s, rec)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return rec, l.Addr().String()
}

// TestMetricsGoOutOverOTLP from the edit on that says where to, to another receiver from the next edit on, and not any more
// after the last. A gateway that stops sends its last values.
func TestMetricsGoOutOverOTLP(t *testing.T) {
	h := build(t, "orders")
	first, a := receiveMetrics(t)
	second, b := receiveMetrics(t)
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 5)
	produces := func(r *metricReceiver) (n uint64, scale int32) {
		for _, d := range r.all()["sluice.request.upstream.duration"].GetExponentialHistogram().GetDataPoints() {
			for _, x := range d.Attributes {
				if x.Key == "api" && x.Value.GetStringValue() == "Produce" {
					n, scale = d.Count, d.Scale
				}
			}
		}
		return n, scale
	}
	setting := "telemetry: {metrics: {endpoint: %q, insecure: true, interval: %s}}"
	was := "state: {dir: ./state}"
	edit := func(to string) {
		t.Helper()
		if err := h.gw.Edit(was, to); err != nil {
			t.Fatal(err)
		}
		was = to
	}
	edit("state: {dir: ./state}\n" + fmt.Sprintf(setting, a, "20ms"))
	h.wait("metrics", func() bool { n, scale := produces(first); return n == 5 && scale == 2 })
	h.produce(p, "orders", "y", 1)
	h.wait("newer ones", func() bool { n, _ := produces(first); return n == 6 })
	edit("state: {dir: ./state}\n" + fmt.Sprintf(setting, b, "1h"))
	h.wait("the edit", func() bool { return h.gw.Snapshot().Telemetry.Metrics.Endpoint == b })
	h.produce(p, "orders", "z", 1)
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if n, _ := produces(second); n != 7 {
		t.Errorf("the last values count %d produces", n)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	// Both ways show the same metrics.
	sent := second.all()
	for name := range h.scrape() {
		if !strings.HasPrefix(name, "sluice_") {
			continue
		}
		found := false
		for other := range sent {
			found = found || strings.HasPrefix(name, strings.ReplaceAll(other, ".", "_"))
		}
		if !found {
			t.Errorf("%s is not sent", name)
		}
	}
	edit("state: {dir: ./state}")
	h.wait("the end", func() bool { return h.gw.Snapshot().Telemetry.Metrics.Endpoint == "" })
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

// lookAgain makes an edit of the file, after which the gateway asks at once what it asks every 10 s.
func (h *house) lookAgain() {
	h.t.Helper()
	if err := h.gw.Edit("state: {dir: ./state}", "# again\nstate: {dir: ./state}"); err != nil {
		h.t.Fatal(err)
	}
}

// TestTopicsThatTheFileNames have lag, distance and compared range of their copies, and the holes that an unplanned
// move left, by partition; others have no series.
func TestTopicsThatTheFileNames(t *testing.T) {
	h := build(t, "orders", "secret")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 7)
	h.produce(p, "secret", "x", 1)
	if f := h.scrape()["sluice_copy_lag"]; f != nil {
		t.Errorf("by default: %v", f)
	}
	c := h.copier(kafkatest.Faults{}, "orders", "secret")
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {metrics: {topics: [\"ord*\", nothing]}}"); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"virtual_cluster": tenant, "topic": "orders", "partition": "0", "cluster": "dr"}
	known := func(name string) (float64, bool) {
		f := h.scrape()[name]
		v, _ := value(f, labels)
		for _, m := range f.GetMetric() {
			for _, l := range m.Label {
				if l.GetValue() == "secret" {
					t.Fatalf("%s shows a topic that is not named", name)
				}
			}
		}
		return v, f != nil
	}
	h.wait("a copy that is compared", func() bool { to, ok := known("sluice_copy_compared_to"); return ok && to == 7 })
	for name, want := range map[string]float64{"sluice_copy_lag": 0, "sluice_copy_delta": 0, "sluice_copy_compared_from": 0} {
		if v, ok := known(name); !ok || v != want {
			t.Errorf("%s is %v, %t", name, v, ok)
		}
	}
	delete(labels, "partition")
	if v, _ := known("sluice_copy_compared_time_seconds"); v < 1e9 {
		t.Errorf("compared at %v", v)
	}
	labels["partition"] = "0"
	c.Stop()
	h.produce(p, "orders", "y", 3)
	h.lookAgain()
	h.wait("the lag", func() bool { lag, ok := known("sluice_copy_lag"); return ok && lag == 3 })
	if err := h.prod.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr, unplanned: always}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	h.lookAgain()
	delete(labels, "cluster")
	h.wait("the hole", func() bool { n, ok := known("sluice_topic_holes"); return ok && n > 0 })
	if err := h.gw.Edit("telemetry: {metrics: {topics: [\"ord*\", nothing]}}", ""); err != nil {
		t.Fatal(err)
	}
	h.wait("no series", func() bool { _, ok := known("sluice_topic_holes"); return !ok })
}
