package failover

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// many makes a world of n topics.
func many(t *testing.T, n int) (*world, []string) {
	t.Helper()
	var topics []string
	for i := range n {
		topics = append(topics, fmt.Sprintf("topic-%d", i))
	}
	w := newWorld(t, topics...)
	w.cfg.Concurrent = n
	return w, topics
}

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
	w.t.Helper()
	for _, name := range topics {
		if m := w.last(name); m.Phase != Done {
			w.t.Fatalf("%s: %s %s", name, m.Phase, m.Error)
		}
	}
	if h := holds(w.runner.Moves()); len(h) != 1 {
		w.t.Errorf("clients were held %d times", len(h))
	}
}

// TestTopicsOfOneEditAreHeldOnce: pre-checks take longer for some than for others, and clients wait
// once, for all of them together.
func TestTopicsOfOneEditAreHeldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 200)
		w.prod.before = func(req kmsg.Request) {
			if m, ok := req.(*kmsg.FetchRequest); ok {
				time.Sleep(time.Duration(len(m.Topics[0].Topic)) * time.Millisecond) // longer names, longer checks
			}
		}
		w.edit("dr", topics...)
		pass(time.Minute)
		w.heldOnce(topics)
	})
}

// TestSlowPreChecksAreWaitedFor: on a machine or a cluster that is slow, the pre-checks of many
// topics come in seconds apart, and clients wait once all the same.
func TestSlowPreChecksAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 200)
		w.prod.before = func(req kmsg.Request) {
			if _, ok := req.(*kmsg.FetchRequest); ok {
				time.Sleep(700 * time.Millisecond)
			}
		}
		w.edit("dr", topics...)
		pass(5 * time.Minute)
		w.heldOnce(topics)
	})
}

// TestASlowPreCheckHoldsUpNobody: one topic has much to compare. The others don't wait for it for
// long, and it moves later.
func TestASlowPreCheckHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 20)
		for _, f := range []*fake{w.prod, w.dr} {
			f.topics["topic-7"].logs[0].add(records(100, 3000)...)
		}
		w.reader("topic-7", 0)
		w.prod.before = func(req kmsg.Request) {
			if _, ok := req.(*kmsg.FetchRequest); ok {
				time.Sleep(20 * time.Millisecond)
			}
		}
		w.edit("dr", topics...)
		pass(5 * time.Second)
		for _, name := range topics {
			if m := w.last(name); (m.Phase == Done) != (name != "topic-7") {
				t.Errorf("%s: %s", name, m.Phase)
			}
		}
		pass(2 * time.Minute)
		if m := w.last("topic-7"); m.Phase != Done {
			t.Errorf("topic-7: %s %s", m.Phase, m.Error)
		}
	})
}

// TestARefusedTopicHoldsUpNobody of its edit.
func TestARefusedTopicHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 20)
		w.dr.topics["topic-3"].logs[0] = &fakeLog{}
		w.edit("dr", topics...)
		pass(5 * time.Second)
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
		w.prod.before, w.dr.before = count, count
		w.edit("dr", topics...)
		pass(time.Minute)
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
		w.prod.before, w.dr.before = count, count
		w.prod.refreshed, w.dr.refreshed = 0, 0
		w.edit("dr", topics...)
		pass(time.Minute)
		if m := w.last(topics[199]); m.Phase != Done {
			t.Fatalf("%s %s", m.Phase, m.Error)
		}
		if n := w.prod.refreshed + w.dr.refreshed; n > 0 {
			t.Errorf("all metadata is asked for %d times", n)
		}
		if n := named.Load(); n == 0 || n > 10*200 {
			t.Errorf("metadata of %d topics is asked for while 200 move", n)
		}
		requests := w.prod.count(kmsg.Metadata) + w.dr.count(kmsg.Metadata)
		if requests > most {
			t.Errorf("%d requests for metadata", requests)
		}
	})
}

// TestJointQuestionsAreAnsweredOneByOne: who asks at the same time gets what it has asked for, or
// its own error.
func TestJointQuestionsAreAnsweredOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 50)
		c := (&bulk{}).over([]plugin.Cluster{w.prod})[0]
		var wg sync.WaitGroup
		for i, name := range append(topics, "missing") {
			for range 2 { // the same one twice: not in one request
				wg.Go(func() {
					req := kmsg.NewPtrListOffsetsRequest()
					rt := kmsg.NewListOffsetsRequestTopic()
					rt.Topic = name
					rp := kmsg.NewListOffsetsRequestTopicPartition()
					rp.Timestamp = []int64{-1, -2}[i%2]
					rt.Partitions = append(rt.Partitions, rp)
					req.Topics = append(req.Topics, rt)
					resp, err := c.Do(t.Context(), 0, req)
					if err != nil {
						t.Error(err)
						return
					}
					got := resp.(*kmsg.ListOffsetsResponse).Topics
					if len(got) != 1 || got[0].Topic != name {
						t.Errorf("%s: %+v", name, got)
						return
					}
					p := got[0].Partitions[0]
					if name == "missing" && p.ErrorCode == 0 {
						t.Error("a topic that is not there is answered")
					}
					if want := []int64{100, 0}[i%2]; name != "missing" && p.Offset != want {
						t.Errorf("%s: offset %d, want %d", name, p.Offset, want)
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestWhoAsksJointlyMayGiveUp without spoiling it for others.
func TestWhoAsksJointlyMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j joint[int, int, int]
		all := func(round []*ask[int, int]) {
			time.Sleep(time.Second)
			for _, a := range round {
				a.answer = 2 * a.question
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { _, err := j.do(ctx, 0, 1, all); gaveUp <- err }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; err == nil {
			t.Error("no error")
		}
		if got, err := j.do(t.Context(), 0, 21, all); err != nil || got != 42 {
			t.Errorf("%d %v", got, err)
		}
	})
}
