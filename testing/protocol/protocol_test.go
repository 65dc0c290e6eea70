// Package protocol tests the gateway over in-process clusters: moves and their refusals, the admin
// API, restarts, dead clusters, and what clients may see.
package protocol

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const tenant = "passThroughTenant"

// house is two fakes and a gateway in front of them.
type house struct {
	t        *testing.T
	ctx      context.Context
	prod, dr *kafkatest.FakeCluster
	gw       *gatewaytest.Gateway
}

func quiet() *slog.Logger {
	if os.Getenv("DEBUG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func fake(t *testing.T, name string, topics map[string]int32) *kafkatest.FakeCluster {
	t.Helper()
	c, err := kafkatest.Fake(name, 2, topics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// build starts two clusters that have topics, all of them at home on prod.
func build(t *testing.T, topics ...string) *house {
	t.Helper()
	return buildLogging(t, quiet(), topics...)
}

func buildLogging(t *testing.T, log *slog.Logger, topics ...string) *house {
	t.Helper()
	homes := map[string]string{}
	for _, n := range topics {
		homes[n] = "prod"
	}
	return buildAt(t, log, homes)
}

// buildAt is build for topics with their homes.
func buildAt(t *testing.T, log *slog.Logger, homes map[string]string) *house {
	t.Helper()
	ctx := eventually.Context(t)
	seed := map[string]int32{}
	for n := range homes {
		seed[n] = 3
	}
	h := &house{t: t, ctx: ctx, prod: fake(t, "prod", seed), dr: fake(t, "dr", seed)}
	var err error
	if h.gw, err = gatewaytest.StartWith(ctx, otlp.Exporters{}, t.TempDir(), homes, log, h.prod, h.dr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.gw.Stop() })
	return h
}

func (h *house) copier(f kafkatest.Faults, topics ...string) *kafkatest.Copier {
	h.t.Helper()
	c, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: h.prod.Bootstrap(), To: h.dr.Bootstrap(), Topics: topics, Faults: f})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Stop)
	return c
}

func (h *house) client(bootstrap string, opts ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)}, opts...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// produce writes n records, one after the other, to partition 0 and returns their offsets.
func (h *house) produce(c *kgo.Client, topic, label string, n int) (offsets []int64) {
	h.t.Helper()
	for i := range n {
		r, err := c.ProduceSync(h.ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%s-%d", label, i)}).First()
		if err != nil {
			h.t.Fatalf("%s-%d: %v", label, i, err)
		}
		offsets = append(offsets, r.Offset)
	}
	return offsets
}

// read reads n records of partition 0 from an offset.
func (h *house) read(bootstrap, topic string, from int64, n int, options ...kgo.Opt) (out []*kgo.Record) {
	h.t.Helper()
	c := h.client(bootstrap, append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}), kgo.FetchMaxWait(100*time.Millisecond))...)
	for len(out) < n {
		f := c.PollFetches(h.ctx)
		if h.ctx.Err() != nil {
			h.t.Fatalf("%d of %d records from %d", len(out), n, from)
		}
		f.EachError(func(_ string, p int32, err error) { h.t.Errorf("partition %d: %v", p, err) })
		f.EachRecord(func(r *kgo.Record) { out = append(out, r) })
	}
	c.Close()
	return out
}

// wait waits for a condition.
func (h *house) wait(what string, cond func() bool) {
	h.t.Helper()
	if !eventually.True(cond) {
		h.t.Fatalf("waited in vain for %s; moves: %+v", what, h.gw.Moves())
	}
}

// moved waits until n moves are done and returns the last.
func (h *house) moved(n int) (last failover.Report) {
	h.t.Helper()
	h.wait(fmt.Sprintf("%d moves", n), func() bool {
		done := 0
		for _, m := range h.gw.Moves() {
			if m.Phase == failover.Done && m.Kind == failover.Topic {
				done++
				last = m
			}
		}
		return done >= n
	})
	return last
}

// call asks the admin API as curl -d does, without a content type of JSON.
func (h *house) call(method, path, body string, auth ...string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.ctx, method, h.gw.Admin+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if len(auth) == 2 {
		req.SetBasicAuth(auth[0], auth[1])
	} else {
		req.SetBasicAuth("none", "none")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (h *house) file() string {
	h.t.Helper()
	b, err := os.ReadFile(h.gw.File)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}
