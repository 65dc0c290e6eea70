package protocol

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
)

// TestTheEndOfAGatewayCutsNothing: produces that are on their way to slow brokers, and one that waits in a gate, are
// answered; a consumer's long poll does not keep the gateway, which is not ready meanwhile.
func TestTheEndOfAGatewayCutsNothing(t *testing.T) {
	h := build(t, "orders", "held")
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	h.prod.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		if _, ok := req.(*kmsg.ProduceRequest); ok {
			h.prod.SleepControl(func() {
				arrived <- struct{}{}
				<-release
			})
		}
		return nil, nil, false
	})
	gate := h.gw.Gate(tenant, "held")
	gate.Hold("a test")
	acked := make(chan error, 20)
	send := func(topic string) {
		// One attempt: what is cut is an error.
		p := h.client(h.gw.Bootstrap, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()))
		p.Produce(h.ctx, &kgo.Record{Topic: topic, Value: []byte("in flight")}, func(_ *kgo.Record, err error) { acked <- err })
	}
	const inFlight = 16
	for range inFlight {
		send("orders")
	}
	send("held")
	consumer := h.client(h.gw.Bootstrap, kgo.ConsumeTopics("orders"), kgo.FetchMaxWait(60*time.Second))
	go consumer.PollFetches(h.ctx)
	for range 2 { // brokers that are slow answer one after the other
		<-arrived
	}
	h.wait("the held produce", func() bool { return gate.Waiting() == 1 })
	h.wait("the requests in flight", func() bool { return h.inFlight() >= inFlight+2 })

	ended := make(chan error, 1)
	go func() { ended <- h.gw.Stop() }()
	h.wait("the gateway is not ready", func() bool { status, _ := h.call("GET", "/readyz", ""); return status == http.StatusServiceUnavailable })
	gate.Release("a test")
	let()
	for range inFlight + 1 {
		if err := <-acked; err != nil {
			t.Errorf("cut: %v", err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// inFlight adds up what clients wait for.
func (h *house) inFlight() (n int) {
	_, body := h.call("GET", "/api/v1/clients", "")
	var list []admin.Client
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		h.t.Fatalf("%v: %s", err, body)
	}
	for _, c := range list {
		n += c.InFlight
	}
	return n
}
