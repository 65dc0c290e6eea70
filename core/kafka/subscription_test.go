package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSubscribedTopics(t *testing.T) {
	for v := range int16(4) {
		m := kmsg.NewConsumerMemberMetadata()
		m.Version, m.Topics = v, []string{"orders", "", "refunds"}
		b := m.AppendTo(nil)
		if got := SubscribedTopics(b); !slices.Equal(got, m.Topics) {
			t.Errorf("version %d: %q", v, got)
		}
		if got := SubscribedTopics(b[:12]); got != nil {
			t.Errorf("version %d, cut: %q", v, got)
		}
	}
	if got := SubscribedTopics([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0}); got != nil {
		t.Errorf("too many: %d topics", len(got))
	}
}
