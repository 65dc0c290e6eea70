package plan

import (
	"testing"
	"testing/synctest"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAPlanSaysWhatWasLost when the new home died as an earlier one, while the copy lags and when
// it does not.
func TestAPlanSaysWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Set(func() {
			w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
			w.DR.Log("orders").Add(fakes.Records(0, 60)...)
			w.DR.Log("orders").Add(fakes.Records(500, 507)...)
		})
		err := w.Virtual.Update(t.Context(), "orders", func(n *catalog.Topic) error {
			n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["orders"].ID}
			n.Partitions[0].SetCopy("dr", catalog.Alignment{To: 60, Died: true})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, lag := range []int64{40, 15, 0} {
			switch lag {
			case 15:
				w.DR.Grow("orders", 60, 85)
			case 0:
				w.DR.Grow("orders", 85, 100)
			}
			p := w.plan()
			about := fact.Of(t, "plan %+v", p)
			fact.Equal(about, "LostTail", p.LostTail(), 7)
			fact.Equal(about, "Lag", p.Lag(), lag)
			fact.Equal(about, "blocked", p.Blocked != "", lag > 0)
		}
	})
}
