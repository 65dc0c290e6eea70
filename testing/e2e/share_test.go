package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestShareGroups: what share consumers rely on holds through the gateway as it does on a broker,
// wherever topic and group live; and Kafka's own tools see one cluster.
func TestShareGroups(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	if err := p.gw.Edit("          topics:\n", "          topics:\n            \"away-*\": {cluster: dr}\n"); err != nil {
		t.Fatal(err)
	}
	p.wait("the rule", func() bool { _, body := p.call("GET", "/config", ""); return strings.Contains(body, "away-") }, func() string { return "" })
	t.Run("stories", func(t *testing.T) {
		for story, tell := range clients.ShareStories {
			for where, bootstrap := range map[string]string{"direct": p.prod.Bootstrap()[0], "away": p.gw.Bootstrap} {
				name := where + "-" + strings.ReplaceAll(story, " ", "-")
				t.Run(where+"/"+story, func(t *testing.T) {
					t.Parallel()
					if err := tell(clients.Share{Bootstrap: bootstrap, Topic: name, Group: "group-" + name, Partitions: 3}, p.ctx); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
	p.followed()
	p.shareTools()
}

// followed has a share group consume its topic while that moves, and moves back.
func (p *pair) followed() {
	p.t.Helper()
	s := clients.Share{Bootstrap: p.gw.Bootstrap, Topic: p.topic, Group: "workers", Partitions: 3}
	if err := s.FromTheStart(p.ctx); err != nil {
		p.t.Fatal(err)
	}
	q, err := s.Consume(p.ctx, 2)
	if err != nil {
		p.t.Fatal(err)
	}
	defer q.Close()
	var all []string
	write := func(label string) {
		p.t.Helper()
		values, err := q.Produce(p.ctx, label, 60)
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, values...)
	}
	for i, to := range []string{"dr", "prod"} {
		from := map[string]string{"dr": "prod", "prod": "dr"}[to]
		write(fmt.Sprint("before-", to))
		p.wait("what was written before", func() bool { return q.Missing(all) == 0 }, func() string { return fmt.Sprint(q.Missing(all)) })
		if err := p.gw.Edit(p.topic+": {cluster: "+from, p.topic+": {cluster: "+to); err != nil {
			p.t.Fatal(err)
		}
		write(fmt.Sprint("during-", to))
		p.moved(i + 1)
		if to == "dr" {
			p.turn(p.dr, p.prod)
		}
		write(fmt.Sprint("after-", to))
		p.wait("what was written until after the move to "+to, func() bool { return q.Missing(all) == 0 }, func() string { return fmt.Sprint(q.Missing(all)) })
		p.t.Logf("moved to %s: %d of %d records came again", to, q.Again(all), len(all))
	}
}

// shareTools asks Kafka's own tools about share groups.
func (p *pair) shareTools() {
	p.t.Helper()
	c := &console{pair: p, version: kafkatest.Kafka4}
	s := clients.Share{Bootstrap: p.gw.Bootstrap, Topic: "away-tools", Group: "tools", Partitions: 1}
	if err := s.Create(p.ctx); err != nil {
		p.t.Fatal(err)
	}
	if err := s.FromTheStart(p.ctx); err != nil {
		p.t.Fatal(err)
	}
	if _, err := s.Produce(p.ctx, "tool", 10); err != nil {
		p.t.Fatal(err)
	}
	c.want([]string{"tool-0", "tool-9", "Processed a total of 10 messages"}, "", "kafka-console-share-consumer", "--topic", s.Topic, "--group", s.Group, "--max-messages", "10", "--timeout-ms", "60000")
	c.want([]string{"tools Empty"}, "", "kafka-share-groups", "--list", "--state")
	c.want([]string{"tools away-tools 0"}, "", "kafka-share-groups", "--describe", "--group", s.Group)
	c.want([]string{"tools away-tools 0 0"}, "", "kafka-share-groups", "--reset-offsets", "--to-earliest", "--topic", s.Topic, "--group", s.Group, "--execute")
	c.want([]string{"Processed a total of 10 messages"}, "", "kafka-console-share-consumer", "--topic", s.Topic, "--group", s.Group, "--max-messages", "10", "--timeout-ms", "60000")
	c.want([]string{"away-tools Successful"}, "", "kafka-share-groups", "--delete-offsets", "--topic", s.Topic, "--group", s.Group)
	c.want([]string{"successful"}, "", "kafka-share-groups", "--delete", "--group", s.Group)
	if out, _ := c.run("", "kafka-share-groups", "--list"); strings.Contains(out, "tools") {
		p.t.Errorf("a group that was deleted is listed:\n%s", out)
	}
}
