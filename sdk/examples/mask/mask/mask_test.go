package mask

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func guest(t testing.TB, h sdk.Host, config string) *sdk.Guest {
	t.Helper()
	g := New()
	g.SetHost(h)
	if err := g.Configure([]byte(config)); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"fields": ["card"]}`: "",
		`{"fields": ["a", "b.c"], "mode": "last4", "topics": ["x*"]}`:                "",
		`{"fields": ["a"], "mode": "hash", "key": "0123456789abcdef", "length": 64}`: "",
		`{}`:                                           "config.fields is missing",
		`{"fields": ["a"], "mode": "shred"}`:           `"shred" is not one of`,
		`{"fields": ["a", "a.b"]}`:                     "leave one of them out",
		`{"fields": ["a"], "non_json": "x"}`:           "config.non_json",
		`{"fields": ["a"], "mode": "hash"}`:            "at least 16 characters",
		`{"fields": ["a"], "key": "0123456789abcdef"}`: "for mode hash only",
		`{"fields": ["a"], "mode": "hash", "key": "0123456789abcdef", "length": 4}`: "config.length",
		`{"field": ["a"]}`: "unknown field",
	} {
		err := New().Configure([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

const secret = `"mode": "hash", "key": "0123456789abcdef"`

func TestMasks(t *testing.T) {
	for _, c := range []struct{ name, config, in, want string }{
		{"string", `"fields": ["card"]`, `{ "id":1, "card" : "4111111111111111"}`, `{ "id":1, "card" : "****************"}`},
		{"nested", `"fields": ["a.b"]`, `{"b":"x","a":{"b":"yz"}}`, `{"b":"x","a":{"b":"**"}}`},
		{"items", `"fields": ["i.c"]`, `{"i":[{"c":"12"},{"c":"3"}]}`, `{"i":[{"c":"**"},{"c":"*"}]}`},
		{"long number", `"fields": ["card"]`, `{"card":41111111,"n":2}`, `{"card":null    ,"n":2}`},
		{"short number", `"fields": ["pin"]`, `{"pin":7,"n":2}`, `{"pin":null,"n":2}`},
		{"both widths", `"fields": ["pin","card"]`, `{"card":"12","pin":7}`, `{"card":"**","pin":null}`},
		{"object", `"fields": ["a"]`, `{"a":{"card":"4111"}}`, `{"a":null           }`},
		{"null stays", `"fields": ["a"]`, `{"a":null}`, `{"a":null}`},
		{"empty string", `"fields": ["a"]`, `{"a":""}`, `{"a":""}`},
		{"not there", `"fields": ["a"]`, `{"b": 1.50}`, `{"b": 1.50}`},
		{"escapes", `"fields": ["a"]`, `{"a":"\u0041\""}`, `{"a":"********"}`},
		{"escaped name", `"fields": ["card"]`, `{"c\u0061rd":"12"}`, `{"c\u0061rd":"**"}`},
		{"twice", `"fields": ["a"]`, `{"a":"1","a":"2"}`, `{"a":"*","a":"*"}`},
		{"last 4", `"fields": ["card"], "mode": "last4"`, `{"card":"4111111111111234"}`, `{"card":"************1234"}`},
		{"last 4 of 9", `"fields": ["card"], "mode": "last4"`, `{"card":"123456789"}`, `{"card":"*****6789"}`},
		{"last 4 of 8", `"fields": ["card"], "mode": "last4"`, `{"card":"12345678"}`, `{"card":"********"}`},
		{"last 4 runes", `"fields": ["a"], "mode": "last4"`, `{"a":"aaaaaaaéaäa"}`, `{"a":"*******éaäa"}`},
		{"last 4 escape", `"fields": ["a"], "mode": "last4"`, `{"a":"aaaaaaaaa\n1234"}`, `{"a":"***************"}`},
		{"last 4 of a number", `"fields": ["a"], "mode": "last4"`, `{"a":4111111111111111}`, `{"a":null            }`},
		{"hash", `"fields": ["a"], "length": 8, ` + secret, `{"a":"x","b":1}`, `{"a":"68f4d9c0","b":1}`},
		{"hash of an escape", `"fields": ["a"], "length": 8, ` + secret, `{"a":"\u0078"}`, `{"a":"68f4d9c0"}`},
		{"hash of a flag", `"fields": ["a"], ` + secret, `{"a":true}`, `{"a":null}`},
		{"framed", `"fields": ["a"]`, "\x00\x00\x00\x00\x07" + `{"a":"12"}`, "\x00\x00\x00\x00\x07" + `{"a":"**"}`},
		{"framed, longer", `"fields": ["a"]`, "\x00\x00\x00\x00\x07" + `{"a":1}`, "\x00\x00\x00\x00\x07" + `{"a":null}`},
		{"not JSON", `"fields": ["a"]`, `a=4111`, `"***"`},
		{"a scalar", `"fields": ["a"]`, `4111111111111111`, `"***"`},
		{"empty", `"fields": ["a"]`, ``, `"***"`},
		{"not JSON, pass", `"fields": ["a"], "non_json": "pass"`, `a=4111`, `a=4111`},
		{"another topic", `"fields": ["a"], "topics": ["other*"]`, `{"a":"12"}`, `{"a":"12"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := sdktest.Fetch(guest(t, sdk.NewMemory(), "{"+c.config+"}"), sdktest.Client{}, sdktest.Record{Topic: "orders", Value: []byte(c.in)})
			if err != nil || got.Refused != nil || len(got.Rejected) > 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			value := got.Records[0].Value
			if string(value) != c.want {
				t.Errorf("%s, want %s", value, c.want)
			}
			if c.in != string(value) && !json.Valid(value[frame(value):]) {
				t.Errorf("%s is not JSON", value)
			}
		})
	}
}

