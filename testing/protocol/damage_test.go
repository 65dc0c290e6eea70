package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// refusing makes a cluster take no positions, as a coordinator that is loading.
func refusing(f *kafkatest.FakeCluster) {
	f.ControlKey(kmsg.OffsetCommit.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		m := r.(*kmsg.OffsetCommitRequest)
		resp := m.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range m.Topics {
			rt := kmsg.OffsetCommitResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: 14})
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

// planned is the plan of orders to dr.
func (h *house) planned() (plans plan.Plans) {
	h.t.Helper()
	if code, _ := h.v1("POST", "/moves/plan", `{"topics": ["orders"], "to": "dr"}`, &plans); code != 200 {
		h.t.Fatalf("plan: %d", code)
	}
	return plans
}

// TestWhatWouldBecomeOfGroups if their home died this moment is in plans and metrics while it
// lives; and it is what plans say once it has died, also of a gateway that was started after that.
func TestWhatWouldBecomeOfGroups(t *testing.T) {
	h := build(t, "orders")
	h.edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {metrics: {groups: [app]}}")
	copier := h.copier(kafkatest.Faults{}, "orders")
	p := h.client(h.gw.Bootstrap)
	h.write(p, "orders", "x", 30)
	adm := kadm.NewClient(h.client(h.gw.Bootstrap))
	h.commitAt(adm, "app", 4)
	h.commitAt(adm, "done", 13)
	h.mirrored(2)
	h.wait("a plan in which nobody is hurt", func() bool {
		plans := h.planned()
		return plans.Ready == 1 && len(plans.Groups) == 0 && plans.Problem == ""
	})
	labels := map[string]string{"virtual_cluster": tenant, "home": "prod", "cluster": "dr"}
	h.shows("sluice_groups_damaged", labels, is(0))
	copier.Stop()
	h.write(p, "orders", "y", 9)
	refusing(h.dr)
	h.commitAt(adm, "app", 7)
	h.wait("a plan that knows of the last commit", func() bool { return len(h.planned().Groups) == 1 })
	plans := h.planned()
	about := fact.Must(t, "while prod lives: %+v", plans.Groups)
	fact.Equal(about, "blocked", plans.Blocked, 1)
	fact.Equal(about, "groups", len(plans.Groups), 1)
	d := plans.Groups[0]
	fact.Equal(about, "group", d.Group, "app")
	fact.Equal(about, "skipped", d.Skipped, 3)
	fact.Equal(about, "repeated", d.Repeated, 3)
	fact.Above(about, "repeated for", d.RepeatedSeconds, 0)
	for name, want := range map[string]float64{"damaged": 1, "damage_unknown": 0, "skipped": 3, "repeated": 3} {
		h.shows("sluice_groups_"+name, labels, is(want))
	}
	h.shows("sluice_groups_repeated_age_seconds", labels, func(v float64) bool { return v > 0 })
	h.shows("sluice_groups_skipped_age_seconds", labels, func(v float64) bool { return v > 0 })
	labels["group"] = "app"
	h.shows("sluice_group_skipped", labels, is(3))
	h.shows("sluice_group_repeated", labels, is(3))
	out, _ := commandLine(t)("failover", "plan", "-c", h.gw.File, "orders", "--to", "dr")
	fact.Has(fact.Of(t, "the command"), out, "if their homes died this moment, these would miss records, or get some again:")

	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	h.wait("an unplanned plan", func() bool { return h.planned().Unplanned == 1 })
	d = h.planned().Groups[0]
	about = fact.Of(t, "once prod is gone: %+v", d)
	fact.Equal(about, "skipped", d.Skipped, 3)
	fact.Equal(about, "repeated", d.Repeated, 3)
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.wait("the positions that dr has", func() bool {
		plans = h.planned()
		return plans.Unplanned == 1 && len(plans.Groups) > 0 && plans.Groups[0].Group == "app"
	})
	about = fact.Of(t, "of a gateway that was started then: %+v", plans)
	fact.AtLeast(about, "skipped", plans.Groups[0].Skipped, 3)
	fact.Equal(about, "repeated", plans.Groups[0].Repeated, 0)
	fact.Has(about, plans.Problem, "prod has been unreachable since the gateway started: its groups read on where the other clusters have them")
	out, _ = commandLine(t)("failover", "plan", "-c", h.gw.File, "orders", "--to", "dr")
	fact.Has(fact.Of(t, "the command"), out, "these groups would miss records, or get some again:")
}
