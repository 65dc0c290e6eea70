package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestInexactCopiesAreRefused: a copy whose replicator has dropped or swapped records must not
// become a home, nobody is held meanwhile, and the reason is said.
func TestInexactCopiesAreRefused(t *testing.T) {
	for name, f := range map[string]kafkatest.Faults{"drops": {Drop: 7}, "swaps": {Swap: true}} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "orders")
			p := h.client(h.gw.Bootstrap)
			h.produce(p, "orders", "before", 40)
			// A group that has read nothing yet makes everything part of the comparison.
			h.commit("orders", "slow", 0)
			h.copier(f, "orders")
			h.wait("the copy", func() bool {
				ends, err := kafkatest.Ends(h.ctx, h.dr.Bootstrap(), "orders")
				return err == nil && ends["orders"][0] >= 34
			})
			if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
				t.Fatal(err)
			}
			h.wait("a refusal", func() bool {
				m := h.gw.Moves()
				return len(m) == 1 && m[0].Phase == failover.Pending && m[0].Error != ""
			})
			m := h.gw.Moves()[0]
			if !strings.Contains(m.Error, "exact") && !strings.Contains(m.Error, "copy") && !strings.Contains(m.Error, "records") {
				t.Errorf("the reason is %q", m.Error)
			}
			h.produce(p, "orders", "after", 20) // nobody is held, the old home serves
			if got := h.gw.Topic(tenant, "orders"); got.Home != "prod" || got.Generation != 0 {
				t.Errorf("home %s, generation %d", got.Home, got.Generation)
			}
			if code, body := h.call("GET", "/readyz", ""); code != 200 || !strings.Contains(body, "orders") {
				t.Errorf("readyz %d does not name the pending move: %s", code, body)
			}
			// Taking the edit back ends it.
			if err := h.gw.Edit("orders: {cluster: dr}", "orders: {cluster: prod}"); err != nil {
				t.Fatal(err)
			}
			h.wait("the end of the move", func() bool { return h.gw.Moves()[0].Phase == failover.Dropped })
		})
	}
}

// TestMovesAtAnyDistance: the copy began later, so its offsets differ; clients see the same ones.
func TestMovesAtAnyDistance(t *testing.T) {
	h := build(t, "orders")
	direct := h.client(h.dr.Bootstrap()[0])
	h.produce(direct, "orders", "older", 25) // something the copy had before
	if _, err := h.admin(h.dr).DeleteRecords(h.ctx, offsets("orders", 25)); err != nil {
		t.Fatal(err)
	}
	p := h.client(h.gw.Bootstrap)
	before := h.produce(p, "orders", "before", 30)
	h.crowd("orders")
	h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	after := h.produce(p, "orders", "after", 30)
	if after[0] != before[29]+1 {
		t.Errorf("offset %d follows %d", after[0], before[29])
	}
	for i, r := range h.read(h.gw.Bootstrap, "orders", 10, 50) {
		want := fmt.Sprintf("before-%d", i+10)
		if i >= 20 {
			want = fmt.Sprintf("after-%d", i-20)
		}
		if string(r.Value) != want || r.Offset != int64(i+10) {
			t.Fatalf("offset %d is %s, want %s at %d", r.Offset, r.Value, want, i+10)
		}
	}
	ends, err := kafkatest.Ends(h.ctx, h.dr.Bootstrap(), "orders")
	if err != nil || ends["orders"][0] != 85 {
		t.Errorf("ends on dr: %v %v", ends, err)
	}
}

