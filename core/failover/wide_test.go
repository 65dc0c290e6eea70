package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// TestAWideTopicMovesWithinTheHold, with brokers that take a millisecond for an answer.
func TestAWideTopicMovesWithinTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wide = 4000
		w := newWorld(t, "orders")
		for _, f := range []*fake{w.prod, w.dr} {
			for _, l := range f.topic("orders", wide) {
				l.batch(shape{producer: 7}, records(0, 2)...)
			}
		}
		err := w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "orders", Cluster: "prod", ID: w.prod.Topology().Topics["orders"].ID, Partitions: wide})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*fake{w.prod, w.dr} {
			f.set(func() { f.before = func(kmsg.Request) { time.Sleep(time.Millisecond) } })
		}
		w.edit("dr", "orders")
		pass(2 * time.Minute)
		if m := w.last("orders"); m.Phase != Done || m.Attempts != 1 {
			t.Errorf("%s, %d attempts: %q", m.Phase, m.Attempts, m.Error)
		}
		topic := w.lives("orders", "dr", 1)
		for p := range int32(wide) {
			if v, base := topic.Memory().Judge(p, 7, catalog.Remembered{Last: 1}); v != catalog.Duplicate || base != 0 {
				t.Fatalf("partition %d: verdict %d at %d", p, v, base)
			}
		}
		if n := w.prod.count(kmsg.DescribeProducers); n != 4 { // both leaders: in the pre-check, and once while clients are held
			t.Errorf("asked for producers %d times", n)
		}
	})
}
