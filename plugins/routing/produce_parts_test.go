package routing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// refused is an error of a produce that was not sent; it counts how often it is settled.
type refused struct {
	settled atomic.Int32
	gates   func() int // how many parts are back in their gates then
	back    int
}

func (*refused) Error() string   { return "refused" }
func (*refused) Unwrap() error   { return plugin.ErrUnreachable }
func (*refused) MaybeSent() bool { return false }
func (r *refused) Settle() {
	r.back = r.gates()
	r.settled.Add(1)
}

// twoTopics is a produce to orders and both, of a producer with sequence numbers.
func twoTopics(t *testing.T, version int16) *plugin.Request {
	t.Helper()
	return producing(t, version, "orders", "both")
}

// producing is a produce of a producer with sequence numbers.
func producing(t *testing.T, version int16, topics ...string) *plugin.Request {
	t.Helper()
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(version)
	m.Acks = -1
	for _, name := range topics {
		rt, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		batch := kafka.Batch(kafkatest.Batch(200))
		batch.SetProducerID(7)
		p.Records = batch
		rt.Topic, rt.Partitions = name, append(rt.Partitions, p)
		m.Topics = append(m.Topics, rt)
	}
	return plugintest.Request(t, m, "")
}

// twoAtProd has orders and both at prod, whose nodes answer.
func twoAtProd(t *testing.T) (*Routing, plugin.Env) {
	t.Helper()
	r, env := build(t, "{default: prod}")
	prod := env.Clusters[0].(*plugintest.Cluster)
	prod.Answer = func(int32, kmsg.Request) (kmsg.Response, error) { return kmsg.NewPtrMetadataResponse(), nil }
	plugintest.Ensure(t, env, prod, "both")
	return r, env
}

// home answers produces with the codes that a test says, and notes what was sent together.
type home struct {
	mu    sync.Mutex
	codes map[string]int16
	err   error
	sent  []string
	while func() // a request is there
}

func (h *home) Handle(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
	var names []string
	for p := range req.Body.Partitions() {
		names = append(names, string(p.Topic))
	}
	h.mu.Lock()
	h.sent = append(h.sent, strings.Join(names, "+"))
	while, fail, codes, n := h.while, h.err, h.codes, int64(len(h.sent))
	h.while, h.err, h.codes = nil, nil, nil // once
	h.mu.Unlock()
	if while != nil {
		while()
	}
	if fail != nil {
		return nil, fail
	}
	resp, err := plugin.Fail(req, 0, "")
	if err != nil {
		return nil, err
	}
	answer := resp.Body.View()
	for i := range answer.Partitions {
		answer.SetErrorCode(i, kafka.Code(codes[string(answer.Partitions[i].Topic)]))
		answer.SetBaseOffset(i, n)
	}
	return resp, nil
}

// answers are the codes and offsets of an answer, by topic.
func answers(t *testing.T, resp *plugin.Response) string {
	t.Helper()
	var out []string
	for _, rt := range plugintest.Decode[*kmsg.ProduceResponse](t, resp).Topics {
		for _, p := range rt.Partitions {
			out = append(out, fmt.Sprintf("%s:%d@%d", rt.Topic, p.ErrorCode, p.BaseOffset))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestAProduceOfSeveralTopics goes out in one piece, and each of its topics has its own fate: what
// is held, fails or is refused for now is sent again by itself, and what was appended is not.
func TestAProduceOfSeveralTopics(t *testing.T) {
	for name, c := range map[string]struct {
		before  func(env plugin.Env, h *home)
		sent    []string
		answers string
	}{
		"nothing happens": {sent: []string{"orders+both"}, answers: "both:0@1 orders:0@1"},
		"one gate is held": {
			before: func(env plugin.Env, h *home) {
				env.Gates.Gate("orders").Hold("test")
				h.while = func() { env.Gates.Gate("orders").Release("test") }
			},
			sent: []string{"both", "orders"}, answers: "both:0@1 orders:0@2",
		},
		"one is refused by its old leader, and its gate was held meanwhile": {
			before: func(env plugin.Env, h *home) {
				h.codes = map[string]int16{"orders": int16(kafka.NotLeaderOrFollower)}
				h.while = func() { env.Gates.Gate("orders").Hold("test"); env.Gates.Gate("orders").Release("test") }
			},
			sent: []string{"orders+both", "orders"}, answers: "both:0@1 orders:0@2",
		},
		"one is refused for good": {
			before: func(_ plugin.Env, h *home) { h.codes = map[string]int16{"orders": 10} },
			sent:   []string{"orders+both"}, answers: "both:0@1 orders:10@1",
		},
		"one comes before the batch that it follows": {
			before: func(_ plugin.Env, h *home) { h.codes = map[string]int16{"both": int16(kafka.OutOfOrderSequenceNumber)} },
			sent:   []string{"orders+both", "both"}, answers: "both:0@2 orders:0@1",
		},
	} {
		for _, version := range []int16{3, 12} {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, env := twoAtProd(t)
					h := &home{}
					if c.before != nil {
						c.before(env, h)
					}
					resp, err := r.Intercept(t.Context(), twoTopics(t, version), h)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(h.sent, c.sent) {
						t.Errorf("sent %v, want %v", h.sent, c.sent)
					}
					if got := answers(t, resp); got != c.answers {
						t.Errorf("answered %q, want %q", got, c.answers)
					}
					for _, topic := range []string{"orders", "both"} {
						if n, _, _ := env.Gates.Gate(topic).InFlight(); n != 0 {
							t.Errorf("%d produces to %s are still in flight", n, topic)
						}
					}
				})
			})
		}
	}
}

