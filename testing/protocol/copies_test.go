package protocol

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestACopyIsMadeWhenItsClusterIsBack: a topic made while dr is dead gets its copy there later,
// with as many partitions and the same settings, or its next move would be refused. Neither a
// reload nor a restart forgets it.
func TestACopyIsMadeWhenItsClusterIsBack(t *testing.T) {
	restart := func(h *house) {
		if err := h.gw.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := h.gw.Restart(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(h *house) {
		before := h.gw.Snapshot().Revision
		if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: prod}\n            other: {cluster: prod}"); err != nil {
			t.Fatal(err)
		}
		h.wait("the reload", func() bool { return h.gw.Snapshot().Revision != before })
	}
	for name, meanwhile := range map[string]func(*house){"nothing": func(*house) {}, "a reload": reload, "a restart": restart} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "orders")
			if err := kafkatest.KillAll(h.dr); err != nil {
				t.Fatal(err)
			}
			c := kadm.NewClient(h.client(h.gw.Bootstrap))
			retention := "123456"
			if r, err := c.CreateTopic(h.ctx, 5, 1, map[string]*string{"retention.ms": &retention}, "fresh"); err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			missing := func() bool {
				code, body := h.call("GET", "/routes", "")
				return code == 200 && strings.Contains(body, `"missing": [`)
			}
			meanwhile(h)
			if !missing() {
				t.Error("the routes do not tell")
			}
			for _, n := range h.dr.Nodes() {
				if err := h.dr.Restart(h.ctx, n); err != nil {
					t.Fatal(err)
				}
			}
			h.wait("the copy", func() bool {
				d, err := h.admin(h.dr).ListTopics(h.ctx, "fresh")
				return err == nil && len(d["fresh"].Partitions) == 5
			})
			h.wait("the routes", func() bool { return !missing() })
			configs, err := h.admin(h.dr).DescribeTopicConfigs(h.ctx, "fresh")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool {
				return c.Key == "retention.ms" && c.MaybeValue() == retention && c.Source == kmsg.ConfigSourceDynamicTopicConfig
			}) {
				t.Errorf("the copy's settings: %+v", configs[0].Configs)
			}
		})
	}
}

// TestACopyOfATopicThatIsGoneIsNotMade.
func TestACopyOfATopicThatIsGoneIsNotMade(t *testing.T) {
	h := build(t, "orders")
	if err := kafkatest.KillAll(h.dr); err != nil {
		t.Fatal(err)
	}
	c := kadm.NewClient(h.client(h.gw.Bootstrap))
	for _, name := range []string{"deleted", "vanished"} {
		if r, err := c.CreateTopic(h.ctx, 1, 1, nil, name); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	if r, err := c.DeleteTopic(h.ctx, "deleted"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if r, err := h.admin(h.prod).DeleteTopic(h.ctx, "vanished"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for _, n := range h.dr.Nodes() {
		if err := h.dr.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("an end of it", func() bool {
		_, body := h.call("GET", "/routes", "")
		return !strings.Contains(body, `"missing": [`) && !strings.Contains(body, `"deleted"`)
	})
	d, err := h.admin(h.dr).ListTopics(h.ctx)
	if err != nil || d.Has("deleted") || d.Has("vanished") {
		t.Errorf("dr has %v, %v", d.Names(), err)
	}
}
