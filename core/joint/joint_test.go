package joint

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestJointQuestionsAreAnsweredOneByOne: who asks at the same time gets what it has asked for, or
// its own error.
func TestJointQuestionsAreAnsweredOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := fakes.Numbered(50)
		c := NewClusters().Over([]plugin.Cluster{fakes.NewWorld(t, topics...).Prod})[0]
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
		var j Rounds[int, int, int]
		all := func(round []*Ask[int, int]) {
			time.Sleep(time.Second)
			for _, a := range round {
				a.Answer = 2 * a.Question
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { _, err := j.Do(ctx, 0, 1, all); gaveUp <- err }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; err == nil {
			t.Error("no error")
		}
		if got, err := j.Do(t.Context(), 0, 21, all); err != nil || got != 42 {
			t.Errorf("%d %v", got, err)
		}
	})
}
