package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/fence"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// guardian is a hook, as an operator may have it: it keeps those away that write to prod past the
// gateway, whose records say so.
type guardian struct {
	h    *house
	addr string

	mu      sync.Mutex
	server  *http.Server
	calls   []fence.Call
	closed  map[string]bool // clusters
	numbers map[string]int64
	answer  http.HandlerFunc // in place of its own
}

const past = "past the gateway"

// guarded is build with a guardian, which the file names with more settings of failover.
func guarded(t *testing.T, settings string) (*house, *guardian) {
	t.Helper()
	h := build(t, "orders")
	g := &guardian{h: h, closed: map[string]bool{}, numbers: map[string]int64{}}
	g.open("127.0.0.1:0")
	t.Cleanup(g.end)
	h.prod.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		g.mu.Lock()
		closed := g.closed["prod"]
		g.mu.Unlock()
		req := r.(*kmsg.ProduceRequest)
		if !closed || !bytes.Contains(req.Topics[0].Partitions[0].Records, []byte(past)) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		topic, p := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		p.Partition, p.ErrorCode = req.Topics[0].Partitions[0].Partition, kerr.TopicAuthorizationFailed.Code
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	g.named("{url: \"http://" + g.addr + "/fence\", " + settings)
	return h, g
}

// named brings a section into force.
func (g *guardian) named(section string) {
	g.h.t.Helper()
	if err := g.h.gw.Edit("state: ", "failover: {fence: "+section+"}\nstate: "); err != nil {
		g.h.t.Fatal(err)
	}
	g.h.wait("the hook in the file", func() bool { return g.h.gw.Snapshot().Failover.Fence.URL != "" })
}

func (g *guardian) open(addr string) {
	g.h.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		g.h.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addr, g.server = l.Addr().String(), &http.Server{Handler: g}
	s := g.server
	go func() { _ = s.Serve(l) }()
}

// end ends it at once, in the middle of what it does.
func (g *guardian) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.server.Close()
}

func (g *guardian) answers(f http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = f
}

func (g *guardian) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c fence.Call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	g.calls = append(g.calls, c)
	answer := g.answer
	if answer == nil && c.Number >= g.numbers[c.Cluster] {
		g.numbers[c.Cluster], g.closed[c.Cluster] = c.Number, c.Action == fence.Raise
	}
	g.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

// asked are the calls about a cluster.
func (g *guardian) asked(cluster string) (out []fence.Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		if c.Cluster == cluster {
			out = append(out, c.Action)
		}
	}
	return out
}

// settled waits until the guardian keeps writers away from prod, or does not.
func (g *guardian) settled(closed bool) {
	g.h.t.Helper()
	g.h.wait(fmt.Sprintf("closed %t", closed), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.calls) > 0 && g.closed["prod"] == closed
	})
}

// writer writes to prod, past the gateway, until it is refused; done is closed then, and wrote has
// what was acknowledged.
type writer struct {
	mu    sync.Mutex
	wrote []string
	err   error
	done  chan struct{}
}

func (h *house) past() *writer {
	h.t.Helper()
	w := &writer{done: make(chan struct{})}
	c := h.client(h.prod.Bootstrap()[0], kgo.ProducerBatchCompression(kgo.NoCompression()))
	go func() {
		defer close(w.done)
		for i := 0; ; i++ {
			v := fmt.Sprintf("%s %d", past, i)
			err := c.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte(v)}).FirstErr()
			w.mu.Lock()
			if w.err = err; err == nil {
				w.wrote = append(w.wrote, v)
			}
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	h.wait("records past the gateway", func() bool { return w.count() >= 20 })
	return w
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.wrote)
}

// waiting is the move that was refused, and waits.
func (h *house) waiting() (m failover.Report) {
	h.t.Helper()
	h.wait("a refusal", func() bool {
		all := h.gw.Moves()
		if len(all) == 0 {
			return false
		}
		m = all[len(all)-1]
		return m.Phase == failover.Pending && m.Error != ""
	})
	return m
}

func (h *house) place(from, to string) {
	h.t.Helper()
	if err := h.gw.Edit("orders: {cluster: "+from, "orders: {cluster: "+to); err != nil {
		h.t.Fatal(err)
	}
}

