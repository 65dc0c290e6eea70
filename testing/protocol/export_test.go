package protocol

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
)

// metricReceiver is an OTLP receiver that keeps the last value of each metric.
type metricReceiver struct {
	collector.UnimplementedMetricsServiceServer
	mu   sync.Mutex
	last map[string]*metrics.Metric
	from map[string]map[string]string // the attributes of resources, by instance
}

func (r *metricReceiver) Export(_ context.Context, req *collector.ExportMetricsServiceRequest) (*collector.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rm := range req.ResourceMetrics {
		attrs := map[string]string{}
		for _, a := range rm.Resource.Attributes {
			attrs[a.Key] = a.Value.GetStringValue()
		}
		r.from[attrs["service.instance.id"]] = attrs
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
	rec := &metricReceiver{last: map[string]*metrics.Metric{}, from: map[string]map[string]string{}}
	s := grpc.NewServer()
	collector.RegisterMetricsServiceServer(s, rec)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return rec, l.Addr().String()
}

// TestGatewaysOfAFleetAreToldApart by the receiver, also after one of them has been started again.
func TestGatewaysOfAFleetAreToldApart(t *testing.T) {
	rec, addr := receiveMetrics(t)
	var fleet []*house
	for range 2 {
		h := build(t, "orders")
		if err := h.gw.Edit("state: {dir: ./state}", fmt.Sprintf("state: {dir: ./state}\ntelemetry: {metrics: {endpoint: %q, insecure: true, interval: 20ms}}", addr)); err != nil {
			t.Fatal(err)
		}
		fleet = append(fleet, h)
	}
	instances := func() map[string]map[string]string {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		return maps.Clone(rec.from)
	}
	fleet[0].wait("both", func() bool { return len(instances()) == 2 })
	if err := fleet[1].gw.Stop(); err != nil {
		t.Fatal(err)
	}
	before := instances()
	rec.mu.Lock()
	clear(rec.from)
	rec.mu.Unlock()
	if err := fleet[1].gw.Restart(fleet[1].ctx); err != nil {
		t.Fatal(err)
	}
	fleet[0].wait("both again", func() bool { return len(instances()) == 2 })
	for id, attrs := range instances() {
		if before[id] == nil || attrs["service.name"] != "sluice" || attrs["service.version"] == "" {
			t.Errorf("%q: %v, before %v", id, attrs, before)
		}
	}
}

// TestMetricsGoOutOverOTLP from the edit on that says where to, to another receiver from the next
// edit on, and not any more after the last. A gateway that stops sends its last values.
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
