package protocol

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestTopicsThatNobodyAskedForMoveToo: topics that a glob covers were made behind the gateway's
// back, an edit later the glob names another home, and no client has ever asked for them. What has
// an exact copy moves, what has none stays where its records are, and both are in the plan before.
func TestTopicsThatNobodyAskedForMoveToo(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: prod}\n            \"legacy-*\": {cluster: prod}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the rule", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "legacy-") })
	prod := h.client(h.prod.Bootstrap()[0])
	if _, err := kadm.NewClient(prod).CreateTopics(h.ctx, 3, 1, nil, "legacy-copied", "legacy-alone"); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"legacy-copied", "legacy-alone"} {
		for i := range 9 {
			if err := prod.ProduceSync(h.ctx, &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.copier(kafkatest.Faults{}, "legacy-copied").CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	// At once: nothing has looked at the clusters since.
	if err := h.gw.Edit("\"legacy-*\": {cluster: prod}", "\"legacy-*\": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.wait("a move and a refusal", func() bool {
		done, refused := false, false
		for _, m := range h.gw.Moves() {
			done = done || m.Topic == "legacy-copied" && m.Phase == failover.Done
			refused = refused || m.Topic == "legacy-alone" && strings.Contains(m.Error, `topic "legacy-alone" does not exist on dr`)
		}
		return done && refused
	})
	c := h.client(h.gw.Bootstrap)
	if err := c.ProduceSync(h.ctx, &kgo.Record{Topic: "legacy-alone", Partition: 1, Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]int{"legacy-copied": 3, "legacy-alone": 3} {
		if got := h.read(h.gw.Bootstrap, topic, 0, want); got[0].Offset != 0 || string(got[0].Value) != "0" {
			t.Errorf("%s begins with %+v", topic, got[0])
		}
	}
	ends, err := kafkatest.Ends(h.ctx, h.prod.Bootstrap(), "legacy-alone")
	if err != nil || ends["legacy-alone"][1] != 4 {
		t.Errorf("legacy-alone was not written to where it lives: %v %v", ends, err)
	}
}
