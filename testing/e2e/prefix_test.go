package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// sounds is what a setting's name sounds like that may name a topic, a node or an address.
var sounds = regexp.MustCompile(`topic|broker|node|listener|replica|voter|server|host|connect|address|endpoint`)

// silent are settings that sound like it, and whose values name none.
var silent = strings.Fields(`
	alter.log.dirs.replication.quota.window.num alter.log.dirs.replication.quota.window.size.seconds auto.create.topics.enable
	broker.heartbeat.interval.ms broker.rack broker.session.timeout.ms connection.failed.authentication.delay.ms connections.max.idle.ms
	connections.max.reauth.ms controller.listener.names create.topic.policy.class.name default.replication.factor delete.topic.enable
	early.start.listeners group.streams.max.standby.replicas group.streams.num.standby.replicas initial.broker.registration.timeout.ms
	inter.broker.listener.name listener.security.protocol.map max.connection.creation.rate max.connections max.connections.per.ip
	max.connections.per.ip.overrides min.insync.replicas num.replica.alter.log.dirs.threads num.replica.fetchers
	offsets.topic.compression.codec offsets.topic.num.partitions offsets.topic.replication.factor offsets.topic.segment.bytes
	remote.log.metadata.manager.listener.name replica.fetch.backoff.ms replica.fetch.max.bytes replica.fetch.min.bytes
	replica.fetch.response.max.bytes replica.fetch.wait.max.ms replica.high.watermark.checkpoint.interval.ms replica.lag.time.max.ms
	replica.selector.class replica.socket.receive.buffer.bytes replica.socket.timeout.ms replication.quota.window.num
	replication.quota.window.size.seconds sasl.login.connect.timeout.ms sasl.mechanism.inter.broker.protocol
	sasl.oauthbearer.jwks.endpoint.refresh.ms sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms
	sasl.oauthbearer.jwks.endpoint.retry.backoff.ms sasl.oauthbearer.jwks.endpoint.url sasl.oauthbearer.token.endpoint.url
	sasl.server.callback.handler.class sasl.server.max.receive.size security.inter.broker.protocol
	share.coordinator.state.topic.compression.codec share.coordinator.state.topic.min.isr share.coordinator.state.topic.num.partitions
	share.coordinator.state.topic.replication.factor share.coordinator.state.topic.segment.bytes socket.connection.setup.timeout.max.ms
	socket.connection.setup.timeout.ms ssl.endpoint.identification.algorithm streams.num.standby.replicas
	transaction.state.log.replication.factor
`)

