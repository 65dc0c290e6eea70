package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAWideTopicMovesWithinTheHold, with brokers that take a millisecond for an answer.
func TestAWideTopicMovesWithinTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wide = 4000
		w := newWorld(t, "orders")
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			for _, l := range f.Topic("orders", wide) {
				l.Batch(fakes.Shape{Producer: 7}, fakes.Records(0, 2)...)
			}
		}
		err := w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "orders", Cluster: "prod", ID: w.Prod.Topology().Topics["orders"].ID, Partitions: wide})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Set(func() { f.Before = func(kmsg.Request) { time.Sleep(time.Millisecond) } })
		}
		w.edit("dr", "orders")
		fakes.Pass(2 * time.Minute)
		if m := w.last("orders"); m.Phase != Done || m.Attempts != 1 {
			t.Errorf("%s, %d attempts: %q", m.Phase, m.Attempts, m.Error)
		}
		topic := w.lives("orders", "dr", 1)
		for p := range int32(wide) {
			if v, base := topic.Memory().Judge(p, 7, catalog.Remembered{Last: 1}); v != catalog.Duplicate || base != 0 {
				t.Fatalf("partition %d: verdict %d at %d", p, v, base)
			}
		}
		if n := w.Prod.Count(kmsg.DescribeProducers); n != 4 { // both leaders: in the pre-check, and once while clients are held
			t.Errorf("asked for producers %d times", n)
		}
	})
}
