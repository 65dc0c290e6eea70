package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"rules": [{"ids": [7, "100-199"]}]}`:                                    "",
		`{"rules": [{"registry": true}], "registry": {"url": "http://sr:8081/"}}`: "",
		`{}`:                                   "config.rules is missing",
		`{"rules": [{"topics": "a*"}]}`:        "either ids or registry",
		`{"rules": [{"registry": true}]}`:      "needs config.registry",
		`{"rules": [{"ids": ["9-1"]}]}`:        "is not a schema id",
		`{"rules": [{"ids": [-1]}]}`:           "is not a schema id",
		`{"rules": [{"ids": ["4294967296"]}]}`: "is not a schema id",
		`{"rules": [{"ids": [1]}], "registry": {"url": "sr:8081"}}`:                          "is not an http",
		`{"rules": [{"ids": [1]}], "registry": {"url": "http://sr", "unavailable": "fail"}}`: "config.registry.unavailable",
		`{"rules": [{"ids": [1]}], "registry": {"url": "http://sr", "ttl": "soon"}}`:         "such as 10s",
		`{"rules": [{"ids": [1]}], "schemas": 1}`:                                            "unknown field",
	} {
		err := sdk.New("schemaid", &schemaid{}).Configure([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func guest(t testing.TB, h sdk.Host, config string) *sdk.Guest {
	t.Helper()
	g := sdk.New("schemaid", &schemaid{})
	g.SetHost(h)
	if err := g.Configure([]byte(config)); err != nil {
		t.Fatal(err)
	}
	return g
}

func value(topic string, id uint32) sdktest.Record {
	return sdktest.Record{Topic: topic, Value: append(binary.BigEndian.AppendUint32([]byte{0}, id), "payload"...)}
}

func TestAllowedIDs(t *testing.T) {
	g := guest(t, sdk.NewMemory(), `{"rules": [{"topics": "orders*", "ids": [7, "100-199"]}, {"topics": ["pay*"], "ids": ["1"]}]}`)
	for _, c := range []struct {
		record sdktest.Record
		want   string
	}{
		{value("orders.eu", 7), ""},
		{value("orders.eu", 100), ""},
		{value("orders.eu", 199), ""},
		{value("orders.eu", 200), "schema id 200 is not allowed"},
		{value("orders.eu", 1), "schema id 1 is not allowed"},
		{value("pay", 1), ""},
		{value("free", 1), ""},
		{sdktest.Record{Topic: "orders"}, ""},
		{sdktest.Record{Topic: "orders", Value: []byte{}}, "does not begin with a schema id"},
		{sdktest.Record{Topic: "orders", Value: []byte{0, 0, 0, 7}}, "does not begin with a schema id"},
		{sdktest.Record{Topic: "orders", Value: []byte("{\"a\":1}")}, "does not begin with a schema id"},
		{sdktest.Record{Topic: "free", Value: []byte("text")}, ""},
	} {
		got, err := sdktest.Produce(g, sdktest.Client{}, c.record)
		if err != nil {
			t.Fatal(err)
		}
		if e := got.Rejected[0]; (e == nil) != (c.want == "") || e != nil && (e.Code != 87 || !strings.Contains(e.Message, c.want)) {
			t.Errorf("%s %q: %v, want %q", c.record.Topic, c.record.Value, e, c.want)
		}
	}
}

// TestOneRejectPerBatch: the batch is refused with its first bad record, others are looked at.
func TestOneRejectPerBatch(t *testing.T) {
	g := guest(t, sdk.NewMemory(), `{"rules": [{"ids": [7]}]}`)
	got, err := sdktest.Produce(g, sdktest.Client{}, value("a", 7), value("a", 8), value("a", 9), value("b", 7), value("c", 8))
	if want := []int{1, 4}; err != nil || !slices.Equal(slices.Sorted(maps.Keys(got.Rejected)), want) {
		t.Errorf("%v, %v, want %v", got.Rejected, err, want)
	}
}

// answers is a schema registry that knows ids below 100 and is broken above 1000.
func answers(t *testing.T, asked *[]string) *sdk.Memory {
	m := sdk.NewMemory()
	m.Call = func(block []byte) ([]byte, int32) {
		le := binary.LittleEndian
		at := le.Uint32(block[abi.HTTPTarget:])
		url := string(block[at : at+le.Uint32(block[abi.HTTPTarget+4:])])
		*asked = append(*asked, url)
		var id int
		if _, err := fmt.Sscanf(url, "http://sr:8081/schemas/ids/%d", &id); err != nil {
			t.Errorf("asked for %s", url)
		}
		status := uint32(200)
		switch {
		case id > 2000:
			return nil, abi.ErrTimeout
		case id > 1000:
			status = 503
		case id >= 100:
			status = 404
		}
		out := make([]byte, abi.HTTPSize)
		le.PutUint32(out[abi.HTTPStatus:], status)
		return out, 0
	}
	return m
}

func TestRegistry(t *testing.T) {
	const config = `{"rules": [{"registry": true}], "registry": {"url": "http://sr:8081/"`
	many := make([]sdktest.Record, 12)
	for i := range many {
		many[i] = value("t", uint32(i))
	}
	for _, c := range []struct {
		name, config string
		records      []sdktest.Record
		asked        int
		rejected     bool
		refused      string
	}{
		{"known", "", []sdktest.Record{value("t", 5), value("t", 5), value("u", 6), value("u", 5)}, 2, false, ""},
		{"unknown", "", []sdktest.Record{value("t", 500)}, 1, true, ""},
		{"broken", "", []sdktest.Record{value("t", 1500)}, 1, false, "status 503"},
		{"timeout", "", []sdktest.Record{value("t", 2500)}, 1, false, "timed out"},
		{"broken, pass", `, "unavailable": "pass"`, []sdktest.Record{value("t", 1500)}, 1, false, ""},
		{"many", "", many, maxLookups, false, "try again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			m := answers(t, &asked)
			got, err := sdktest.Produce(guest(t, m, config+c.config+`}}`), sdktest.Client{}, c.records...)
			if err != nil {
				t.Fatal(err)
			}
			if len(asked) != c.asked || len(got.Rejected) > 0 != c.rejected {
				t.Errorf("asked %v, rejected %v", asked, got.Rejected)
			}
			if (got.Refused == nil) != (c.refused == "") || got.Refused != nil && (got.Refused.Code != 7 || !strings.Contains(got.Refused.Message, c.refused)) {
				t.Errorf("refused %v, want %q", got.Refused, c.refused)
			}
		})
	}
}

// TestRemembers: answers are shared by instances, also those that say no; failures are not kept.
func TestRemembers(t *testing.T) {
	var asked []string
	m := answers(t, &asked)
	for range 3 {
		g := guest(t, m, `{"rules": [{"registry": true}], "registry": {"url": "http://sr:8081"}}`)
		for _, id := range []uint32{5, 500, 1500} {
			if _, err := sdktest.Produce(g, sdktest.Client{}, value("t", id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(asked) != 5 {
		t.Errorf("asked %d times: %v", len(asked), asked)
	}
}

func TestWithoutConfig(t *testing.T) {
	got, err := sdktest.Produce(sdk.New("schemaid", &schemaid{}), sdktest.Client{}, value("t", 1))
	if err != nil || got.Refused == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkProduce(b *testing.B) {
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = value("orders", 100+uint32(i%3))
	}
	block := sdktest.Block(1, 0, 9, sdktest.Client{}, records)
	for name, config := range map[string]string{
		"ids":      `{"rules": [{"ids": [7, "100-199"]}]}`,
		"registry": `{"rules": [{"registry": true}], "registry": {"url": "http://sr:8081"}}`,
	} {
		b.Run(name, func(b *testing.B) {
			m := sdk.NewMemory()
			m.Call = func([]byte) ([]byte, int32) {
				out := make([]byte, abi.HTTPSize)
				binary.LittleEndian.PutUint32(out[abi.HTTPStatus:], 200)
				return out, 0
			}
			g := guest(b, m, config)
			b.ReportAllocs()
			for b.Loop() {
				g.Call(block)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
		})
	}
}
