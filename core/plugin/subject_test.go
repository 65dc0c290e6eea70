package plugin

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// batch is one of n records that begins at an offset.
func batch(t *testing.T, offset int64, n int) []byte {
	t.Helper()
	var records []kafka.Record
	for range n {
		records = append(records, kafka.Record{Value: []byte("x")})
	}
	b, err := kafka.NewBatch(records)
	if err != nil {
		t.Fatal(err)
	}
	b.SetBaseOffset(offset)
	return b
}

// told is a partition, or what was answered to one.
type told struct {
	topic     string
	partition int32
	offset    int64
	records   []byte
	code      int16
}

func idOf(topic string) (id [16]byte) { copy(id[:], topic); return id }
func nameOf(id [16]byte) string       { return strings.TrimRight(string(id[:]), "\x00") }

func produceOf(version int16, places []told, answers []told) (kmsg.Request, kmsg.Response) {
	req, resp := &kmsg.ProduceRequest{Version: version}, &kmsg.ProduceResponse{Version: version}
	for _, p := range places {
		req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: p.topic, TopicID: idOf(p.topic), Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: p.partition, Records: p.records}}})
	}
	for _, p := range answers {
		resp.Topics = append(resp.Topics, kmsg.ProduceResponseTopic{Topic: p.topic, TopicID: idOf(p.topic), Partitions: []kmsg.ProduceResponseTopicPartition{{Partition: p.partition, BaseOffset: p.offset, ErrorCode: p.code}}})
	}
	return req, resp
}

func fetchOf(version int16, places []told, answers []told) (kmsg.Request, kmsg.Response) {
	req, resp := &kmsg.FetchRequest{Version: version}, &kmsg.FetchResponse{Version: version}
	for _, p := range places {
		req.Topics = append(req.Topics, kmsg.FetchRequestTopic{Topic: p.topic, TopicID: idOf(p.topic), Partitions: []kmsg.FetchRequestTopicPartition{{Partition: p.partition, FetchOffset: p.offset}}})
	}
	for _, p := range answers {
		resp.Topics = append(resp.Topics, kmsg.FetchResponseTopic{Topic: p.topic, TopicID: idOf(p.topic), Partitions: []kmsg.FetchResponseTopicPartition{{Partition: p.partition, ErrorCode: p.code, RecordBatches: p.records}}})
	}
	return req, resp
}

// TestSubjects of produces and fetches, in versions that name topics and such that give ids, as
// they came and decoded.
func TestSubjects(t *testing.T) {
	old := make([]byte, 100) // of format 0
	for name, c := range map[string]struct {
		of            func(int16, []told, []told) (kmsg.Request, kmsg.Response)
		asked, answer []told
		want          string
	}{
		"a produce": {produceOf, []told{{topic: "a", partition: 3, records: batch(t, 0, 2)}}, []told{{topic: "a", partition: 3, offset: 70}},
			"a-3, 2 records; a-3: 70-71"},
		"a produce of nothing": {produceOf, []told{{topic: "a", partition: 3}}, []told{{topic: "a", partition: 3, offset: -1, code: 87}},
			"a-3, 0 records; a-3: INVALID_RECORD"},
		"several partitions": {produceOf, []told{{topic: "a", partition: 3, records: batch(t, 0, 2)}, {topic: "a", partition: 4, records: batch(t, 0, 1)}}, []told{{topic: "a", partition: 4, offset: 5}, {topic: "a", partition: 3, offset: 70}},
			"a--1, 3 records; a-4: 5; a-3: 70-71"},
		"several topics, one fails": {produceOf, []told{{topic: "a", partition: 0, records: batch(t, 0, 2)}, {topic: "b", partition: 0, records: batch(t, 0, 1)}}, []told{{topic: "a", partition: 0, offset: 5}, {topic: "b", partition: 0, offset: -1, code: 10}},
			"--1, 3 records; a-0: 5-6; b-0: MESSAGE_TOO_LARGE"},
		"old records": {produceOf, []told{{topic: "a", records: old}, {topic: "a", partition: 1, records: batch(t, 0, 2)}}, []told{{topic: "a", offset: 5}, {topic: "a", partition: 1, offset: 8}},
			"a--1, -2 records; a-0: 5; a-1: 8-9"},
		"a duplicate": {produceOf, []told{{topic: "a", records: batch(t, 0, 2)}}, []told{{topic: "a", offset: -1}},
			"a-0, 2 records"},
		"no answer": {produceOf, []told{{topic: "a", records: batch(t, 0, 2)}}, nil,
			"a-0, 2 records"},
		"an empty poll": {fetchOf, []told{{topic: "a", offset: 7}}, []told{{topic: "a"}},
			"a-0, 0 records"},
		"an empty poll of several": {fetchOf, []told{{topic: "a"}, {topic: "b"}}, []told{{topic: "a"}, {topic: "b"}},
			"--1, 0 records"},
		"a poll": {fetchOf, []told{{topic: "a", offset: 41}}, []told{{topic: "a", records: batch(t, 40, 4)}},
			"a-0, 3 records; a-0: 41-43"},
		"one record": {fetchOf, []told{{topic: "a", offset: 40}}, []told{{topic: "a", records: batch(t, 40, 1)}},
			"a-0, 1 records; a-0: 40"},
		"one of several delivers": {fetchOf, []told{{topic: "a"}, {topic: "b", partition: 2}}, []told{{topic: "a"}, {topic: "b", partition: 2, records: batch(t, 5, 2)}},
			"b-2, 2 records; b-2: 5-6"},
		"one delivers, one fails": {fetchOf, []told{{topic: "a", partition: 1}, {topic: "a", partition: 2}}, []told{{topic: "a", partition: 1, code: 1}, {topic: "a", partition: 2, records: batch(t, 5, 2)}},
			"a-2, 2 records; a-2: 5-6; a-1: OFFSET_OUT_OF_RANGE"},
		"a leader that changes": {fetchOf, []told{{topic: "a"}}, []told{{topic: "a", code: 6}},
			"a-0, 0 records"},
		"old records polled": {fetchOf, []told{{topic: "a"}}, []told{{topic: "a", records: old}},
			"a-0, -2 records"},
	} {
		for version, decoded := range map[int16]bool{12: false, 13: false, 11: true} {
			msg, answer := c.of(version, c.asked, c.answer)
			var req kafka.RequestBody
			req.Reset(kmsg.Key(msg.Key()), version, msg.AppendTo(nil))
			var resp kafka.ResponseBody
			resp.Reset(kmsg.Key(msg.Key()), version, answer.AppendTo(nil))
			if decoded {
				if _, err := req.Edit(); err != nil {
					t.Fatal(err)
				}
				if _, err := resp.Edit(); err != nil {
					t.Fatal(err)
				}
			}
			s := SubjectOf(kmsg.Key(msg.Key()), &req, &resp, nameOf)
			got := fmt.Sprintf("%s-%d, %d records", s.Topic, s.Partition, s.Records)
			for _, r := range s.Runs {
				got += "; " + r.String()
			}
			for _, f := range s.Failed {
				got += "; " + f.String()
			}
			if got != c.want {
				t.Errorf("%s, version %d: %s, not %s", name, version, got, c.want)
			}
		}
	}
}

