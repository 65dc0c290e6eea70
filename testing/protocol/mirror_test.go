package protocol

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAReadOnlyMirrorIsFoundOutBeforeTheCommit: the new home names all rights and takes no
// produces. Topics with several partitions stay where they are, nobody is held or sees an error,
// and they move once the mirror is made writable.
func TestAReadOnlyMirrorIsFoundOutBeforeTheCommit(t *testing.T) {
	h := build(t, "orders", "payments")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "o", 3)
	h.produce(p, "payments", "p", 3)
	c := h.copier(kafkatest.Faults{}, "orders", "payments")
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	var mirror atomic.Bool
	mirror.Store(true)
	h.dr.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.dr.KeepControl()
		if !mirror.Load() {
			return nil, nil, false
		}
		m := req.(*kmsg.ProduceRequest)
		resp := m.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range m.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, 44
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	for _, topic := range []string{"orders", "payments"} {
		if err := h.gw.Edit(topic+": {cluster: prod", topic+": {cluster: dr"); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("both refusals", func() bool {
		n := 0
		for _, m := range h.gw.Moves() {
			if strings.Contains(m.Error, "dr takes no produces to partition") && strings.Contains(m.Error, "POLICY_VIOLATION") {
				n++
			}
		}
		return n == 2
	})
	for _, m := range h.gw.Moves() {
		for _, s := range m.Steps {
			if s.Phase == failover.Hold {
				t.Errorf("%s was held", m.Topic)
			}
		}
	}
	h.produce(p, "orders", "later", 2)
	h.produce(p, "payments", "later", 2)
	mirror.Store(false)
	on, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: h.prod.Bootstrap(), To: h.dr.Bootstrap(), Topics: []string{"orders", "payments"}, Start: c.Position()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(on.Stop)
	h.moved(2)
	if offsets := h.produce(p, "orders", "moved", 1); offsets[0] != 5 {
		t.Errorf("the first record after the move is at %d, want 5", offsets[0])
	}
}
