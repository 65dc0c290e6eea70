package topics

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// userData is a member's own: names in it are for other members, which have the same ones.
var userData = []byte("orders vc.orders\x00\x06")

// subscribed is what a consumer says when it joins.
func subscribed(version int16, topics ...string) []byte {
	rack := "r"
	m := kmsg.ConsumerMemberMetadata{Version: version, Topics: topics, UserData: userData, Generation: 7, Rack: &rack}
	for _, t := range topics {
		m.OwnedPartitions = append(m.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: t, Partitions: []int32{0, 5}})
	}
	return m.AppendTo(nil)
}

// given is what a leader gives a consumer.
func given(version int16, topics ...string) []byte {
	a := kmsg.ConsumerMemberAssignment{Version: version, UserData: userData}
	for _, t := range topics {
		a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t, Partitions: []int32{1, 2, 3}})
	}
	return a.AppendTo(nil)
}

// groups runs a request of a group; answer is what the cluster says to what it was sent.
func groups[T kmsg.Request](t *testing.T, n *Topics, m T, answer func(T) kmsg.Response) kmsg.Response {
	t.Helper()
	resp, err := n.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		out := answer(plugintest.Sent[T](t, f))
		out.SetVersion(f.Version)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Decode[kmsg.Response](t, resp)
}

// TestMembersNameTheClustersTopics to its broker, and their own to each other, in every version of
// both formats and of the APIs.
func TestMembersNameTheClustersTopics(t *testing.T) {
	n, _ := build(t)
	for version := range int16(newestMember + 1) {
		for _, api := range []int16{0, 4, 5, 6} { // flexible from 6 and 4; 7 and 5 say the type in answers too
			t.Run(fmt.Sprintf("protocol %d, API %d", version, api), func(t *testing.T) {
				join := kmsg.NewPtrJoinGroupRequest()
				join.SetVersion(api)
				join.Group, join.ProtocolType = "g", consumerProtocol
				join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscribed(version, "orders", "other")}}
				joined := groups(t, n, join, func(in *kmsg.JoinGroupRequest) kmsg.Response {
					if want := subscribed(version, "vc.orders", "vc.other"); !bytes.Equal(in.Protocols[0].Metadata, want) {
						t.Errorf("joins with %q, want %q", in.Protocols[0].Metadata, want)
					}
					out := in.ResponseKind().(*kmsg.JoinGroupResponse)
					out.Members = []kmsg.JoinGroupResponseMember{{MemberID: "m", ProtocolMetadata: in.Protocols[0].Metadata}}
					return out
				}).(*kmsg.JoinGroupResponse)
				if want := subscribed(version, "orders", "other"); !bytes.Equal(joined.Members[0].ProtocolMetadata, want) {
					t.Errorf("its leader gets %q, want %q", joined.Members[0].ProtocolMetadata, want)
				}
				sync := kmsg.NewPtrSyncGroupRequest()
				sync.SetVersion(min(api, 5))
				kind := consumerProtocol
				sync.Group, sync.ProtocolType = "g", &kind
				sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m", MemberAssignment: given(version, "orders", "other")}}
				synced := groups(t, n, sync, func(in *kmsg.SyncGroupRequest) kmsg.Response {
					if want := given(version, "vc.orders", "vc.other"); !bytes.Equal(in.GroupAssignment[0].MemberAssignment, want) {
						t.Errorf("assigns %q, want %q", in.GroupAssignment[0].MemberAssignment, want)
					}
					out := in.ResponseKind().(*kmsg.SyncGroupResponse)
					out.MemberAssignment = in.GroupAssignment[0].MemberAssignment
					return out
				}).(*kmsg.SyncGroupResponse)
				if want := given(version, "orders", "other"); !bytes.Equal(synced.MemberAssignment, want) {
					t.Errorf("a member gets %q, want %q", synced.MemberAssignment, want)
				}
				describe := kmsg.NewPtrDescribeGroupsRequest()
				describe.SetVersion(min(api, 5))
				described := groups(t, n, describe, func(in *kmsg.DescribeGroupsRequest) kmsg.Response {
					out := in.ResponseKind().(*kmsg.DescribeGroupsResponse)
					out.Groups = []kmsg.DescribeGroupsResponseGroup{{Group: "vc.g", ProtocolType: consumerProtocol, Members: []kmsg.DescribeGroupsResponseGroupMember{
						{ProtocolMetadata: subscribed(version, "vc.orders"), MemberAssignment: given(version, "vc.orders")}}}}
					return out
				}).(*kmsg.DescribeGroupsResponse)
				if m := described.Groups[0].Members[0]; !bytes.Equal(m.ProtocolMetadata, subscribed(version, "orders")) || !bytes.Equal(m.MemberAssignment, given(version, "orders")) {
					t.Errorf("described as %q, %q", m.ProtocolMetadata, m.MemberAssignment)
				}
			})
		}
	}
}

