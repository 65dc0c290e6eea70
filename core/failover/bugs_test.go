package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestALogThatBeginsLate: retention has taken what came before.
func TestALogThatBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		l, d := w.Prod.Log("orders"), w.DR.Log("orders")
		l.Start, l.Batches, d.Start, d.Batches = 30, l.Batches[6:], 55, d.Batches[11:]
		w.edit("dr", "orders")
		fakes.Pass(time.Minute)
		if m := w.last("orders"); m.Phase != Done {
			t.Errorf("%s: %q", m.Phase, m.Error)
		}
	})
}

// TestOlderBatchesStandBeforeNewerOnes: what the log knows completes what the gateway has seen.
func TestOlderBatchesStandBeforeNewerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		memory := w.env.Catalog.Topic("orders").Memory()
		for i := range 4 {
			w.Prod.Log("orders").Batch(fakes.Shape{Producer: 5, Sequence: int32(10 * i)}, fakes.Records(100+10*i, 110+10*i)...)
			w.DR.Grow("orders", 100+10*i, 110+10*i)
			if i >= 2 {
				memory.Remember(0, 5, catalog.Remembered{First: int32(10 * i), Last: int32(10*i + 9), Base: int64(100 + 10*i)})
			}
		}
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		if v, _ := memory.Judge(0, 5, catalog.Remembered{First: 40, Last: 49}); v != catalog.Pass {
			t.Errorf("verdict %d", v)
		}
	})
}

// TestTheNewestOfLargeBatchesAreRemembered, not the oldest that fit.
func TestTheNewestOfLargeBatchesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		memory := w.env.Catalog.Topic("orders").Memory()
		for i := range 24 {
			r := fakes.Record(100 + i)
			r.Value = make([]byte, 1<<20)
			w.Prod.Log("orders").Batch(fakes.Shape{Producer: 5, Sequence: int32(i)}, r)
			w.DR.Log("orders").Batch(fakes.Shape{}, r)
			memory.Remember(0, 5, catalog.Remembered{First: int32(i), Last: int32(i), Base: int64(100 + i)})
		}
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		if v, _ := memory.Judge(0, 5, catalog.Remembered{First: 24, Last: 24}); v != catalog.Pass {
			t.Errorf("verdict %d", v)
		}
	})
}

// TestAMemoryThatIsBehindIsCompleted by the old home: a producer went on between a move and a
// restart, and has been quiet for longer than the tail that is read.
func TestAMemoryThatIsBehindIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		memory := w.env.Catalog.Topic("orders").Memory()
		memory.Restore(map[int32]map[int64]catalog.Producer{0: {6: {Batches: []catalog.Remembered{{First: 0, Last: 9, Base: 90}}, Used: time.Now().Unix()}}})
		now := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		now.ProducerID, now.LastSequence, now.CurrentTxnStartOffset = 6, 41, -1
		w.Prod.Log("orders").Producers = append(w.Prod.Log("orders").Producers, now)
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		for first, want := range map[int32]catalog.Verdict{44: catalog.OutOfOrder, 10: catalog.OutOfOrder} {
			if v, _ := memory.Judge(0, 6, catalog.Remembered{First: first, Last: first}); v != want {
				t.Errorf("sequence %d: verdict %d, want %d", first, v, want)
			}
		}
		if v, _ := memory.Judge(0, 6, catalog.Remembered{First: 42, Last: 42}); v != catalog.Pass {
			t.Errorf("the next batch: verdict %d", v)
		}
	})
}
