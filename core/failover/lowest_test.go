package failover

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestACopyThatBeginsTooLate for a group that must still read what came before is not exact.
func TestACopyThatBeginsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
		w.DR.Grow("orders", 30, 100)
		w.Prod.Groups["slow"] = map[int32]int64{0: 10}
		if w.blocked() == "" {
			t.Error("records 10-29 are not on dr")
		}
	})
}

// reader is a session that fetches.
func (w *world) reader(topic string, offset int64) {
	w.env.Gates.Readers.Note(plugin.NewSession(w.T.Context(), 1, nil, nil), topic, 0, offset, time.Now())
}

// share stores where share groups start in partition 0 of a topic.
func (w *world) share(topic string, starts ...int64) {
	var id [16]byte
	if t := w.Virtual.Topic(topic); t != nil {
		id = t.ID
	}
	all := map[catalog.ShareKey]*catalog.Share{}
	for i, at := range starts {
		all[catalog.ShareKey{Group: fmt.Sprint("share-", i), Topic: topic}] = &catalog.Share{Topic: id, Home: "prod", Starts: []int64{at}}
	}
	if err := w.Virtual.KeepShares(w.T.Context(), all); err != nil {
		w.T.Fatal(err)
	}
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
		"before the difference":   {func(w *world) { w.Prod.Groups["slow"] = map[int32]int64{0: 5} }, true},
		"at the difference":       {func(w *world) { w.Prod.Groups["slow"] = map[int32]int64{0: 10} }, true},
		"behind the difference":   {func(w *world) { w.Prod.Groups["slow"] = map[int32]int64{0: 11} }, false},
		"the slowest of several":  {func(w *world) { w.Prod.Groups["a"], w.Prod.Groups["b"] = map[int32]int64{0: 3}, map[int32]int64{0: 90} }, true},
		"the slowest one last":    {func(w *world) { w.Prod.Groups["a"], w.Prod.Groups["b"] = map[int32]int64{0: 90}, map[int32]int64{0: 3} }, true},
		"without a commit":        {func(w *world) { w.Prod.Groups["new"] = map[int32]int64{0: -1} }, false},
		"a mirrored copy":         {func(w *world) { w.DR.Groups["slow"] = map[int32]int64{0: 5} }, false},
		"a consumer without one":  {func(w *world) { w.reader("orders", 5) }, true},
		"a consumer behind it":    {func(w *world) { w.reader("orders", 11) }, false},
		"a consumer of another":   {func(w *world) { w.reader("other", 5) }, false},
		"a consumer long ago":     {func(w *world) { w.reader("orders", 5); fakes.Pass(readFor + time.Second) }, false},
		"a consumer and a group":  {func(w *world) { w.reader("orders", 90); w.Prod.Groups["slow"] = map[int32]int64{0: 5} }, true},
		"a share group before it": {func(w *world) { w.share("orders", -1, 5) }, true},
		"a share group behind it": {func(w *world) { w.share("orders", 11) }, false},
		"one of another topic":    {func(w *world) { w.share("other", 5) }, false},
		"one that has not begun":  {func(w *world) { w.share("orders", -1) }, false},
		"deleted at home already": {func(w *world) { w.Prod.Groups["slow"] = map[int32]int64{0: 5}; w.Prod.Log("orders").Start = 11 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				// Record 10 is another one on dr, too far from the end to be seen otherwise.
				w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
				w.DR.Grow("orders", 1000, 1025)
				w.DR.Log("orders").Add(fakes.Changed(fakes.Records(0, 100), 10, func(r *kafka.Record) { r.Value = nil })...)
				c.groups(w)
				got := w.blocked()
				if blocked := strings.Contains(got, "the record at 10 on prod is not on dr"); blocked != c.blocked || (got != "") != c.blocked {
					t.Errorf("blocked: %q", got)
				}
			})
		})
	}
}
