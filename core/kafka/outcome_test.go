package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestErrorCodeIsFoundWhereverItStands(t *testing.T) {
	commit := kmsg.NewPtrOffsetCommitResponse()
	commit.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "a", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{}, {Partition: 1, ErrorCode: 25}}}}
	produce := kmsg.NewPtrProduceResponse()
	produce.Version = 9
	produce.Topics = []kmsg.ProduceResponseTopic{{Topic: "a", Partitions: []kmsg.ProduceResponseTopicPartition{{}, {Partition: 1, ErrorCode: 6}}}}
	beat := kmsg.NewPtrHeartbeatResponse()
	beat.ErrorCode = 27
	for _, c := range []struct {
		msg  kmsg.Response
		want int16
	}{{commit, 25}, {produce, 6}, {beat, 27}, {kmsg.NewPtrHeartbeatResponse(), 0}, {kmsg.NewPtrMetadataResponse(), 0}} {
		raw := c.msg.AppendTo(nil)
		b := NewResponseBody(kmsg.Key(c.msg.Key()), c.msg.GetVersion(), raw)
		if got := b.ErrorCode(); got != Code(c.want) {
			t.Errorf("%T: %d, want %d", c.msg, got, c.want)
		}
		if got := b.Bytes(); !slices.Equal(got, raw) {
			t.Errorf("%T has changed", c.msg)
		}
		if got := ResponseBodyOf(c.msg).ErrorCode(); got != Code(c.want) {
			t.Errorf("%T, made here: %d, want %d", c.msg, got, c.want)
		}
	}
}

func TestSubjectsOfRequests(t *testing.T) {
	id, name := [16]byte{1}, "gone"
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 13
	fetch.Topics = []kmsg.FetchRequestTopic{{TopicID: id, Partitions: []kmsg.FetchRequestTopicPartition{{}, {Partition: 1}}}}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group = "g"
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "a"}, {Topic: "b"}, {Topic: "c"}}
	describe := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	describe.Group = "h"
	deletes := kmsg.NewPtrDeleteTopicsRequest()
	deletes.TopicNames = []string{"x", "y"}
	deleteNew := kmsg.NewPtrDeleteTopicsRequest()
	deleteNew.Version = 6
	deleteNew.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}, {TopicID: id}}
	for _, c := range []struct {
		msg    kmsg.Request
		topics []string
		group  string
	}{
		{fetch, []string{"known"}, ""}, {commit, []string{"a", "b"}, "g"}, {describe, nil, "h"}, {deletes, []string{"x", "y"}, ""},
		{deleteNew, []string{"gone", "known"}, ""}, {kmsg.NewPtrListGroupsRequest(), nil, ""},
	} {
		topics, group := RequestBodyOf(c.msg).Subjects(2, func([16]byte) string { return "known" })
		if !slices.Equal(topics, c.topics) || group != c.group {
			t.Errorf("%T: %q %q, want %q %q", c.msg, topics, group, c.topics, c.group)
		}
	}
}
