package topics

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestAMemberOfAShareGroupIsToldOfWhatItIsToHave: what nobody knows the name of yet is asked for
// again, and what is hidden is left out.
func TestAMemberOfAShareGroupIsToldOfWhatItIsToHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, prod := world(t)
		beat := func(topics ...string) *kmsg.ShareGroupHeartbeatResponse {
			resp, err := n.Intercept(t.Context(), plugintest.Request(t, message(kmsg.ShareGroupHeartbeat), "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
				out := message(kmsg.ShareGroupHeartbeat).ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
				a := kmsg.NewShareGroupHeartbeatResponseAssignment()
				for _, name := range topics {
					a.TopicPartitions = append(a.TopicPartitions, kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition{TopicID: plugintest.ID("prod", name), Partitions: []int32{0}})
				}
				out.Assignment = &a
				return plugintest.Encode(out), nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			return plugintest.Decode[*kmsg.ShareGroupHeartbeatResponse](t, resp)
		}
		if r := beat("orders", "gone"); kafka.Code(r.ErrorCode) != kafka.NotCoordinator {
			t.Errorf("code %d", r.ErrorCode)
		}
		prod.Late("gone")
		if r := beat("orders", "gone"); r.ErrorCode != 0 || len(r.Assignment.TopicPartitions) != 2 {
			t.Errorf("code %d, assignment %+v", r.ErrorCode, r.Assignment)
		}
		if r := beat("secret"); r.ErrorCode != 0 || r.Assignment == nil || len(r.Assignment.TopicPartitions) != 0 {
			t.Errorf("hidden: code %d, assignment %+v", r.ErrorCode, r.Assignment)
		}
	})
}

// TestMessagesAboutShareGroups quote them as clients call them.
func TestMessagesAboutShareGroups(t *testing.T) {
	prod := plugintest.NewCluster("prod", 0, 1)
	n, err := New(plugintest.Env(t, prod), plugintest.Section(t, `{prefix: vc.}`))
	if err != nil {
		t.Fatal(err)
	}
	said := "Group vc.g is not a share group."
	beat := message(kmsg.ShareGroupHeartbeat).(*kmsg.ShareGroupHeartbeatRequest)
	beat.GroupID, beat.SubscribedTopicNames = "g", []string{"orders"}
	alter := message(kmsg.AlterShareGroupOffsets).(*kmsg.AlterShareGroupOffsetsRequest)
	alter.GroupID = "g"
	forget := message(kmsg.DeleteShareGroupOffsets).(*kmsg.DeleteShareGroupOffsetsRequest)
	forget.GroupID = "g"
	describe := message(kmsg.DescribeShareGroupOffsets).(*kmsg.DescribeShareGroupOffsetsRequest)
	describe.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "g"}}
	for _, c := range []struct {
		req    kmsg.Request
		answer func(kmsg.Request) kmsg.Response
		told   func(kmsg.Response) *string
	}{
		{beat, func(m kmsg.Request) kmsg.Response {
			if got := m.(*kmsg.ShareGroupHeartbeatRequest).SubscribedTopicNames[0]; got != "vc.orders" {
				t.Errorf("subscribes to %q", got)
			}
			r := m.ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
			r.ErrorMessage = &said
			return r
		}, func(m kmsg.Response) *string { return m.(*kmsg.ShareGroupHeartbeatResponse).ErrorMessage }},
		{alter, func(m kmsg.Request) kmsg.Response {
			r := m.ResponseKind().(*kmsg.AlterShareGroupOffsetsResponse)
			r.ErrorMessage = &said
			return r
		}, func(m kmsg.Response) *string { return m.(*kmsg.AlterShareGroupOffsetsResponse).ErrorMessage }},
		{forget, func(m kmsg.Request) kmsg.Response {
			r := m.ResponseKind().(*kmsg.DeleteShareGroupOffsetsResponse)
			r.ErrorMessage = &said
			return r
		}, func(m kmsg.Response) *string { return m.(*kmsg.DeleteShareGroupOffsetsResponse).ErrorMessage }},
		{describe, func(m kmsg.Request) kmsg.Response {
			r := m.ResponseKind().(*kmsg.DescribeShareGroupOffsetsResponse)
			r.Groups = []kmsg.DescribeShareGroupOffsetsResponseGroup{{GroupID: m.(*kmsg.DescribeShareGroupOffsetsRequest).Groups[0].GroupID, ErrorMessage: &said}}
			return r
		}, func(m kmsg.Response) *string {
			return m.(*kmsg.DescribeShareGroupOffsetsResponse).Groups[0].ErrorMessage
		}},
	} {
		resp, err := n.Intercept(t.Context(), plugintest.Request(t, c.req, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			msg, err := f.Body.Peek()
			if err != nil {
				return nil, err
			}
			return plugintest.Encode(c.answer(msg)), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.told(plugintest.Decode[kmsg.Response](t, resp)); got == nil || *got != "Group g is not a share group." {
			t.Errorf("%s says %v", kmsg.NameForKey(c.req.Key()), got)
		}
	}
}
