package protocol

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// writes counts the produces that a client sends.
type writes struct{ produces atomic.Int32 }

func (w *writes) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.Produce) {
		w.produces.Add(1)
	}
}

var _ kgo.HookBrokerWrite = (*writes)(nil)

// TestAHeldRequestOutlivesAnEditOfItsCluster: an operator corrects the address of a cluster that is
// down. What waits for it meanwhile, under the rules of before, is sent when it is back.
func TestAHeldRequestOutlivesAnEditOfItsCluster(t *testing.T) {
	h := build(t, "orders")
	w := &writes{}
	c := h.client(h.gw.Bootstrap, kgo.WithHooks(w))
	h.produce(c, "orders", "before", 1)
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	c.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("held")}, func(_ *kgo.Record, err error) { done <- err })
	h.wait("a hold", func() bool { return h.gw.Gate(tenant, "orders").Held() })
	at := h.prod.Bootstrap()
	revision := h.gw.Snapshot().Revision
	if err := h.gw.Edit(strings.Join(at, ", "), strings.Join([]string{at[1], at[0]}, ", ")); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return h.gw.Snapshot().Revision != revision })
	for _, n := range h.prod.Nodes() {
		if err := h.prod.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil || w.produces.Load() != 2 {
		t.Errorf("%v, sent %d times", err, w.produces.Load())
	}
}
