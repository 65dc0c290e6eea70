package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestReadinessSaysWhatWouldRefuseAMove, and a move says the same.
func TestReadinessSaysWhatWouldRefuseAMove(t *testing.T) {
	open := []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{{ProducerID: 7, CurrentTxnStartOffset: 90}}
	for name, c := range map[string]struct {
		hurt func(w *world)
		want string
	}{
		"nothing":                     {func(*world) {}, "ready"},
		"no copy":                     {func(w *world) { w.DR.Set(func() { delete(w.DR.Topics, "orders"); w.DR.Topo = w.DR.View() }) }, "copy"},
		"another number":              {func(w *world) { w.DR.Topic("orders", 2) }, "settings"},
		"smaller batches":             {func(w *world) { w.DR.Set(func() { w.DR.Topics["orders"].Configs["max.message.bytes"] = "10" }) }, "settings"},
		"no rights":                   {func(w *world) { w.DR.Set(func() { w.DR.Allowed = 1 }) }, "rights"},
		"another record":              {func(w *world) { w.DR.Grow("orders", 500, 501) }, "copy"},
		"records that are not copied": {func(w *world) { w.Prod.Grow("orders", 100, 105) }, "lag"},
		"a copy that is gone":         {func(w *world) { w.DR.Set(func() { w.DR.Down = true }) }, "cluster"},
		"a home that is gone":         {func(w *world) { w.Prod.Set(func() { w.Prod.Down = true }) }, "unplanned"},
		"a home that is no Kafka": {func(w *world) {
			w.Prod.Set(func() { w.Prod.Down, w.Prod.Why = true, plugin.ErrNotKafka })
		}, "cluster"},
		"a home that must not be given up": {func(w *world) {
			w.Policy("orders", "never")
			w.Prod.Set(func() { w.Prod.Down = true })
		}, "policy"},
		"a copy made again, and the home gone": {func(w *world) {
			w.DR.Set(func() { w.DR.Topics["orders"].Made++; w.DR.Topo = w.DR.View() })
			w.Prod.Set(func() { w.Prod.Down = true })
		}, "copy"},
		"a copy emptied, and the home gone": {func(w *world) {
			w.DR.Set(func() { w.DR.Topics["orders"].Logs[0] = &fakes.Log{} })
			w.Prod.Set(func() { w.Prod.Down = true })
		}, "copy"},
		"a transaction that hangs": {func(w *world) { w.Prod.Set(func() { w.Prod.Log("orders").Producers = open }) }, "transactions"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.apply(Options{})
				fakes.Pass(6 * time.Second)
				if got := w.readiness("orders"); got != "ready" {
					t.Fatalf("at first: %s", got)
				}
				if err := w.env.Catalog.Reserve(t.Context(), "orders", 0, 60); err != nil { // clients have seen records
					t.Fatal(err)
				}
				c.hurt(w)
				fakes.Pass(3 * time.Minute)
				if got := w.readiness("orders"); got != c.want {
					t.Errorf("%s, want %s: %+v", got, c.want, w.watch.Readiness("vc"))
				}
				w.edit("dr", "orders")
				fakes.Pass(30 * time.Second)
				rep := w.last("orders")
				moved, may := rep.Phase == Done, c.want == "ready" || c.want == "unplanned"
				if moved != may || !moved && string(rep.BlockedBy) != c.want || rep.Planned != (c.want != "unplanned") && moved {
					t.Errorf("the move: %s, blocked by %q: %s", rep.Phase, rep.BlockedBy, rep.Error)
				}
			})
		})
	}
}

// readiness is what is said of a topic: ready, unplanned, or the kind of what blocks it.
func (w *world) readiness(topic string) string {
	for _, x := range w.watch.Readiness("vc") {
		switch {
		case x.Topic != topic:
		case x.BlockedBy != "":
			return string(x.BlockedBy)
		case x.Planned:
			return "ready"
		default:
			return "unplanned"
		}
	}
	return "unknown"
}
