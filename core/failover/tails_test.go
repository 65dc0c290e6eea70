package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAMoveReadsTailsOnce: what its distance was found by is compared already.
func TestAMoveReadsTailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Topic("orders", 1)[0].Batch(fakes.Shape{}, fakes.Records(0, 100)...)
		}
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
		if n := w.DR.Count(kmsg.Fetch); n != 2 { // its first and its last records
			t.Errorf("the copy was read %d times", n)
		}
		if n := w.Prod.Count(kmsg.Fetch); n != 4 { // for the distance at both ends, and twice for the producers of the last batches
			t.Errorf("the home was read %d times", n)
		}
	})
}
