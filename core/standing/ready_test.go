package standing

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fakes"
)

// readiness is what is said of a topic: ready, unplanned, or the kind of what blocks it.
func (w *world) readiness(topic string) string {
	w.T.Helper()
	for _, x := range w.watch.Readiness("vc") {
		if x.Topic != topic {
			continue
		}
		switch {
		case x.To != "dr" || x.From != "prod":
			w.T.Errorf("%+v", x)
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

// TestACopyThatIsALittleBehindIsReady, one that gets further behind is not.
func TestACopyThatIsALittleBehindIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply()
		fakes.Pass(time.Second)
		copied := 100
		grow := func(seconds, behind int) {
			for ; seconds > 0; seconds-- {
				end := w.Written("orders")
				if end-behind > copied {
					w.DR.Grow("orders", copied, end-behind)
					copied = end - behind
				}
				w.Prod.Grow("orders", end, end+10)
				fakes.Pass(time.Second)
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

// TestReadinessOfManyCostsFewRequests: each round asks each broker for the ends of all topics at
// once, and once a minute for what seldom changes.
func TestReadinessOfManyCostsFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topics []string
		for i := range 300 {
			topics = append(topics, fmt.Sprintf("t%03d", i))
		}
		w := newWorld(t, topics...)
		w.apply()
		fakes.Pass(30 * time.Second)
		if n := len(w.watch.Readiness("vc")); n != 300 || w.readiness("t299") != "ready" {
			t.Fatalf("%d topics, t299 %s", n, w.readiness("t299"))
		}
		asked := func() map[kmsg.Key]int {
			out := map[kmsg.Key]int{}
			for _, k := range []kmsg.Key{kmsg.ListOffsets, kmsg.DescribeConfigs, kmsg.Metadata, kmsg.DescribeProducers} {
				out[k] = w.Prod.Count(k) + w.DR.Count(k)
			}
			return out
		}
		before := asked()
		fakes.Pass(5 * time.Minute)
		for k, n := range asked() {
			if n -= before[k]; n > 300 {
				t.Errorf("%s was asked %d times in five minutes", kmsg.NameForKey(int16(k)), n)
			}
		}
	})
}
