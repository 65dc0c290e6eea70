package manifest

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

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
		if _, err := Parse([]byte(manifest), func(string) bool { return true }); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", manifest, err, want)
		}
	}
}

// TestWhatIsShownAsJSON is what the subscription names, in its direction.
func TestWhatIsShownAsJSON(t *testing.T) {
	type shown struct {
		kind uint16
		key  int16
	}
	m := Manifest{Requests: Subscriptions{{API: API(kmsg.CreateTopics), Format: formatJSON}, {API: API(kmsg.Metadata)}}, Responses: Subscriptions{{API: API(kmsg.Metadata), Format: formatJSON}}}
	for h, want := range map[shown]bool{
		{kind: abi.KindRequest, key: 19}: true, {kind: abi.KindResponse, key: 19}: false, {kind: abi.KindRequest, key: 3}: false, {kind: abi.KindResponse, key: 3}: true,
		{kind: abi.KindSession, key: 19}: false,
	} {
		if m.AsJSON(h.kind, h.key) != want {
			t.Errorf("%+v: %t", h, !want)
		}
	}
}