// TestWhatIsNotTheConsumerProtocolsStays, byte by byte.
func TestWhatIsNotTheConsumerProtocolsStays(t *testing.T) {
	n, _ := build(t)
	connect := append([]byte{0, 1, 0, 0, 0, 6}, "leader\x00\x03url\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00"...)
	for what, b := range map[string][]byte{
		"nothing": {}, "one byte": {0}, "Connect's": connect, "JSON": []byte(`{"version":1,"topics":["orders"]}`), "a consumer's of another type": subscribed(1, "orders"),
		"a list that is too long": {0, 1, 0x7f, 0xff, 0xff, 0xff}, "a negative list": {0, 1, 0xff, 0xff, 0xff, 0xff}, "a name that is too long": {0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'a'},
	} {
		for _, kind := range []string{consumerProtocol, "connect", "sr", ""} {
			if kind == consumerProtocol && what == "a consumer's of another type" {
				continue
			}
			join := kmsg.NewPtrJoinGroupRequest()
			join.SetVersion(7)
			join.ProtocolType, join.Protocols = kind, []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: b}}
			r := groups(t, n, join, func(in *kmsg.JoinGroupRequest) kmsg.Response {
				if !bytes.Equal(in.Protocols[0].Metadata, b) {
					t.Errorf("%s of %q: joins with %q", what, kind, in.Protocols[0].Metadata)
				}
				out := in.ResponseKind().(*kmsg.JoinGroupResponse)
				out.Members = []kmsg.JoinGroupResponseMember{{ProtocolMetadata: b}}
				return out
			}).(*kmsg.JoinGroupResponse)
			if !bytes.Equal(r.Members[0].ProtocolMetadata, b) {
				t.Errorf("%s of %q: the leader gets %q", what, kind, r.Members[0].ProtocolMetadata)
			}
			for _, version := range []int16{3, 5} {
				sync := kmsg.NewPtrSyncGroupRequest()
				sync.SetVersion(version)
				sync.ProtocolType, sync.GroupAssignment = &kind, []kmsg.SyncGroupRequestGroupAssignment{{MemberAssignment: b}}
				s := groups(t, n, sync, func(in *kmsg.SyncGroupRequest) kmsg.Response {
					if !bytes.Equal(in.GroupAssignment[0].MemberAssignment, b) {
						t.Errorf("%s of %q, version %d: assigns %q", what, kind, version, in.GroupAssignment[0].MemberAssignment)
					}
					out := in.ResponseKind().(*kmsg.SyncGroupResponse)
					out.MemberAssignment = b
					return out
				}).(*kmsg.SyncGroupResponse)
				if !bytes.Equal(s.MemberAssignment, b) {
					t.Errorf("%s of %q, version %d: a member gets %q", what, kind, version, s.MemberAssignment)
				}
			}
		}
	}
}

// TestMembersOfOtherWays: some say more than their version has, some less, and some have joined
// before there was a prefix.
func TestMembersOfOtherWays(t *testing.T) {
	n, _ := build(t)
	x := n.names(t.Context(), plugintest.Request(t, kmsg.NewPtrJoinGroupRequest(), "prod"))
	short := kmsg.ConsumerMemberMetadata{Version: 0, Topics: []string{"orders"}}
	withoutOwned := short.AppendTo(nil)
	withoutOwned[1] = 1
	for what, c := range map[string]struct{ in, want []byte }{
		"version 1 without what is owned": {withoutOwned, slices.Concat([]byte{0, 1, 0, 0, 0, 1, 0, 9}, []byte("vc.orders"), withoutOwned[14:])},
		"a version of the future":         {append(append([]byte{0, 9}, subscribed(3, "orders")[2:]...), "more"...), append(append([]byte{0, 9}, subscribed(3, "vc.orders")[2:]...), "more"...)},
		"bytes behind the last field":     {append(subscribed(0, "orders"), 1, 2), append(subscribed(0, "vc.orders"), 1, 2)},
	} {
		got := slices.Clone(c.in)
		if x.rename(&got, x.physical, subscription); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
		if x.rename(&got, x.memberTopic, subscription); !bytes.Equal(got, c.in) {
			t.Errorf("%s, back: %q, want %q", what, got, c.in)
		}
	}
	old := subscribed(1, "orders")
	if x.rename(&old, x.memberTopic, subscription); !bytes.Equal(old, subscribed(1, "orders")) {
		t.Errorf("a member from before: %q", old)
	}
}

// FuzzMembers: no bytes panic, and what kmsg reads is changed as kmsg would write it.
func FuzzMembers(f *testing.F) {
	for v := range int16(4) {
		f.Add(subscribed(v, "orders", "a"))
		f.Add(given(v, "orders", "a"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := &names{Topics: &Topics{}}
		add := func(s string) string { return "vc." + s }
		for _, format := range []func(*splice){subscription, assignment, maybeAssignment} {
			got := slices.Clone(b)
			if n.rename(&got, func(s string) string { return s }, format); !bytes.Equal(got, b) {
				t.Errorf("%q became %q, with the same names", b, got)
			}
			n.rename(&got, add, format)
		}
		var m kmsg.ConsumerMemberMetadata
		if m.ReadFrom(b) == nil && bytes.Equal(m.AppendTo(nil), b) && m.Version >= 0 && m.Version <= newestMember {
			got := slices.Clone(b)
			for i := range m.Topics {
				m.Topics[i] = add(m.Topics[i])
			}
			for i := range m.OwnedPartitions {
				m.OwnedPartitions[i].Topic = add(m.OwnedPartitions[i].Topic)
			}
			if n.rename(&got, add, subscription); !bytes.Equal(got, m.AppendTo(nil)) {
				t.Errorf("%q became %q, want %q", b, got, m.AppendTo(nil))
			}
		}
		var a kmsg.ConsumerMemberAssignment
		if a.ReadFrom(b) == nil && bytes.Equal(a.AppendTo(nil), b) && a.Version >= 0 && a.Version <= newestMember {
			got := slices.Clone(b)
			for i := range a.Topics {
				a.Topics[i].Topic = add(a.Topics[i].Topic)
			}
			if n.rename(&got, add, maybeAssignment); !bytes.Equal(got, a.AppendTo(nil)) {
				t.Errorf("%q became %q, want %q", b, got, a.AppendTo(nil))
			}
		}
	})
}
