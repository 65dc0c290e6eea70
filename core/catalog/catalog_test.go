package catalog

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// memoryLog is a log that a test can break and read.
type memoryLog struct {
	entries  map[[2]string][]byte
	appended []Entry // in order
	fail     error
	writes   int
}

func (l *memoryLog) Append(_ context.Context, list ...Entry) error {
	if l.fail != nil {
		return l.fail
	}
	l.writes++
	l.appended = append(l.appended, list...)
	for _, e := range list {
		if l.entries == nil {
			l.entries = map[[2]string][]byte{}
		}
		l.entries[[2]string{e.Kind, e.Key}] = e.Value
	}
	return nil
}

func (l *memoryLog) load() (out []Entry) {
	for k, v := range l.entries {
		if v != nil {
			out = append(out, Entry{Kind: k[0], Key: k[1], Value: v})
		}
	}
	return out
}

func fresh(t *testing.T, l *memoryLog) *Virtual {
	t.Helper()
	c, err := New(l, l.load())
	if err != nil {
		t.Fatal(err)
	}
	v := c.Virtual("vc")
	v.SetPlace(func(topic string) (string, map[string]string, bool) {
		return "prod", map[string]string{"prod": "p." + topic, "dr": topic}, topic != "hidden"
	})
	return v
}

var physicalID = [16]byte{1, 2, 3}

