package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

var (
	keyA = strings.Repeat("0a", 32)
	keyB = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xb}, 32))
)

// keys is a configuration with both, of which a is active.
var keys = `"keys": {"a": "` + keyA + `", "b": "` + keyB + `"}, "active": "a"`

func guest(t testing.TB, config string) *sdk.Guest {
	t.Helper()
	g := sdk.New("encrypt", &encrypt{}, sdk.FailClosedOnly())
	if err := g.Configure([]byte("{" + config + "}")); err != nil {
		t.Fatal(err)
	}
	return g
}

func produce(t testing.TB, g *sdk.Guest, r sdktest.Record) sdktest.Record {
	t.Helper()
	got, err := sdktest.Produce(g, sdktest.Client{}, r)
	if err != nil || got.Refused != nil || len(got.Rejected) > 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	return got.Records[0]
}

// fetch returns nil and why if the record is rejected.
func fetch(t testing.TB, g *sdk.Guest, r sdktest.Record) (*sdktest.Record, string) {
	t.Helper()
	got, err := sdktest.Fetch(g, sdktest.Client{}, r)
	if err != nil || got.Refused != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if e := got.Rejected[0]; e != nil {
		if e.Code != sdk.TopicAuthorizationFailed {
			t.Errorf("code %d", e.Code)
		}
		return nil, e.Message
	}
	return &got.Records[0], ""
}

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		keys: "",
		keys + `, "fields": ["card", "a.b"], "bind_record_key": true, "plaintext": "reject"`: "",
		`"keys": {}, "active": "a"`:                        "not in config.keys",
		`"keys": {"a": "` + keyA + `"}`:                    "config.active",
		`"keys": {"a": ""}, "active": "a"`:                 "config.keys.a must be 32 bytes",
		`"keys": {"a": "` + keyA[2:] + `"}, "active": "a"`: "config.keys.a must be 32 bytes",
		`"keys": {"a;b": "` + keyA + `"}, "active": "a;b"`: "is no key id",
		keys + `, "plaintext": "maybe"`:                    "config.plaintext",
		keys + `, "fields": ["a,b"]`:                       "config.fields",
		keys + `, "fields": ["a", "a.b"]`:                  "config.fields",
		keys + `, "cipher": "rot13"`:                       "unknown field",
	} {
		err := sdk.New("encrypt", &encrypt{}).Configure([]byte("{" + in + "}"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), keyA[2:]) {
			t.Errorf("the error tells the key: %v", err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct{ name, config, value, header, visible, hidden string }{
		{"value", keys, `{"card":"4111"}`, "1;id=a", "", "4111"},
		{"empty value", keys, ``, "1;id=a", "", ""},
		{"bound", keys + `, "bind_record_key": true`, `x4111`, "1;id=a;bind=key", "", "4111"},
		{"fields", keys + `, "fields": ["card","c.d"]`, `{ "id":7, "card":"4111","c":{"d":[4111,{"e":null}]} }`, "1;id=a;fields=card,c.d", `{ "id":7, "card":"`, "4111"},
		{"no such field", keys + `, "fields": ["card"]`, `{"id": 7}`, "1;id=a;fields=card", `{"id": 7}`, "4111"},
		{"fields of no JSON", keys + `, "fields": ["card"]`, `card=4111`, "1;id=a", "", "4111"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := sdktest.Record{Topic: "orders", Key: []byte("k"), Value: []byte(c.value), Headers: []sdktest.Header{{Key: "x", Value: []byte("y")}}}
			stored := produce(t, guest(t, c.config), in)
			if len(stored.Headers) != 2 || string(stored.Headers[1].Value) != c.header {
				t.Errorf("headers %q", stored.Headers)
			}
			if c.hidden != "" && bytes.Contains(stored.Value, []byte(c.hidden)) || !bytes.HasPrefix(stored.Value, []byte(c.visible)) {
				t.Errorf("stored %q", stored.Value)
			}
			// How to decrypt stands in the record: a reader needs the keys alone.
			got, why := fetch(t, guest(t, keys), stored)
			if got == nil {
				t.Fatal(why)
			}
			if string(got.Value) != c.value || got.Value == nil || len(got.Headers) != 1 {
				t.Errorf("read %q, headers %v", got.Value, got.Headers)
			}
		})
	}
}

func TestRefusesChangedRecords(t *testing.T) {
	for name, config := range map[string]string{"value": keys, "bound": keys + `, "bind_record_key": true`, "fields": keys + `, "fields": ["a", "b"]`} {
		stored := produce(t, guest(t, config), sdktest.Record{Topic: "orders", Key: []byte("k"), Value: []byte(`{"a":1,"b":2}`)})
		for what, change := range map[string]func(r *sdktest.Record){
			"topic":       func(r *sdktest.Record) { r.Topic = "payments" },
			"header":      func(r *sdktest.Record) { r.Headers = []sdktest.Header{{Key: headerName, Value: []byte("1;id=b")}} },
			"unknown key": func(r *sdktest.Record) { r.Headers = []sdktest.Header{{Key: headerName, Value: []byte("1;id=c")}} },
			"version":     func(r *sdktest.Record) { r.Headers = []sdktest.Header{{Key: headerName, Value: []byte("2;id=a")}} },
			"null header": func(r *sdktest.Record) { r.Headers = []sdktest.Header{{Key: headerName}} },
			"cut":         func(r *sdktest.Record) { r.Value = r.Value[:len(r.Value)/2] },
			"short":       func(r *sdktest.Record) { r.Value = []byte("{}x") },
		} {
			r := stored
			r.Value = bytes.Clone(stored.Value)
			change(&r)
			if got, why := fetch(t, guest(t, keys), r); got != nil {
				t.Errorf("%s: changed %s is read: %q", name, what, got.Value)
			} else if why == "" {
				t.Errorf("%s: changed %s: no reason", name, what)
			}
		}
		r := stored
		r.Key = []byte("other")
		if got, _ := fetch(t, guest(t, keys), r); (got == nil) != (name == "bound") {
			t.Errorf("%s: another record key: %v", name, got)
		}
	}
}

func TestEveryByteIsProtected(t *testing.T) {
	g := guest(t, keys)
	stored := produce(t, g, sdktest.Record{Topic: "orders", Value: []byte("secret")})
	for i := range stored.Value {
		r := stored
		r.Value = bytes.Clone(stored.Value)
		r.Value[i] ^= 1
		if got, _ := fetch(t, g, r); got != nil {
			t.Errorf("byte %d changed, still read: %q", i, got.Value)
		}
	}
}

// TestFieldsStayInPlace exchanges the ciphertexts of two fields.
func TestFieldsStayInPlace(t *testing.T) {
	stored := produce(t, guest(t, keys+`, "fields": ["a", "b"]`), sdktest.Record{Topic: "orders", Value: []byte(`{"a":1,"b":2}`)})
	texts := bytes.Split(stored.Value, []byte(`"`)) // {"a":"...","b":"..."}
	texts[3], texts[7] = texts[7], texts[3]
	stored.Value = bytes.Join(texts, []byte(`"`))
	if got, _ := fetch(t, guest(t, keys), stored); got != nil {
		t.Errorf("exchanged fields are read: %q", got.Value)
	}
}

func TestRotation(t *testing.T) {
	old := produce(t, guest(t, keys), sdktest.Record{Topic: "orders", Value: []byte("v")})
	rotated := strings.Replace(keys, `"active": "a"`, `"active": "b"`, 1)
	fresh := produce(t, guest(t, rotated), sdktest.Record{Topic: "orders", Value: []byte("v")})
	if h := string(fresh.Headers[0].Value); h != "1;id=b" {
		t.Errorf("header %q", h)
	}
	for _, r := range []sdktest.Record{old, fresh} {
		if got, why := fetch(t, guest(t, rotated), r); got == nil || string(got.Value) != "v" {
			t.Errorf("%v, %s", got, why)
		}
	}
	if got, why := fetch(t, guest(t, `"keys": {"b": "`+keyB+`"}, "active": "b"`), old); got != nil || !strings.Contains(why, `the key "a" is not in config.keys`) {
		t.Errorf("%v, %s", got, why)
	}
}

// golden is "hello" as another implementation of HKDF and AES-GCM encrypted it.
const golden = "000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f2bea05529ed3597e93935222e875382cc94906dde4"

// TestFormat reads a record that was not written by this code: the format must not change by
// accident.
func TestFormat(t *testing.T) {
	value, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, why := fetch(t, guest(t, keys), sdktest.Record{Topic: "orders", Value: value, Headers: []sdktest.Header{{Key: headerName, Value: []byte("1;id=a")}}})
	if got == nil || string(got.Value) != "hello" {
		t.Errorf("%v, %s", got, why)
	}
}

func TestTombstonesAndPlaintext(t *testing.T) {
	tombstone := sdktest.Record{Topic: "orders", Key: []byte("k")}
	strict := guest(t, keys+`, "plaintext": "reject"`)
	if r := produce(t, strict, tombstone); r.Value != nil || len(r.Headers) != 0 {
		t.Errorf("%+v", r)
	}
	if r, why := fetch(t, strict, tombstone); r == nil || r.Value != nil {
		t.Errorf("%+v, %s", r, why)
	}
	plain := sdktest.Record{Topic: "orders", Value: []byte("old")}
	if r, why := fetch(t, strict, plain); r != nil || !strings.Contains(why, "not encrypted") {
		t.Errorf("%+v, %s", r, why)
	}
	if r, why := fetch(t, guest(t, keys), plain); r == nil || string(r.Value) != "old" {
		t.Errorf("%+v, %s", r, why)
	}
	plain.Topic = "public"
	if r := produce(t, guest(t, keys+`, "topics": ["orders*"]`), plain); string(r.Value) != "old" {
		t.Errorf("%+v", r)
	}
}

func TestClientsMayNotClaimToHaveEncrypted(t *testing.T) {
	got, err := sdktest.Produce(guest(t, keys), sdktest.Client{}, sdktest.Record{Topic: "orders", Value: []byte("v"), Headers: []sdktest.Header{{Key: headerName}}})
	if err != nil || got.Rejected[0] == nil || got.Rejected[0].Code != sdk.InvalidRecord {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWithoutConfig(t *testing.T) {
	g := sdk.New("encrypt", &encrypt{})
	for _, show := range []func(*sdk.Guest, sdktest.Client, ...sdktest.Record) (sdktest.Result, error){sdktest.Produce, sdktest.Fetch} {
		if got, err := show(g, sdktest.Client{}, sdktest.Record{Topic: "orders", Value: []byte("v")}); err != nil || got.Refused == nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestSaltsAreRenewed seals past the limit of one derived key, with the limit moved near.
func TestSaltsAreRenewed(t *testing.T) {
	k, err := newKeyring(map[string]string{"a": keyA}, "a")
	if err != nil {
		t.Fatal(err)
	}
	seen, nonces := map[string]int{}, map[string]bool{}
	for i := range 6 {
		if i == 3 {
			k.left = 0
		}
		b, err := k.seal(nil, []byte("same"), nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(b[:saltSize])]++
		nonces[string(b[saltSize:saltSize+nonceSize])] = true
		if plain, err := k.open(nil, "a", b, nil); err != nil || string(plain) != "same" {
			t.Errorf("%q, %v", plain, err)
		}
	}
	if len(seen) != 2 || len(nonces) != 6 {
		t.Errorf("%d salts, %d nonces", len(seen), len(nonces))
	}
	if k.left != perSalt-3 {
		t.Errorf("%d are left", k.left)
	}
}

func BenchmarkValues(b *testing.B) {
	plain := make([]sdktest.Record, 500)
	for i := range plain {
		plain[i] = sdktest.Record{Topic: "orders", Value: bytes.Repeat([]byte("x"), 200)}
	}
	g := guest(b, keys)
	sealed, err := sdktest.Produce(g, sdktest.Client{}, plain...)
	if err != nil {
		b.Fatal(err)
	}
	for name, block := range map[string][]byte{
		"produce": sdktest.Block(1, 0, 9, sdktest.Client{}, plain), "fetch": sdktest.Block(2, 1, 12, sdktest.Client{}, sealed.Records),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Call(block)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(plain)), "ns/record")
		})
	}
}
