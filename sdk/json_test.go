package sdk

import (
	"encoding/json"
	"reflect"
	"testing"
)

// TestObjects say what encoding/json reads in them, whatever the texts are.
func TestObjects(t *testing.T) {
	for _, s := range []string{"plain", `a "quoted" \ one`, "\x00\x1f\t\n", "ü – 😀", "\u2028", "broken \xff\xc3"} {
		want := map[string]any{"text": s, "list": []any{s, "", s}, "labels": map[string]any{"a": "1", s: s}, "number": 7.0, "yes": true}
		o := object{}.text("none", "").text("text", s).number("none", 0).number("number", 7).yes("no", false).yes("yes", true).
			texts("none", nil).texts("list", []string{s, "", s}).pairs("none", nil).pairs("labels", map[string]string{s: s, "a": "1"}).closed()
		var got any
		if err := json.Unmarshal(o, &got); err != nil {
			t.Errorf("%q: %v: %s", s, err, o)
			continue
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var through any
		if err := json.Unmarshal(b, &through); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, through) {
			t.Errorf("%q: %s, want %s", s, o, b)
		}
	}
	if got := string(object{}.closed()); got != "{}" {
		t.Errorf("nothing is %s", got)
	}
}
