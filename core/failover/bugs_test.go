package failover

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestALogThatBeginsLate: retention has taken what came before.
func TestALogThatBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		l, d := w.prod.log("orders"), w.dr.log("orders")
		l.start, l.batches, d.start, d.batches = 30, l.batches[6:], 55, d.batches[11:]
		w.edit("dr", "orders")
		pass(time.Minute)
		if m := w.last("orders"); m.Phase != Done {
			t.Errorf("%s: %q", m.Phase, m.Error)
		}
	})
}

// TestOlderBatchesStandBeforeNewerOnes: what the log knows completes what the gateway has seen.
func TestOlderBatchesStandBeforeNewerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		memory := w.env.Catalog.Topic("orders").Memory()
		for i := range 4 {
			w.prod.log("orders").batch(shape{producer: 5, sequence: int32(10 * i)}, records(100+10*i, 110+10*i)...)
			w.dr.grow("orders", 100+10*i, 110+10*i)
			if i >= 2 {
				memory.Remember(0, 5, catalog.Remembered{First: int32(10 * i), Last: int32(10*i + 9), Base: int64(100 + 10*i)})
			}
		}
		w.edit("dr", "orders")
		pass(time.Second)
		if v, _ := memory.Judge(0, 5, catalog.Remembered{First: 40, Last: 49}); v != catalog.Pass {
			t.Errorf("verdict %d", v)
		}
	})
}

// TestTheNewestOfLargeBatchesAreRemembered, not the oldest that fit.
func TestTheNewestOfLargeBatchesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		memory := w.env.Catalog.Topic("orders").Memory()
		for i := range 24 {
			r := record(100 + i)
			r.Value = make([]byte, 1<<20)
			w.prod.log("orders").batch(shape{producer: 5, sequence: int32(i)}, r)
			w.dr.log("orders").batch(shape{}, r)
			memory.Remember(0, 5, catalog.Remembered{First: int32(i), Last: int32(i), Base: int64(100 + i)})
		}
		w.edit("dr", "orders")
		pass(time.Second)
		if v, _ := memory.Judge(0, 5, catalog.Remembered{First: 24, Last: 24}); v != catalog.Pass {
			t.Errorf("verdict %d", v)
		}
	})
}

// TestACopyThatBeginsTooLate for a group that must still read what came before is not exact.
func TestACopyThatBeginsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.dr.topics["orders"].logs[0] = &fakeLog{}
		w.dr.grow("orders", 30, 100)
		w.prod.groups["slow"] = map[int32]int64{0: 10}
		if w.runner.Plan(t.Context(), w.env, "orders", "dr").Blocked == "" {
			t.Error("records 10-29 are not on dr")
		}
	})
}

// loading is a cluster whose coordinators have just started.
type loading struct {
	*fake
	list, fetch bool
}

func (l *loading) Do(ctx context.Context, n int32, req kmsg.Request) (kmsg.Response, error) {
	resp, err := l.fake.Do(ctx, n, req)
	switch r := resp.(type) {
	case *kmsg.ListGroupsResponse:
		if l.list {
			r.ErrorCode, r.Groups = 14, nil
		}
	case *kmsg.OffsetFetchResponse:
		if l.fetch {
			r.Groups[0].ErrorCode, r.Groups[0].Topics = 14, nil
		}
	}
	return resp, err
}

// TestALoadingCoordinatorIsNotACoordinatorWithoutGroups: what a group still reads differs.
func TestALoadingCoordinatorIsNotACoordinatorWithoutGroups(t *testing.T) {
	for name, c := range map[string]*loading{"list": {list: true}, "fetch": {fetch: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.prod.groups["slow"] = map[int32]int64{0: 5}
				w.dr.topics["orders"].logs[0] = &fakeLog{}
				w.dr.log("orders").add(changed(records(0, 100), 10, func(r *kafka.Record) { r.Value = nil })...)
				c.fake = w.prod
				w.env.Clusters[0] = c
				if w.runner.Plan(t.Context(), w.env, "orders", "dr").Blocked == "" {
					t.Error("not blocked")
				}
			})
		})
	}
}

// TestAMemoryThatIsBehindIsCompleted by the old home: a producer went on between a move and a
// restart, and has been quiet for longer than the tail that is read.
func TestAMemoryThatIsBehindIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		memory := w.env.Catalog.Topic("orders").Memory()
		memory.Restore(map[int32]map[int64]catalog.Producer{0: {6: {Batches: []catalog.Remembered{{First: 0, Last: 9, Base: 90}}, Used: time.Now().Unix()}}})
		now := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		now.ProducerID, now.LastSequence, now.CurrentTxnStartOffset = 6, 41, -1
		w.prod.log("orders").producers = append(w.prod.log("orders").producers, now)
		w.edit("dr", "orders")
		pass(time.Second)
		for first, want := range map[int32]catalog.Verdict{44: catalog.OutOfOrder, 10: catalog.OutOfOrder} {
			if v, _ := memory.Judge(0, 6, catalog.Remembered{First: first, Last: first}); v != want {
				t.Errorf("sequence %d: verdict %d, want %d", first, v, want)
			}
		}
		if v, _ := memory.Judge(0, 6, catalog.Remembered{First: 42, Last: 42}); v != catalog.Pass {
			t.Errorf("the next batch: verdict %d", v)
		}
	})
}

// half is a cluster of which node 1, a coordinator, does not answer.
type half struct{ *fake }

func (h *half) Do(ctx context.Context, n int32, req kmsg.Request) (kmsg.Response, error) {
	if _, ok := req.(*kmsg.ListGroupsRequest); ok {
		if n == 1 {
			return nil, plugin.ErrUnreachable
		}
		return kmsg.NewPtrListGroupsResponse(), nil
	}
	return h.fake.Do(ctx, n, req)
}

// TestGroupsOfABrokerThatDoesNotAnswer are not known to have moved while their cluster still names
// it.
func TestGroupsOfABrokerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.env.Clusters[0] = &half{w.prod}
		if b := w.runner.Plan(t.Context(), w.env, "orders", "dr").Blocked; !strings.Contains(b, "groups on node 1 of prod") {
			t.Errorf("blocked: %q", b)
		}
		w.prod.set(func() { w.prod.listed = []int32{0} })
		if b := w.runner.Plan(t.Context(), w.env, "orders", "dr").Blocked; b != "" {
			t.Errorf("blocked by a broker that the cluster has given up: %q", b)
		}
	})
}