// TestSubjectsAreBounded: of a thousand partitions the first are told, and all are counted.
func TestSubjectsAreBounded(t *testing.T) {
	var asked, answer []told
	for i := range int32(1000) {
		asked = append(asked, told{topic: "a", partition: i, records: batch(t, 0, 1)})
		code := int16(0)
		if i%2 == 1 {
			code = 87
		}
		answer = append(answer, told{topic: "a", partition: i, offset: 1, code: code})
	}
	msg, resp := produceOf(12, asked, answer)
	var req kafka.RequestBody
	req.Reset(kmsg.Produce, 12, msg.AppendTo(nil))
	var body kafka.ResponseBody
	body.Reset(kmsg.Produce, 12, resp.AppendTo(nil))
	s := SubjectOf(kmsg.Produce, &req, &body, nameOf)
	about := fact.Of(t, "%d topics, %d runs, %d failures, %d records", len(s.Topics), len(s.Runs), len(s.Failed), s.Records)
	if fact.Equal(about, "len(s.Topics)", len(s.Topics), 1) && fact.Equal(about, "len(s.Runs)", len(s.Runs), mostTold) && fact.Equal(about, "len(s.Failed)", len(s.Failed), mostTold) {
		fact.Equal(about, "s.Records", s.Records, 1000)
	}
}

// TestSubjectsOfShareGroups: what they are given is told like what a fetch delivers.
func TestSubjectsOfShareGroups(t *testing.T) {
	var req kafka.RequestBody
	req.Reset(kmsg.ShareFetch, 1, (&kmsg.ShareFetchRequest{Version: 1, Topics: []kmsg.ShareFetchRequestTopic{{TopicID: idOf("a")}, {TopicID: idOf("b")}}}).AppendTo(nil))
	var resp kafka.ResponseBody
	resp.Reset(kmsg.ShareFetch, 1, (&kmsg.ShareFetchResponse{Version: 1, Topics: []kmsg.ShareFetchResponseTopic{{TopicID: idOf("b"), Partitions: []kmsg.ShareFetchResponseTopicPartition{{Partition: 3, Records: batch(t, 7, 2)}}}}}).AppendTo(nil))
	s := SubjectOf(kmsg.ShareFetch, &req, &resp, nameOf)
	about := fact.Of(t, "%+v", s)
	fact.Equal(about, "s.Topic", s.Topic, "b")
	fact.Equal(about, "s.Partition", s.Partition, 3)
	fact.Equal(about, "s.Records", s.Records, 2)
	fact.Equal(about, "fmt.Sprint(s.Runs)", fmt.Sprint(s.Runs), "[b-3: 7-8]")
}

// TestSubjectsOfOtherRequests: a topic that is the only one, a group, and nothing.
func TestSubjectsOfOtherRequests(t *testing.T) {
	commit := &kmsg.OffsetCommitRequest{Version: 8, Group: "g", Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "a"}}}
	several := &kmsg.OffsetCommitRequest{Version: 8, Group: "g", Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "a"}, {Topic: "b"}}}
	share := &kmsg.ShareFetchRequest{Version: 1, Topics: []kmsg.ShareFetchRequestTopic{{TopicID: idOf("a")}}}
	for msg, want := range map[kmsg.Request]telemetry.Subject{
		commit:                             {Topics: []string{"a"}, Group: "g", Topic: "a"},
		several:                            {Topics: []string{"a", "b"}, Group: "g"},
		&kmsg.HeartbeatRequest{Group: "g"}: {Group: "g"},
		&kmsg.ListGroupsRequest{}:          {},
		share:                              {Topics: []string{"a"}, Topic: "a"},
	} {
		key := kmsg.Key(msg.Key())
		var req kafka.RequestBody
		req.Reset(key, msg.GetVersion(), msg.AppendTo(nil))
		want.Key, want.Partition, want.Records = key, -1, -1
		if got := SubjectOf(key, &req, nil, nameOf); !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v, not %+v", *got, want)
		}
	}
}
