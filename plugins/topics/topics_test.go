package topics

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

func build(t *testing.T) (*Topics, plugin.Env) {
	t.Helper()
	prod := plugintest.NewCluster("prod", 0, 2, "vc.orders", "vc.secret", "other.orders")
	env := plugintest.Env(t, prod)
	n, err := New(env, plugintest.Section(t, `{prefix: vc., hide: [secret]}`))
	if err != nil {
		t.Fatal(err)
	}
	env.Catalog.SetPlace(func(topic string) (string, map[string]string, bool) {
		return "prod", map[string]string{"prod": "vc." + topic}, true
	})
	return n, env
}

// TestMetadataShowsVirtualNamesAndIDs and nothing of other virtual clusters.
func TestMetadataShowsVirtualNamesAndIDs(t *testing.T) {
	n, env := build(t)
	ask := func() *kmsg.MetadataResponse {
		m := kmsg.NewPtrMetadataRequest()
		m.SetVersion(12)
		resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
			out := kmsg.NewPtrMetadataResponse()
			out.SetVersion(12)
			for _, name := range []string{"vc.orders", "vc.secret", "other.orders"} {
				x := kmsg.NewMetadataResponseTopic()
				x.Topic, x.TopicID = &name, plugintest.ID("prod", name)
				x.Partitions = append(x.Partitions, kmsg.NewMetadataResponseTopicPartition())
				out.Topics = append(out.Topics, x)
			}
			return plugintest.Encode(out), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		return plugintest.Decode[*kmsg.MetadataResponse](t, resp)
	}
	first, second := ask(), ask()
	if len(first.Topics) != 1 || *first.Topics[0].Topic != "orders" {
		t.Fatalf("topics %+v", first.Topics)
	}
	id := first.Topics[0].TopicID
	about := fact.Of(t, "id %x, then %x", id, second.Topics[0].TopicID)
	fact.Other(about, "id", id, plugintest.ID("prod", "vc.orders"))
	fact.Other(about, "id", id, [16]byte{})
	fact.Equal(about, "id", id, second.Topics[0].TopicID)
	fact.Equal(about, `env.Catalog.Topic("orders").ID`, env.Catalog.Topic("orders").ID, id)
}

// TestHotAPIsTranslateBothWays, by name and by id, and leave the client's request as it came.
func TestHotAPIsTranslateBothWays(t *testing.T) {
	n, env := build(t)
	if err := env.Catalog.Ensure(t.Context(), seen("orders")); err != nil {
		t.Fatal(err)
	}
	id := env.Catalog.Topic("orders").ID
	for _, version := range []int16{9, 13} {
		m := kmsg.NewPtrProduceRequest()
		m.SetVersion(version)
		m.Acks = -1
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.TopicID = "orders", id
		rt.Partitions = append(rt.Partitions, kmsg.NewProduceRequestTopicPartition())
		m.Topics = append(m.Topics, rt)
		req := plugintest.Request(t, m, "prod")
		resp, err := n.Intercept(t.Context(), req, plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			in := plugintest.Sent[*kmsg.ProduceRequest](t, f)
			if version < 13 && in.Topics[0].Topic != "vc.orders" || version >= 13 && in.Topics[0].TopicID != plugintest.ID("prod", "vc.orders") {
				t.Errorf("version %d sent %+v", version, in.Topics[0])
			}
			out := kmsg.NewPtrProduceResponse()
			out.SetVersion(version)
			x := kmsg.NewProduceResponseTopic()
			x.Topic, x.TopicID = in.Topics[0].Topic, in.Topics[0].TopicID
			x.Partitions = append(x.Partitions, kmsg.NewProduceResponseTopicPartition())
			out.Topics = append(out.Topics, x)
			return plugintest.Encode(out), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		out := plugintest.Decode[*kmsg.ProduceResponse](t, resp)
		if version < 13 && out.Topics[0].Topic != "orders" || version >= 13 && out.Topics[0].TopicID != id {
			t.Errorf("version %d answered %+v", version, out.Topics[0])
		}
		if again := plugintest.Sent[*kmsg.ProduceRequest](t, req); version < 13 && again.Topics[0].Topic != "orders" || version >= 13 && again.Topics[0].TopicID != id {
			t.Errorf("version %d: the client's request was changed", version)
		}
	}
}

// TestGroupsHaveThePrefix on the way down and none on the way up.
func TestGroupsHaveThePrefix(t *testing.T) {
	n, _ := build(t)
	m := kmsg.NewPtrOffsetCommitRequest()
	m.SetVersion(8)
	m.Group = "g"
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = "orders"
	m.Topics = append(m.Topics, rt)
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		in := plugintest.Sent[*kmsg.OffsetCommitRequest](t, f)
		if in.Group != "vc.g" || in.Topics[0].Topic != "vc.orders" {
			t.Errorf("sent %+v", in)
		}
		out := kmsg.NewPtrOffsetCommitResponse()
		out.SetVersion(8)
		x := kmsg.NewOffsetCommitResponseTopic()
		x.Topic = "vc.orders"
		out.Topics = append(out.Topics, x)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if out := plugintest.Decode[*kmsg.OffsetCommitResponse](t, resp); out.Topics[0].Topic != "orders" {
		t.Errorf("answered %+v", out)
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.SetVersion(4)
	resp, err = n.Intercept(t.Context(), plugintest.Request(t, list, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrListGroupsResponse()
		out.SetVersion(4)
		for _, g := range []string{"vc.g", "other.g"} {
			x := kmsg.NewListGroupsResponseGroup()
			x.Group = g
			out.Groups = append(out.Groups, x)
		}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if out := plugintest.Decode[*kmsg.ListGroupsResponse](t, resp); len(out.Groups) != 1 || out.Groups[0].Group != "g" {
		t.Errorf("groups %+v", out.Groups)
	}
}

func TestBadSectionsAreRefused(t *testing.T) {
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
	for _, yaml := range []string{`{prefix: "a/b"}`, `{hide: ["["]}`, `{hide: [""]}`, `{prefx: a}`} {
		if _, err := New(env, plugintest.Section(t, yaml)); err == nil {
			t.Errorf("%s was accepted", yaml)
		}
	}
}

func seen(name string) catalog.Seen {
	return catalog.Seen{Name: name, Cluster: "prod", ID: plugintest.ID("prod", "vc."+name), Partitions: 2}
}

func TestConforms(t *testing.T) {
	n, _ := build(t)
	plugintest.Conform(t, n, "orders")
}