// TestWritersPastTheGatewayAreFenced: somebody writes to the old home itself, without a pause,
// until the fence stands. Nothing of that is lost, and the topic can come back.
func TestWritersPastTheGatewayAreFenced(t *testing.T) {
	h, g := guarded(t, "headers: {authorization: hush}}")
	c := h.copier(kafkatest.Faults{}, "orders")
	w := h.past()
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "before", 10)
	var plans plan.Plans
	h.v1("POST", "/moves/plan", `{"topics": ["orders"], "to": "dr"}`, &plans)
	fact.True(fact.Of(t, "plan %+v", plans), "fenced", plans.Fenced)
	h.place("prod", "dr")
	m := h.moved(1)
	<-w.done
	h.produce(p, "orders", "after", 10)
	about := fact.Of(t, "move %+v", m)
	fact.True(about, "the writer is refused", errors.Is(w.err, kerr.TopicAuthorizationFailed))
	fact.True(about, "the fence is a phase", slices.ContainsFunc(m.Steps, func(s failover.Step) bool { return s.Phase == failover.Fence }))
	seen := map[string]int{}
	for _, r := range h.read(h.gw.Bootstrap, "orders", 0, w.count()+20) {
		seen[string(r.Value)]++
	}
	for _, v := range w.wrote {
		fact.Equal(fact.Of(t, "%q", v), "times read", seen[v], 1)
	}
	_, moves := h.call("GET", "/moves", "")
	fact.Has(fact.Of(t, "moves"), moves, `"phase": "fence"`)
	_, metrics := h.call("GET", "/metrics", "")
	fact.Has(fact.Of(t, "metrics"), metrics, `sluice_fences{cluster="prod",lift="false",virtual_cluster="passThroughTenant"} 1`)
	_, config := h.call("GET", "/config", "")
	fact.HasNo(fact.Of(t, "config"), config, "hush")

	cut := c.Position()
	c.Stop()
	back, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: h.dr.Bootstrap(), To: h.prod.Bootstrap(), Topics: []string{"orders"}, Start: cut})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Stop)
	h.place("dr", "prod")
	h.moved(2)
	g.settled(false)
	fact.List(about, "asked of prod", g.asked("prod"), []fence.Action{fence.Raise, fence.Lift})
	fact.List(about, "asked of dr", g.asked("dr"), []fence.Action{fence.Raise})
	h.past()
}

// TestAMoveWaitsForItsFence: a guardian that refuses, hangs, or dies in the middle, keeps the move
// from its commit. Clients go on at the old home without an error, and so do writers past the
// gateway. Once it answers, the topic moves.
func TestAMoveWaitsForItsFence(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refuses": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no change today", http.StatusConflict) }, "prod is not fenced: the fence hook answers 409 Conflict: no change today"},
		"hangs":   {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "prod is not fenced: the fence hook has not answered within 300ms"},
		"dies":    {nil, "prod is not fenced: the fence hook can't be reached: "},
	} {
		t.Run(name, func(t *testing.T) {
			h, g := guarded(t, "timeout: 300ms}")
			answer := c.answer
			if answer == nil {
				answer = func(http.ResponseWriter, *http.Request) { g.end() }
			}
			g.answers(answer)
			h.copier(kafkatest.Faults{}, "orders")
			p := h.client(h.gw.Bootstrap)
			h.produce(p, "orders", "before", 10)
			h.place("prod", "dr")
			m := h.waiting()
			about := fact.Of(t, "move %+v", m)
			fact.Has(about, m.Error, c.want)
			fact.HasNo(about, m.Error, g.addr+"/fence")
			fact.Equal(about, "blocked by", m.BlockedBy, block.ByFence)
			h.produce(p, "orders", "meanwhile", 20)
			fact.Equal(about, "home", h.gw.Topic(tenant, "orders").Home, "prod")
			g.answers(nil)
			if name == "dies" {
				g.open(g.addr)
			}
			h.moved(1)
			h.produce(p, "orders", "after", 10)
			g.settled(true)
			fact.Equal(about, "records", len(h.read(h.gw.Bootstrap, "orders", 0, 40)), 40)
		})
	}
}

// TestAMoveThatIsTakenBackLeavesNoFence, also when the guardian was not there to lift it at once.
func TestAMoveThatIsTakenBackLeavesNoFence(t *testing.T) {
	h, g := guarded(t, "timeout: 300ms}")
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(h.client(h.gw.Bootstrap), "orders", "before", 10)
	g.mu.Lock()
	g.closed["prod"] = true // it takes effect, and the answer is lost
	g.mu.Unlock()
	g.answers(func(http.ResponseWriter, *http.Request) { g.end() })
	h.place("prod", "dr")
	h.waiting()
	h.place("dr", "prod")
	h.wait("the end of the move", func() bool { return h.gw.Moves()[0].Phase == failover.Dropped })
	g.answers(nil)
	g.open(g.addr)
	g.settled(false)
	h.past()
}