// TestAPrefixIsNoBusinessOfClients of real brokers, which read what looks like bytes on the way.
func TestAPrefixIsNoBusinessOfClients(t *testing.T) {
	kafkatest.Require(t, "java", "mvn")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	prod, err := kafkatest.Real(ctx, "prod", kafkatest.Kafka4, t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prod.Close() })
	port, err := kafkatest.FreePorts(12)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := fmt.Sprintf("clusters:\n  prod: {bootstrap: [%s], nodes: 0-9}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: [topics: {prefix: vc.}, offsets: {}]\n",
		strings.Join(prod.Bootstrap(), ","), port, port+1, port+10)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	gw, err := gatewaytest.Open(ctx, file, logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Stop() })
	gw.Bootstrap = fmt.Sprintf("127.0.0.1:%d", port)
	p := &pair{t: t, ctx: ctx, prod: prod, gw: gw, topic: "orders"}
	c := &console{pair: p, version: kafkatest.Kafka4}
	client, err := kgo.NewClient(kgo.SeedBrokers(gw.Bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopics(ctx, 4, 2, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Key: fmt.Append(nil, i), Value: []byte("record")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("what is subscribed to is kept", func(t *testing.T) {
		member := consume(c, "orders", "classic")
		p.wait("the group's position", func() bool {
			o, err := adm.FetchOffsets(ctx, "readers")
			return err == nil && len(o.Offsets()) > 0
		}, member.String)
		c.refused("subscribed", "", "kafka-consumer-groups", "--delete-offsets", "--group", "readers", "--topic", "orders")
		c.want([]string{"readers orders 0"}, "", "kafka-consumer-groups", "--describe", "--group", "readers")
	})
	t.Run("a member of the new protocol joins, and the group goes on", func(t *testing.T) {
		member := consume(c, "orders", "consumer")
		p.wait("partitions of both", func() bool {
			req := kmsg.NewPtrConsumerGroupDescribeRequest()
			req.Groups = []string{"readers"}
			resp, err := req.RequestWith(ctx, client)
			if err != nil || len(resp.Groups) != 1 || len(resp.Groups[0].Members) != 2 {
				return false
			}
			n := 0
			for _, m := range resp.Groups[0].Members {
				own := 0
				for _, a := range m.Assignment.TopicPartitions {
					if a.Topic != "orders" {
						t.Errorf("a member has partitions of %s", a.Topic)
					}
					own += len(a.Partitions)
				}
				if own == 0 {
					return false
				}
				n += own
			}
			return n == 4
		}, member.String)
	})
	t.Run("an expression matches what is made later", func(t *testing.T) {
		expr, epoch, found := "^late.*", int32(0), false
		p.wait("the new topic", func() bool {
			beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			beat.Group, beat.MemberID, beat.MemberEpoch, beat.RebalanceTimeoutMillis = "patterns", "AAAAAAAAAAAAAAAAAAAAAA", epoch, 45_000
			if epoch == 0 {
				beat.SubscribedTopicRegex, beat.Topics = &expr, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			}
			resp, err := beat.RequestWith(ctx, client)
			if err != nil || resp.ErrorCode != 0 {
				return false
			}
			if epoch == 0 {
				if _, err := adm.CreateTopics(ctx, 2, 2, nil, "later"); err != nil {
					t.Error(err)
				}
			}
			epoch = resp.MemberEpoch
			found = found || resp.Assignment != nil && len(resp.Assignment.Topics) == 1
			return found
		}, func() string { return "" })
	})
	t.Run("replicas are throttled by the ids that clients know", func(t *testing.T) {
		node := prodNode(t, client)
		c.want(nil, "", "kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", "orders", "--add-config", fmt.Sprintf("leader.replication.throttled.replicas=[0:%d]", node))
		c.want([]string{fmt.Sprintf("leader.replication.throttled.replicas=0:%d", node)}, "", "kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "orders")
		direct, err := kgo.NewClient(kgo.SeedBrokers(prod.Bootstrap()...))
		if err != nil {
			t.Fatal(err)
		}
		defer direct.Close()
		there, err := kadm.NewClient(direct).DescribeTopicConfigs(ctx, "vc.orders")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range there[0].Configs {
			if s.Key == "leader.replication.throttled.replicas" && s.MaybeValue() != fmt.Sprintf("0:%d", node&(1<<20-1)) {
				t.Errorf("on the cluster it is %s", s.MaybeValue())
			}
		}
	})
	t.Run("every setting that sounds like it is known", func(t *testing.T) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		for kind, name := range map[kmsg.ConfigResourceType]string{
			kmsg.ConfigResourceTypeTopic: "orders", kmsg.ConfigResourceTypeGroupConfig: "readers", kmsg.ConfigResourceTypeBroker: fmt.Sprint(prodNode(t, client)),
		} {
			req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kind, ResourceName: name})
		}
		for _, r := range req.Resources {
			one := kmsg.NewPtrDescribeConfigsRequest()
			one.Resources = []kmsg.DescribeConfigsRequestResource{r}
			resp, err := one.RequestWith(ctx, client)
			about := fact.Must(t, "%v: %v, %+v", r, err, resp)
			fact.NoError(about, err)
			fact.Equal(about, "len(resp.Resources)", len(resp.Resources), 1)
			fact.Equal(about, "resp.Resources[0].ErrorCode", resp.Resources[0].ErrorCode, 0)
			fact.Other(about, "len(resp.Resources[0].Configs)", len(resp.Resources[0].Configs), 0)
			for _, s := range resp.Resources[0].Configs {
				if sounds.MatchString(s.Name) && !slices.Contains(silent, s.Name) && kafka.ConfigValueOf(r.ResourceType, s.Name) == "" {
					t.Errorf("nobody says what %s of a resource of type %d names", s.Name, r.ResourceType)
				}
			}
		}
	})
}

// prodNode is the id that clients know a node by.
func prodNode(t *testing.T, c *kgo.Client) int32 {
	t.Helper()
	m, err := kmsg.NewPtrMetadataRequest().RequestWith(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return m.Brokers[0].NodeID
}

// consume runs Kafka's console consumer in the group "readers" until the test ends.
func consume(c *console, topic, protocol string) *bytes.Buffer {
	c.t.Helper()
	cmd, err := kafkatest.Tool(c.ctx, c.version, "kafka-console-consumer", "--bootstrap-server", c.gw.Bootstrap, "--topic", topic, "--group", "readers",
		"--consumer-property", "group.protocol="+protocol, "--consumer-property", "auto.offset.reset=earliest", "--consumer-property", "auto.commit.interval.ms=100")
	if err != nil {
		c.t.Fatal(err)
	}
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return out
}
