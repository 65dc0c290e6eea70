package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestACopyIsMadeWhenItsClusterIsBack: a topic made while dr is dead gets its copy there later, with as many
// partitions, or its next move would be refused.
func TestACopyIsMadeWhenItsClusterIsBack(t *testing.T) {
	h := build(t, "orders")
	if err := kafkatest.KillAll(h.dr); err != nil {
		t.Fatal(err)
	}
	c := kadm.NewClient(h.client(h.gw.Bootstrap))
	if r, err := c.CreateTopic(h.ctx, 5, 1, nil, "fresh"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for _, n := range h.dr.Nodes() {
		if err := h.dr.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("the copy", func() bool {
		d, err := h.admin(h.dr).ListTopics(h.ctx, "fresh")
		return err == nil && len(d["fresh"].Partitions) == 5
	})
}