// TestAGlobAndTheDefaultMoveTogether: one edited word moves every topic that it decides.
func TestAGlobAndTheDefaultMoveTogether(t *testing.T) {
	h := build(t, "stays", "one", "two", "three")
	for _, n := range []string{"one", "two", "three"} {
		if err := h.gw.Edit(fmt.Sprintf("            %s: {cluster: prod}\n", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("the edit", func() bool { return !strings.Contains(string(h.gw.Snapshot().Source), "one:") })
	p := h.client(h.gw.Bootstrap)
	h.crowd("stays", "one", "two", "three")
	for _, n := range []string{"stays", "one", "two", "three"} {
		h.produce(p, n, n, 5)
	}
	h.copier(kafkatest.Faults{}, "stays", "one", "two", "three")
	if err := h.gw.Edit("default: prod", "default: dr"); err != nil {
		t.Fatal(err)
	}
	h.moved(3)
	for n, want := range map[string]string{"one": "dr", "two": "dr", "three": "dr", "stays": "prod"} {
		if got := h.gw.Topic(tenant, n).Home; got != want {
			t.Errorf("%s lives on %s", n, got)
		}
		h.produce(p, n, "after", 3)
	}
}

// TestAtomicFailover: one topic without a copy keeps the other at home too; once it has one, both
// move.
func TestAtomicFailover(t *testing.T) {
	h := build(t, "orders", "payments")
	p := h.client(h.gw.Bootstrap)
	h.crowd("orders", "payments")
	h.copier(kafkatest.Faults{}, "orders")
	for _, n := range []string{"orders", "payments"} {
		h.produce(p, n, "before", 5)
	}
	if code, body := h.call("POST", "/failover/run", `{"from": "prod", "to": "dr", "atomic": true}`); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	h.wait("the refusal of both", func() bool {
		said := 0
		for _, m := range h.gw.Moves() {
			if m.Attempts > 1 && (m.Topic == "payments" || strings.Contains(m.Error, "it moves together with payments")) {
				said++
			}
		}
		return said == 2
	})
	if got := h.gw.Topic(tenant, "orders").Home; got != "prod" {
		t.Errorf("orders lives on %s", got)
	}
	h.copier(kafkatest.Faults{}, "payments")
	h.moved(2)
	for _, n := range []string{"orders", "payments"} {
		h.produce(p, n, "after", 5)
		if got := h.read(h.gw.Bootstrap, n, 0, 10); string(got[4].Value) != "before-4" || string(got[9].Value) != "after-4" {
			t.Errorf("%s: %s, %s", n, got[4].Value, got[9].Value)
		}
	}
}

// TestUnplannedMove: the old home is gone with records that the copy lacks. The log goes on above
// the ceiling, no offset names two records, and the report lists what may be lost.
func TestUnplannedMove(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	c := h.copier(kafkatest.Faults{}, "orders")
	h.produce(p, "orders", "copied", 20)
	h.wait("the stored distance", func() bool {
		_, ok := h.gw.Topic(tenant, "orders").Partitions[0].Delta("dr")
		return ok
	})
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	lost := h.produce(p, "orders", "lost", 7)
	ceiling := h.gw.Topic(tenant, "orders").Partitions[0].Ceiling
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	h.wait("the death to be noticed", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, `"reachable": false`)
	})
	code, body := h.call("POST", "/failover/run", `{"topics": ["orders"], "to": "dr", "unplanned": true}`)
	if code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	m := h.moved(1)
	if m.Planned || len(m.PossibleLoss) != 1 || m.PossibleLoss[0] != (failover.Range{Topic: "orders", Partition: 0, From: lost[0], To: lost[6]}) {
		t.Errorf("planned %t, possible loss %+v, want %d to %d", m.Planned, m.PossibleLoss, lost[0], lost[6])
	}
	stands := func() float64 { return h.scrape()["sluice_move_possible_loss"].Metric[0].Gauge.GetValue() }
	if n := stands(); n != 7 {
		t.Errorf("%v records may be lost, says the metric", n)
	}
	gateway := commandLine(t)
	if out, code := gateway("failover", "acknowledge", "-c", h.gw.File, m.ID); code != 0 || out != "acknowledged: up to 7 lost records of 1 move\n" {
		t.Errorf("acknowledge: %d %s", code, out)
	}
	if n := stands(); n != 0 {
		t.Errorf("%v records may be lost after the acknowledgement, says the metric", n)
	}
	if out, code := gateway("failover", "acknowledge", "-c", h.gw.File, m.ID); code == 0 {
		t.Errorf("acknowledge again: %d %s", code, out)
	}
	after := h.produce(p, "orders", "after", 5)
	if after[0] < ceiling {
		t.Errorf("offset %d is below the ceiling %d", after[0], ceiling)
	}
	got := h.read(h.gw.Bootstrap, "orders", 15, 10)
	if string(got[4].Value) != "copied-19" || string(got[5].Value) != "after-0" || got[5].Offset != after[0] {
		t.Errorf("after the hole: %s at %d, %s at %d", got[4].Value, got[4].Offset, got[5].Value, got[5].Offset)
	}
}

// TestNobodyLagsByAHole: after an unplanned move, a group that has read everything that is left
// lags by nothing, as tools compute it, before the first record and after it; also by a gateway
// that was started since.
func TestNobodyLagsByAHole(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("          default: prod\n", "          default: prod\n          groups: {\"*\": dr}\n"); err != nil {
		t.Fatal(err)
	}
	p := h.client(h.gw.Bootstrap)
	h.wait("groups to live on dr", func() bool {
		at := kadm.NewClient(p).FindGroupCoordinators(h.ctx, "all")["all"]
		return at.Err == nil && at.NodeID >= 2<<20 // of the second cluster
	})
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(p, "orders", "copied", 20)
	for n, at := range map[string]int64{"all": 20, "half": 10} {
		h.commit("orders", n, at)
	}
	h.wait("the copy to be compared to its end", func() bool {
		d, ok := h.gw.Topic(tenant, "orders").Partitions[0].Delta("dr")
		ends, err := kadm.NewClient(h.client(h.dr.Bootstrap()[0])).ListEndOffsets(h.ctx, "orders")
		end, _ := ends.Lookup("orders", 0)
		return ok && err == nil && end.Offset == 20+d
	})
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	h.wait("the death to be noticed", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, `"reachable": false`)
	})
	if code, body := h.call("POST", "/failover/run", `{"topics": ["orders"], "to": "dr", "unplanned": true}`); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	if m := h.moved(1); m.Planned || len(m.PossibleLoss) != 0 {
		t.Fatalf("%+v", m)
	}
	lag := func(group string) int64 {
		t.Helper()
		lags, err := kadm.NewClient(h.client(h.gw.Bootstrap)).Lag(h.ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		l, ok := lags[group].Lag.Lookup("orders", 0)
		if !ok || l.Err != nil {
			t.Fatalf("%q: %+v", group, lags[group])
		}
		return l.Lag
	}
	restart := func() {
		if err := h.gw.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := h.gw.Restart(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		when      string
		then      func()
		all, half int64
	}{
		{"before the first record", func() {}, 0, 10},
		{"after a restart", restart, 0, 10},
		{"with records", func() { h.produce(h.client(h.gw.Bootstrap), "orders", "after", 3) }, 3, -1},
		{"after another restart", restart, 3, -1},
	} {
		step.then()
		if got := lag("all"); got != step.all {
			t.Errorf("%s, the group that has read everything lags by %d, want %d", step.when, got, step.all)
		}
		if got := lag("half"); step.half >= 0 && got != step.half {
			t.Errorf("%s, the other group lags by %d, want %d", step.when, got, step.half)
		}
	}
}

// TestABatchThatWasCopiedBeforeItsHomeDied: prod appends a batch of two records, its copy reaches
// dr, and prod dies before it acknowledges it. It is sent again; dr must not hold it twice, and
// gets what comes after it.
func TestABatchThatWasCopiedBeforeItsHomeDied(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap, kgo.ProducerLinger(50*time.Millisecond))
	h.produce(p, "orders", "before", 3)
	copier := h.copier(kafkatest.Faults{}, "orders")
	if err := copier.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.wait("the stored distance", func() bool {
		_, ok := h.gw.Topic(tenant, "orders").Partitions[0].Delta("dr")
		return ok
	})
	dead, reached := make(chan struct{}), make(chan struct{}, 3)
	h.prod.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		reached <- struct{}{}
		h.prod.SleepControl(func() { <-dead })
		return nil, errors.New("dead"), true
	})
	now := time.Now().Truncate(time.Millisecond)
	record := func(i int) *kgo.Record {
		return &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "on its way %d", i), Timestamp: now}
	}
	type end struct {
		offset int64
		err    error
	}
	ends := make([]chan end, 3)
	for i := range ends {
		ends[i] = make(chan end, 1)
		p.Produce(h.ctx, record(i), func(r *kgo.Record, err error) { ends[i] <- end{r.Offset, err} })
		if i == 1 {
			<-reached // the two leave together
		}
	}
	copier.Stop()
	direct := h.client(h.dr.Bootstrap()[0])
	if err := direct.ProduceSync(h.ctx, record(0), record(1)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	close(dead)
	_ = h.prod.Close()
	h.wait("the death to be noticed", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, `"reachable": false`)
	})
	if code, body := h.call("POST", "/failover/run", `{"topics": ["orders"], "to": "dr", "unplanned": true}`); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	if m := h.moved(1); m.Planned {
		t.Fatalf("the move is a planned one: %+v", m)
	}
	for i, c := range ends {
		if e := <-c; e.err != nil || i < 2 && e.offset != int64(3+i) || i == 2 && e.offset < 5 {
			t.Errorf("batch %d: offset %d, %v", i, e.offset, e.err)
		}
	}
	h.produce(p, "orders", "after", 3)
	var got []string
	for _, r := range h.read(h.dr.Bootstrap()[0], "orders", 3, 6) {
		got = append(got, string(r.Value))
	}
	if want := []string{"on its way 0", "on its way 1", "on its way 2", "after-0", "after-1", "after-2"}; !slices.Equal(got, want) {
		t.Errorf("dr holds %q", got)
	}
}

