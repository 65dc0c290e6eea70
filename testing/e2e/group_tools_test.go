package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// groupTool is kafka-consumer-groups at the gateway, or at a cluster.
type groupTool struct {
	*pair
	tool *clients.Tool
}

func (g *groupTool) run(bootstrap string, args ...string) string {
	g.t.Helper()
	out, err := g.tool.Run(append([]string{"--bootstrap-server", bootstrap}, args...)...)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// facts are the lines that the tool prints, without what is a cluster's own: ids of members, which
// its coordinator gives out, and the coordinator.
func facts(out string) []string {
	own := []string{"CONSUMER-ID", "CLIENT-ID", "COORDINATOR", "(ID)"}
	var lines []string
	var head []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if slices.Contains(fields, "GROUP") {
			head = fields
			continue
		}
		var kept []string
		for i, f := range fields {
			if i >= len(head) || !slices.Contains(own, head[i]) {
				kept = append(kept, f)
			}
		}
		if len(kept) > 0 {
			lines = append(lines, strings.Join(kept, " "))
		}
	}
	slices.Sort(lines)
	return lines
}

// questions are what the tool is asked of groups with and without members, that changes nothing:
// what would is refused, since they have members.
func questions(groups ...string) [][]string {
	all := [][]string{{"--list"}}
	for _, g := range groups {
		all = append(all, []string{"--describe", "--group", g}, []string{"--describe", "--members", "--group", g}, []string{"--describe", "--state", "--group", g})
	}
	return all
}

// same waits until the tool says the same at the gateway as it says at a cluster.
func (g *groupTool) same(c *kafkatest.RealCluster, ask []string) {
	g.t.Helper()
	var here, there []string
	g.wait(strings.Join(ask, " "), func() bool {
		here, there = facts(g.run(g.gw.Bootstrap, ask...)), facts(g.run(c.Bootstrap()[0], ask...))
		return slices.Equal(here, there)
	}, func() string {
		return fmt.Sprintf("\n%s\nat %s\n%s", strings.Join(here, "\n"), c.Name(), strings.Join(there, "\n"))
	})
}

// says fails the test unless the tool says a text.
func (g *groupTool) says(text string, args ...string) {
	g.t.Helper()
	if out := g.run(g.gw.Bootstrap, args...); !strings.Contains(strings.Join(strings.Fields(out), " "), text) {
		g.t.Errorf("%v does not say %q:\n%s", args, text, out)
	}
}

