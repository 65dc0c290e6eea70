package standing

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// idleWide is how many partitions a topic has, so that 4,000 topics have more than are asked for in
// a round.
const idleWide = 6

// idle is what a minute of rounds asks a cluster of so many topics for, in which nothing happens to
// them.
func idle(t *testing.T, topics int) (asked map[kmsg.Key]int, partitions int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := far(t, topics, idleWide, 20*time.Millisecond)
		w.apply()
		fakes.Pass(35 * time.Second) // all are compared, and found quiet
		asked = map[kmsg.Key]int{}
		w.Prod.Set(func() { // one cluster is like the other
			w.Prod.Before = func(req kmsg.Request) {
				w.Prod.Set(func() {
					asked[kmsg.Key(req.Key())]++
					if m, ok := req.(*kmsg.ListOffsetsRequest); ok {
						for _, topic := range m.Topics {
							partitions += len(topic.Partitions)
						}
					}
				})
			}
		})
		stored := len(w.Store.Entries)
		fakes.Pass(time.Minute)
		if n := len(w.Store.Entries) - stored; n > 0 {
			t.Errorf("%d entries are stored though nothing has happened", n)
		}
		if round, _ := w.watch.Round("vc"); round.Period > deltaEvery+time.Second {
			t.Errorf("%+v", round)
		}
	})
	return asked, partitions
}

// TestIdleDoesNotGrowWithTopics: what has not changed is not read, and where it ends is asked for
// in as few requests as there are leaders, of a bounded number of partitions in a round.
func TestIdleDoesNotGrowWithTopics(t *testing.T) {
	const rounds, leaders, starts = 6, 2, 2 // starts and ends are asked for
	const named = 200                       // topics in a request for settings or rights
	few, ofFew := idle(t, 1000)
	many, ofMany := idle(t, 4000)
	t.Logf("1,000 topics: %v, %d partitions; 4,000: %v, %d", few, ofFew, many, ofMany)
	for name, asked := range map[string]map[kmsg.Key]int{"1,000": few, "4,000": many} {
		if n := asked[kmsg.Fetch]; n > 0 {
			t.Errorf("%s topics: %d fetches, though nothing has changed", name, n)
		}
		if n, most := asked[kmsg.ListOffsets], rounds*starts*leaders*(mostQuiet/leaders/joint.MostPartitions+1); n == 0 || n > most {
			t.Errorf("%s topics: offsets were asked for %d times, want at most %d", name, n, most)
		}
	}
	if want := rounds * starts * 1000 * idleWide; ofFew != want {
		t.Errorf("1,000 topics: %d partitions were asked for, want %d: all in each round", ofFew, want)
	}
	if most := rounds * starts * (mostQuiet + idleWide); ofMany == 0 || ofMany > most {
		t.Errorf("4,000 topics: %d partitions were asked for, want at most %d", ofMany, most)
	}
	// Settings, rights and transactions are looked at once a minute.
	for key, most := range map[kmsg.Key]int{kmsg.DescribeConfigs: 4000 / named, kmsg.Metadata: 4000 / named, kmsg.DescribeProducers: leaders * (4000*idleWide/leaders/joint.MostPartitions + 1)} {
		if n := many[key]; n > most {
			t.Errorf("4,000 topics: %d requests of %s in a minute, want at most %d", n, key.Name(), most)
		}
	}
}
