package routing

import (
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestSubscriptionsAreSaidOnce, each part by itself, until the member leaves; and not of any number
// of members.
func TestSubscriptionsAreSaidOnce(t *testing.T) {
	s := plugin.NewSession(t.Context(), 1, nil, nil)
	beat := func(member string, epoch int32, names []string, expr *string) subscription {
		m := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		m.Group, m.MemberID, m.MemberEpoch, m.SubscribedTopicNames, m.SubscribedTopicRegex = "g", member, epoch, names, expr
		return subscribed(s, m)
	}
	expr, none, broken := "o.*", "", "o("
	beat("a", 0, []string{"orders"}, nil)
	beat("a", 1, nil, &expr)
	if got := beat("a", 1, nil, nil); !slices.Equal(got.names, []string{"orders"}) || got.pattern == nil || !got.pattern.MatchString("orders") {
		t.Errorf("remembered %+v", got)
	}
	if got := beat("b", 1, nil, nil); got.names != nil || got.pattern != nil {
		t.Errorf("another member has %+v", got)
	}
	if got := beat("a", 1, []string{}, &none); len(got.names) != 0 || got.pattern != nil {
		t.Errorf("after it has subscribed to nothing: %+v", got)
	}
	if got := beat("a", 1, nil, &broken); got.pattern != nil {
		t.Errorf("no expression: %+v", got)
	}
	beat("a", 1, []string{"orders"}, nil)
	beat("a", -1, nil, nil)
	if got := beat("a", 1, nil, nil); got.names != nil {
		t.Errorf("after it has left: %+v", got)
	}
	for i := range 2 * mostMembers {
		if got := beat(strconv.Itoa(i), 0, []string{"orders"}, nil); len(got.names) != 1 {
			t.Fatalf("member %d: %+v", i, got)
		}
	}
	if all := s.Attach(subscriptionsKey{}, nil).(*subscriptions); len(all.of) > mostMembers {
		t.Errorf("%d members are remembered", len(all.of))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := beat("a", 1, []string{"orders"}, nil); got.names != nil {
		t.Errorf("after the session: %+v", got)
	}
}
