package main

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"faults": [{"percent": 0.1, "latency": "100ms"}]}`:                                                       "",
		`{"faults": [{"percent": 100, "error": 7, "apis": ["Produce", "Fetch"], "topics": "a*", "clients": "b"}]}`: "",
		`{}`:                                        "config.faults is missing",
		`{"faults": [{"error": 7}]}`:                "config.faults[0].percent",
		`{"faults": [{"percent": 101}]}`:            "config.faults[0].percent",
		`{"faults": [{"percent": 1}]}`:              "config.faults[0] needs latency",
		`{"faults": [{"percent": 1, "error": -1}]}`: "config.faults[0].error",
		`{"faults": [{"percent": 1, "error": 7, "apis": ["DeleteTopics"]}]}`:              "is not one of Produce, Fetch, Metadata",
		`{"faults": [{"percent": 1, "error": 7, "apis": ["Metadata"], "topics": ["a"]}]}`: "config.faults[0].topics",
		`{"faults": [{"percent": 1, "error": 7, "code": 7}]}`:                             "unknown field",
	} {
		err := newChaos().Configure([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// dice is a chaos whose chances are given, and whose sleeps are noted.
type dice struct {
	*chaos
	rolls []float64
	slept []time.Duration
}

func guest(t testing.TB, config string, rolls ...float64) (*sdk.Guest, *dice) {
	t.Helper()
	d := &dice{chaos: newChaos(), rolls: rolls}
	d.roll = func() float64 {
		if len(d.rolls) == 0 {
			return 0
		}
		r := d.rolls[0]
		d.rolls = d.rolls[1:]
		return r
	}
	d.sleep = func(s time.Duration) { d.slept = append(d.slept, s) }
	if err := d.Configure([]byte(`{"faults": [` + config + `]}`)); err != nil {
		t.Fatal(err)
	}
	return sdk.New("chaos", d.chaos, d.options()...), d
}

func TestRecords(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name, config string
		fetch        bool
		rolls        []float64
		code         int16 // 0: forwarded
		slept        []time.Duration
	}{
		{name: "below", config: `{"percent": 30, "error": 7}`, rolls: []float64{0.29}, code: 7},
		{name: "above", config: `{"percent": 30, "error": 7}`, rolls: []float64{0.30}},
		{name: "always", config: `{"percent": 100, "error": 7}`, rolls: []float64{0.999999}, code: 7},
		{name: "late", config: `{"percent": 100, "latency": "100ms"}`, slept: []time.Duration{100 * ms}},
		{name: "jitter", config: `{"percent": 100, "latency": "100ms", "jitter": "50ms"}`, rolls: []float64{0, 0.5}, slept: []time.Duration{125 * ms}},
		{name: "late and wrong", config: `{"percent": 100, "latency": "100ms", "error": 6}`, slept: []time.Duration{100 * ms}, code: 6},
		{name: "both", config: `{"percent": 100, "latency": "1ms"}, {"percent": 100, "latency": "2ms"}`, slept: []time.Duration{ms, 2 * ms}},
		{name: "error ends", config: `{"percent": 100, "error": 6}, {"percent": 100, "latency": "2ms"}`, code: 6},
		{name: "another API", config: `{"percent": 100, "error": 6, "apis": ["Fetch"]}`},
		{name: "this API", config: `{"percent": 100, "error": 6, "apis": ["Fetch"]}`, fetch: true, code: 6},
		{name: "topic", config: `{"percent": 100, "error": 6, "topics": "pay*"}`, code: 6},
		{name: "another topic", config: `{"percent": 100, "error": 6, "topics": "x*"}`},
		{name: "client", config: `{"percent": 100, "error": 6, "clients": "app-*"}`, code: 6},
		{name: "another client", config: `{"percent": 100, "error": 6, "clients": "x*"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, d := guest(t, c.config, c.rolls...)
			show := sdktest.Produce
			if c.fetch {
				show = sdktest.Fetch
			}
			got, err := show(g, sdktest.Client{ID: "app-1"}, sdktest.Record{Topic: "orders"}, sdktest.Record{Topic: "payments"})
			if err != nil {
				t.Fatal(err)
			}
			if code := refused(got); code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
			if !slices.Equal(d.slept, c.slept) {
				t.Errorf("slept %v, want %v", d.slept, c.slept)
			}
		})
	}
}

