package protocol

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestTheEndOfAGatewayCutsNothing: produces that are on their way to slow brokers, and one that
// waits in a gate, are answered; a consumer's long poll does not keep the gateway, which is not
// ready meanwhile.
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

// TestASecondSignalEndsAGatewayAtOnce, whatever is in flight.
func TestASecondSignalEndsAGatewayAtOnce(t *testing.T) {
	ctx := eventually.Context(t)
	prod := fake(t, "prod", map[string]int32{"orders": 1})
	forever, arrived := make(chan struct{}), make(chan struct{}, 100)
	t.Cleanup(func() { close(forever) })
	prod.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		prod.KeepControl()
		prod.SleepControl(func() {
			arrived <- struct{}{}
			<-forever
		})
		return nil, nil, false
	})
	p, err := gatewaytest.StartProcess(ctx, gatewaytest.Command, t.TempDir(), map[string]string{"orders": "prod"}, prod)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Edit("state:", "limits: {drain: 1h}\nstate:"); err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, ctx: ctx, prod: prod, gw: &gatewaytest.Gateway{Admin: p.Admin}}
	h.wait("the edit", func() bool { _, b := h.call("GET", "/config", ""); return strings.Contains(b, "1h0m0s") })
	c := h.client(p.Bootstrap)
	c.Produce(ctx, &kgo.Record{Topic: "orders", Value: []byte("in flight")}, nil)
	<-arrived
	if err := p.Terminate(); err != nil {
		t.Fatal(err)
	}
	h.wait("the gateway is not ready", func() bool { status, _ := h.call("GET", "/readyz", ""); return status == http.StatusServiceUnavailable })
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	if err := p.Terminate(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("it goes on")
	}
}

// TestAVirtualClusterThatLeavesTheFileCutsNothing: the produce that is on its way is answered,
// nobody new is accepted, and the edit does not wait for it.
func TestAVirtualClusterThatLeavesTheFileCutsNothing(t *testing.T) {
	prod := fake(t, "prod", map[string]int32{"orders": 1})
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	prod.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		prod.KeepControl()
		prod.SleepControl(func() {
			arrived <- struct{}{}
			<-release
		})
		return nil, nil, false
	})
	port, err := kafkatest.FreePorts(7)
	if err != nil {
		t.Fatal(err)
	}
	stays := fmt.Sprintf("admin: {listen: 127.0.0.1:%d}\nclusters:\n  prod: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:\n  stays:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: []\n",
		port+6, strings.Join(prod.Bootstrap(), ","), port, port+1, port+2)
	leaves := fmt.Sprintf("  leaves:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: []\n", port+3, port+4, port+5)
	gw := open(t, stays+leaves)
	h := &house{t: t, ctx: eventually.Context(t), prod: prod, gw: gw}
	bootstrap := fmt.Sprintf("127.0.0.1:%d", port+3)
	acked := make(chan error, 1)
	p := h.client(bootstrap, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()))
	p.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("in flight")}, func(_ *kgo.Record, err error) { acked <- err })
	<-arrived
	if err := gw.Edit(leaves, ""); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return len(gw.Snapshot().VirtualClusters) == 1 })
	h.wait("the end of the listener", func() bool {
		c, err := net.Dial("tcp", bootstrap)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	let()
	if err := <-acked; err != nil {
		t.Errorf("cut: %v", err)
	}
}
