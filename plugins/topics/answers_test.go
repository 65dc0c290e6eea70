package topics

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// exchange sends a request through the interceptor. answer is the cluster's to what reaches it.
func exchange[Req kmsg.Request, Resp kmsg.Response](t *testing.T, n *Topics, m Req, answer func(Req) Resp) Resp {
	t.Helper()
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		return plugintest.Encode(answer(plugintest.Sent[Req](t, f))), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Decode[Resp](t, resp)
}

// TestHiddenTopicsHaveNoPosition, where somebody asks for theirs by name, and are not in a list of
// all.
func TestHiddenTopicsHaveNoPosition(t *testing.T) {
	n, _ := build(t)
	for version := int16(1); version <= 9; version++ {
		for _, all := range []bool{false, true} {
			if all && version < 2 {
				continue
			}
			m := kmsg.NewPtrOffsetFetchRequest()
			m.SetVersion(version)
			m.Group = "g"
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = "g"
			if !all {
				m.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "orders", Partitions: []int32{0}}, {Topic: "secret", Partitions: []int32{0, 1}}}
				for _, name := range []string{"orders", "secret"} {
					g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: name, Partitions: []int32{0, 1}})
				}
			}
			m.Groups = append(m.Groups, g)
			resp := exchange(t, n, m, func(sent *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
				out := sent.ResponseKind().(*kmsg.OffsetFetchResponse)
				names := []string{"vc.orders", "vc.secret"}
				if !all {
					names = names[:1]
					for _, topic := range sent.Topics {
						if topic.Topic == "vc.secret" {
							t.Errorf("version %d: the cluster is asked for a hidden topic", version)
						}
					}
				}
				rg := kmsg.NewOffsetFetchResponseGroup()
				rg.Group = "vc.g"
				for _, name := range names {
					p := kmsg.OffsetFetchResponseTopicPartition{Offset: 7}
					out.Topics = append(out.Topics, kmsg.OffsetFetchResponseTopic{Topic: name, Partitions: []kmsg.OffsetFetchResponseTopicPartition{p}})
					rg.Topics = append(rg.Topics, kmsg.OffsetFetchResponseGroupTopic{Topic: name, Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{Offset: 7}}})
				}
				out.Groups = append(out.Groups, rg)
				return out
			})
			var got []string
			for _, topic := range resp.Topics {
				for _, p := range topic.Partitions {
					got = append(got, fmt.Sprintf("%s/%d at %d: %d", topic.Topic, p.Partition, p.Offset, p.ErrorCode))
				}
			}
			for _, rg := range resp.Groups {
				for _, topic := range rg.Topics {
					for _, p := range topic.Partitions {
						got = append(got, fmt.Sprintf("%s/%d at %d: %d", topic.Topic, p.Partition, p.Offset, p.ErrorCode))
					}
				}
			}
			want := []string{"orders/0 at 7: 0", "secret/0 at -1: 0", "secret/1 at -1: 0"}
			if all {
				want = want[:1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("version %d, all=%t: %q, want %q", version, all, got, want)
			}
		}
	}
}

// TestNoNameStaysNone, so that brokers refuse it, where they do; a group without an id that keeps
// positions is the virtual cluster's own.
func TestNoNameStaysNone(t *testing.T) {
	n, _ := build(t)
	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(5)
	exchange(t, n, join, func(sent *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
		if sent.Group != "" {
			t.Errorf("joins %q", sent.Group)
		}
		return sent.ResponseKind().(*kmsg.JoinGroupResponse)
	})
	end := kmsg.NewPtrEndTxnRequest()
	end.SetVersion(3)
	exchange(t, n, end, func(sent *kmsg.EndTxnRequest) *kmsg.EndTxnResponse {
		if sent.TransactionalID != "" {
			t.Errorf("ends %q", sent.TransactionalID)
		}
		return sent.ResponseKind().(*kmsg.EndTxnResponse)
	})
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.SetVersion(5)
	exchange(t, n, commit, func(sent *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
		if sent.Group != "vc." {
			t.Errorf("commits of %q", sent.Group)
		}
		return sent.ResponseKind().(*kmsg.OffsetCommitResponse)
	})
}

// TestNamesThatNoTopicHas reach the cluster as they are, whatever the prefix would make of them,
// and come back.
func TestNamesThatNoTopicHas(t *testing.T) {
	n, _ := build(t)
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ü"} {
		m := kmsg.NewPtrMetadataRequest()
		m.SetVersion(12)
		m.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		got := exchange(t, n, m, func(sent *kmsg.MetadataRequest) *kmsg.MetadataResponse {
			out := sent.ResponseKind().(*kmsg.MetadataResponse)
			rt := kmsg.NewMetadataResponseTopic()
			rt.Topic, rt.ErrorCode = sent.Topics[0].Topic, 17
			if *rt.Topic != name {
				t.Errorf("%q is asked for as %q", name, *rt.Topic)
			}
			out.Topics = append(out.Topics, rt)
			return out
		})
		if len(got.Topics) != 1 || *got.Topics[0].Topic != name || got.Topics[0].ErrorCode != 17 {
			t.Errorf("%q: %+v", name, got.Topics)
		}
	}
}

// TestCursorsStandAtVirtualTopics, and all topics are those that clients may see.
func TestCursorsStandAtVirtualTopics(t *testing.T) {
	n, env := build(t)
	if err := env.Catalog.Ensure(t.Context(), seen("orders"), seen("secret")); err != nil {
		t.Fatal(err)
	}
	m := kmsg.NewPtrDescribeTopicPartitionsRequest()
	m.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "orders", Partition: 1}
	got := exchange(t, n, m, func(sent *kmsg.DescribeTopicPartitionsRequest) *kmsg.DescribeTopicPartitionsResponse {
		if len(sent.Topics) != 1 || sent.Topics[0].Topic != "vc.orders" || sent.Cursor.Topic != "vc.orders" {
			t.Errorf("asked for %+v from %+v", sent.Topics, sent.Cursor)
		}
		out := sent.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
		for _, name := range []string{"other.orders", "vc.orders", "vc.secret"} {
			rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
			rt.Topic, rt.TopicID = &name, plugintest.ID("prod", name)
			out.Topics = append(out.Topics, rt)
		}
		out.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: "vc.orders", Partition: 2}
		return out
	})
	if len(got.Topics) != 1 || *got.Topics[0].Topic != "orders" || got.Topics[0].TopicID != env.Catalog.Topic("orders").ID {
		t.Errorf("topics %+v", got.Topics)
	}
	if got.NextCursor == nil || got.NextCursor.Topic != "orders" || got.NextCursor.Partition != 2 {
		t.Errorf("cursor %+v", got.NextCursor)
	}
}

// TestATopicThatTheClusterHasNot has no id, though the catalog knows one.
func TestATopicThatTheClusterHasNot(t *testing.T) {
	n, env := build(t)
	if err := env.Catalog.Ensure(t.Context(), seen("orders")); err != nil {
		t.Fatal(err)
	}
	m := kmsg.NewPtrDescribeTopicPartitionsRequest()
	m.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "orders"}}
	got := exchange(t, n, m, func(sent *kmsg.DescribeTopicPartitionsRequest) *kmsg.DescribeTopicPartitionsResponse {
		out := sent.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic, rt.ErrorCode = &sent.Topics[0].Topic, 3
		out.Topics = append(out.Topics, rt)
		return out
	})
	if got.Topics[0].TopicID != [16]byte{} {
		t.Errorf("id %x", got.Topics[0].TopicID)
	}
}