func TestIDsSurviveRestartAndChangeWithTheTopic(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	seen := Seen{Name: "orders", Cluster: "prod", ID: physicalID, Partitions: 2}
	if err := v.Ensure(t.Context(), seen, Seen{Name: "hidden", Cluster: "prod", Partitions: 1}, Seen{Name: "elsewhere", Cluster: "dr", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	first := v.Topic("orders")
	about := fact.Must(t, "topics %v, %+v", v.Topics(), first)
	fact.True(about, "first != nil", first != nil)
	fact.Other(about, "first.ID", first.ID, physicalID)
	fact.Equal(about, "len(first.Partitions)", len(first.Partitions), 2)
	fact.True(about, `v.Topic("hidden") == nil`, v.Topic("hidden") == nil)
	fact.True(about, `v.Topic("elsewhere") == nil`, v.Topic("elsewhere") == nil)
	if v.ByPhysical("prod", "p.orders") != first || v.ByID(first.ID) != first {
		t.Error("the topic is not found by its id and physical name")
	}
	writes := log.writes
	if err := v.Ensure(t.Context(), seen); err != nil || log.writes != writes {
		t.Errorf("nothing new was written: %v", err)
	}
	again := fresh(t, log)
	if got := again.Topic("orders"); got == nil || got.ID != first.ID {
		t.Fatalf("after a restart: %+v", got)
	}
	// Another physical id at home: the topic was recreated.
	if err := again.Ensure(t.Context(), Seen{Name: "orders", Cluster: "prod", ID: [16]byte{9}, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	second := again.Topic("orders")
	about = fact.Of(t, "recreated: %+v", second)
	fact.Other(about, "second.ID", second.ID, first.ID)
	fact.Equal(about, "second.Generation", second.Generation, 1)
	fact.Equal(about, "second.Published", second.Published, 1)
	fact.Equal(about, "len(second.Partitions)", len(second.Partitions), 1)
	if again.ByID(first.ID) != nil {
		t.Error("the old id is still known")
	}
	// A copy may be recreated by the replicator: that is no news.
	if err := again.Ensure(t.Context(), Seen{Name: "orders", Cluster: "dr", ID: [16]byte{8}, Partitions: 7}); err != nil || again.Topic("orders") != second {
		t.Errorf("a copy changed the topic: %v", err)
	}
}

func TestNothingIsSeenBeforeItIsWritten(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	log.fail = errors.New("disk full")
	if err := v.Ensure(t.Context(), Seen{Name: "b", Cluster: "prod", Partitions: 1}); !errors.Is(err, log.fail) || v.Topic("b") != nil {
		t.Errorf("%v, %v", err, v.Topic("b"))
	}
	err := v.Update(t.Context(), "a", func(n *Topic) error { n.Home = "dr"; return nil })
	if !errors.Is(err, log.fail) || v.Topic("a").Home != "prod" {
		t.Errorf("%v, home %s", err, v.Topic("a").Home)
	}
}

func TestTombstonesHideTopics(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: physicalID, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	old := v.Topic("a")
	if err := v.Update(t.Context(), "a", func(n *Topic) error { n.Deleted = []string{"dr"}; return nil }); err != nil {
		t.Fatal(err)
	}
	v = fresh(t, log)
	about := fact.Of(t, "a deleted topic is seen: %v %v", v.Topics(), v.Unfinished())
	fact.True(about, `v.Topic("a") == nil`, v.Topic("a") == nil)
	fact.True(about, "v.ByID(old.ID) == nil", v.ByID(old.ID) == nil)
	if fact.Equal(about, "len(v.Topics())", len(v.Topics()), 0) {
		fact.Equal(about, "len(v.Unfinished())", len(v.Unfinished()), 1)
	}
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: [16]byte{5}, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	if n := v.Topic("a"); n == nil || n.ID == old.ID || n.Generation != old.Generation+1 {
		t.Errorf("recreated: %+v", n)
	}
	if err := v.Update(t.Context(), "a", func(n *Topic) error { n.Deleted = []string{}; return nil }); err != nil {
		t.Fatal(err)
	}
	{
		err := v.Forget(t.Context(), "a")
		about := fact.Of(t, "forgotten: %v", err)
		if fact.NoError(about, err) && fact.Equal(about, "len(v.Unfinished())", len(v.Unfinished()), 0) {
			fact.True(about, `v.Topic("a") == nil`, v.Topic("a") == nil)
			fact.Equal(about, "len(fresh(t, log).Unfinished())", len(fresh(t, log).Unfinished()), 0)
		}
	}
}

// TestCeilingsAreWrittenAhead: an offset is shown only when the store has a ceiling above it, so
// that an unplanned move after a restart begins above everything shown.
func TestCeilingsAreWrittenAhead(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	writes := log.writes
	for o := int64(0); o < 5*CeilingBlock; o += 9973 {
		if err := v.Reserve(t.Context(), "a", 1, o); err != nil {
			t.Fatal(err)
		}
		stored := fresh(t, log).Topic("a").Partitions[1].Ceiling
		if o >= stored {
			t.Fatalf("offset %d shown with a stored ceiling of %d", o, stored)
		}
	}
	if n := log.writes - writes; n > 8 {
		t.Errorf("%d writes for 5 blocks", n)
	}
	top := v.Topic("a")
	if got, none := top.Watermarks(1), (Watermarks{-1, -1, -1}); got != none {
		t.Errorf("%+v before anything was shown", got)
	}
	top.Show(1, Watermarks{High: 50, Stable: 45, Start: 3})
	if got, want := top.Show(1, Watermarks{High: 40, Stable: 44, Start: -1}), (Watermarks{50, 45, -1}); got != want {
		t.Errorf("%+v, want %+v: what was shown never goes back, and what is unknown stays so", got, want)
	}
	if got, want := top.Watermarks(1), (Watermarks{50, 45, 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if fresh(t, log).Topic("a").Partitions[0].Ceiling == 0 {
		t.Error("the other partition has no ceiling")
	}
	log.fail = errors.New("disk full")
	if err := v.Reserve(t.Context(), "a", 1, 50*CeilingBlock); !errors.Is(err, log.fail) {
		t.Errorf("an offset above the stored ceiling may be shown: %v", err)
	}
}

// TestWhatIsShownFirstIsWrittenAhead: a run that ends at any time knows of every partition whether
// clients know records of it; those of one answer cost one write, and those of a partition one in
// all.
func TestWhatIsShownFirstIsWrittenAhead(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", Partitions: 4}); err != nil {
		t.Fatal(err)
	}
	reserve := func(p int32, offset int64) {
		t.Helper()
		if err := v.Reserve(t.Context(), "a", p, offset); err != nil {
			t.Fatal(err)
		}
	}
	shown := func() (all []bool) {
		for _, p := range fresh(t, log).Topic("a").Partitions {
			all = append(all, p.Shown)
		}
		return all
	}
	reserve(0, 0) // that of an empty partition
	if got := shown(); slices.Contains(got, true) {
		t.Errorf("%v before anything was shown", got)
	}
	reserve(1, 1)
	if got, want := shown(), []bool{false, true, false, false}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	writes := log.writes
	for _, p := range []int32{2, 3} {
		if v.Reserved("a", p, 1) {
			t.Errorf("partition %d needs no write", p)
		}
	}
	for _, p := range []int32{1, 2, 3} {
		reserve(p, 2)
	}
	if got, want := shown(), []bool{false, true, true, true}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := log.writes - writes; n != 1 {
		t.Errorf("%d writes", n)
	}
}

func TestKeepKeepsTheFirstValue(t *testing.T) {
	log := &memoryLog{}
	for _, want := range []string{"prod", "dr"} {
		v := fresh(t, log)
		if err := v.Keep(t.Context(), "group_home", want); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := v.Kept("group_home"); err != nil || !ok || got != "prod" {
			t.Errorf("%s: %q %t %v", want, got, ok, err)
		}
	}
}

func TestClonesShareNothing(t *testing.T) {
	a := &Topic{Name: "a", Home: "prod", Names: map[string]string{"prod": "x"}, Copies: map[string][16]byte{"dr": {1}}, Stubs: map[string]bool{"dr": true}, Missing: []string{"q"}, Deleted: []string{"q"}}
	a.Grow(1)
	a.Partitions[0].SetDelta("dr", 1)
	b := a.Clone()
	b.Copies["dr"] = [16]byte{2}
	b.Names["prod"], b.Stubs["dr"], b.Missing[0], b.Deleted[0] = "y", false, "r", "r"
	b.Partitions[0].SetDelta("dr", 2)
	b.Partitions[0].Segments[0].Start = 9
	p := a.Partitions[0]
	about := fact.Of(t, "%+v", a)
	fact.Equal(about, `a.Names["prod"]`, a.Names["prod"], "x")
	fact.Equal(about, `a.Copies["dr"]`, a.Copies["dr"], [16]byte{1})
	fact.True(about, `a.Stubs["dr"]`, a.Stubs["dr"])
	fact.List(about, "a.Missing", a.Missing, []string{"q"})
	fact.List(about, "a.Deleted", a.Deleted, []string{"q"})
	fact.Equal(about, `p.Copies["dr"].Distance.Delta()`, p.Copies["dr"].Distance.Delta(), 1)
	fact.Equal(about, "p.Segments[0].Start", p.Segments[0].Start, 0)
}

// TestOnlyTombstonesAreForgotten: a topic may be made again while the last copy of the old one is
// deleted.
func TestOnlyTombstonesAreForgotten(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: physicalID, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	if err := v.Forget(t.Context(), "a"); err != nil || v.Topic("a") == nil || fresh(t, log).Topic("a") == nil {
		t.Errorf("a live topic was forgotten: %v", err)
	}
}

// committed, a gateway translates by the topic as it was.
func TestWhatTheOldHomeStillAnswersAfterARestart(t *testing.T) {
	log := &memoryLog{}
	v := fresh(t, log)
	if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: physicalID, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	if err := v.Update(t.Context(), "a", func(n *Topic) error {
		n.Before, n.Home, n.Generation = n.Clone(), "dr", 1
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	topic := fresh(t, log).Topic("a")
	topic.Before.Show(0, Watermarks{High: 50, Stable: 50, Start: 0})
	if got, want := topic.Watermarks(0), (Watermarks{50, 50, 0}); got != want {
		t.Error("the topic and what it was before the move do not share what clients are shown")
	}
}
