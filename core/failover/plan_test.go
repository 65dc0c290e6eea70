package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// transaction is a producer as a leader describes it.
func transaction(id, from int64) kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	p := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
	p.ProducerID, p.LastSequence, p.CurrentTxnStartOffset, p.LastTimestamp = id, 9, from, 1714557600000
	return p
}

// TestAPlanSaysWhatBlocksAMove: the same answer as a move gets, without holding anybody, starting
// anything, or writing anything.
func TestAPlanSaysWhatBlocksAMove(t *testing.T) {
	for name, c := range map[string]struct {
		hurt func(w *world)
		want string
	}{
		"nothing":          {func(*world) {}, ""},
		"partitions":       {func(w *world) { w.dr.topic("orders", 3) }, "1 partitions on prod, but 3 on dr: give both the same number"},
		"no topic":         {func(w *world) { delete(w.dr.topics, "orders") }, `topic "orders" does not exist on dr`},
		"no topic at home": {func(w *world) { delete(w.prod.topics, "orders") }, `topic "orders" does not exist on prod`},
		"message size":     {func(w *world) { w.dr.topics["orders"].configs["max.message.bytes"] = "9" }, "max.message.bytes is 1048588 on prod, but 9 on dr"},
		"timestamps":       {func(w *world) { w.dr.topics["orders"].configs["message.timestamp.type"] = "LogAppendTime" }, "message.timestamp.type is CreateTime on prod, but LogAppendTime on dr"},
		"unknown settings": {func(w *world) { w.dr.topics["orders"].configs = nil }, ""},
		"lag":              {func(w *world) { w.prod.grow("orders", 100, 107) }, "7 records behind after 3s: is the replicator running, from prod to dr?"},
		"a marker at the end": {func(w *world) { marker(w.prod.log("orders")) },
			"1 records behind after 3s: they are markers of transactions on prod, which the replicator has left out: only a replicator that copies offset by offset"},
		"an aborted transaction": {func(w *world) { w.prod.grow("orders", 100, 102); marker(w.prod.log("orders")) },
			"3 records behind after 3s: is the replicator running, from prod to dr? 1 of them are markers of transactions"},
		"markers alone": {func(w *world) {
			for _, f := range []*fake{w.prod, w.dr} {
				f.topics["orders"].logs[0] = &fakeLog{}
			}
			marker(w.prod.log("orders"))
		}, "partition 0 has nothing but 1 markers of transactions on prod"},
		"no copy":       {func(w *world) { w.dr.topics["orders"].logs[0] = &fakeLog{} }, "partition 0 has 100 records on prod and none on dr"},
		"other records": {func(w *world) { w.dr.grow("orders", 500, 501) }, "this is no exact copy"},
		"transaction": {func(w *world) {
			w.prod.log("orders").producers = append(w.prod.log("orders").producers, transaction(4, -1), transaction(5, 90))
		}, `partition 0 has an open transaction (transactional id "billing", producer 5, last written to at 2024-05-01T10:00:00Z): it must end first`},
		"ended transactions": {func(w *world) {
			w.prod.log("orders").producers = append(w.prod.log("orders").producers, transaction(5, -1))
		}, ""},
		"the new home": {func(w *world) { w.dr.down = true }, "cluster unreachable"},
		"too much": {func(w *world) {
			w.prod.groups["slow"] = map[int32]int64{0: 0}
			w.cfg.CompareLimit, w.runner.cfg.CompareLimit = 1000, 1000
		}, `more than failover.compare_limit (1000 bytes) would have to be compared, from offset 0 on: furthest behind is group "slow" at offset 0; let it catch up`},
		"not writable": {func(w *world) { w.dr.allowed = 1<<3 | 1<<8 }, `dr does not let the gateway write to "orders": allow it the operation Write there`},
		"a mirror": {func(w *world) { w.dr.refuses, w.dr.because = 44, "the topic is a mirror" },
			`dr takes no produces to partition 0 of "orders"; if it is a read-only mirror, make it writable first: POLICY_VIOLATION`},
		"the mirror's words": {func(w *world) { w.dr.refuses, w.dr.because = 42, "it is written by its link" }, `(it is written by its link)`},
		"few replicas":       {func(w *world) { w.dr.refuses = 19 }, "NOT_ENOUGH_REPLICAS"},
		"writable":           {func(w *world) { w.dr.allowed = 1<<3 | 1<<4 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				c.hurt(w)
				n := len(w.store.entries)
				p := w.produce("orders") // a hold would wait for it
				got := w.runner.Plan(t.Context(), w.env, "orders", "dr")
				if (c.want == "") != (got.Blocked == "") || !strings.Contains(got.Blocked, c.want) {
					t.Errorf("blocked %q, want %q", got.Blocked, c.want)
				}
				about := fact.Of(t, "plan %+v", got)
				fact.Equal(about, "got.Topic", got.Topic, "orders")
				fact.Equal(about, "got.From", got.From, "prod")
				fact.Equal(about, "got.To", got.To, "dr")
				fact.True(about, "got.Planned", got.Planned)
				if len(w.runner.Moves()) != 0 || len(w.store.entries) != n {
					t.Errorf("a plan has left something: %d moves, %d entries", len(w.runner.Moves()), len(w.store.entries)-n)
				}
				w.lives("orders", "prod", 0)
				p.answer()
				// The move says the same.
				w.edit("dr", "orders")
				pass(3200 * time.Millisecond)
				if m := w.last("orders"); !strings.Contains(m.Error, c.want) || (m.Phase == Done) != (c.want == "") || slices.Contains(steps(m), Hold) != (c.want == "") {
					t.Errorf("the move: %s, %q", m.Phase, m.Error)
				}
			})
		})
	}
}

