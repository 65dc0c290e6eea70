package fork

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// gather merges answers as those of forks.
func gather(t *testing.T, answers ...kmsg.Response) kmsg.Response {
	t.Helper()
	var forks []*plugin.Request
	var results []Result
	for _, a := range answers {
		forks = append(forks, &plugin.Request{Header: kafka.Header{Key: kmsg.Key(a.Key()), Version: a.GetVersion()}})
		results = append(results, Result{Response: plugin.Respond(a)})
	}
	resp, err := Gather(forks, results)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// committed is the answer to an OffsetCommit.
func committed(topics ...kmsg.OffsetCommitResponseTopic) *kmsg.OffsetCommitResponse {
	m := kmsg.NewPtrOffsetCommitResponse()
	m.SetVersion(10)
	m.Topics = topics
	return m
}

func committedTopic(name string, id byte, partitions ...int32) kmsg.OffsetCommitResponseTopic {
	t := kmsg.NewOffsetCommitResponseTopic()
	t.Topic, t.TopicID = name, [16]byte{id}
	for _, p := range partitions {
		fp := kmsg.NewOffsetCommitResponseTopicPartition()
		fp.Partition = p
		t.Partitions = append(t.Partitions, fp)
	}
	return t
}

// committedText writes topics as "name/id:partitions".
func committedText(m *kmsg.OffsetCommitResponse) (out []string) {
	for _, t := range m.Topics {
		text := fmt.Sprintf("%s/%d:", t.Topic, t.TopicID[0])
		for _, p := range t.Partitions {
			text += fmt.Sprint(p.Partition)
		}
		out = append(out, text)
	}
	return out
}

// TestTopicsAreJoined by their name, or by their id where they have none; in the order in which
// they came.
func TestTopicsAreJoined(t *testing.T) {
	for _, c := range []struct {
		what    string
		answers []kmsg.Response
		want    []string
	}{
		{"by name", []kmsg.Response{committed(committedTopic("a", 0, 0), committedTopic("b", 0, 1)), committed(committedTopic("b", 0, 2), committedTopic("c", 0, 3)), committed(committedTopic("c", 0, 4), committedTopic("a", 0, 5))}, []string{"a/0:05", "b/0:12", "c/0:34"}},
		{"by name, whatever the id", []kmsg.Response{committed(committedTopic("a", 1, 0)), committed(committedTopic("a", 2, 1))}, []string{"a/1:01"}},
		{"by id", []kmsg.Response{committed(committedTopic("", 1, 0), committedTopic("", 2, 1)), committed(committedTopic("", 2, 2), committedTopic("", 3, 3))}, []string{"/1:0", "/2:12", "/3:3"}},
		{"a name and no name", []kmsg.Response{committed(committedTopic("a", 1, 0)), committed(committedTopic("", 1, 1))}, []string{"a/1:0", "/1:1"}},
		{"neither", []kmsg.Response{committed(committedTopic("", 0, 0)), committed(committedTopic("", 0, 1))}, []string{"/0:0", "/0:1"}},
		{"with the first of two", []kmsg.Response{committed(committedTopic("a", 0, 0), committedTopic("a", 0, 1)), committed(committedTopic("a", 0, 2))}, []string{"a/0:02", "a/0:1"}},
		{"within an answer", []kmsg.Response{committed(), committed(committedTopic("a", 0, 0), committedTopic("a", 0, 1))}, []string{"a/0:01"}},
	} {
		if got := committedText(gather(t, c.answers...).(*kmsg.OffsetCommitResponse)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

// TestAJoinLeavesTheMemoryBehindAnAnswer alone: an answer's partitions may be a part of a longer
// list.
func TestAJoinLeavesTheMemoryBehindAnAnswer(t *testing.T) {
	all := committedTopic("a", 0, 0, 1)
	first := all
	first.Partitions = all.Partitions[:1]
	gather(t, committed(first), committed(committedTopic("a", 0, 7)), committed(committedTopic("a", 0, 8)))
	if got := all.Partitions[1].Partition; got != 1 {
		t.Errorf("the partition behind it is %d, want 1", got)
	}
}

// TestItemsThatNobodyJoins: without partitions, or of another kind than topics.
func TestItemsThatNobodyJoins(t *testing.T) {
	created := func(name string) *kmsg.CreateTopicsResponse {
		m := kmsg.NewPtrCreateTopicsResponse()
		m.SetVersion(7)
		m.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: name, TopicID: [16]byte{1}}}
		return m
	}
	if n := len(gather(t, created("a"), created("a")).(*kmsg.CreateTopicsResponse).Topics); n != 2 {
		t.Errorf("%d topics, want 2", n)
	}
	groups := func(id string) *kmsg.ListGroupsResponse {
		m := kmsg.NewPtrListGroupsResponse()
		m.SetVersion(4)
		m.Groups = []kmsg.ListGroupsResponseGroup{{Group: id}}
		return m
	}
	if n := len(gather(t, groups("g"), groups("g"), groups("h")).(*kmsg.ListGroupsResponse).Groups); n != 3 {
		t.Errorf("%d groups, want 3", n)
	}
}

// TestWhatAnAnswerSaysOfItself: the longest throttle time, the first code, each node once.
func TestWhatAnAnswerSaysOfItself(t *testing.T) {
	described := func(throttle int32, code int16, nodes ...int32) *kmsg.DescribeClusterResponse {
		m := kmsg.NewPtrDescribeClusterResponse()
		m.ThrottleMillis, m.ErrorCode = throttle, code
		for _, id := range nodes {
			m.Brokers = append(m.Brokers, kmsg.DescribeClusterResponseBroker{NodeID: id})
		}
		return m
	}
	got := gather(t, described(1, 0, 0, 1), described(9, 41, 1, 2, 2), described(5, 42, 0, 2, 3)).(*kmsg.DescribeClusterResponse)
	if got.ThrottleMillis != 9 {
		t.Errorf("throttled for %d ms, want 9", got.ThrottleMillis)
	}
	if got.ErrorCode != 41 {
		t.Errorf("code %d, want 41", got.ErrorCode)
	}
	var nodes []int32
	for _, b := range got.Brokers {
		nodes = append(nodes, b.NodeID)
	}
	if !slices.Equal(nodes, []int32{0, 1, 2, 3}) {
		t.Errorf("nodes %v", nodes)
	}
}

// TestMergingAllocatesByTheItem, and not by pairs of them: ten times as many topics, of as many
// forks, cost ten times as much.
func TestMergingAllocatesByTheItem(t *testing.T) {
	allocs := func(topics, forks int) float64 {
		return testing.AllocsPerRun(1, func() {
			answers := make([]kmsg.Response, forks)
			for i := range answers {
				var list []kmsg.OffsetCommitResponseTopic
				for j := range topics {
					list = append(list, committedTopic(fmt.Sprint("topic-", j), 0, int32(i)))
				}
				answers[i] = committed(list...)
			}
			gather(t, answers...)
		})
	}
	if few, many := allocs(100, 4), allocs(1000, 4); many > 12*few {
		t.Errorf("%.0f allocations for 1,000 topics, %.0f for 100", many, few)
	}
	if few, many := allocs(50, 4), allocs(50, 40); many > 12*few {
		t.Errorf("%.0f allocations for 40 forks, %.0f for 4", many, few)
	}
}
