package main

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"key": "via", "value": "sluice"}`: "",
		`{"key": "via"}`:                    "",
		`{}`:                                "config.key is missing",
		`{"key": "via", "valu": "x"}`:       `unknown field "valu"`,
		`{"key": 3}`:                        "config: ",
	} {
		err := sdk.New("header", &header{}).Configure([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func TestAddsHeader(t *testing.T) {
	g := sdk.New("header", &header{})
	if err := g.Configure([]byte(`{"key": "via", "value": "sluice"}`)); err != nil {
		t.Fatal(err)
	}
	got, err := sdktest.Produce(g, sdktest.Client{},
		sdktest.Record{Topic: "orders", Value: []byte("v")},
		sdktest.Record{Topic: "orders", Headers: []sdktest.Header{{Key: "a", Value: []byte("b")}}},
		sdktest.Record{Topic: "orders", Value: []byte("v"), Headers: []sdktest.Header{{Key: "via", Value: []byte("x")}}},
		sdktest.Record{Topic: "orders", Value: []byte("v"), Headers: []sdktest.Header{{Key: "via"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"via=sluice", "a=b via=sluice", "via=x", "via="} {
		var hs []string
		for _, h := range got.Records[i].Headers {
			hs = append(hs, h.Key+"="+string(h.Value))
		}
		if s := strings.Join(hs, " "); s != want {
			t.Errorf("record %d: %q, want %q", i, s, want)
		}
	}
	if got.Records[1].Value != nil {
		t.Error("the tombstone has a value")
	}
}

func TestWithoutConfig(t *testing.T) {
	got, err := sdktest.Produce(sdk.New("header", &header{}), sdktest.Client{}, sdktest.Record{Topic: "orders"})
	if err != nil || got.Refused != nil || len(got.Records[0].Headers) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkProduce(b *testing.B) {
	g := sdk.New("header", &header{Key: "via", Value: "sluice"})
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = sdktest.Record{Topic: "orders", Value: make([]byte, 200)}
	}
	block := sdktest.Block(1, 0, 9, sdktest.Client{}, records)
	b.ReportAllocs()
	for b.Loop() {
		g.Call(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
}