// TestAProduceOverTwoHomes goes to each home in one piece, but for the topic that has to wait in
// its gate, and the one that nobody knows.
func TestAProduceOverTwoHomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, env := build(t, `{default: prod, topics: {"logs-*": {cluster: dr}, gone: {cluster: none}}}`)
		prod, dr := env.Clusters[0].(*plugintest.Cluster), env.Clusters[1].(*plugintest.Cluster)
		for _, c := range []*plugintest.Cluster{prod, dr} {
			c.Answer = func(int32, kmsg.Request) (kmsg.Response, error) { return kmsg.NewPtrMetadataResponse(), nil }
		}
		prod.Late("held")
		dr.Late("logs-b")
		for _, c := range []*plugintest.Cluster{prod, dr} {
			if _, err := c.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		plugintest.Ensure(t, env, prod, "both")
		plugintest.Ensure(t, env, prod, "held")
		plugintest.Ensure(t, env, dr, "logs-b")
		env.Gates.Gate("held").Hold("test")
		h := &home{}
		go func() {
			synctest.Wait()
			env.Gates.Gate("held").Release("test")
		}()
		resp, err := r.Intercept(t.Context(), producing(t, 9, "orders", "logs-a", "held", "both", "gone", "logs-b"), h)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(h.sent[:2])
		if want := []string{"logs-a+logs-b", "orders+both", "held"}; !slices.Equal(h.sent, want) {
			t.Errorf("sent %v, want %v", h.sent, want)
		}
		got := answers(t, resp)
		for _, want := range []string{"orders:0", "both:0", "logs-a:0", "logs-b:0", "held:0", "gone:3"} {
			if !strings.Contains(got, want) {
				t.Errorf("answered %q, want %s in it", got, want)
			}
		}
		for _, topic := range []string{"orders", "both", "logs-a", "logs-b", "held"} {
			if n, _, _ := env.Gates.Gate(topic).InFlight(); n != 0 {
				t.Errorf("%d produces to %s are still in flight", n, topic)
			}
		}
	})
}

// TestSeveralTopicsThatAreNotSent: later produces of the session may go when every part is back in
// its gate, and not before.
func TestSeveralTopicsThatAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, env := twoAtProd(t)
		err := &refused{}
		err.gates = func() int { return env.Gates.Gate("orders").Waiting() + env.Gates.Gate("both").Waiting() }
		env.Clusters[0].(*plugintest.Cluster).Answer = func(int32, kmsg.Request) (kmsg.Response, error) {
			if err.settled.Load() == 0 {
				return nil, plugin.ErrUnreachable // the gates stay closed
			}
			return kmsg.NewPtrMetadataResponse(), nil
		}
		h := &home{err: err}
		resp, failed := r.Intercept(t.Context(), twoTopics(t, 9), h)
		if failed != nil {
			t.Fatal(failed)
		}
		if n := err.settled.Load(); n != 1 {
			t.Errorf("settled %d times", n)
		}
		if err.back != 2 {
			t.Errorf("settled when %d parts were back in their gates, want 2", err.back)
		}
		slices.Sort(h.sent[1:])
		if want := []string{"orders+both", "both", "orders"}; !slices.Equal(h.sent, want) {
			t.Errorf("sent %v, want %v", h.sent, want)
		}
		for _, topic := range []string{"orders:0", "both:0"} {
			if got := answers(t, resp); !strings.Contains(got, topic) {
				t.Errorf("answered %q, want %s in it", got, topic)
			}
		}
	})
}