// TestAPlanOfNothing says why there is no move.
func TestAPlanOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for _, c := range []struct{ topic, to, want string }{
			{"other", "dr", "does not know this topic"}, {"orders", "prod", "lives there already"}, {"orders", "third", "not a cluster of this virtual cluster"},
		} {
			if got := w.runner.Plan(t.Context(), w.env, c.topic, c.to); !strings.Contains(got.Blocked, c.want) || len(got.Partitions) != 0 {
				t.Errorf("%s to %s: %+v", c.topic, c.to, got)
			}
		}
	})
}

// TestAPlanShowsEndsAndLag: with a distance that is known, lag is what the copy lacks.
func TestAPlanShowsEndsAndLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		remembered(t, w, map[string]int64{"dr": 5}) // not true any more
		w.prod.grow("orders", 100, 104)
		got := w.runner.Plan(t.Context(), w.env, "orders", "dr")
		if want := []PlanPartition{{Partition: 0, FromEnd: 104, ToEnd: 125, Lag: 4}}; !slices.Equal(got.Partitions, want) {
			t.Errorf("%+v", got.Partitions)
		}
		w.prod.set(func() { w.prod.down = true })
		got = w.runner.Plan(t.Context(), w.env, "orders", "dr")
		if want := []PlanPartition{{Partition: 0, FromEnd: -1, ToEnd: 125, Lag: -1}}; got.Planned || got.Blocked != "" || !slices.Equal(got.Partitions, want) {
			t.Errorf("of an unplanned one: %+v", got)
		}
		w.policy("orders", "never")
		if got = w.runner.Plan(t.Context(), w.env, "orders", "dr"); got.Planned || !strings.Contains(got.Blocked, "`unplanned: never`") {
			t.Errorf("of one that is never unplanned: %+v", got)
		}
	})
}

// TestAPlanAsksNobodyWhoDoesNotAnswer: whoever looks would wait for it.
func TestAPlanAsksNobodyWhoDoesNotAnswer(t *testing.T) {
	for name, down := range map[string]func(w *world) []*fake{
		"the new home": func(w *world) []*fake { return []*fake{w.dr} },
		"both":         func(w *world) []*fake { return []*fake{w.prod, w.dr} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				pass(time.Minute) // what runs beside it has noticed
				for _, c := range down(w) {
					c.set(func() { c.down, c.asked = true, map[kmsg.Key]int{} })
				}
				if got := w.runner.Plan(t.Context(), w.env, "orders", "dr"); got.Blocked != "dr: cluster unreachable" || len(got.Partitions) != 1 || got.Partitions[0].ToEnd != -1 {
					t.Errorf("%+v", got)
				}
				for _, c := range down(w) {
					c.set(func() {
						if len(c.asked) > 0 {
							t.Errorf("%s was asked %v", c.name, c.asked)
						}
					})
				}
			})
		})
	}
}

// reader is a session that fetches.
func (w *world) reader(topic string, offset int64) {
	w.env.Gates.Readers.Note(plugin.NewSession(w.t.Context(), 1, nil, nil), topic, 0, offset, time.Now())
}

