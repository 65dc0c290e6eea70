package kafka

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestMessagesAsJSON come back as they were, in every API and version, with all fields and without
// those that are the default.
func TestMessagesAsJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	eachMessage(t, func(t *testing.T, api API, version int16, request bool, fresh func() decoded) {
		for i := range 3 {
			m := fresh()
			if i > 0 {
				scramble(r, reflect.ValueOf(m).Elem(), 0, true)
			}
			raw := append([]byte{}, m.AppendTo(nil)...)
			for _, all := range []bool{true, false} {
				text, back, err := throughJSON(api.Key, version, request, raw, all)
				if err != nil {
					t.Fatalf("%s version %d: %v\n%s", api.Name, version, err, text)
				}
				if !json.Valid(text) || !bytes.Equal(back, raw) {
					t.Fatalf("%s version %d request %t, all %t: %s\nbecame %x, not %x", api.Name, version, request, all, text, back, raw)
				}
			}
		}
	})
}

func throughJSON(key kmsg.Key, version int16, request bool, raw []byte, all bool) (text, back []byte, err error) {
	if request {
		if text, err = NewRequestBody(key, version, raw).JSON(all); err != nil {
			return text, nil, err
		}
		b, err := RequestOfJSON(key, version, text)
		if err != nil {
			return text, nil, err
		}
		return text, b.Bytes(), nil
	}
	if text, err = NewResponseBody(key, version, raw).JSON(all); err != nil {
		return text, nil, err
	}
	b, err := ResponseOfJSON(key, version, text)
	if err != nil {
		return text, nil, err
	}
	return text, b.Bytes(), nil
}

// TestJSONOfBytes: texts where they are some, and else hex.
func TestJSONOfBytes(t *testing.T) {
	m := kmsg.NewPtrSyncGroupRequest()
	m.Group = "<g>\"\n\xff"
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberAssignment = []byte{0, 255}
	m.GroupAssignment = append(m.GroupAssignment, a)
	text, back, err := throughJSON(kmsg.SyncGroup, 0, true, m.AppendTo(nil), false)
	about := fact.Of(t, "%s, %v", text, err)
	if fact.NoError(about, err) {
		fact.List(about, "back", back, m.AppendTo(nil))
		fact.Has(about, string(text), `"MemberAssignment":{"hex":"00ff"}`)
		fact.Has(about, string(text), `"Group":{"hex":"`)
	}
}

// TestMistakesInJSON say where they are.
func TestMistakesInJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"Topic": 1}`:                           "Topic: there is no such field, but Topics, TimeoutMillis, ValidateOnly",
		`{"Version": 1}`:                         "Version: there is no such field",
		`{"Topics": 1}`:                          "Topics: want a list",
		`{"Topics": [1]}`:                        "Topics[0]: want an object",
		`{"Topics": [{}, {"Topic": 1}]}`:         "Topics[1].Topic: want a text",
		`{"Topics": [{"Topic": {"hex": "zz"}}]}`: "Topics[0].Topic: ",
		`{"Topics": [{"Topic": {"oct": "1"}}]}`:  "want a text, {",
		`{"Topics": [{"NumPartitions": 1.5}]}`:   "Topics[0].NumPartitions: want a number of type int32",
		`{"Topics": [{"NumPartitions": 1e99}]}`:  "want a number of type int32",
		`{"Topics": [{"NumPartitions": "1"}]}`:   "want a number of type int32",
		`{"Topics": [{"NumPartitions": null}]}`:  "null where there is none",
		`{"ValidateOnly": 1}`:                    "want true or false",
		`[]`:                                     "want an object",
		`{} {}`:                                  "more behind",
		`{`:                                      "unexpected EOF",
	} {
		if _, err := RequestOfJSON(kmsg.CreateTopics, 5, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := RequestOfJSON(kmsg.DeleteTopics, 6, []byte(`{"Topics": [{"TopicID": "00"}]}`)); err == nil || !strings.Contains(err.Error(), "16 bytes in hex") {
		t.Errorf("%v", err)
	}
	if _, err := RequestOfJSON(999, 0, []byte(`{}`)); err == nil {
		t.Error("an API that there is not")
	}
	if _, err := ResponseOfJSON(999, 0, []byte(`{}`)); err == nil {
		t.Error("an API that there is not")
	}
}

// FuzzJSON: what anybody writes is refused, or a message that is read again.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"Topics":[{"Topic":"x","NumPartitions":1,"ReplicaAssignment":[{"Partition":0,"Replicas":[1]}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := RequestOfJSON(kmsg.CreateTopics, 7, text)
		if err != nil {
			return
		}
		if _, err := b.JSON(true); err != nil {
			t.Error(err)
		}
	})
}
