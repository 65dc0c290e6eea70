package failover

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// readiness is what is said of a topic: ready, unplanned, or the kind of what blocks it.
func (w *world) readiness(topic string) string {
	w.t.Helper()
	for _, x := range w.runner.Readiness("vc") {
		if x.Topic != topic {
			continue
		}
		switch {
		case x.To != "dr" || x.From != "prod":
			w.t.Errorf("%+v", x)
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

// TestReadinessSaysWhatWouldRefuseAMove, and a move says the same.
func TestReadinessSaysWhatWouldRefuseAMove(t *testing.T) {
	open := []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{{ProducerID: 7, CurrentTxnStartOffset: 90}}
	for name, c := range map[string]struct {
		hurt func(w *world)
		want string
	}{
		"nothing":                     {func(*world) {}, "ready"},
		"no copy":                     {func(w *world) { w.dr.set(func() { delete(w.dr.topics, "orders"); w.dr.topo = w.dr.view() }) }, "copy"},
		"another number":              {func(w *world) { w.dr.topic("orders", 2) }, "settings"},
		"smaller batches":             {func(w *world) { w.dr.set(func() { w.dr.topics["orders"].configs["max.message.bytes"] = "10" }) }, "settings"},
		"no rights":                   {func(w *world) { w.dr.set(func() { w.dr.allowed = 1 }) }, "rights"},
		"another record":              {func(w *world) { w.dr.grow("orders", 500, 501) }, "copy"},
		"records that are not copied": {func(w *world) { w.prod.grow("orders", 100, 105) }, "lag"},
		"a copy that is gone":         {func(w *world) { w.dr.set(func() { w.dr.down = true }) }, "cluster"},
		"a home that is gone":         {func(w *world) { w.prod.set(func() { w.prod.down = true }) }, "unplanned"},
		"a home that is no Kafka": {func(w *world) {
			w.prod.set(func() { w.prod.down, w.prod.trouble = true, plugin.ErrNotKafka })
		}, "cluster"},
		"a home that must not be given up": {func(w *world) {
			w.policy("orders", "never")
			w.prod.set(func() { w.prod.down = true })
		}, "policy"},
		"a copy made again, and the home gone": {func(w *world) {
			w.dr.set(func() { w.dr.topics["orders"].made++; w.dr.topo = w.dr.view() })
			w.prod.set(func() { w.prod.down = true })
		}, "copy"},
		"a copy emptied, and the home gone": {func(w *world) {
			w.dr.set(func() { w.dr.topics["orders"].logs[0] = &fakeLog{} })
			w.prod.set(func() { w.prod.down = true })
		}, "copy"},
		"a transaction that hangs": {func(w *world) { w.prod.set(func() { w.prod.log("orders").producers = open }) }, "transactions"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.apply(Options{})
				pass(6 * time.Second)
				if got := w.readiness("orders"); got != "ready" {
					t.Fatalf("at first: %s", got)
				}
				if err := w.env.Catalog.Reserve(t.Context(), "orders", 0, 60); err != nil { // clients have seen records
					t.Fatal(err)
				}
				c.hurt(w)
				pass(3 * time.Minute)
				if got := w.readiness("orders"); got != c.want {
					t.Errorf("%s, want %s: %+v", got, c.want, w.runner.Readiness("vc"))
				}
				w.edit("dr", "orders")
				pass(30 * time.Second)
				rep := w.last("orders")
				moved, may := rep.Phase == Done, c.want == "ready" || c.want == "unplanned"
				if moved != may || !moved && string(rep.BlockedBy) != c.want || rep.Planned != (c.want != "unplanned") && moved {
					t.Errorf("the move: %s, blocked by %q: %s", rep.Phase, rep.BlockedBy, rep.Error)
				}
			})
		})
	}
}

// TestACopyThatIsALittleBehindIsReady, one that gets further behind is not.
func TestACopyThatIsALittleBehindIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply(Options{})
		pass(time.Second)
		copied := 100
		grow := func(seconds, behind int) {
			for ; seconds > 0; seconds-- {
				end := w.written("orders")
				if end-behind > copied {
					w.dr.grow("orders", copied, end-behind)
					copied = end - behind
				}
				w.prod.grow("orders", end, end+10)
				pass(time.Second)
			}
		}
		grow(60, 10) // one second behind
		if got := w.readiness("orders"); got != "ready" {
			t.Errorf("behind by a second: %s", got)
		}
		grow(120, 100) // ten seconds behind
		if got := w.readiness("orders"); got != "lag" {
			t.Errorf("behind by ten seconds: %s", got)
		}
		grow(60, 10)
		if got := w.readiness("orders"); got != "ready" {
			t.Errorf("behind by a second again: %s", got)
		}
	})
}

// written is how many records clients have written to a topic.
func (w *world) written(topic string) int {
	w.prod.mu.Lock()
	defer w.prod.mu.Unlock()
	return int(w.prod.log(topic).end)
}

// TestReadinessOfManyCostsFewRequests: each round asks each broker for the ends of all topics at
// once, and once a minute for what seldom changes.
func TestReadinessOfManyCostsFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topics []string
		for i := range 300 {
			topics = append(topics, fmt.Sprintf("t%03d", i))
		}
		w := newWorld(t, topics...)
		w.apply(Options{})
		pass(30 * time.Second)
		if n := len(w.runner.Readiness("vc")); n != 300 || w.readiness("t299") != "ready" {
			t.Fatalf("%d topics, t299 %s", n, w.readiness("t299"))
		}
		asked := func() map[kmsg.Key]int {
			out := map[kmsg.Key]int{}
			for _, k := range []kmsg.Key{kmsg.ListOffsets, kmsg.DescribeConfigs, kmsg.Metadata, kmsg.DescribeProducers} {
				out[k] = w.prod.count(k) + w.dr.count(k)
			}
			return out
		}
		before := asked()
		pass(5 * time.Minute)
		for k, n := range asked() {
			if n -= before[k]; n > 300 {
				t.Errorf("%s was asked %d times in five minutes", kmsg.NameForKey(int16(k)), n)
			}
		}
	})
}
