package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// setting makes a fake's brokers say whether they create topics that clients ask for.
func setting(c *kafkatest.FakeCluster, value string) {
	c.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		asked := req.(*kmsg.DescribeConfigsRequest).Resources
		if len(asked) != 1 || asked[0].ResourceType != kmsg.ConfigResourceTypeBroker {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		r, k := kmsg.NewDescribeConfigsResponseResource(), kmsg.NewDescribeConfigsResponseResourceConfig()
		k.Name, k.Value = "auto.create.topics.enable", &value
		r.ResourceType, r.ResourceName, r.Configs = asked[0].ResourceType, asked[0].ResourceName, append(r.Configs, k)
		resp.Resources = append(resp.Resources, r)
		return resp, nil, true
	})
}

// TestTopicsAreCreatedAsTheirHomeDoes: unless the file says otherwise, the home's brokers decide
// whether a producer's topic is made, and it is made on every cluster, or the next move would be
// refused.
func TestTopicsAreCreatedAsTheirHomeDoes(t *testing.T) {
	for value, created := range map[string]bool{"true": true, "false": false} {
		t.Run(value, func(t *testing.T) {
			h := build(t, "orders")
			setting(h.prod, value)
			c := h.client(h.gw.Bootstrap)
			for _, name := range []string{"fresh", "__hidden"} {
				m, topic := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
				topic.Topic, m.AllowAutoTopicCreation = &name, true
				m.Topics = append(m.Topics, topic)
				resp, err := c.SeedBrokers()[0].Request(h.ctx, m)
				if err != nil {
					t.Fatal(err)
				}
				if code := resp.(*kmsg.MetadataResponse).Topics[0].ErrorCode; code != 3 {
					t.Errorf("%s: code %d", name, code)
				}
			}
			for _, f := range []*kafkatest.FakeCluster{h.prod, h.dr} {
				d, err := h.admin(f).ListTopicsWithInternal(h.ctx)
				if err != nil || d.Has("fresh") != created || d.Has("__hidden") {
					t.Errorf("%s has %v %v", f.Name(), d.Names(), err)
				}
			}
		})
	}
}