// TestConsumerGroupsToolWhileGroupsMove: kafka-consumer-groups says of groups with and without
// members what it says at their home, before, while and after they move. What it refuses because a
// group has members it refuses all the time, and what it changes is changed.
func TestConsumerGroupsToolWhileGroupsMove(t *testing.T) {
	g := &groupTool{pair: newPair(t, kafkatest.Kafka4)}
	if err := g.gw.Edit("default: prod", "default: prod\n          groups: {\"app_*\": prod}"); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.gw.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 30 {
		if err := cl.ProduceSync(g.ctx, &kgo.Record{Topic: g.topic, Partition: int32(i % 3), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	rec := clients.NewRecorder()
	java, err := clients.StartJavaConsumers(g.ctx, kafkatest.Kafka4, g.gw.Bootstrap, func(string) *clients.Recorder { return rec })
	if err != nil {
		t.Fatal(err)
	}
	defer java.Close()
	for _, group := range []string{"app_classic", "app_next"} {
		protocol := map[string]string{"app_classic": "classic", "app_next": "consumer"}[group]
		for i := range 2 {
			if err := java.Join(fmt.Sprint(group, i), group, []string{g.topic}, "group.protocol="+protocol); err != nil {
				t.Fatal(err)
			}
		}
	}
	if g.tool, err = clients.StartTool(g.ctx, kafkatest.Kafka4, "kafka-consumer-groups"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.tool.Close() }()
	var committed kadm.Offsets
	for p := range int32(3) {
		committed.AddOffset(g.topic, p, 0, -1)
	}
	for _, group := range []string{"app_reset", "app_deleted"} {
		if err := kadm.NewClient(cl).CommitAllOffsets(g.ctx, group, committed); err != nil {
			t.Fatal(err)
		}
	}
	groups := []string{"app_classic", "app_next", "app_reset", "app_deleted"}
	settled := func(c *kafkatest.RealCluster) {
		t.Helper()
		for _, group := range groups[:2] {
			g.wait(group, func() bool {
				read, members := 0, 0
				for _, line := range facts(g.run(c.Bootstrap()[0], "--describe", "--group", group)) {
					if f := strings.Fields(line); len(f) > 2 && f[len(f)-2] == "0" { // no lag
						read++
					}
				}
				for _, line := range facts(g.run(c.Bootstrap()[0], "--describe", "--members", "--group", group)) {
					if f := strings.Fields(line); len(f) > 1 && f[len(f)-1] != "0" { // partitions
						members++
					}
				}
				state := facts(g.run(c.Bootstrap()[0], "--describe", "--state", "--group", group))
				return read == 3 && members == 2 && len(state) == 1 && strings.Contains(state[0], "Stable")
			}, func() string { return g.run(c.Bootstrap()[0], "--describe", "--group", group) })
		}
	}
	refusals := func() {
		t.Helper()
		for _, group := range groups[:2] {
			g.says("Assignments can only be reset if the group '"+group+"' is inactive", "--reset-offsets", "--to-earliest", "--topic", g.topic, "--execute", "--group", group)
			g.says("GroupNotEmptyException", "--delete", "--group", group)
			g.says("GroupSubscribedToTopicException", "--delete-offsets", "--topic", g.topic, "--group", group)
		}
	}
	settled(g.prod)
	for _, ask := range questions(groups...) {
		g.same(g.prod, ask)
	}
	before := map[string][]string{}
	for _, ask := range questions(groups...) {
		before[strings.Join(ask, " ")] = facts(g.run(g.gw.Bootstrap, ask...))
	}
	refusals()

	if err := g.gw.Edit(`"app_*": prod`, `"app_*": dr`); err != nil {
		t.Fatal(err)
	}
	reset := 0
	g.wait("the groups", func() bool {
		reset++
		at := reset % 5
		g.says(fmt.Sprintf("app_reset %s 0 %d", g.topic, at), "--reset-offsets", "--to-offset", fmt.Sprint(at), "--topic", g.topic, "--execute", "--group", "app_reset")
		g.says(fmt.Sprintf("app_reset %s 0 %d ", g.topic, at), "--describe", "--group", "app_reset")
		refusals()
		for _, group := range groups {
			if known := g.gw.Group("passThroughTenant", group); known == nil || known.Home != "dr" {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprint(g.gw.Moves()) })
	t.Logf("%d rounds while the groups moved", reset)
	refusals()
	settled(g.dr)
	for _, ask := range questions(groups...) {
		g.same(g.dr, ask)
		now, key := facts(g.run(g.gw.Bootstrap, ask...)), strings.Join(ask, " ")
		if !slices.Equal(now, before[key]) && !strings.HasSuffix(key, "app_reset") {
			t.Errorf("%s said before\n%s\nand says after\n%s", key, strings.Join(before[key], "\n"), strings.Join(now, "\n"))
		}
	}

	g.says("Successful", "--delete-offsets", "--topic", g.topic, "--group", "app_reset")
	g.says("was successful", "--delete", "--group", "app_deleted")
	if out := g.run(g.gw.Bootstrap, "--list"); strings.Contains(out, "app_deleted") {
		t.Errorf("deleted, and listed:\n%s", out)
	}
	for _, c := range []*kafkatest.RealCluster{g.prod, g.dr} {
		var all []string
		has := func(group string) bool {
			return slices.ContainsFunc(all, func(line string) bool { return strings.HasPrefix(line, group+" "+g.topic+" ") })
		}
		g.wait("what was deleted to be deleted on "+c.Name(), func() bool {
			all = facts(g.run(c.Bootstrap()[0], "--describe", "--all-groups"))
			return has("app_next") && !has("app_deleted") && !has("app_reset")
		}, func() string { return strings.Join(all, "\n") })
	}
	if r := rec.Report(); r.ClientErrors > 0 {
		t.Errorf("members saw errors: %v", r.Details)
	}
}