func TestRejectsWhatItCannotRead(t *testing.T) {
	got, err := sdktest.Fetch(guest(t, sdk.NewMemory(), `{"fields": ["a"], "non_json": "reject"}`), sdktest.Client{},
		sdktest.Record{Topic: "orders", Value: []byte(`{"a":"1"}`)}, sdktest.Record{Topic: "orders", Value: []byte("x")})
	if err != nil || len(got.Rejected) != 1 || got.Rejected[1].Code != sdk.TopicAuthorizationFailed {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTombstone(t *testing.T) {
	got, err := sdktest.Fetch(guest(t, sdk.NewMemory(), `{"fields": ["a"]}`), sdktest.Client{}, sdktest.Record{Topic: "orders", Key: []byte("k")})
	if err != nil || got.Records[0].Value != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWithoutConfig(t *testing.T) {
	got, err := sdktest.Fetch(New(), sdktest.Client{}, sdktest.Record{Topic: "orders", Value: []byte(`{"a":1}`)})
	if err != nil || got.Refused == nil {
		t.Errorf("%+v, %v: what is not configured hides nothing", got, err)
	}
}

func TestCounts(t *testing.T) {
	m := sdk.NewMemory()
	v := sdktest.Record{Topic: "orders", Value: []byte(`{"card":"1","pin":2}`)}
	if _, err := sdktest.Fetch(guest(t, m, `{"fields": ["card", "pin"]}`), sdktest.Client{}, v, v); err != nil {
		t.Fatal(err)
	}
	if n := m.Metric(`{"name":"masked_total","labels":{"field":"card"}}`); n != 2 {
		t.Errorf("counted %v", n)
	}
}

func BenchmarkFetch(b *testing.B) {
	value := `{"id":"8a1f","amount":12.5,"card":"4111111111111111","customer":{"name":"Ann","email":"ann@example.com"},"items":[{"sku":"a","n":1},{"sku":"b","n":2}]}`
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = sdktest.Record{Topic: "orders", Value: []byte(value)}
	}
	for name, mode := range map[string]string{"redact": `"mode": "redact"`, "last4": `"mode": "last4"`, "hash": secret} {
		b.Run(name, func(b *testing.B) {
			g := guest(b, sdk.NewMemory(), `{"fields": ["card", "customer.email"], `+mode+`}`)
			block := sdktest.Block(2, 1, 12, sdktest.Client{}, records)
			b.ReportAllocs()
			for b.Loop() {
				g.Call(block)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
		})
	}
}