func refused(r sdktest.Result) int16 {
	if r.Refused == nil {
		return 0
	}
	return r.Refused.Code
}

// TestDeadline: a call that would end too late is no late request but a failure.
func TestDeadline(t *testing.T) {
	g, d := guest(t, `{"percent": 100, "latency": "1h"}`)
	block := sdktest.Block(abi.KindProduce, 0, 9, sdktest.Client{}, []sdktest.Record{{Topic: "t"}})
	now := time.Unix(1700000000, 0)
	d.now = func() time.Time { return now }
	for left, want := range map[time.Duration][]time.Duration{time.Second: {time.Second - margin}, margin: nil, -time.Second: nil} {
		d.slept = nil
		binary.LittleEndian.PutUint64(block[abi.HeadDeadline:], uint64(now.Add(left).UnixNano()))
		if g.Call(block) != nil || !slices.Equal(d.slept, want) {
			t.Errorf("with %v left: slept %v", left, d.slept)
		}
	}
}

// requests are of every API that has no records.
var requests = map[string]kmsg.Request{
	"Metadata": kmsg.NewPtrMetadataRequest(), "FindCoordinator": kmsg.NewPtrFindCoordinatorRequest(), "JoinGroup": kmsg.NewPtrJoinGroupRequest(),
	"SyncGroup": kmsg.NewPtrSyncGroupRequest(), "Heartbeat": kmsg.NewPtrHeartbeatRequest(), "OffsetCommit": kmsg.NewPtrOffsetCommitRequest(),
	"OffsetFetch": kmsg.NewPtrOffsetFetchRequest(), "ListOffsets": kmsg.NewPtrListOffsetsRequest(), "InitProducerId": kmsg.NewPtrInitProducerIDRequest(),
}

func TestMessages(t *testing.T) {
	if len(requests) != len(apis)-2 {
		t.Errorf("%d requests for %d APIs", len(requests), len(apis))
	}
	for api, req := range requests {
		req.SetVersion(req.MaxVersion())
		body := req.AppendTo(nil)
		block := sdktest.Block(abi.KindRequest, uint16(req.Key()), uint16(req.MaxVersion()), sdktest.Client{}, nil)
		binary.LittleEndian.PutUint32(block[abi.HeadBody:], uint32(len(block)))
		binary.LittleEndian.PutUint32(block[abi.HeadBody+4:], uint32(len(body)))
		block = append(block, body...)
		for config, want := range map[string]bool{
			`{"percent": 100, "error": 15}`:                          true,
			`{"percent": 100, "error": 15, "apis": ["` + api + `"]}`: true,
			`{"percent": 100, "error": 15, "apis": ["Fetch"]}`:       false,
			`{"percent": 100, "error": 15, "topics": ["*"]}`:         false,
		} {
			g, _ := guest(t, config)
			out := g.Call(block)
			if (out != nil) != want {
				t.Errorf("%s, %s: %x", api, config, out)
			}
			if out != nil && (binary.LittleEndian.Uint16(out[abi.ResultAction:]) != abi.ActionError || binary.LittleEndian.Uint16(out[abi.ResultCode:]) != 15) {
				t.Errorf("%s: answered %x", api, out)
			}
		}
	}
}

func BenchmarkProduce(b *testing.B) {
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = sdktest.Record{Topic: "t", Value: make([]byte, 200)}
	}
	g, d := guest(b, `{"percent": 1, "error": 7, "topics": ["x*", "t*"]}`)
	d.roll = func() float64 { return 0.5 }
	block := sdktest.Block(abi.KindProduce, 0, 9, sdktest.Client{ID: "app"}, records)
	b.ReportAllocs()
	for b.Loop() {
		g.Call(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
}
