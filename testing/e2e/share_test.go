package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	var beside sync.WaitGroup // what they do is to wait, mostly
	defer beside.Wait()
	for story, tell := range clients.ShareStories {
		for where, bootstrap := range map[string]string{"direct": p.prod.Bootstrap()[0], "away": p.gw.Bootstrap} {
			name := where + "-" + strings.ReplaceAll(story, " ", "-")
			beside.Go(func() {
				if err := tell(clients.Share{Bootstrap: bootstrap, Topic: name, Group: "group-" + name, Partitions: 3}, p.ctx); err != nil {
					t.Errorf("%s, %s: %v", story, where, err)
				}
			})
		}
	}
	beside.Go(func() { p.franzShare(p.gw.Bootstrap) })
	beside.Go(p.shareTools)
	p.followed()
}

// franzShare runs franz-go's own tests of share groups.
func (p *pair) franzShare(bootstrap string) {
	own := []string{"TestShareGroupETL", "TestShareGroupAckOnClose", "TestShareGroupOffsetsAdmin"}
	program := filepath.Join(p.t.TempDir(), "kgo.test")
	if out, err := exec.CommandContext(p.ctx, "go", "test", "-c", "-o", program, "github.com/twmb/franz-go/pkg/kgo").CombinedOutput(); err != nil {
		p.t.Errorf("franz-go's tests: %v\n%s", err, out)
		return
	}
	cmd := exec.CommandContext(p.ctx, program, "-test.v", "-test.run", "^("+strings.Join(own, "|")+")$")
	cmd.Dir = p.t.TempDir()
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+bootstrap, "KGO_TEST_RF=2", "KGO_TEST_RECORDS=2000")
	out, err := cmd.CombinedOutput()
	for _, name := range own {
		if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
			p.t.Errorf("franz-go's %s: %v\n%s", name, err, out[max(0, len(out)-4000):])
			return
		}
	}
}

// followed has share groups, of franz-go's and of Java's consumer, consume their topic while that
// moves, and moves back.
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
	java := p.javaShare("java-workers")
	var all []string
	write := func(label string) {
		p.t.Helper()
		values, err := q.Produce(p.ctx, label, 60)
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, values...)
	}
	taken := func(what string) {
		p.t.Helper()
		p.wait(what, func() bool { return q.Missing(all) == 0 && java.missing(all) == 0 }, func() string {
			return fmt.Sprintf("of %d records franz-go misses %d, Java %d: %s", len(all), q.Missing(all), java.missing(all), java.errors())
		})
	}
	for i, to := range []string{"dr", "prod"} {
		from := map[string]string{"dr": "prod", "prod": "dr"}[to]
		write(fmt.Sprint("before-", to))
		taken("what was written before")
		if err := p.gw.Edit(p.topic+": {cluster: "+from, p.topic+": {cluster: "+to); err != nil {
			p.t.Fatal(err)
		}
		write(fmt.Sprint("during-", to))
		p.moved(i + 1)
		if to == "dr" {
			p.turn(p.dr, p.prod)
		}
		write(fmt.Sprint("after-", to))
		taken("what was written until after the move to " + to)
		p.t.Logf("moved to %s: %d of %d records came again to franz-go, %d to Java", to, q.Again(all), len(all), java.again(all))
	}
}

// javaShare is Java's share consumer with its default settings.
type javaShare struct {
	mu   sync.Mutex
	seen map[string]int
	said bytes.Buffer
}

// Write is for what it writes of errors.
func (j *javaShare) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.said.Write(b)
}

func (p *pair) javaShare(group string) *javaShare {
	p.t.Helper()
	j := &javaShare{seen: map[string]int{}}
	if err := (clients.Share{Bootstrap: p.gw.Bootstrap, Group: group}).FromTheStart(p.ctx); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.ctx)
	cmd, err := kafkatest.Tool(ctx, kafkatest.Kafka4, "kafka-console-share-consumer", "--bootstrap-server", p.gw.Bootstrap, "--topic", p.topic, "--group", group)
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stderr = j
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			j.mu.Lock()
			j.seen[lines.Text()]++
			j.mu.Unlock()
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
	})
	return j
}

func (j *javaShare) missing(values []string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, v := range values {
		if j.seen[v] == 0 {
			n++
		}
	}
	return n
}

func (j *javaShare) again(values []string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, v := range values {
		n += max(j.seen[v]-1, 0)
	}
	return n
}

func (j *javaShare) errors() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.said.String()
}

// shareTools asks Kafka's own tools about share groups.
func (p *pair) shareTools() {
	p.t.Helper()
	c := &console{pair: p, version: kafkatest.Kafka4}
	s := clients.Share{Bootstrap: p.gw.Bootstrap, Topic: "away-tools", Group: "tools", Partitions: 1}
	err := errors.Join(s.Create(p.ctx), s.FromTheStart(p.ctx))
	if err == nil {
		_, err = s.Produce(p.ctx, "tool", 10)
	}
	if err != nil {
		p.t.Error(err)
		return
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
