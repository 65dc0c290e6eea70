package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/leak"
)

// console runs Kafka's own tools against the gateway.
type console struct {
	*pair
	version string
}

// run returns what a tool prints, its errors too.
func (c *console) run(stdin, name string, args ...string) (string, error) {
	c.t.Helper()
	flag := "--bootstrap-server"
	if name == "kafka-cluster" {
		args, flag = append(args[:1:1], append([]string{flag, c.gw.Bootstrap}, args[1:]...)...), ""
	}
	if flag != "" {
		args = append([]string{flag, c.gw.Bootstrap}, args...)
	}
	cmd, err := kafkatest.Tool(c.ctx, c.version, name, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	err = cmd.Run()
	return out.String(), err
}

// want fails the test unless the tool ends well and prints all texts.
func (c *console) want(texts []string, stdin, name string, args ...string) string {
	c.t.Helper()
	out, err := c.run(stdin, name, args...)
	if err != nil {
		c.t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), text) {
			c.t.Errorf("%s %v does not say %q:\n%s", name, args, text, out)
		}
	}
	return out
}

// refused fails the test unless the tool fails and prints the text.
func (c *console) refused(text, stdin, name string, args ...string) {
	c.t.Helper()
	out, _ := c.run(stdin, name, args...) // some tools end with 0
	if !strings.Contains(out, text) {
		c.t.Errorf("%s %v does not say %q:\n%s", name, args, text, out)
	}
}

