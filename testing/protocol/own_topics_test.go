package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestWhatReplicatorsKeepForThemselves stays where it is: an edit of `default` moves the topics of
// clients alone, --from and --atomic are not held up, and neither clients nor operators see it.
func TestWhatReplicatorsKeepForThemselves(t *testing.T) {
	own := []string{"heartbeats", "prod.heartbeats", "mm2-offset-syncs.dr.internal", "prod.checkpoints.internal", "__consumer_offsets", "__transaction_state"}
	h := build(t, "orders", "payments")
	for _, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
		cl := h.client(c.Bootstrap()[0])
		for _, n := range own {
			if _, err := h.admin(c).CreateTopic(h.ctx, 1, 1, nil, n); err != nil && !strings.Contains(err.Error(), "EXISTS") {
				t.Fatal(n, err)
			}
			for i := range 1 + len(c.Name()) { // what is in them differs from cluster to cluster
				if err := cl.ProduceSync(h.ctx, &kgo.Record{Topic: n, Value: fmt.Appendf(nil, "%s-%d", c.Name(), i)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := h.gw.EditAll(func(text string) string {
		text = strings.NewReplacer("            orders: {cluster: prod}\n", "", "            payments: {cluster: prod}\n", "").Replace(text)
		return strings.Replace(text, `      - topics: {hide: ["__*", "mm2-*", "*.internal", "heartbeats"]}`, "      - topics: {}", 1)
	}); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "topics: {}") })
	p := h.client(h.gw.Bootstrap)
	for _, n := range []string{"orders", "payments"} {
		h.produce(p, n, n, 5)
	}
	h.crowd("orders", "payments")
	h.copier(kafkatest.Faults{}, "orders", "payments")
	listed, err := kadm.NewClient(p).ListTopicsWithInternal(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range own {
		if listed.Has(n) {
			t.Errorf("clients see %s", n)
		}
		if _, body := h.call("GET", "/routes", ""); strings.Contains(body, fmt.Sprintf("%q", n)) {
			t.Errorf("operators see %s", n)
		}
	}
	said, _ := commandLine(t)("doctor", h.gw.File)
	for _, n := range own {
		if strings.Contains(said, "copy of "+n) {
			t.Errorf("the doctor compares %s:\n%s", n, said)
		}
	}
	if !strings.Contains(said, "copies") {
		t.Errorf("the doctor compares nothing:\n%s", said)
	}
	if code, body := h.call("POST", "/failover/run", `{"from": "prod", "to": "dr", "atomic": true}`); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	h.moved(2)
	moves := slices.DeleteFunc(h.gw.Moves(), func(m failover.Report) bool { return m.Kind != failover.Topic }) // the group of the crowd goes with them
	if len(moves) != 2 {
		t.Errorf("%d topics were to move: %+v", len(moves), moves)
	}
}
