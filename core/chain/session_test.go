package chain

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

func testSession(t *testing.T, gone func() bool) *plugin.Session {
	return plugin.NewSession(t.Context(), 1, nil, gone)
}

// clocked is a request that is measured.
func clocked(t *testing.T, sampled bool) *plugin.Request {
	r := &plugin.Request{Session: testSession(t, nil), Seq: 1, Arrived: time.Now(), Clock: &plugin.Clock{}, Sampled: sampled, Body: &kafka.RequestBody{}}
	r.Key = kmsg.Produce
	return r
}
