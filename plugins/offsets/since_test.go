package offsets

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestATimestampOfAHiddenRecord: a search goes on behind it, for the first record that is new
// enough, and says what timestamp that has.
func TestATimestampOfAHiddenRecord(t *testing.T) {
	const epoch = 1_700_000_000_000 // of the first record
	prod := fakes.NewCluster("prod")
	l := prod.Topic("orders", 1)[0]
	l.Add(fakes.Records(0, 10)...)
	l.Add(fakes.Records(500, 510)...) // hidden
	fakes.Marker(l)
	l.Add(fakes.Records(10, 60)...)
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 2, "orders"))
	env.Clusters[0] = prod
	env.Catalog.SetPlace(func(topic string) (string, map[string]string, bool) {
		return "prod", map[string]string{"prod": topic}, true
	})
	if err := env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "orders", Cluster: "prod", ID: prod.Topology().Topics["orders"].ID, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	err := env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		n.Partitions[0].Distance = n.Partitions[0].Distance.Then(10, 21)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o := New(env)
	ask := func(timestamp int64) (offset, at int64) {
		t.Helper()
		m := kmsg.NewPtrListOffsetsRequest()
		m.SetVersion(7)
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = timestamp
		m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
			out, err := prod.Do(ctx, 0, plugintest.Sent[*kmsg.ListOffsetsRequest](t, f))
			if err != nil {
				return nil, err
			}
			r := out.(*kmsg.ListOffsetsResponse)
			r.SetVersion(7)
			r.Topics[0].Partitions[0].Timestamp = timestamp
			return plugintest.Encode(r), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		rp := plugintest.Decode[*kmsg.ListOffsetsResponse](t, resp).Topics[0].Partitions[0]
		return rp.Offset, rp.Timestamp
	}
	for name, c := range map[string]struct{ timestamp, offset, at int64 }{
		"in front of it":         {epoch + 5, 5, epoch + 5},
		"right behind it":        {epoch + 10, 10, epoch + 10},
		"further behind":         {epoch + 47, 47, epoch + 47},
		"of no record but of it": {epoch + 300, -1, -1},
	} {
		if offset, at := ask(c.timestamp); offset != c.offset || at != c.at {
			t.Errorf("%s: %d at %d, want %d at %d", name, offset, at, c.offset, c.at)
		}
	}
	prod.Set(func() { prod.Down = true })
	m := kmsg.NewListOffsetsResponseTopicPartition()
	m.Offset, m.Timestamp = 12, epoch+502
	if err := o.listed(t.Context(), listed{env.Catalog.Topic("orders"), epoch + 47}, false, &m); err != nil || m.Offset != 10 {
		t.Errorf("of a home that does not say more: %d, %v, want the next one that is shown", m.Offset, err)
	}
}
