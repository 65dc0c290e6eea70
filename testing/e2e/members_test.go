package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// requests is how many of an API the gateway has answered.
func (p *pair) requests(api string) (n int64) {
	p.t.Helper()
	_, body := p.call("GET", "/api/v1/traffic", "")
	var all []admin.Traffic
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		p.t.Fatal(err, body)
	}
	for _, v := range all {
		for _, a := range v.APIs {
			if a.API == api {
				n += a.Requests
			}
		}
	}
	return n
}

// TestMembersOfTheNewProtocol (KIP-848) get the partitions of a topic that was made after they
// subscribed, and of no hidden one.
func TestMembersOfTheNewProtocol(t *testing.T) {
	p := newClusters(t, kafkatest.Kafka4, kafkatest.Kafka4)
	client, err := kgo.NewClient(kgo.SeedBrokers(p.gw.Bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, topic := range []string{"mm2-hidden", "heartbeats"} {
		if err := kafkatest.Create(p.ctx, p.prod, topic, 2); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("the console consumer is there before its topic", func(t *testing.T) {
		cmd, err := kafkatest.Tool(p.ctx, kafkatest.Kafka4, "kafka-console-consumer", "--bootstrap-server", p.gw.Bootstrap, "--topic", "later", "--group", "early",
			"--consumer-property", "group.protocol=consumer", "--consumer-property", "auto.offset.reset=earliest", "--max-messages", "12", "--timeout-ms", "90000")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p.wait("the member's first heartbeat", func() bool { return p.requests("ConsumerGroupHeartbeat") > 0 }, func() string { return "" })
		create := kmsg.NewPtrCreateTopicsRequest()
		create.TimeoutMillis = 10_000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "later", 6, 2
		create.Topics = append(create.Topics, topic)
		if _, err := client.Request(p.ctx, create); err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			if err := client.ProduceSync(p.ctx, &kgo.Record{Topic: "later", Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "record-%d", i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		before, began := p.requests("Metadata"), time.Now()
		if err := cmd.Wait(); err != nil || strings.Count(out.String(), "record-") != 12 {
			t.Errorf("%v:\n%s", err, out.String())
		}
		if n, most := p.requests("Metadata")-before, 100+int64(time.Since(began)/(100*time.Millisecond)); n > most {
			t.Errorf("%d requests for metadata", n)
		}
	})
	t.Run("an expression that matches a hidden topic", func(t *testing.T) {
		meta, err := kmsg.NewPtrMetadataRequest().RequestWith(p.ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		known := map[[16]byte]string{}
		for _, m := range meta.Topics {
			known[m.TopicID] = *m.Topic
		}
		all := ".*"
		member, epoch := "AAAAAAAAAAAAAAAAAAAAAA", int32(0)
		var assigned *kmsg.ConsumerGroupHeartbeatResponseAssignment
		p.wait("an assignment", func() bool {
			beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			beat.Group, beat.MemberID, beat.MemberEpoch, beat.RebalanceTimeoutMillis = "patterns", member, epoch, 45_000
			beat.SubscribedTopicRegex, beat.Topics = &all, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			resp, err := beat.RequestWith(p.ctx, client)
			if err != nil || resp.ErrorCode != 0 {
				return false
			}
			if epoch = resp.MemberEpoch; resp.Assignment != nil && len(resp.Assignment.Topics) > 0 {
				assigned = resp.Assignment
			}
			return assigned != nil
		}, func() string { return "" })
		for _, a := range assigned.Topics {
			if known[a.TopicID] == "" {
				t.Errorf("assigned partitions %v of %x, which nobody knows", a.Partitions, a.TopicID)
			}
		}
		if len(assigned.Topics) < 3 {
			t.Errorf("assigned %+v, of topics %v", assigned.Topics, known)
		}
	})
}
