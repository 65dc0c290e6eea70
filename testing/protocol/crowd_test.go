package protocol

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/testing/clients"
)

// crowd runs producers of every kind beside a test until it ends. They fill partitions 1 and 2 of
// the topics, several of them in one request, each over connections of its own; partition 0 is the
// test's. At the end, everything that was acknowledged must have arrived, once and in order, and
// nobody may have seen an error.
func (h *house) crowd(topics ...string) {
	h.t.Helper()
	s := clients.Spread{Bootstrap: h.gw.Bootstrap, Rate: 5 * time.Millisecond, Topics: topics, Partitions: map[string][]int32{}, Of: map[string]*clients.Recorder{}}
	for _, t := range topics {
		s.Partitions[t], s.Of[t] = []int32{1, 2}, clients.NewRecorder()
	}
	produce, stopProducers := context.WithCancel(h.ctx)
	consume, stopConsumers := context.WithCancel(h.ctx)
	var producers, consumers sync.WaitGroup
	run := func(wg *sync.WaitGroup, name string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				s.Of[topics[0]].Error(name, "%v", err)
			}
		})
	}
	for _, kind := range clients.SpreadKinds {
		run(&producers, kind, func() error { return s.Produce(produce, kind, "crowd_"+kind) })
	}
	for name, group := range map[string]string{"crowd_reader": "", "crowd_member": "cooperative"} {
		run(&consumers, name, func() error { return s.Consume(consume, name, group, 0) })
	}
	acked := func(t string) int { return s.Of[t].AckedCount() }
	h.wait("the crowd", func() bool { return !slices.ContainsFunc(topics, func(t string) bool { return acked(t) < 20 }) })
	h.t.Cleanup(func() {
		stopProducers()
		producers.Wait()
		if !h.t.Failed() {
			h.wait("the crowd's consumers", func() bool {
				return !slices.ContainsFunc(topics, func(t string) bool { return !s.Of[t].Complete() })
			})
		}
		stopConsumers()
		consumers.Wait()
		for _, t := range topics {
			if r := s.Of[t].Report(); !r.Clean() {
				h.t.Errorf("the crowd on %s: %+v %v", t, r, r.Details)
			}
		}
	})
}
