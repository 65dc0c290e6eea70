package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/failover"
)

// refusedFor is a move that was refused so many times.
func refusedFor(reason string, lag int64, attempts int) failover.Report {
	return failover.Report{Topic: "a", Phase: failover.Pending, Error: reason, BlockedBy: block.ByLag, Lag: lag, Attempts: attempts}
}

// TestARunSettles when all that is open is refused for the same reasons, often enough and for long
// enough, and not before.
func TestARunSettles(t *testing.T) {
	const quiet = 10 * time.Second
	for name, c := range map[string]struct {
		seen    []failover.Report // five seconds apart
		settled bool
	}{
		"refused once":                   {[]failover.Report{refusedFor("x", 0, 1), refusedFor("x", 0, 1), refusedFor("x", 0, 1), refusedFor("x", 0, 1)}, false},
		"refused again and again":        {[]failover.Report{refusedFor("x", 0, 1), refusedFor("x", 0, 2), refusedFor("x", 0, 3), refusedFor("x", 0, 4)}, true},
		"for another reason":             {[]failover.Report{refusedFor("x", 0, 1), refusedFor("x", 0, 2), refusedFor("y", 0, 3), refusedFor("y", 0, 4)}, false},
		"with other numbers":             {[]failover.Report{refusedFor("x 1", 0, 1), refusedFor("x 2", 0, 2), refusedFor("x 3", 0, 3), refusedFor("x 4", 0, 4)}, true},
		"the copy comes nearer":          {[]failover.Report{refusedFor("x", 90, 1), refusedFor("x", 80, 2), refusedFor("x", 70, 3), refusedFor("x", 60, 4)}, false},
		"the copy falls behind":          {[]failover.Report{refusedFor("x", 60, 1), refusedFor("x", 70, 2), refusedFor("x", 80, 3), refusedFor("x", 90, 4)}, true},
		"it is tried again":              {[]failover.Report{refusedFor("x", 0, 1), refusedFor("x", 0, 2), refusedFor("x", 0, 3), {Topic: "a", Phase: failover.Check, Error: "x", Attempts: 4}}, true},
		"clients are held":               {[]failover.Report{refusedFor("x", 0, 1), refusedFor("x", 0, 2), refusedFor("x", 0, 3), {Topic: "a", Phase: failover.Hold, Attempts: 4}}, false},
		"the old home is waited for":     {[]failover.Report{{Topic: "a", Phase: failover.Check, Attempts: 1}, {Topic: "a", Phase: failover.Check, Attempts: 1}, {Topic: "a", Phase: failover.Check, Attempts: 1}}, false},
		"it has not begun":               {nil, false},
		"refused often, but just before": {[]failover.Report{refusedFor("x", 0, 9), refusedFor("x", 0, 20)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(admin.Started{Topics: []string{"a"}})
				w.note(nil, nil, time.Now())
				for _, m := range c.seen {
					time.Sleep(5 * time.Second)
					w.note([]failover.Report{m}, nil, time.Now())
				}
				if got := w.settled(quiet); got != c.settled {
					t.Errorf("settled: %t", got)
				}
			})
		})
	}
}

// TestTheSummaryTellsEveryState of hundreds of topics in a few lines.
func TestTheSummaryTellsEveryState(t *testing.T) {
	var topics []string
	var moves []failover.Report
	for i := range 300 {
		m := failover.Report{Topic: fmt.Sprintf("t%03d", i), Phase: failover.Done, PauseMS: 9}
		switch {
		case i < 40:
			m.Phase, m.Error, m.BlockedBy, m.Lag = failover.Pending, "the copy lags", block.ByLag, 5
		case i < 50:
			m.Phase, m.Error, m.BlockedBy = failover.Check, "no exact copy", block.ByCopy
		case i < 52:
			m.Phase = failover.Hold
		case i < 55:
			m.Phase, m.Error, m.Ended = failover.Dropped, "a newer edit", time.Now()
		case i == 55:
			m.PossibleLoss = []failover.Range{{From: 0, To: 9}}
		}
		topics, moves = append(topics, m.Topic), append(moves, m)
	}
	topics = append(topics, "home", "nobodys")
	w := newWatch(admin.Started{VirtualCluster: "shop", Topics: topics, To: "dr"})
	w.note(moves, map[string]string{"home": "dr"}, time.Now())
	want := []string{
		"not to move: 1 topic: it lives there already",
		"not to move: 1 topic: no such topic is known: the file is edited, and nothing moves",
		"given up: 3 topics, such as t052: a newer edit",
		"pending: 52 topics",
		"  copy: 10 topics, such as t040: no exact copy",
		"  lag: 40 topics, 200 records behind, such as t000: the copy lags",
		"  running: 2 topics, such as t050: hold",
		"What is pending holds nobody, and is tried again until failover.retry_for is over. To give it up, so that it stays where it is:",
		"  gateway failover abort -c sluice.yaml --virtual-cluster shop --to dr --all",
		"done: 245 topics moved, held for 9 ms at most, 0 records compared, up to 10 records may be lost, see above",
	}
	if got := w.summary("sluice.yaml"); !slices.Equal(got, want) {
		t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
