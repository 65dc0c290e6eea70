package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

// scripted is a plugin that a test writes.
type scripted struct{ do func(*sdk.Records) error }

func (s scripted) OnProduce(r *sdk.Records) error { return s.do(r) }

func produce(t *testing.T, do func(*sdk.Records) error, records ...sdktest.Record) sdktest.Result {
	t.Helper()
	res, err := sdktest.Produce(sdk.New("scripted", scripted{do}), sdktest.Client{ID: "app", Principal: "me", VirtualCluster: "vc", Address: "host:1"}, records...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestViews show what the block has.
func TestViews(t *testing.T) {
	at := time.UnixMilli(1234)
	produce(t, func(r *sdk.Records) error {
		if r.Len() != 3 || r.ClientID() != "app" || r.Principal() != "me" || r.VirtualCluster() != "vc" || r.Address() != "host:1" || r.Key() != 0 || r.Version() != 9 || time.Until(r.Deadline()) < time.Second {
			t.Errorf("%d records, client %q", r.Len(), r.ClientID())
		}
		var groups []string
		for g := range r.Groups() {
			n := 0
			for range g.Records() {
				n++
			}
			groups = append(groups, fmt.Sprint(g.Topic(), g.Partition(), g.Len(), n, g.ProducerID(), g.Transactional()))
		}
		if got := strings.Join(groups, ","); got != "a0 2 2 -1 false,b3 1 1 -1 false" {
			t.Error(got)
		}
		rec := r.At(0)
		v, ok := rec.Header("h")
		if string(rec.Key()) != "k" || rec.Value() != nil || !rec.Timestamp().Equal(at) || rec.Offset() != 5 || !ok || v != nil {
			t.Errorf("%q, %q, %s, header %v %t", rec.Key(), rec.Value(), rec.Timestamp(), v, ok)
		}
		if _, ok := rec.Header("none"); ok {
			t.Error("a header that is not there")
		}
		return nil
	}, sdktest.Record{Topic: "a", Key: []byte("k"), Timestamp: at, Offset: 5, Headers: []sdktest.Header{{Key: "g", Value: []byte("1")}, {Key: "h"}}},
		sdktest.Record{Topic: "a"}, sdktest.Record{Topic: "b", Partition: 3})
}

// TestEdits change records as they say, and errors refuse with their code.
func TestEdits(t *testing.T) {
	res := produce(t, func(r *sdk.Records) error {
		r.At(0).SetValue([]byte("new"))
		r.At(0).AddHeader("h", nil)
		r.At(0).SetTimestamp(time.UnixMilli(7))
		r.At(1).Drop()
		r.At(2).Value()[0] = 'X'
		r.At(2).SetValueInPlace()
		r.At(2).RemoveHeaders("h")
		r.At(3).SetKey(nil)
		r.At(3).Reject(sdk.InvalidRecord, "no")
		return nil
	}, sdktest.Record{Value: []byte("v")}, sdktest.Record{}, sdktest.Record{Value: []byte("abc"), Headers: []sdktest.Header{{Key: "h"}}}, sdktest.Record{Key: []byte("k")})
	if got := res.Records; len(got) != 3 || string(got[0].Value) != "new" || len(got[0].Headers) != 1 || got[0].Timestamp.UnixMilli() != 7 || string(got[1].Value) != "Xbc" || len(got[1].Headers) != 0 || got[2].Key != nil {
		t.Errorf("%+v", got)
	}
	if len(res.Dropped) != 1 || res.Dropped[0] != 1 || res.Rejected[3] == nil || res.Rejected[3].Code != sdk.InvalidRecord {
		t.Errorf("%+v", res)
	}
	for code, err := range map[int16]error{44: errors.New("plain"), 29: fmt.Errorf("more: %w", sdk.Errorf(29, "coded"))} {
		if res := produce(t, func(*sdk.Records) error { return err }, sdktest.Record{}); res.Refused == nil || res.Refused.Code != code {
			t.Errorf("%v: %+v", err, res.Refused)
		}
	}
}

// TestEditsInAnyOrder reach the gateway in the order that it wants.
func TestEditsInAnyOrder(t *testing.T) {
	res := produce(t, func(r *sdk.Records) error {
		r.At(1).AddHeader("h", []byte("1"))
		r.At(0).SetValue(nil)
		r.At(1).AddHeader("h", []byte("2"))
		r.At(0).AddHeader("z", nil)
		return nil
	}, sdktest.Record{Value: []byte("a")}, sdktest.Record{Value: []byte("b")})
	if got := fmt.Sprintf("%v", res.Records); res.Records[0].Value != nil || fmt.Sprint(res.Records[1].Headers) != "[{h [49]} {h [50]}]" || len(res.Records[0].Headers) != 1 {
		t.Error(got)
	}
}

// TestEditsAllocateNothing in steady state.
func TestEditsAllocateNothing(t *testing.T) {
	value := []byte("value")
	g := sdk.New("scripted", scripted{func(r *sdk.Records) error {
		for _, rec := range r.All() {
			if _, ok := rec.Header("x"); !ok {
				rec.AddHeader("x", value)
			}
		}
		return nil
	}})
	var list []sdktest.Record
	for range 100 {
		list = append(list, sdktest.Record{Topic: "t", Key: []byte("key"), Value: make([]byte, 200)})
	}
	block := sdktest.Block(abi.KindProduce, 0, 9, sdktest.Client{}, list)
	if n := testing.AllocsPerRun(100, func() { g.Call(block) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTheManifest says what the plugin implements and registers.
func TestTheManifest(t *testing.T) {
	g := sdk.New("x", scripted{}, sdk.Version("2"), sdk.Needs(abi.CapKV), sdk.Every(time.Second), sdk.FailClosedOnly(),
		sdk.OnRequest(func(*sdk.Request, *kmsg.CreateTopicsRequest) error { return nil }),
		sdk.OnResponse(func(*sdk.Response, *kmsg.MetadataResponse) error { return nil }))
	var got, want any
	if err := json.Unmarshal(g.Manifest(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(fmt.Appendf(nil, `{"name": "x", "version": "2", "records": ["produce"], "requests": [{"api": 19, "max": %d}], "responses": [{"api": 3, "max": %d}],
		"tick_ms": 1000, "host": ["kv"], "fail_closed_only": true}`, kmsg.NewPtrCreateTopicsRequest().MaxVersion(), kmsg.NewPtrMetadataResponse().MaxVersion()), &want); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\n%v", got, want)
	}
}
