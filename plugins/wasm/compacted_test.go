package wasm

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	probed "github.com/sluice-gateway/sluice/plugins/wasm/testdata/probe/probe"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// cleaning answers what a topic does with old records.
type cleaning struct {
	policy string
	code   int16
	gone   bool
	asked  int
}

func (c *cleaning) below(kmsg.Key) plugin.Handler {
	return plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		c.asked++
		m, err := req.Body.Peek()
		if err != nil || c.gone {
			return nil, errors.Join(err, plugin.ErrUnreachable)
		}
		asked := m.(*kmsg.DescribeConfigsRequest).Resources[0]
		resp := m.ResponseKind().(*kmsg.DescribeConfigsResponse)
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName, r.ErrorCode = asked.ResourceType, asked.ResourceName, c.code
		v := kmsg.NewDescribeConfigsResponseResourceConfig()
		v.Name, v.Value = asked.ConfigNames[0], &c.policy
		r.Configs = append(r.Configs, v)
		resp.Resources = append(resp.Resources, r)
		return plugin.Respond(resp), nil
	})
}

// TestNoTombstonesOnCompactedTopics: they would delete what was written before. Where nobody can
// say, producers try again.
func TestNoTombstonesOnCompactedTopics(t *testing.T) {
	for name, c := range map[string]struct {
		cleaning
		code int16
		why  string
	}{
		"deleted":         {cleaning{policy: "delete"}, 0, ""},
		"compacted":       {cleaning{policy: "compact"}, int16(kafka.InvalidRecord), "compacted topic"},
		"both":            {cleaning{policy: "delete,compact"}, int16(kafka.InvalidRecord), "compacted topic"},
		"denied":          {cleaning{code: 29}, int16(kafka.RequestTimedOut), "TOPIC_AUTHORIZATION_FAILED"},
		"out of reach":    {cleaning{gone: true}, int16(kafka.RequestTimedOut), "not known"},
		"all are dropped": {cleaning{policy: "compact"}, int16(kafka.InvalidRecord), "compacted topic"},
	} {
		w := compiled(t, ", produce_drop: tombstone")
		w.SetBelow(c.below)
		values, s := []string{"a", "drop"}, shape{producer: 5}
		if strings.HasPrefix(name, "all") {
			values, s = []string{"drop"}, shape{producer: -1}
		}
		sent, answer, err := run(t, w, produce("orders", records(t, s, values...)))
		about := fact.Of(t, "%s: %v, %+v", name, err, answer)
		if fact.NoError(about, err) {
			fact.Equal(about, "answer.ErrorCode", answer.ErrorCode, c.code)
			fact.Equal(about, "sent", sent != nil, c.code == 0)
			if c.why != "" {
				fact.Has(about, *answer.ErrorMessage, c.why)
			}
		}
	}
}

// TestWhatIsKnownOfTopicsIsNotAskedAgain for a while.
func TestWhatIsKnownOfTopicsIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := compiledFrom(t, "probe", probed.New, "{grant: [kv, http, send_request], produce_drop: tombstone, limits: {timeout: 5m}}")
		c := &cleaning{policy: "delete"}
		w.SetBelow(c.below)
		drops := func(topic string, asked int) {
			t.Helper()
			if _, _, err := run(t, w, produce(topic, records(t, shape{producer: 5}, "a", "drop"))); err != nil || c.asked != asked {
				t.Errorf("asked %d times, %v", c.asked, err)
			}
		}
		drops("orders", 1)
		drops("orders", 1)
		drops("other", 2)
		time.Sleep(askAgain)
		drops("orders", 3)
	})
}
