package groups

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMembersFindTheirPositionsFirst: what makes them rebalance waits while a topic of theirs has
// just moved, and for no other one.
func TestMembersFindTheirPositionsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(t)
		for name, topic := range map[string]string{"app": "orders", "other": "refunds"} {
			g.Group(name).Subscribes([]string{topic})
		}
		g.TopicMoved("orders")
		time.Sleep(200 * time.Millisecond)
		for _, c := range []struct {
			group string
			want  time.Duration
		}{{"other", 0}, {"app", validates - 200*time.Millisecond}, {"app", 0}} {
			began := time.Now()
			if err := g.Group(c.group).AwaitPositions(t.Context(), arrived()); err != nil || time.Since(began) != c.want {
				t.Errorf("%s: %v after %s, want %s", c.group, err, time.Since(began), c.want)
			}
		}
		time.Sleep(time.Millisecond)
		g.Sweep()
		if len(g.published.at) > 0 {
			t.Error("remembered for good")
		}
	})
}
