package failover

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// transaction is a producer as a leader describes it.
func transaction(id, from int64) kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	p := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
	p.ProducerID, p.LastSequence, p.CurrentTxnStartOffset, p.LastTimestamp = id, 9, from, 1714557600000
	return p
}

// TestWhatBlocksAMoveIsForeseen: the same answer as a move gets, without holding anybody, starting
// anything, or writing anything.
func TestWhatBlocksAMoveIsForeseen(t *testing.T) {
	for name, c := range map[string]struct {
		hurt func(w *world)
		want string
	}{
		"nothing":             {func(*world) {}, ""},
		"partitions":          {func(w *world) { w.DR.Topic("orders", 3) }, "1 partitions on prod, but 3 on dr: give both the same number"},
		"no topic":            {func(w *world) { delete(w.DR.Topics, "orders") }, `topic "orders" does not exist on dr`},
		"no topic at home":    {func(w *world) { delete(w.Prod.Topics, "orders") }, `topic "orders" does not exist on prod`},
		"message size":        {func(w *world) { w.DR.Topics["orders"].Configs["max.message.bytes"] = "9" }, "max.message.bytes is 1048588 on prod, but 9 on dr"},
		"timestamps":          {func(w *world) { w.DR.Topics["orders"].Configs["message.timestamp.type"] = "LogAppendTime" }, "message.timestamp.type is CreateTime on prod, but LogAppendTime on dr"},
		"unknown settings":    {func(w *world) { w.DR.Topics["orders"].Configs = nil }, ""},
		"lag":                 {func(w *world) { w.Prod.Grow("orders", 100, 107) }, "7 records behind after 3s: is the replicator running, from prod to dr?"},
		"a marker at the end": {func(w *world) { fakes.Marker(w.Prod.Log("orders")) }, ""},
		"an aborted transaction": {func(w *world) { w.Prod.Grow("orders", 100, 102); fakes.Marker(w.Prod.Log("orders")) },
			"3 records behind after 3s: is the replicator running, from prod to dr?"},
		"markers alone": {func(w *world) {
			for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
				f.Topics["orders"].Logs[0] = &fakes.Log{}
			}
			fakes.Marker(w.Prod.Log("orders"))
		}, ""},
		"no copy":       {func(w *world) { w.DR.Topics["orders"].Logs[0] = &fakes.Log{} }, "partition 0 has 100 records on prod and none on dr"},
		"other records": {func(w *world) { w.DR.Grow("orders", 500, 501) }, "this is no exact copy"},
		"transaction": {func(w *world) {
			w.Prod.Log("orders").Producers = append(w.Prod.Log("orders").Producers, transaction(4, -1), transaction(5, 90))
		}, `partition 0 has an open transaction (transactional id "billing", producer 5, last written to at 2024-05-01T10:00:00Z): it must end first`},
		"ended transactions": {func(w *world) {
			w.Prod.Log("orders").Producers = append(w.Prod.Log("orders").Producers, transaction(5, -1))
		}, ""},
		"the new home": {func(w *world) { w.DR.Down = true }, "cluster unreachable"},
		"too much": {func(w *world) {
			w.Prod.Groups["slow"] = map[int32]int64{0: 0}
			w.Config.CompareLimit, w.runner.cfg.CompareLimit = 1000, 1000
		}, `more than failover.compare_limit (1000 bytes) would have to be compared, from offset 0 on: furthest behind is group "slow" at offset 0; let it catch up`},
		"not writable": {func(w *world) { w.DR.Allowed = 1<<3 | 1<<8 }, `dr does not let the gateway write to "orders": allow it the operation Write there`},
		"a mirror": {func(w *world) { w.DR.Refuses, w.DR.Because = 44, "the topic is a mirror" },
			`dr takes no produces to partition 0 of "orders"; if it is a read-only mirror, make it writable first: POLICY_VIOLATION`},
		"the mirror's words": {func(w *world) { w.DR.Refuses, w.DR.Because = 42, "it is written by its link" }, `(it is written by its link)`},
		"few replicas":       {func(w *world) { w.DR.Refuses = 19 }, "NOT_ENOUGH_REPLICAS"},
		"writable":           {func(w *world) { w.DR.Allowed = 1<<3 | 1<<4 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				c.hurt(w)
				n := len(w.Store.Entries)
				p := w.produce("orders") // a hold would wait for it
				if got := w.blocked(); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
					t.Errorf("blocked %q, want %q", got, c.want)
				}
				if len(w.runner.Moves()) != 0 || len(w.Store.Entries) != n {
					t.Errorf("looking has left something: %d moves, %d entries", len(w.runner.Moves()), len(w.Store.Entries)-n)
				}
				w.lives("orders", "prod", 0)
				p.answer()
				// The move says the same.
				w.edit("dr", "orders")
				fakes.Pass(3200 * time.Millisecond)
				if m := w.last("orders"); !strings.Contains(m.Error, c.want) || (m.Phase == Done) != (c.want == "") || slices.Contains(steps(m), Hold) != (c.want == "") {
					t.Errorf("the move: %s, %q", m.Phase, m.Error)
				}
			})
		})
	}
}

// TestALongLagIsNotRead: why a copy lacks much is not looked for record by record.
func TestALongLagIsNotRead(t *testing.T) {
	const looked = 10_000
	for lag, most := range map[int]int{looked - 100: 1 << 20, looked + 100: 100} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "orders")
			w.Remember(map[string]int64{"dr": 25})
			w.Prod.Grow("orders", 100, 100+lag)
			before := w.Prod.Count(kmsg.Fetch)
			if err := w.foreseen().Err; block.Of(err) != block.ByLag {
				t.Fatalf("%s: %v", block.Of(err), err)
			}
			if n := w.Prod.Count(kmsg.Fetch) - before; n > most {
				t.Errorf("of a lag of %d records it was read %d times", lag, n)
			}
		})
	}
}

// TestALagThatDrainsIsNone: a copy that catches up within max_drain does not block a move.
func TestALagThatDrainsIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.Prod.Grow("orders", 100, 110)
		began := time.Now()
		go func() {
			time.Sleep(2500 * time.Millisecond)
			w.DR.Grow("orders", 100, 110)
		}()
		got := w.blocked()
		if took := time.Since(began); got != "" || took < 2500*time.Millisecond || took > 2700*time.Millisecond {
			t.Errorf("after %s: %q", took, got)
		}
	})
}
