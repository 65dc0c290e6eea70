package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAcksZeroFindsATopicThatIsMadeAgain: a producer that waits for no answer learns from the end
// of its connection that the topic it knows is gone, long before it would ask for metadata by
// itself.
func TestAcksZeroFindsATopicThatIsMadeAgain(t *testing.T) {
	p := newClusters(t, kafkatest.Kafka4, kafkatest.Kafka4)
	port, err := kafkatest.FreePorts(11)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "clusters:\n  prod: {bootstrap: [%s], nodes: 0-9}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: []\n",
		strings.Join(p.prod.Bootstrap(), ","), port, port+1, port+10), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := gatewaytest.Open(p.ctx, file, logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Stop() })
	direct, err := kgo.NewClient(kgo.SeedBrokers(p.prod.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	adm := kadm.NewClient(direct)
	for chain, addr := range map[string]string{"full": p.gw.Bootstrap, "empty": fmt.Sprintf("127.0.0.1:%d", port)} {
		t.Run(chain, func(t *testing.T) {
			topic, node := "again-"+chain, int32(1)
			create := func() bool { // led by another node each time
				req := kmsg.NewPtrCreateTopicsRequest()
				ct := kmsg.NewCreateTopicsRequestTopic()
				ct.Topic, ct.NumPartitions, ct.ReplicationFactor = topic, -1, -1
				ct.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{node}}}
				req.TimeoutMillis, req.Topics = 10_000, append(req.Topics, ct)
				resp, err := req.RequestWith(p.ctx, direct)
				if err != nil || resp.Topics[0].ErrorCode != 0 {
					return false
				}
				node = 3 - node
				return true
			}
			none := func() string { return "" }
			p.wait("the topic to be made", create, none)
			cmd, err := kafkatest.Tool(p.ctx, kafkatest.Kafka4, "kafka-console-producer", "--bootstrap-server", addr, "--topic", topic, "--producer-property", "acks=0", "--producer-property", "linger.ms=0", "--producer-property", "metadata.max.age.ms=3600000")
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = in.Close()
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			ctx, stop := context.WithCancel(p.ctx)
			defer stop()
			// The broker has closed its end long before the next one is sent: nobody who writes
			// sees it.
			go clients.Paced(ctx, 100*time.Millisecond, "record", func(_ int, value string) { _, _ = in.Write([]byte(value + "\n")) })
			arrived := func() bool {
				ends, err := adm.ListEndOffsets(p.ctx, topic)
				end, ok := ends.Lookup(topic, 0)
				return err == nil && ok && end.Err == nil && end.Offset >= 5
			}
			p.wait("the first records", arrived, none)
			for range 2 {
				if _, err := adm.DeleteTopics(p.ctx, topic); err != nil {
					t.Fatal(err)
				}
				p.wait("the topic to be gone", func() bool {
					d, err := adm.ListTopics(p.ctx, topic)
					return err == nil && !d.Has(topic)
				}, none)
				p.wait("the topic to be made again", create, none)
				p.wait("records in the topic that was made again", arrived, none)
			}
		})
	}
}
