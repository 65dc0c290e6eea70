package protocol

import (
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestCouldItFailOverNow is answered by one metric, for all topics that clients see by their
// number, and for those that the file names each.
func TestCouldItFailOverNow(t *testing.T) {
	h := build(t, "orders", "stray", "mm2-own")
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {metrics: {topics: [orders]}}"); err != nil {
		t.Fatal(err)
	}
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 3)
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(h.client(h.dr.Bootstrap()[0]), "stray", "written there", 1)
	topics := func(reason string) (n float64, known bool) {
		f := h.scrape()["sluice_failover_topics"]
		n, _ = value(f, map[string]string{"virtual_cluster": tenant, "home": "prod", "cluster": "dr", "reason": reason})
		return n, f != nil
	}
	h.wait("the first round", func() bool { n, ok := topics("ready"); return ok && n == 1 })
	for reason, want := range map[string]float64{"copy": 1, "unplanned": 0, "lag": 0, "cluster": 0} {
		if n, _ := topics(reason); n != want {
			t.Errorf("%s: %v topics, want %v", reason, n, want)
		}
	}
	ready := h.scrape()["sluice_failover_ready"]
	if v, _ := value(ready, map[string]string{"topic": "orders", "cluster": "dr", "reason": "ready"}); v != 1 || len(ready.GetMetric()) != 1 {
		t.Errorf("of the topics that are named: %v", ready)
	}
}
