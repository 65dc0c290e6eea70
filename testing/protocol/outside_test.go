package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestNodesOutsideTheRangeAreUsed: clients know them as the first node of the range, produce to
// what they lead, read it, and are members of the groups that they coordinate.
func TestNodesOutsideTheRangeAreUsed(t *testing.T) {
	for _, chain := range []string{"[]", "[routing: {default: prod}, topics: {}, offsets: {}]"} {
		t.Run(chain, func(t *testing.T) {
			prod := fake(t, "prod", map[string]int32{"orders": 6})
			port, err := kafkatest.FreePorts(2)
			if err != nil {
				t.Fatal(err)
			}
			open(t, fmt.Sprintf("clusters:\n  prod: {bootstrap: [%s], nodes: 0-0}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: %s\n",
				strings.Join(prod.Bootstrap(), ","), port, port+1, port+1, chain))
			h := &house{t: t, ctx: eventually.Context(t), prod: prod}
			c := h.client(fmt.Sprintf("127.0.0.1:%d", port))
			for p := range int32(6) {
				if err := c.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Partition: p, Value: fmt.Append(nil, p)}).FirstErr(); err != nil {
					t.Errorf("partition %d: %v", p, err)
				}
			}
			var want []string
			for i := range 4 { // of which each node coordinates some
				group := fmt.Sprintf("group-%d", i)
				want = append(want, group)
				member := h.client(fmt.Sprintf("127.0.0.1:%d", port), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Rack("here"))
				for n := 0; n < 6; {
					f := member.PollFetches(h.ctx)
					if h.ctx.Err() != nil {
						t.Fatalf("%s: %d of 6 records", group, n)
					}
					n += f.NumRecords()
				}
				if err := member.CommitUncommittedOffsets(h.ctx); err != nil {
					t.Errorf("%s: %v", group, err)
				}
			}
			groups, err := kadm.NewClient(c).ListGroups(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := groups.Groups(); !slices.Equal(got, want) {
				t.Errorf("groups %v, want %v", got, want)
			}
		})
	}
}