// TestAFenceOutlivesTheGateway: it ends while the guardian is asked. When it starts again the move
// goes on, with the fence; or, if it was taken back meanwhile, the fence is lifted.
func TestAFenceOutlivesTheGateway(t *testing.T) {
	for _, to := range []string{"dr", "prod"} {
		t.Run(to, func(t *testing.T) {
			h, g := guarded(t, "timeout: 9s}")
			h.copier(kafkatest.Faults{}, "orders")
			asked, ctx := make(chan struct{}), make(chan struct{})
			var once sync.Once
			g.answers(func(_ http.ResponseWriter, r *http.Request) {
				once.Do(func() { close(asked) })
				select {
				case <-r.Context().Done():
				case <-ctx:
				}
			})
			defer close(ctx)
			w := h.past()
			h.place("prod", "dr")
			<-asked
			fact.NoError(fact.Must(t, "stop"), h.gw.Stop())
			g.answers(nil)
			if to == "prod" {
				h.place("dr", "prod")
			}
			fact.NoError(fact.Must(t, "start"), h.gw.Restart(h.ctx))
			about := fact.Of(t, "after the restart")
			if to == "prod" {
				h.wait("the fence to be lifted", func() bool {
					all := g.asked("prod")
					return all[len(all)-1] == fence.Lift
				})
				fact.Equal(about, "home", h.gw.Topic(tenant, "orders").Home, "prod")
				n := w.count()
				h.wait("more records past the gateway", func() bool { return w.count() > n })
				return
			}
			h.moved(1)
			<-w.done
			g.settled(true)
			seen := map[string]int{}
			for _, r := range h.read(h.gw.Bootstrap, "orders", 0, w.count()) {
				seen[string(r.Value)]++
			}
			for _, v := range w.wrote {
				fact.Equal(fact.Of(t, "%q", v), "times read", seen[v], 1)
			}
		})
	}
}

// TestAnUnplannedMoveWaitsForNoFence, and says that there is none.
func TestAnUnplannedMoveWaitsForNoFence(t *testing.T) {
	h, g := guarded(t, "timeout: 300ms}, unreachable: 1s")
	c := h.copier(kafkatest.Faults{}, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "before", 10)
	fact.NoError(fact.Must(t, "copy"), c.CaughtUp(h.ctx))
	h.wait("a distance", func() bool {
		d, ok := h.gw.Topic(tenant, "orders").Partition(0).Delta("dr")
		return ok && d == 0
	})
	g.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, n := range h.prod.Nodes() {
		fact.NoError(fact.Must(t, "kill"), h.prod.Kill(n))
	}
	h.place("prod", "dr")
	m := h.moved(1)
	about := fact.Of(t, "move %+v", m)
	fact.False(about, "planned", m.Planned)
	fact.Has(about, strings.Join(m.Notes, " "), "prod is not fenced: the fence hook has not answered within 300ms")
	fact.List(about, "asked of prod", g.asked("prod"), []fence.Action{fence.Raise})
	h.produce(p, "orders", "after", 10)
}

// TestAHookWhoseFilesAreBrokenIsNotDoneWithout: an edit that names one is refused; a gateway starts
// with it, and moves wait.
func TestAHookWhoseFilesAreBrokenIsNotDoneWithout(t *testing.T) {
	h := build(t, "orders")
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(h.client(h.gw.Bootstrap), "orders", "before", 10)
	section := "failover: {fence: {url: \"https://127.0.0.1:1\", tls: {ca: none.pem}}}\nstate: "
	if err := h.gw.Edit("state: ", section); err != nil {
		t.Fatal(err)
	}
	var ready string
	h.wait("the error", func() bool {
		_, ready = h.call("GET", "/readyz", "")
		return strings.Contains(ready, "failover.fence.tls.ca: ")
	})
	fact.NoError(fact.Must(t, "stop"), h.gw.Stop())
	h.place("prod", "dr")
	fact.NoError(fact.Must(t, "start"), h.gw.Restart(context.WithoutCancel(h.ctx)))
	m := h.waiting()
	fact.Has(fact.Of(t, "move"), m.Error, "prod is not fenced: the fence hook can't be asked: ")
	if err := h.gw.Edit(section, "state: "); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
}
