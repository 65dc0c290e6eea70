package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/hostile"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestWrongRequestsAsKafkaTakesThem: what Kafka closes a connection for never gets through the
// gateway, and what it answers is answered, but for what the gateway refuses on purpose: a number
// of tags that Kafka takes for one below 0, and for none.
func TestWrongRequestsAsKafkaTakesThem(t *testing.T) {
	kafkatest.Require(t, "java", "mvn")
	ctx := eventually.Context(t)
	c, err := kafkatest.Real(ctx, "prod", kafkatest.Kafka4, t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := kafkatest.Create(ctx, c, "orders", 3); err != nil {
		t.Fatal(err)
	}
	port, err := kafkatest.FreePorts(11)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := fmt.Sprintf("state: {dir: ./state}\nclusters:\n  prod: {bootstrap: [%s], nodes: 0-9}\nvirtual_clusters:\n  vc:\n"+
		"    listen: {bootstrap: 127.0.0.1:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}\n    chain: []\n", c.Bootstrap()[0], port, port+1, port+10)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	gw, err := gatewaytest.Open(ctx, file, logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Stop() })
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SLUICE_HOSTILE_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("SLUICE_HOSTILE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	counts := map[string]int{}
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.FindCoordinator, kmsg.ListOffsets, kmsg.OffsetFetch, kmsg.DescribeGroups, kmsg.Heartbeat, kmsg.ListGroups, kmsg.DescribeConfigs} {
		api, _ := kafka.Lookup(key)
		for round := range 24 {
			f := hostile.Bytes(r, hostile.Request(r, api, api.MaxVersion, round%2 > 0), 8)
			want, err := hostile.Send(c.Bootstrap()[0], key, api.MaxVersion, f)
			if err != nil {
				t.Errorf("%s at Kafka: %v", api.Name, err)
			}
			got, err := hostile.Send(fmt.Sprintf("127.0.0.1:%d", port), key, api.MaxVersion, f)
			if err != nil {
				t.Errorf("%s: %v", api.Name, err)
			}
			counts[fmt.Sprintf("%s by Kafka, %s here", want, got)]++
			if got != want {
				t.Logf("%s is %s, by Kafka %s: %x", api.Name, got, want, f)
			}
			if want == hostile.Closed && got != hostile.Closed {
				t.Errorf("%s gets through, which Kafka closes a connection for: %x", api.Name, f)
			}
		}
	}
	t.Log(counts)
}
