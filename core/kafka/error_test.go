package kafka

import (
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// filled makes a request with one item in every list and a text in every field.
func filled(key kmsg.Key, version int16) kmsg.Request {
	r := kmsg.RequestForKey(int16(key))
	fill(reflect.ValueOf(r).Elem(), 0)
	r.SetVersion(version)
	return r
}

func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Type().Field(i).IsExported() && name != "UnknownTags" && name != "Version" {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{})
			return
		}
		if depth < 6 {
			s := reflect.MakeSlice(v.Type(), 1, 1)
			fill(s.Index(0), depth+1)
			v.Set(s)
		}
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		fill(p.Elem(), depth+1)
		v.Set(p)
	case reflect.String:
		v.SetString("x")
	case reflect.Int32, reflect.Int16, reflect.Int64, reflect.Int8:
		v.SetInt(1)
	case reflect.Array:
		v.Index(0).SetUint(7)
	}
}

// codes collects every error code of a response.
func codes(v reflect.Value, out *[]int16) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				*out = append(*out, int16(v.Field(i).Int()))
			} else if v.Type().Field(i).IsExported() {
				codes(v.Field(i), out)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				codes(v.Index(i), out)
			}
		}
	}
}

// TestEveryAPIHasAnErrorResponse: for each API and version that clients are offered, the error
// answer encodes, decodes, and carries the code in that version.
func TestEveryAPIHasAnErrorResponse(t *testing.T) {
	for _, api := range APIs() {
		if api.GoesTo == Refused || api.Key == kmsg.ApiVersions {
			continue
		}
		for version := range api.MaxVersion + 1 {
			req := NewRequestBody(api.Key, version, filled(api.Key, version).AppendTo(nil))
			resp, err := ErrorResponse(req, 77, "why")
			if err != nil {
				t.Errorf("%s version %d: %v", api.Name, version, err)
				continue
			}
			again := kmsg.ResponseForKey(int16(api.Key))
			again.SetVersion(version)
			if err := again.ReadFrom(resp.Bytes()); err != nil {
				t.Errorf("%s version %d does not decode: %v", api.Name, version, err)
				continue
			}
			var found []int16
			codes(reflect.ValueOf(again).Elem(), &found)
			has := false
			for _, c := range found {
				has = has || c == 77
			}
			if !has {
				t.Errorf("%s version %d: no code in the answer: %v in %+v", api.Name, version, found, again)
			}
		}
	}
}

func TestAnEmptyFetchSuccessHasRecords(t *testing.T) {
	resp, err := ErrorResponse(NewRequestBody(kmsg.Fetch, 12, filled(kmsg.Fetch, 12).AppendTo(nil)), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := resp.Peek()
	if err != nil {
		t.Fatal(err)
	}
	f := msg.(*kmsg.FetchResponse)
	about := fact.Of(t, "%+v: null records make librdkafka drop the answer", f)
	if fact.Equal(about, "len(f.Topics)", len(f.Topics), 1) {
		fact.Equal(about, "f.Topics[0].Topic", f.Topics[0].Topic, "x")
		fact.Equal(about, "f.Topics[0].Partitions[0].ErrorCode", f.Topics[0].Partitions[0].ErrorCode, 0)
		fact.True(about, "f.Topics[0].Partitions[0].RecordBatches != nil", f.Topics[0].Partitions[0].RecordBatches != nil)
	}
}

// TestItemsAreEchoed: a client finds its topics, groups and partitions in the error answer.
func TestItemsAreEchoed(t *testing.T) {
	m := kmsg.NewPtrOffsetCommitRequest()
	m.SetVersion(8)
	for _, name := range []string{"a", "b"} {
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic = name
		for p := range int32(3) {
			rp := kmsg.NewOffsetCommitRequestTopicPartition()
			rp.Partition = p
			rt.Partitions = append(rt.Partitions, rp)
		}
		m.Topics = append(m.Topics, rt)
	}
	resp, err := ErrorResponse(RequestBodyOf(m), 16, "")
	if err != nil {
		t.Fatal(err)
	}
	c := resp.msg.(*kmsg.OffsetCommitResponse)
	about := fact.Of(t, "%+v", c)
	if fact.Equal(about, "len(c.Topics)", len(c.Topics), 2) {
		fact.Equal(about, "c.Topics[1].Topic", c.Topics[1].Topic, "b")
		if fact.Equal(about, "len(c.Topics[1].Partitions)", len(c.Topics[1].Partitions), 3) {
			fact.Equal(about, "c.Topics[1].Partitions[2].Partition", c.Topics[1].Partitions[2].Partition, 2)
		}
	}
}

// TestWhatIsRefusedHasNoOffset, and is not answered where nothing was asked.
func TestWhatIsRefusedHasNoOffset(t *testing.T) {
	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(9)
	with, without := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopic()
	with.Topic, without.Topic = "with", "without"
	with.Partitions = append(with.Partitions, kmsg.NewProduceRequestTopicPartition())
	produce.Topics = append(produce.Topics, with, without)
	resp, err := ErrorResponse(RequestBodyOf(produce), 3, "")
	if err != nil {
		t.Fatal(err)
	}
	produced, err := resp.Peek()
	if err != nil {
		t.Fatal(err)
	}
	topics := produced.(*kmsg.ProduceResponse).Topics
	if len(topics) != 1 {
		t.Fatalf("%d topics: one was asked about", len(topics))
	}
	if p := topics[0].Partitions[0]; p.BaseOffset != -1 || p.LogStartOffset != -1 {
		t.Errorf("base offset %d, log start %d", p.BaseOffset, p.LogStartOffset)
	}
	id, err := ErrorResponse(RequestBodyOf(kmsg.NewPtrInitProducerIDRequest()), 42, "")
	if err != nil {
		t.Fatal(err)
	}
	if r := id.msg.(*kmsg.InitProducerIDResponse); r.ProducerID != -1 || r.ProducerEpoch != -1 {
		t.Errorf("producer id %d, epoch %d", r.ProducerID, r.ProducerEpoch)
	}
}

// TestItemsAloneAreRefused: of the others the request is still answered.
func TestItemsAloneAreRefused(t *testing.T) {
	for key, code := range map[kmsg.Key]func(kmsg.Response) (top, item int16){
		kmsg.ElectLeaders: func(r kmsg.Response) (int16, int16) {
			m := r.(*kmsg.ElectLeadersResponse)
			return m.ErrorCode, m.Topics[0].Partitions[0].ErrorCode
		},
		kmsg.AlterPartitionAssignments: func(r kmsg.Response) (int16, int16) {
			m := r.(*kmsg.AlterPartitionAssignmentsResponse)
			return m.ErrorCode, m.Topics[0].Partitions[0].ErrorCode
		},
	} {
		api, _ := Lookup(key)
		body := RequestBodyOf(filled(key, api.MaxVersion))
		items, err := ErrorOfItems(body, 3, "no")
		if err != nil {
			t.Fatal(err)
		}
		if top, item := code(items.msg); top != 0 || item != 3 {
			t.Errorf("%s: code %d, and %d of the item", api.Name, top, item)
		}
		all, err := ErrorResponse(body, 3, "no")
		if err != nil {
			t.Fatal(err)
		}
		if top, item := code(all.msg); top != 3 || item != 3 {
			t.Errorf("%s as a whole: code %d, and %d of the item", api.Name, top, item)
		}
	}
}

func TestLegalTopics(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "A.b_c-9": true, "...": true, strings.Repeat("x", 249): true,
		"": false, ".": false, "..": false, "a b": false, "a/b": false, "ü": false, strings.Repeat("x", 250): false,
	} {
		if LegalTopic(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}
