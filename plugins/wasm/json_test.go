package wasm

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// TestFormatsOfSubscriptions are Kafka's and JSON, which is for messages without records.
func TestFormatsOfSubscriptions(t *testing.T) {
	for manifest, want := range map[string]string{
		`{"name": "x", "requests": [{"api": "CreateTopics", "format": "json"}]}`:           "",
		`{"name": "x", "responses": [{"api": 3, "format": "json"}, {"api": "Heartbeat"}]}`: "",
		`{"name": "x", "requests": [{"api": "CreateTopics", "format": "xml"}]}`:            `format "xml" is not json`,
		`{"name": "x", "requests": [{"api": "Produce", "format": "json"}]}`:                "ask for records",
		`{"name": "x", "responses": [{"api": 1, "format": "json"}]}`:                       "ask for records",
		`{"name": "x", "host": ["send_request:Produce"]}`:                                  "",
		`{"name": "x", "host": ["send_request:Product"]}`:                                  "no Kafka API",
	} {
		if _, err := parseManifest([]byte(manifest), func(string) bool { return true }); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", manifest, err, want)
		}
	}
}

// TestWhatIsShownAsJSON is what the subscription names, in its direction.
func TestWhatIsShownAsJSON(t *testing.T) {
	m := Manifest{Requests: []Subscription{{API: API(kmsg.CreateTopics), Format: formatJSON}, {API: API(kmsg.Metadata)}}, Responses: []Subscription{{API: API(kmsg.Metadata), Format: formatJSON}}}
	for h, want := range map[*Head]bool{
		{Kind: abi.KindRequest, Key: 19}: true, {Kind: abi.KindResponse, Key: 19}: false, {Kind: abi.KindRequest, Key: 3}: false, {Kind: abi.KindResponse, Key: 3}: true,
		{Kind: abi.KindSession, Key: 19}: false,
	} {
		if m.asJSON(h) != want {
			t.Errorf("%+v: %t", h, !want)
		}
	}
}

// TestJSONThatIsNone costs the guest its call, and a request that is none its client the
// connection.
func TestJSONThatIsNone(t *testing.T) {
	h := &Head{Kind: abi.KindRequest, Key: int16(kmsg.CreateTopics), Version: 7}
	for _, body := range []string{"", "{", `{"Topic": 1}`, `{"Topics": "` + strings.Repeat("x", mostJSON) + `"}`} {
		for _, action := range []uint16{abi.ActionForward, abi.ActionRespond} {
			r := result{action: action, body: []byte(body)}
			if err := r.fromJSON(h); err == nil {
				t.Errorf("%.20s is taken for a message", body)
			}
		}
	}
	none := result{}
	if err := none.fromJSON(h); err != nil || none.body != nil {
		t.Errorf("without a body: %v", err)
	}
	var malformed *kafka.MalformedError
	if _, err := toJSON(h, []byte{1, 2}); !errors.As(err, &malformed) || malformed.Response {
		t.Errorf("%v", err)
	}
}
