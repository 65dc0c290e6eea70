package protocol

import (
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// lookAgain makes an edit of the file, after which the gateway asks at once what it asks every 10
// s.
func (h *house) lookAgain() {
	h.t.Helper()
	if err := h.gw.Edit("state: {dir: ./state}", "# again\nstate: {dir: ./state}"); err != nil {
		h.t.Fatal(err)
	}
}

// TestTopicsThatTheFileNames have lag, distance and compared range of their copies, and the holes
// that an unplanned move left, by partition; others have no series.
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
