package kafka

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAnswersMadeHere are what kmsg encodes, in every version: to some of the partitions of a
// request, as it came and edited.
func TestAnswersMadeHere(t *testing.T) {
	eachVersion(t, func(t *testing.T, r *rand.Rand, key kmsg.Key, version int16) {
		m := randomRequest(r, key, version)
		req := RequestBodyOf(m)
		if r.IntN(2) == 0 {
			req = NewRequestBody(key, version, m.AppendTo(nil))
		}
		var list []PartitionAnswer
		for i := range req.View().Partitions {
			if r.IntN(3) > 0 {
				list = append(list, randomPartition(r, i))
			}
		}
		var nodes []Endpoint
		for i := range r.IntN(3) {
			nodes = append(nodes, Endpoint{ID: int32(i), Host: "gateway", Port: 6970})
		}
		got := req.Answer(list, append(slices.Clone(nodes), nodes...)) // each twice
		want := answerModel(req, list, nodes)
		if got, want := written(t, got), want.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("got\n%x, want\n%x", got, want)
		}
		if err := got.Clean(); err != nil {
			t.Errorf("it is no message: %v", err)
		}
		if got, want := fmt.Sprint(flatResponseView(got.View())), fmt.Sprint(flatResponseView(ResponseBodyOf(want).View())); got != want {
			t.Errorf("its view is %s, want %s", got, want)
		}
	})
}

func randomPartition(r *rand.Rand, index int) PartitionAnswer {
	a := AnswerTo(index, Code(r.IntN(100)))
	if r.IntN(2) == 0 {
		a.BaseOffset, a.HighWatermark, a.LastStableOffset, a.LogStartOffset = r.Int64N(100), r.Int64N(100), r.Int64N(100), r.Int64N(100)
		a.LeaderID, a.LeaderEpoch = r.Int32N(100), r.Int32N(100)
		a.ErrorMessage = "why"
	}
	for i := range r.IntN(3) {
		a.Refused = append(a.Refused, RecordError{int32(i), strings.Repeat("x", i*i)})
	}
	return a
}

// answerModel is TestAnswersMadeHere's model.
func answerModel(req *RequestBody, list []PartitionAnswer, nodes []Endpoint) kmsg.Response {
	asked := req.View().Partitions
	same := func(i int) bool {
		return i > 0 && fmt.Sprint(asked[list[i].Index].named()) == fmt.Sprint(asked[list[i-1].Index].named())
	}
	if !Has(req.key, req.version, NodeEndpoints) {
		nodes = nil
	}
	hints := Has(req.key, req.version, LeaderHints)
	if req.key == kmsg.Produce {
		m := kmsg.NewPtrProduceResponse()
		m.Version, m.Brokers = req.version, producedEndpoints(nodes)
		for i, a := range list {
			p := &asked[a.Index]
			if !same(i) {
				m.Topics = append(m.Topics, kmsg.ProduceResponseTopic{Topic: string(p.Topic), TopicID: p.ID})
			}
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset, rp.LogStartOffset = p.Partition, int16(a.ErrorCode), a.BaseOffset, a.LogStartOffset
			if a.ErrorMessage != "" {
				rp.ErrorMessage = &a.ErrorMessage
			}
			for k := range a.Refused {
				rp.ErrorRecords = append(rp.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: a.Refused[k].Index, ErrorMessage: &a.Refused[k].Message})
			}
			if hints {
				rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = a.LeaderID, a.LeaderEpoch
			}
			rt := &m.Topics[len(m.Topics)-1]
			rt.Partitions = append(rt.Partitions, rp)
		}
		return m
	}
	m := kmsg.NewPtrFetchResponse()
	m.Version, m.Brokers = req.version, fetchedEndpoints(nodes)
	for i, a := range list {
		p := &asked[a.Index]
		if !same(i) {
			m.Topics = append(m.Topics, kmsg.FetchResponseTopic{Topic: string(p.Topic), TopicID: p.ID})
		}
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = p.Partition, int16(a.ErrorCode), a.HighWatermark, a.LastStableOffset, a.LogStartOffset
		rp.RecordBatches = []byte{}
		if hints {
			rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = a.LeaderID, a.LeaderEpoch
		}
		rt := &m.Topics[len(m.Topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
	}
	return m
}

// TestAFetchIsRefusedAsAWhole as kmsg would.
func TestAFetchIsRefusedAsAWhole(t *testing.T) {
	api, _ := Lookup(kmsg.Fetch)
	for version := range api.MaxVersion + 1 {
		want := kmsg.NewPtrFetchResponse()
		want.Version, want.ErrorCode = version, int16(FetchSessionIDNotFound)
		if got := out(RefuseFetch(version, FetchSessionIDNotFound).AppendTo); !bytes.Equal(got, want.AppendTo(nil)) {
			t.Errorf("version %d: %x, want %x", version, got, want.AppendTo(nil))
		}
	}
}

// TestMessagesFitIntoAString in answers of other APIs, in which a guest may refuse requests too.
func TestMessagesFitIntoAString(t *testing.T) {
	for _, version := range []int16{4, 5, 7} {
		m := kmsg.NewPtrCreateTopicsRequest()
		m.Version, m.Topics = version, []kmsg.CreateTopicsRequestTopic{{Topic: "orders"}}
		refused, err := ErrorResponse(RequestBodyOf(m), PolicyViolation, strings.Repeat("ü", math.MaxInt16))
		if err != nil {
			t.Fatal(err)
		}
		sent, err := NewResponseBody(kmsg.CreateTopics, version, refused.Bytes()).Peek()
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		if got, want := len(*sent.(*kmsg.CreateTopicsResponse).Topics[0].ErrorMessage), math.MaxInt16-1; got != want {
			t.Errorf("version %d: a message of %d bytes, want %d", version, got, want)
		}
	}
}

// TestMessagesOfAProduceFitIntoAString, of the partition and of its records.
func TestMessagesOfAProduceFitIntoAString(t *testing.T) {
	for _, version := range []int16{8, 9, 13} {
		m := kmsg.NewPtrProduceRequest()
		m.Version = version
		topic := kmsg.NewProduceRequestTopic()
		topic.Partitions = append(topic.Partitions, kmsg.NewProduceRequestTopicPartition())
		m.Topics = append(m.Topics, topic)
		a := AnswerTo(0, InvalidRecord)
		a.ErrorMessage = strings.Repeat("ü", math.MaxInt16)
		a.Refused = []RecordError{{0, a.ErrorMessage}}
		got, err := RequestBodyOf(m).Answer([]PartitionAnswer{a}, nil).Peek()
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		p, want := got.(*kmsg.ProduceResponse).Topics[0].Partitions[0], strings.Repeat("ü", math.MaxInt16/2)
		if *p.ErrorMessage != want {
			t.Errorf("version %d: a message of %d bytes, want %d", version, len(*p.ErrorMessage), len(want))
		}
		if got := *p.ErrorRecords[0].ErrorMessage; got != want {
			t.Errorf("version %d: a record's message of %d bytes, want %d", version, len(got), len(want))
		}
	}
}