// TestKafkasToolsAcrossClusters: a topic lives on each cluster, and Kafka's tools see one cluster.
func TestKafkasToolsAcrossClusters(t *testing.T) {
	p := newClusters(t, kafkatest.Kafka4, kafkatest.Kafka4)
	c := &console{pair: p, version: kafkatest.Kafka4}
	if err := p.gw.Edit("resilient_topic: {cluster: prod}", "resilient_topic: {cluster: prod}\n            payments: {cluster: dr}\n            ledger: {cluster: prod}"); err != nil {
		t.Fatal(err)
	}
	c.wait("the rule", func() bool { _, body := c.call("GET", "/config", ""); return strings.Contains(body, "payments") }, func() string { return "" })

	c.want([]string{"Created topic payments"}, "", "kafka-topics", "--create", "--topic", "payments", "--partitions", "2", "--replication-factor", "2")
	c.want([]string{"payments resilient_topic"}, "", "kafka-topics", "--list")
	if out := c.want([]string{"PartitionCount: 2", "PartitionCount: 3", "Leader: 10485", "Leader: 20971"}, "", "kafka-topics", "--describe"); strings.Contains(out, "Leader: 1\t") {
		t.Errorf("a physical leader:\n%s", out)
	}
	c.want(nil, "1\n2\n3\n4\n5\n6\n", "kafka-console-producer", "--topic", "payments")
	c.want(nil, "a\nb\n", "kafka-console-producer", "--topic", "resilient_topic")
	p.examine()
	c.want([]string{"Processed a total of 8 messages"}, "", "kafka-console-consumer", "--include", "payments|resilient_topic", "--group", "g", "--from-beginning", "--max-messages", "8")
	c.want([]string{"g payments 0", "g payments 1", "g resilient_topic 2"}, "", "kafka-consumer-groups", "--describe", "--group", "g")
	c.want([]string{"g"}, "", "kafka-consumer-groups", "--list")
	c.want([]string{"g Classic consumer"}, "", "kafka-groups", "--list")
	out := c.want([]string{"payments:0:", "payments:1:", "resilient_topic:2:"}, "", "kafka-get-offsets")
	for cluster, where := range map[string]*kafkatest.RealCluster{"dr": p.dr, "prod": p.prod} {
		ends, err := kafkatest.Ends(p.ctx, where.Bootstrap(), "payments")
		if err != nil {
			t.Fatal(err)
		}
		if sum := ends["payments"][0] + ends["payments"][1]; (sum == 6) != (cluster == "dr") {
			t.Errorf("%s has %d records of payments; through the gateway:\n%s", cluster, sum, out)
		}
	}

	c.want([]string{"Completed updating config for topic payments"}, "", "kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", "payments", "--add-config", "retention.ms=777000")
	c.want([]string{"retention.ms=777000"}, "", "kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "payments")
	if v := p.config(p.dr, "payments", "retention.ms"); v != "777000" {
		t.Errorf("on its home it is %s", v)
	}
	c.want([]string{"log.retention.hours"}, "", "kafka-configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", "2097153")

	file := filepath.Join(t.TempDir(), "delete.json")
	if err := os.WriteFile(file, []byte(`{"version":1,"partitions":[{"topic":"payments","partition":0,"offset":-1},{"topic":"payments","partition":1,"offset":-1}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	c.want([]string{"payments-1 low_watermark"}, "", "kafka-delete-records", "--offset-json-file", file)
	if early, late := c.want(nil, "", "kafka-get-offsets", "--topic", "payments", "--time", "earliest"), c.want(nil, "", "kafka-get-offsets", "--topic", "payments"); early != late {
		t.Errorf("all is deleted, and it goes from\n%sto\n%s", early, late)
	}
	c.want([]string{`"broker":1048577`, `"broker":2097154`, "payments-0"}, "", "kafka-log-dirs", "--describe")
	c.want(nil, "", "kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions")
	c.want([]string{"No partition reassignments found"}, "", "kafka-reassign-partitions", "--list")
	c.want([]string{"TransactionalId"}, "", "kafka-transactions", "list")
	c.want([]string{"Cluster ID: "}, "", "kafka-cluster", "cluster-id")
	c.refused("DESCRIBE_QUORUM", "", "kafka-metadata-quorum", "describe", "--status")

	c.want([]string{"payments 0"}, "", "kafka-consumer-groups", "--group", "g", "--reset-offsets", "--to-earliest", "--topic", "payments", "--execute")
	c.want([]string{"Successful"}, "", "kafka-consumer-groups", "--group", "g", "--delete-offsets", "--topic", "payments")
	c.want([]string{"was successful"}, "", "kafka-consumer-groups", "--group", "g", "--delete")
	c.want(nil, "", "kafka-topics", "--alter", "--topic", "payments", "--partitions", "4")
	c.want([]string{"PartitionCount: 4"}, "", "kafka-topics", "--describe", "--topic", "payments")
	c.want(nil, "", "kafka-topics", "--delete", "--topic", "payments")
	if out := c.want([]string{"resilient_topic"}, "", "kafka-topics", "--list"); strings.Contains(out, "payments") {
		t.Errorf("deleted, and still listed:\n%s", out)
	}
	p.auditOnKafka()
	c.erased()
	c.undecided()
	c.refused("not present in metadata", "x\n", "kafka-console-producer", "--topic", "nowhere", "--command-property", "max.block.ms=500")
}

// erased deletes records of two partitions and moves their topic to a copy that has them: to
// Kafka's tools the log begins where it did, and the copy is cut in the end.
func (c *console) erased() {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.gw.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	for i := range 30 {
		if err := cl.ProduceSync(c.ctx, &kgo.Record{Topic: "resilient_topic", Partition: int32(i % 3), Value: []byte("x")}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
	copier, err := kafkatest.StartCopier(c.ctx, kafkatest.CopierConfig{From: c.prod.Bootstrap(), To: c.dr.Bootstrap(), Topics: []string{"resilient_topic"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(copier.Stop)
	if err := copier.CaughtUp(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.t.TempDir(), "erase.json")
	if err := os.WriteFile(file, []byte(`{"version":1,"partitions":[{"topic":"resilient_topic","partition":0,"offset":4},{"topic":"resilient_topic","partition":2,"offset":-1}]}`), 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.want([]string{"resilient_topic-0 low_watermark: 4"}, "", "kafka-delete-records", "--offset-json-file", file)
	early := c.want([]string{"resilient_topic:0:4", "resilient_topic:1:0"}, "", "kafka-get-offsets", "--topic", "resilient_topic", "--time", "earliest")
	if err := c.gw.Edit("resilient_topic: {cluster: prod}", "resilient_topic: {cluster: dr}"); err != nil {
		c.t.Fatal(err)
	}
	c.moved(1)
	if now := c.want(nil, "", "kafka-get-offsets", "--topic", "resilient_topic", "--time", "earliest"); now != early {
		c.t.Errorf("the log began at\n%sand begins after the move at\n%s", early, now)
	}
	c.want([]string{"Processed a total of 3 messages"}, "", "kafka-console-consumer", "--topic", "resilient_topic", "--partition", "0", "--offset", "1", "--max-messages", "3",
		"--command-property", "auto.offset.reset=earliest") // out of range: it begins at 4
	dr := kadm.NewClient(c.at(c.dr))
	c.wait("the cut of the copy", func() bool {
		starts, err := dr.ListStartOffsets(c.ctx, "resilient_topic")
		return err == nil && starts["resilient_topic"][0].Offset == 4
	}, func() string { return "" })
}

// undecided asks for a move while a transaction is open: whose, says the refusal.
func (c *console) undecided() {
	c.want([]string{"Created topic ledger"}, "", "kafka-topics", "--create", "--topic", "ledger", "--partitions", "2", "--replication-factor", "1")
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.gw.Bootstrap), kgo.TransactionalID("billing"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	if err := cl.ProduceSync(c.ctx, &kgo.Record{Topic: "ledger", Partition: 1, Value: []byte("x")}).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.gw.Edit("ledger: {cluster: prod}", "ledger: {cluster: dr}"); err != nil {
		c.t.Fatal(err)
	}
	c.wait("the refusal", func() bool {
		m := c.gw.Moves()
		return strings.Contains(m[len(m)-1].Error, `partition 1 has an open transaction (transactional id "billing", producer `)
	}, func() string { return fmt.Sprintf("%+v", c.gw.Moves()) })
	if err := cl.EndTransaction(c.ctx, kgo.TryAbort); err != nil {
		c.t.Fatal(err)
	}
}

// at is a client of a cluster.
func (c *console) at(to kafkatest.Cluster) *kgo.Client {
	cl, err := kgo.NewClient(kgo.SeedBrokers(to.Bootstrap()...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// config is a topic's setting on one cluster.
func (p *pair) config(c kafkatest.Cluster, topic, key string) string {
	p.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		p.t.Fatal(err)
	}
	defer cl.Close()
	rs, err := kadm.NewClient(cl).DescribeTopicConfigs(p.ctx, topic)
	if err != nil || len(rs) != 1 || rs[0].Err != nil {
		p.t.Fatalf("%v %v", rs, err)
	}
	for _, k := range rs[0].Configs {
		if k.Key == key && k.Value != nil {
			return *k.Value
		}
	}
	return ""
}

// TestNothingPhysicalLeaks asks real Kafka every API in every version that the gateway offers.
func TestNothingPhysicalLeaks(t *testing.T) {
	p := newClusters(t, kafkatest.Kafka4, kafkatest.Kafka4)
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.gw.Bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 9 {
		r := &kgo.Record{Topic: p.topic, Partition: int32(i % 3), Value: fmt.Append(nil, i)}
		if err := cl.ProduceSync(p.ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(cl)
	if _, err := adm.CommitOffsets(p.ctx, "g", kadm.OffsetsFromRecords(kgo.Record{Topic: p.topic, Offset: 1})); err != nil {
		t.Fatal(err)
	}
	var physical leak.Physical
	for _, c := range []*kafkatest.RealCluster{p.prod, p.dr} {
		own, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
		if err != nil {
			t.Fatal(err)
		}
		m, err := kadm.NewClient(own).Metadata(p.ctx, p.topic)
		own.Close()
		if err != nil {
			t.Fatal(err)
		}
		physical.Texts = append(physical.Texts, m.Cluster)
		physical.TopicIDs = append(physical.TopicIDs, m.Topics[p.topic].ID)
		for _, b := range m.Brokers {
			physical.Ports = append(physical.Ports, b.Port)
			physical.Texts = append(physical.Texts, fmt.Sprintf("127.0.0.1:%d", b.Port))
		}
	}
	began := time.Now()
	r, err := leak.Scan(p.ctx, leak.Target{Bootstrap: p.gw.Bootstrap, Topic: p.topic, TopicID: p.gw.Topic("passThroughTenant", p.topic).ID, Group: "g", VirtualNode: 1<<20 + 1}, physical)
	if err == nil {
		err = r.Err(230)
	}
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d answers of %d APIs in %s; without an answer: %q; slow: %q", r.Asked, len(r.APIs), time.Since(began).Round(time.Millisecond), r.Errors, r.Slow)
}
