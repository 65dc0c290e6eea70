package upstream

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const throttled = "leader.replication.throttled.replicas"

// TestSettingsThatNameNodes name those of the cluster there, and virtual ones to clients. What is
// no id is the broker's to judge.
func TestSettingsThatNameNodes(t *testing.T) {
	for there, here := range map[string]string{
		"0:0":           "0:1048576",
		"0:1,12:0":      "0:1048577,12:1048576",
		"*":             "*",
		"":              "",
		"none":          "none",
		"0:-2":          "0:2097152", // a node of another cluster, which brokers refuse
		"1:1, 2:0":      "1:1048577, 2:1048576",
		"0:99999999999": "0:99999999999",
	} {
		synctest.Test(t, func(t *testing.T) {
			f, e := house(t)
			config := kmsg.CreateTopicsRequestTopicConfig{Name: throttled, Value: &here}
			other := kmsg.CreateTopicsRequestTopicConfig{Name: "retention.ms", Value: &here}
			create := newest(kmsg.CreateTopics).(*kmsg.CreateTopicsRequest)
			create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "new", Configs: []kmsg.CreateTopicsRequestTopicConfig{config, other}}}
			alter := newest(kmsg.AlterConfigs).(*kmsg.AlterConfigsRequest)
			alter.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: throttled, Value: &here}}}}
			change := newest(kmsg.IncrementalAlterConfigs).(*kmsg.IncrementalAlterConfigsRequest)
			change.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{
				{Name: throttled, Op: 2, Value: &here}, {Name: throttled, Op: 1}}}}
			for _, m := range []kmsg.Request{create, alter, change} {
				if _, err := e.Handle(t.Context(), request(session(t, 0), m)); err != nil {
					t.Fatal(err)
				}
			}
			got := f.broker(0).got
			equal(t, *got[0].(*kmsg.CreateTopicsRequest).Topics[0].Configs[0].Value, there)
			equal(t, *got[0].(*kmsg.CreateTopicsRequest).Topics[0].Configs[1].Value, here)
			equal(t, *got[1].(*kmsg.AlterConfigsRequest).Resources[0].Configs[0].Value, there)
			equal(t, *got[2].(*kmsg.IncrementalAlterConfigsRequest).Resources[0].Configs[0].Value, there)
		})
		if there == "0:-2" {
			continue
		}
		here = map[string]string{"0:0": "0:1048576", "0:1,12:0": "0:1048577,12:1048576"}[there]
		if here == "" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			f, e := house(t)
			f.broker(0).on = func(a *arrived) bool {
				switch m := a.msg.(type) {
				case *kmsg.DescribeConfigsRequest:
					r := m.ResponseKind().(*kmsg.DescribeConfigsResponse)
					c := kmsg.DescribeConfigsResponseResourceConfig{Name: throttled, Value: &there}
					c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{{Name: throttled, Value: &there}}
					r.Resources = []kmsg.DescribeConfigsResponseResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", Configs: []kmsg.DescribeConfigsResponseResourceConfig{c}}}
					a.answer(r)
					return true
				case *kmsg.CreateTopicsRequest:
					r := m.ResponseKind().(*kmsg.CreateTopicsResponse)
					r.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: "new", Configs: []kmsg.CreateTopicsResponseTopicConfig{{Name: throttled, Value: &there}}}}
					a.answer(r)
					return true
				}
				return false
			}
			resp, err := e.Handle(t.Context(), request(session(t, 0), newest(kmsg.DescribeConfigs)))
			if err != nil {
				t.Fatal(err)
			}
			msg, _ := resp.Body.Peek()
			c := msg.(*kmsg.DescribeConfigsResponse).Resources[0].Configs[0]
			equal(t, []any{*c.Value, *c.ConfigSynonyms[0].Value}, []any{here, here})
			if resp, err = e.Handle(t.Context(), request(session(t, 0), newest(kmsg.CreateTopics))); err != nil {
				t.Fatal(err)
			}
			msg, _ = resp.Body.Peek()
			equal(t, *msg.(*kmsg.CreateTopicsResponse).Topics[0].Configs[0].Value, here)
		})
	}
}

// TestLoggersAreOfABroker, which alone knows them, by its id there.
func TestLoggersAreOfABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		m := newest(kmsg.DescribeConfigs).(*kmsg.DescribeConfigsRequest)
		m.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBrokerLogger, ResourceName: fmt.Sprint(1<<20 + 1)}}
		f.broker(1).on = func(a *arrived) bool {
			m, ok := a.msg.(*kmsg.DescribeConfigsRequest)
			if ok {
				r := m.ResponseKind().(*kmsg.DescribeConfigsResponse)
				level := "INFO"
				r.Resources = []kmsg.DescribeConfigsResponseResource{{ResourceType: m.Resources[0].ResourceType, ResourceName: m.Resources[0].ResourceName,
					Configs: []kmsg.DescribeConfigsResponseResourceConfig{{Name: "node.id", Value: &level}}}}
				a.answer(r)
			}
			return ok
		}
		resp, err := e.Handle(t.Context(), request(session(t, 0), m))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, f.broker(1).got[0].(*kmsg.DescribeConfigsRequest).Resources[0].ResourceName, "1")
		msg, _ := resp.Body.Peek()
		r := msg.(*kmsg.DescribeConfigsResponse).Resources[0]
		equal(t, []any{r.ResourceName, *r.Configs[0].Value}, []any{fmt.Sprint(1<<20 + 1), "INFO"})
	})
}
