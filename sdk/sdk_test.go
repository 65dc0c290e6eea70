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
		for what, is := range map[string]struct{ got, want any }{
			"records":         {r.Len(), 3},
			"client id":       {r.ClientID(), "app"},
			"principal":       {r.Principal(), "me"},
			"virtual cluster": {r.VirtualCluster(), "vc"},
			"address":         {r.Address(), "host:1"},
			"API key":         {r.Key(), int16(0)},
			"version":         {r.Version(), int16(9)},
		} {
			if is.got != is.want {
				t.Errorf("%s is %v, want %v", what, is.got, is.want)
			}
		}
		if left := time.Until(r.Deadline()); left < time.Second {
			t.Errorf("%s are left, want at least a second", left)
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
		if got := string(rec.Key()); got != "k" {
			t.Errorf("key is %q, want %q", got, "k")
		}
		if got := rec.Value(); got != nil {
			t.Errorf("value is %q, want null", got)
		}
		if got := rec.Timestamp(); !got.Equal(at) {
			t.Errorf("timestamp is %s, want %s", got, at)
		}
		if got := rec.Offset(); got != 5 {
			t.Errorf("offset is %d, want 5", got)
		}
		if !ok || v != nil {
			t.Errorf("header is %q, there: %t, want null, true", v, ok)
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
	got := res.Records
	if len(got) != 3 {
		t.Fatalf("%d records are left, want 3: %+v", len(got), got)
	}
	if v := string(got[0].Value); v != "new" {
		t.Errorf("the first value is %q, want %q", v, "new")
	}
	if n := len(got[0].Headers); n != 1 {
		t.Errorf("the first has %d headers, want 1", n)
	}
	if ms := got[0].Timestamp.UnixMilli(); ms != 7 {
		t.Errorf("the first timestamp is %d, want 7", ms)
	}
	if v := string(got[1].Value); v != "Xbc" {
		t.Errorf("the value changed in its place is %q, want %q", v, "Xbc")
	}
	if n := len(got[1].Headers); n != 0 {
		t.Errorf("the one without headers has %d", n)
	}
	if got[2].Key != nil {
		t.Errorf("the last key is %q, want null", got[2].Key)
	}
	if dropped := fmt.Sprint(res.Dropped); dropped != "[1]" {
		t.Errorf("dropped are %s, want [1]", dropped)
	}
	if r := res.Rejected[3]; r == nil || r.Code != sdk.InvalidRecord {
		t.Errorf("the last is rejected with %v, want %d", r, sdk.InvalidRecord)
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
