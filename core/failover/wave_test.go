package failover

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fakes"
)

// holds are the times in which at least one topic was held, from the reports of the moves.
func holds(moves []Report) (out [][2]time.Time) {
	for _, m := range moves {
		for i, s := range m.Steps {
			if s.Phase == Hold && i+1 < len(m.Steps) {
				out = append(out, [2]time.Time{s.At, m.Steps[len(m.Steps)-1].At})
			}
		}
	}
	slices.SortFunc(out, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	merged := out[:0]
	for _, h := range out {
		if n := len(merged); n > 0 && !h[0].After(merged[n-1][1]) {
			if h[1].After(merged[n-1][1]) {
				merged[n-1][1] = h[1]
			}
			continue
		}
		merged = append(merged, h)
	}
	return merged
}

// heldOnce checks that topics have moved and that clients have waited once for all of them.
func (w *world) heldOnce(topics []string) {
	w.T.Helper()
	for _, name := range topics {
		if m := w.last(name); m.Phase != Done {
			w.T.Fatalf("%s: %s %s", name, m.Phase, m.Error)
		}
	}
	if h := holds(w.runner.Moves()); len(h) != 1 {
		w.T.Errorf("clients were held %d times", len(h))
	}
}

// TestTopicsOfOneEditAreHeldOnce: pre-checks take longer for some than for others, and clients wait
// once, for all of them together.
func TestTopicsOfOneEditAreHeldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 200)
		w.Prod.Before = func(req kmsg.Request) {
			if m, ok := req.(*kmsg.FetchRequest); ok {
				time.Sleep(time.Duration(len(m.Topics[0].Topic)) * time.Millisecond) // longer names, longer checks
			}
		}
		w.edit("dr", topics...)
		fakes.Pass(time.Minute)
		w.heldOnce(topics)
	})
}

// TestSlowPreChecksAreWaitedFor: on a machine or a cluster that is slow, the pre-checks of many
// topics come in seconds apart, and clients wait once all the same.
func TestSlowPreChecksAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 200)
		w.Prod.Before = func(req kmsg.Request) {
			if _, ok := req.(*kmsg.FetchRequest); ok {
				time.Sleep(700 * time.Millisecond)
			}
		}
		w.edit("dr", topics...)
		fakes.Pass(5 * time.Minute)
		w.heldOnce(topics)
	})
}

// TestASlowPreCheckHoldsUpNobody: one topic has much to compare. The others don't wait for it for
// long, and it moves later.
func TestASlowPreCheckHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 20)
		for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
			f.Topics["topic-7"].Logs[0].Add(fakes.Records(100, 3000)...)
		}
		w.reader("topic-7", 0)
		w.Prod.Before = func(req kmsg.Request) {
			if _, ok := req.(*kmsg.FetchRequest); ok {
				time.Sleep(20 * time.Millisecond)
			}
		}
		w.edit("dr", topics...)
		fakes.Pass(5 * time.Second)
		for _, name := range topics {
			if m := w.last(name); (m.Phase == Done) != (name != "topic-7") {
				t.Errorf("%s: %s", name, m.Phase)
			}
		}
		fakes.Pass(2 * time.Minute)
		if m := w.last("topic-7"); m.Phase != Done {
			t.Errorf("topic-7: %s %s", m.Phase, m.Error)
		}
	})
}

// TestARefusedTopicHoldsUpNobody of its edit.
func TestARefusedTopicHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 20)
		w.DR.Topics["topic-3"].Logs[0] = &fakes.Log{}
		w.edit("dr", topics...)
		fakes.Pass(5 * time.Second)
		done := 0
		for _, name := range topics {
			if w.last(name).Phase == Done {
				done++
			}
		}
		if done != 19 {
			t.Errorf("%d of 19 have moved", done)
		}
		if h := holds(w.runner.Moves()); len(h) != 1 {
			t.Errorf("clients were held %d times", len(h))
		}
	})
}

// TestManyMovesAskInFewRequests: while clients are held, brokers are asked for all topics at once,
// and one write commits them.
func TestManyMovesAskInFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 200)
		var mu sync.Mutex
		asked := map[kmsg.Key]int{}
		count := func(req kmsg.Request) {
			mu.Lock()
			if slices.ContainsFunc(topics, func(n string) bool { return w.env.Gates.Gate(n).Held() }) {
				asked[kmsg.Key(req.Key())]++
			}
			mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		w.Prod.Before, w.DR.Before = count, count
		w.edit("dr", topics...)
		fakes.Pass(time.Minute)
		if m := w.last(topics[199]); m.Phase != Done {
			t.Fatalf("%s %s", m.Phase, m.Error)
		}
		for _, key := range []kmsg.Key{kmsg.ListOffsets, kmsg.DescribeProducers} {
			if n := asked[key]; n == 0 || n > 40 { // one by one they are 1,400 and 400
				t.Errorf("%d requests of %s while 200 topics were held", n, key.Name())
			}
		}
		if n := asked[kmsg.Fetch]; n > 0 {
			t.Errorf("%d fetches while nothing has come since the pre-check", n)
		}
	})
}

// TestMovesAskForTheirTopicsAlone: all metadata for each of many moves would cost the square of
// their number.
func TestMovesAskForTheirTopicsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		w, topics := many(t, 200)
		var named atomic.Int64
		count := func(req kmsg.Request) {
			if m, ok := req.(*kmsg.MetadataRequest); ok {
				named.Add(int64(len(m.Topics)))
			}
			time.Sleep(time.Millisecond)
		}
		w.Prod.Before, w.DR.Before = count, count
		w.Prod.Refreshed, w.DR.Refreshed = 0, 0
		w.edit("dr", topics...)
		fakes.Pass(time.Minute)
		if m := w.last(topics[199]); m.Phase != Done {
			t.Fatalf("%s %s", m.Phase, m.Error)
		}
		if n := w.Prod.Refreshed + w.DR.Refreshed; n > 0 {
			t.Errorf("all metadata is asked for %d times", n)
		}
		if n := named.Load(); n == 0 || n > 10*200 {
			t.Errorf("metadata of %d topics is asked for while 200 move", n)
		}
		requests := w.Prod.Count(kmsg.Metadata) + w.DR.Count(kmsg.Metadata)
		if requests > most {
			t.Errorf("%d requests for metadata", requests)
		}
	})
}