// TestUnplannedNeverWaits: with `unplanned: never` a dead home is waited for.
func TestUnplannedNeverWaits(t *testing.T) {
	h := build(t, "orders")
	h.copier(kafkatest.Faults{}, "orders")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 3)
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: prod, unplanned: never}"); err != nil {
		t.Fatal(err)
	}
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	h.wait("the death to be noticed", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, `"reachable": false`)
	})
	if err := h.gw.Edit("cluster: prod, unplanned", "cluster: dr, unplanned"); err != nil {
		t.Fatal(err)
	}
	h.wait("a refusal", func() bool {
		m := h.gw.Moves()
		return len(m) == 1 && strings.Contains(m[0].Error, "unplanned: never")
	})
	for _, n := range h.prod.Nodes() {
		if err := h.prod.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if m := h.moved(1); !m.Planned {
		t.Error("the home came back, so the move is a planned one")
	}
}

// TestANewerEditAbortsAMove: the copy never catches up, clients are told nothing, and the edit is
// taken back.
func TestAMoveThatCantFinishHoldsNobodyForLong(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.crowd("orders")
	c := h.copier(kafkatest.Faults{}, "orders")
	h.produce(p, "orders", "copied", 5)
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	h.produce(p, "orders", "missing", 5)
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.wait("a refusal", func() bool {
		m := h.gw.Moves()
		return len(m) == 1 && strings.Contains(m[0].Error, "replicator")
	})
	h.produce(p, "orders", "on", 10)
	if m := h.gw.Moves()[0]; slices.ContainsFunc(m.Steps, func(s failover.Step) bool { return s.Phase == failover.Hold }) {
		t.Errorf("clients were held by a move that is only being checked: %+v", m)
	}
	// The replicator comes back: the pending move ends by itself.
	again, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: h.prod.Bootstrap(), To: h.dr.Bootstrap(), Topics: []string{"orders"}, Start: c.Position()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	h.moved(1)
	if got := h.read(h.gw.Bootstrap, "orders", 0, 20); string(got[19].Value) != "on-9" {
		t.Errorf("the last record is %s", got[19].Value)
	}
}

// TestIdempotentProducerGoesThereAndBack: its sequences continue over three homes; the first home
// remembers the producer from before and must not refuse it.
func TestIdempotentProducerGoesThereAndBack(t *testing.T) {
	h := build(t, "orders")
	h.crowd("orders")
	p := h.client(h.gw.Bootstrap, kgo.RecordRetries(3))
	n := h.produce(p, "orders", "a", 10)
	c := h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	cut := c.Position()
	c.Stop()
	n = append(n, h.produce(p, "orders", "b", 10)...)
	back, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: h.dr.Bootstrap(), To: h.prod.Bootstrap(), Topics: []string{"orders"}, Start: cut})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Stop)
	if err := h.gw.Edit("orders: {cluster: dr}", "orders: {cluster: prod}"); err != nil {
		t.Fatal(err)
	}
	h.moved(2)
	n = append(n, h.produce(p, "orders", "c", 10)...)
	for i, o := range n {
		if o != int64(i) {
			t.Fatalf("offsets %v", n)
		}
	}
}