// TestWhatIsStillReadIsCompared: a difference that lies before the last 64 records counts from the
// lowest offset that a group has committed at its home, or that a consumer reads from, and not
// before.
func TestWhatIsStillReadIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		groups  func(w *world)
		blocked bool
	}{
		"no group":                {func(*world) {}, false},
		"before the difference":   {func(w *world) { w.prod.groups["slow"] = map[int32]int64{0: 5} }, true},
		"at the difference":       {func(w *world) { w.prod.groups["slow"] = map[int32]int64{0: 10} }, true},
		"behind the difference":   {func(w *world) { w.prod.groups["slow"] = map[int32]int64{0: 11} }, false},
		"the slowest of several":  {func(w *world) { w.prod.groups["a"], w.prod.groups["b"] = map[int32]int64{0: 3}, map[int32]int64{0: 90} }, true},
		"the slowest one last":    {func(w *world) { w.prod.groups["a"], w.prod.groups["b"] = map[int32]int64{0: 90}, map[int32]int64{0: 3} }, true},
		"without a commit":        {func(w *world) { w.prod.groups["new"] = map[int32]int64{0: -1} }, false},
		"a mirrored copy":         {func(w *world) { w.dr.groups["slow"] = map[int32]int64{0: 5} }, false},
		"a consumer without one":  {func(w *world) { w.reader("orders", 5) }, true},
		"a consumer behind it":    {func(w *world) { w.reader("orders", 11) }, false},
		"a consumer of another":   {func(w *world) { w.reader("other", 5) }, false},
		"a consumer long ago":     {func(w *world) { w.reader("orders", 5); pass(readFor + time.Second) }, false},
		"a consumer and a group":  {func(w *world) { w.reader("orders", 90); w.prod.groups["slow"] = map[int32]int64{0: 5} }, true},
		"deleted at home already": {func(w *world) { w.prod.groups["slow"] = map[int32]int64{0: 5}; w.prod.log("orders").start = 11 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				// Record 10 is another one on dr, too far from the end to be seen otherwise.
				w.dr.topics["orders"].logs[0] = &fakeLog{}
				w.dr.grow("orders", 1000, 1025)
				w.dr.log("orders").add(changed(records(0, 100), 10, func(r *kafka.Record) { r.Value = nil })...)
				c.groups(w)
				got := w.runner.Plan(t.Context(), w.env, "orders", "dr")
				if blocked := strings.Contains(got.Blocked, "the record at 10 on prod is not at 35 on dr"); blocked != c.blocked || (got.Blocked != "") != c.blocked {
					t.Errorf("blocked: %q", got.Blocked)
				}
			})
		})
	}
}

// TestALagThatDrainsIsNone: a copy that catches up within max_drain does not block a move.
func TestALagThatDrainsIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.prod.grow("orders", 100, 110)
		began := time.Now()
		go func() {
			time.Sleep(2500 * time.Millisecond)
			w.dr.grow("orders", 100, 110)
		}()
		got := w.runner.Plan(t.Context(), w.env, "orders", "dr")
		if took := time.Since(began); got.Blocked != "" || took < 2500*time.Millisecond || took > 2700*time.Millisecond {
			t.Errorf("after %s: %q", took, got.Blocked)
		}
	})
}

// TestPlansAreMadeSideBySide: of clusters that take long to answer, those of many topics take about
// as long as that of one; what is asked for all of them together may wait for a round that is on
// its way.
func TestPlansAreMadeSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topics []string
		for i := range checksAtOnce {
			topics = append(topics, fmt.Sprint("topic-", i))
		}
		w := newWorld(t, topics...)
		for _, f := range []*fake{w.prod, w.dr} {
			f.set(func() { f.before = func(kmsg.Request) { time.Sleep(time.Second) } })
		}
		took := func(topics []string) time.Duration {
			began := time.Now()
			plans, err := w.runner.Plans(t.Context(), w.env, topics, "dr", false)
			if err != nil {
				t.Fatal(err)
			}
			if plans.Ready != len(topics) {
				t.Errorf("%s", plans.Summary)
			}
			return time.Since(began)
		}
		if one, all := took(topics[:1]), took(topics); one == 0 || all > one+one/2 {
			t.Errorf("one took %s, %d took %s", one, len(topics), all)
		}
	})
}

// TestAPlanOfManyTopicsWaitsOnceForLag: it takes as long as one that lags, whatever their number,
// and a copy that has what its home had when the plan began is not behind.
func TestAPlanOfManyTopicsWaitsOnceForLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 300)
		for _, n := range topics {
			w.prod.grow(n, 100, 103)
		}
		go func() {
			time.Sleep(time.Second)
			for _, n := range topics[250:] {
				w.prod.grow(n, 103, 104) // what comes later need not be there
				w.dr.grow(n, 100, 103)
			}
		}()
		began := time.Now()
		plans, err := w.runner.Plans(t.Context(), w.env, topics, "dr", false)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the plan took %s", took)
		}
		if want := "50 ready, 250 blocked, 0 unplanned, 0 records would be lost"; plans.Summary != want {
			t.Errorf("the plan says %q, want %q", plans.Summary, want)
		}
		for _, p := range plans.Topics[:250] {
			if p.State != StateBlocked || p.BlockedBy != ByLag || !strings.Contains(p.Blocked, "3 records behind") {
				t.Fatalf("%s: %s, blocked by %q", p.Topic, p.State, p.Blocked)
			}
		}
		for _, p := range plans.Topics[250:] {
			if p.State != StateReady || !slices.Contains(topics[250:], p.Topic) {
				t.Fatalf("%s: %s, blocked by %q", p.Topic, p.State, p.Blocked)
			}
		}
	})
}
