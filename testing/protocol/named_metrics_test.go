package protocol

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestTrafficOfTheNamed topics and clients is counted, and nobody else's.
func TestTrafficOfTheNamed(t *testing.T) {
	h := build(t, "orders", "secret")
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {metrics: {topics: [\"ord*\"], clients: [\"shop-*\"]}}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return len(h.gw.Snapshot().Telemetry.Metrics.Clients) == 1 })
	// A name that no label can hold is one all the same.
	p, other := h.client(h.gw.Bootstrap, kgo.ClientID("shop-\xff")), h.client(h.gw.Bootstrap, kgo.ClientID("till"))
	h.produce(p, "orders", "x", 5)
	h.produce(other, "secret", "x", 5)
	stray := kmsg.NewPtrProduceRequest() // to a topic that there is not: names that clients make up are no series
	stray.Acks = 1
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rt.Topic, rp.Records = "ordinary", []byte("nonsense")
	rt.Partitions = append(rt.Partitions, rp)
	stray.Topics = append(stray.Topics, rt)
	if _, err := p.SeedBrokers()[0].Request(h.ctx, stray); err != nil {
		t.Fatal(err)
	}
	h.read(h.gw.Bootstrap, "orders", 0, 5)
	h.read(h.gw.Bootstrap, "secret", 0, 5)
	orders := map[string]string{"virtual_cluster": tenant, "topic": "orders"}
	var in float64
	h.shows("sluice_topic_received_bytes_total", orders, func(v float64) bool { in = v; return v > 5*61 && v < 5*200 })
	h.shows("sluice_topic_sent_bytes_total", orders, func(v float64) bool { return v >= in })
	gate := h.gw.Gate(tenant, "orders")
	gate.Hold(t)
	p.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("held")}, nil)
	h.shows("sluice_topic_waiting_requests", orders, is(1))
	gate.Release(t)
	h.shows("sluice_topic_waiting_requests", orders, is(0))
	shop := map[string]string{"virtual_cluster": tenant, "client": "shop-\uFFFD"}
	h.shows("sluice_client_requests_total", shop, func(v float64) bool { return v >= 6 }) // and ApiVersions, Metadata
	h.shows("sluice_client_received_bytes_total", shop, func(v float64) bool { return v > in })
	h.shows("sluice_client_sent_bytes_total", shop, func(v float64) bool { return v > 0 })
	for name, want := range map[string]int{"sluice_topic_received_bytes_total": 1, "sluice_topic_sent_bytes_total": 1, "sluice_client_requests_total": 1} {
		if f := h.scrape()[name]; len(f.GetMetric()) != want {
			t.Errorf("%v", f)
		}
	}
}

// TestLagOfNamedGroups at home, in records and in time, and on the copy.
func TestLagOfNamedGroups(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	old := time.Now().Add(-time.Hour)
	for i := range 5 {
		if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte{byte(i)}, Timestamp: old.Add(time.Duration(i) * time.Minute)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c := h.copier(kafkatest.Faults{}, "orders")
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	commit := func(group string, offset int64) {
		var o kadm.Offsets
		o.AddOffset("orders", 0, offset, -1)
		if err := kadm.NewClient(p).CommitAllOffsets(h.ctx, group, o); err != nil {
			t.Fatal(err)
		}
	}
	commit("billing", 2)
	commit("other", 1)
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {metrics: {groups: [bill*]}}"); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"virtual_cluster": tenant, "group": "billing", "topic": "orders"}
	h.shows("sluice_group_lag", labels, is(3))
	h.shows("sluice_group_lag_age_seconds", labels, func(v float64) bool { // of the third record, which is 58 minutes old
		return v > 50*60 && v < 70*60
	})
	if f := h.scrape()["sluice_group_lag"]; len(f.GetMetric()) != 1 {
		t.Errorf("of others: %v", f)
	}
	c.Stop()
	h.produce(p, "orders", "not copied", 2)
	h.wait("the distance of the copy", func() bool { return len(h.gw.Topic(tenant, "orders").Partition(0).Copies) == 1 })
	h.lookAgain()
	h.shows("sluice_group_lag", labels, is(5))
	h.shows("sluice_group_copy_lag", map[string]string{"group": "billing", "cluster": "dr"}, is(3))
	commit("billing", 7)
	if err := h.gw.Edit("# again\n", "# and again\n"); err != nil {
		t.Fatal(err)
	}
	h.shows("sluice_group_lag", labels, is(0))
	h.shows("sluice_group_lag_age_seconds", labels, is(0))
}
