package blocks

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// TestJSONThatIsNone costs the guest its call, and a request that is none its client the
// connection.
func TestJSONThatIsNone(t *testing.T) {
	h := &Head{Kind: abi.KindRequest, Key: int16(kmsg.CreateTopics), Version: 7}
	for _, body := range []string{"", "{", `{"Topic": 1}`, `{"Topics": "` + strings.Repeat("x", mostJSON) + `"}`} {
		for _, action := range []uint16{abi.ActionForward, abi.ActionRespond} {
			r := Result{Action: action, Body: []byte(body)}
			if err := r.FromJSON(h); err == nil {
				t.Errorf("%.20s is taken for a message", body)
			}
		}
	}
	none := Result{}
	if err := none.FromJSON(h); err != nil || none.Body != nil {
		t.Errorf("without a body: %v", err)
	}
	var malformed *kafka.MalformedError
	if _, err := ToJSON(h, []byte{1, 2}); !errors.As(err, &malformed) || malformed.Response {
		t.Errorf("%v", err)
	}
}
