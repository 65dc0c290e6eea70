package failover

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

func ten(l *fakes.Log) { add(l, numbers(100, 110)...) }

// truncate takes the last n offsets from a log whose batches have one record each.
func truncate(l *fakes.Log, n int) {
	l.End -= int64(n)
	l.Batches = l.Batches[:len(l.Batches)-n]
}

// ones makes a log one with the same records in batches of one.
func ones(l *fakes.Log) {
	*l = fakes.Log{Epoch: l.Epoch}
	add(l, numbers(0, 100)...)
}

// TestAHomeThatComesBackIsRefused, with the reason, as long as it is no exact copy; and once it is,
// the move that waits is made.
func TestAHomeThatComesBackIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		tail  func(l *fakes.Log)
		since func(l *fakes.Log) // on prod, when it is back
		want  string             // why the move is refused
		mend  func(l *fakes.Log)
	}{
		"nothing is copied": {ten, nil, "100 records behind", func(l *fakes.Log) { add(l, numbers(200, 300)...) }},
		"some is copied": {ten, func(l *fakes.Log) { add(l, numbers(200, 250)...) }, "50 records behind",
			func(l *fakes.Log) { add(l, numbers(240, 300)...) }},
		"a record is left out": {ten, func(l *fakes.Log) { add(l, slices.Concat(numbers(200, 250), numbers(251, 300))...) },
			"the record at 175 on dr is not on prod", func(l *fakes.Log) { add(l, numbers(200, 300)...) }},
		"somebody else writes there": {ten, func(l *fakes.Log) { add(l, slices.Concat(numbers(200, 250), []int{5000}, numbers(250, 300))...) },
			"the record at 160 on prod is not on dr", func(l *fakes.Log) { add(l, numbers(200, 300)...) }},
		"the first ones are left out": {ten, func(l *fakes.Log) { add(l, numbers(201, 300)...) }, "100 records behind",
			func(l *fakes.Log) { add(l, numbers(200, 300)...) }},
		"a transaction is open in the tail": {func(l *fakes.Log) {
			l.Stable = l.End
			l.Batch(fakes.Shape{Producer: 9, InOne: true}, fakes.Records(100, 103)...)
			add(l, numbers(103, 105)...)
		}, func(l *fakes.Log) { add(l, numbers(200, 300)...) }, "100 records behind",
			func(l *fakes.Log) {
				l.Stable = 0
				l.Batch(fakes.Shape{Control: true, Producer: 9}, fakes.Record(1))
			}},
		"a transaction is open behind what was sent again": {func(l *fakes.Log) {
			add(l, 200, 201)
			l.Stable = l.End
			l.Batch(fakes.Shape{Producer: 9, InOne: true}, fakes.Records(100, 103)...)
		}, nil, "100 records behind",
			func(l *fakes.Log) {
				l.Stable = 0
				fakes.Marker(l)
				add(l, numbers(200, 300)...)
			}},
		"it has lost what it had": {ones, func(l *fakes.Log) { truncate(l, 10) }, "110 records behind",
			func(l *fakes.Log) { add(l, slices.Concat(numbers(80, 100), numbers(200, 300))...) }},
		"it has lost what it had, and got more": {ones, func(l *fakes.Log) {
			truncate(l, 10)
			add(l, numbers(200, 300)...)
		}, "the record at 115 on dr is not at 90 on prod", func(l *fakes.Log) {
			add(l, slices.Concat(numbers(1000, 1025), numbers(0, 100), numbers(200, 300))...)
		}},
		"it has lost everything": {ten, func(l *fakes.Log) { *l = fakes.Log{Epoch: 7} }, "ends at offset 0, but had records up to 100 when dr took over",
			func(l *fakes.Log) { add(l, slices.Concat(numbers(0, 100), numbers(200, 300))...) }},
	} {
		for _, compared := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := survived(t, c.tail)
					if compared {
						fakes.Pass(25 * time.Second)
					}
					w.Prod.Set(func() {
						if c.since != nil {
							c.since(w.Prod.Log("orders"))
						}
					})
					if compared {
						fakes.Pass(25 * time.Second)
					}
					w.edit("prod", "orders")
					fakes.Pass(30 * time.Second)
					if m := w.last("orders"); m.Phase == Done || !strings.Contains(m.Error, c.want) {
						t.Fatalf("%s: %q, want %q", m.Phase, m.Error, c.want)
					}
					w.lives("orders", "dr", 1)
					w.Prod.Set(func() { c.mend(w.Prod.Log("orders")) })
					w.back()
				})
			})
		}
	}
}

// TestNothingWasWrittenSince the home died: the lost tail is all that it has besides.
func TestNothingWasWrittenSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.Remember(map[string]int64{"dr": 25})
		w.Prod.Set(func() {
			ten(w.Prod.Log("orders"))
			w.Prod.Down = true
		})
		w.edit("dr", "orders")
		fakes.Pass(12 * time.Second)
		w.Prod.Set(func() { w.Prod.Down = false })
		fakes.Pass(25 * time.Second)
		if a := w.Virtual.Topic("orders").Partition(0).Copies["prod"]; a.Died || a.Lost != 10 || a.Distance.ToPhysical(100) != 110 {
			t.Errorf("of prod is known %+v", a)
		}
		w.back()
		w.Prod.Grow("orders", 200, 210)
		if at := w.Virtual.Topic("orders").Partition(0).ToPhysical(100); at != 110 {
			t.Errorf("what is written next stands at %d", at)
		}
	})
}

// TestRetentionOfBothSides: what is gone on either of them is looked for on none.
func TestRetentionOfBothSides(t *testing.T) {
	for name, c := range map[string]struct{ ours, theirs int64 }{
		"in front of the tail":          {60, 60},
		"all that prod had":             {0, 100},
		"some of the tail":              {0, 105},
		"all of the tail":               {0, 110},
		"all that dr had":               {125, 0},
		"some that dr has got":          {135, 0},
		"some that both have got":       {135, 115},
		"all of the tail, some of dr's": {135, 110},
		"some that only dr has left":    {0, 130},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := survived(t, ten)
				w.Prod.Set(func() {
					add(w.Prod.Log("orders"), numbers(200, 300)...)
					w.Prod.Log("orders").Start = c.theirs
				})
				w.DR.Set(func() { w.DR.Log("orders").Start = c.ours })
				w.edit("prod", "orders")
				fakes.Pass(12 * time.Second)
				m, p := w.last("orders"), w.Virtual.Topic("orders").Partition(0)
				about := fact.Of(t, "%s: %q, runs %v", m.Phase, m.Error, w.where())
				fact.Equal(about, "m.Phase", m.Phase, Done)
				at := p.Segments[1].Start + 50
				fact.Equal(about, "p.ToPhysical of the last", p.ToPhysical(at+49), 209)
				fact.Equal(about, "p.ToPhysical of the 50th", p.ToPhysical(at), 160)
				fact.Equal(about, "p.ToVirtual of the 50th", p.ToVirtual(160), at)
			})
		})
	}
}

// TestATopicThatWasMadeAnewWhereItDied has no lost tail, and is compared as a whole.
func TestATopicThatWasMadeAnewWhereItDied(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := survived(t, ten)
			w.Prod.Set(func() {
				w.Prod.Topics["orders"].Logs[0] = &fakes.Log{Epoch: 7}
				w.Prod.Topics["orders"].Made++
				l := w.Prod.Log("orders")
				if ten(l); whole { // not the tail: it is somebody else's
					*l = fakes.Log{Epoch: 7}
					add(l, numbers(0, 100)...)
				}
				add(l, numbers(200, 300)...)
			})
			w.Prod.Groups["slow"] = map[int32]int64{0: 10}
			w.edit("prod", "orders")
			fakes.Pass(12 * time.Second)
			if m := w.last("orders"); (m.Phase == Done) != whole {
				t.Errorf("all of it is there: %t; %s: %q", whole, m.Phase, m.Error)
			}
		})
	}
}

// TestACopyThatIsMadeAnewHasTheLostTail, since its replicator reads all that the home has. It is as
// hidden there.
func TestACopyThatIsMadeAnewHasTheLostTail(t *testing.T) {
	for _, transactions := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := survived(t, ten)
			w.Prod.Set(func() { add(w.Prod.Log("orders"), numbers(200, 300)...) })
			w.back()
			w.DR.Set(func() {
				l := &fakes.Log{Epoch: 7}
				w.DR.Topics["orders"].Logs[0] = l
				w.DR.Topics["orders"].Made++
				all := slices.Concat(numbers(0, 110), numbers(200, 300))
				if add(l, all[:20]...); transactions {
					fakes.Marker(l)
				}
				add(l, all[20:]...)
			})
			f := kafka.NewFingerprints(true, nil)
			before := w.shown(f, w.Prod, w.Virtual.Topic("orders").Partition(0))
			w.edit("dr", "orders")
			fakes.Pass(12 * time.Second)
			if m := w.last("orders"); m.Phase != Done {
				t.Fatalf("%s: %q", m.Phase, m.Error)
			}
			if after := w.shown(f, w.DR, w.lives("orders", "dr", 3).Partition(0)); !maps.Equal(before, after) {
				t.Errorf("dr shows %d records, and prod %d, or others: %v", len(after), len(before), w.where())
			}
		})
	}
}

// TestTheNewHomeDiesBeforeTheOldOneIsCompared: the old one is refused, since nobody can tell what
// of it is its lost tail. Who insists gets it as it was when it died.
func TestTheNewHomeDiesBeforeTheOldOneIsCompared(t *testing.T) {
	for _, policy := range []string{"if-unreachable", "always"} {
		synctest.Test(t, func(t *testing.T) {
			w := survived(t, ten)
			w.Prod.Set(func() { w.Prod.Down = true })
			fakes.Pass(25 * time.Second)
			if err := w.env.Catalog.Reserve(t.Context(), "orders", 0, w.Virtual.Topic("orders").Partition(0).Current().Start+100); err != nil {
				t.Fatal(err)
			}
			w.DR.Set(func() { w.DR.Down = true })
			w.Prod.Set(func() {
				w.Prod.Down = false
				add(w.Prod.Log("orders"), numbers(200, 210)...)
			})
			w.Policy("orders", policy)
			w.edit("prod", "orders")
			fakes.Pass(25 * time.Second)
			m := w.last("orders")
			if policy != "always" {
				if m.Phase == Done || !strings.Contains(m.Error, "was not compared with its copy on prod since that came back") {
					t.Errorf("%s: %q", m.Phase, m.Error)
				}
				return
			}
			topic := w.lives("orders", "prod", 2)
			p := topic.Partition(0)
			about := fact.Of(t, "runs %v, notes %q, lineage %+v", w.where(), m.Notes, p)
			fact.Equal(about, "p.ToPhysical(99)", p.ToPhysical(99), 99)
			fact.Equal(about, "p.ToVirtual(99)", p.ToVirtual(99), 99)
			fact.True(about, "p.Distance.Skips(100)", p.Distance.Skips(100))
			fact.True(about, "p.Distance.Skips(119)", p.Distance.Skips(119))
			fact.Equal(about, "p.Current().PhysicalStart", p.Current().PhysicalStart, 120)
			fact.Above(about, "p.Current().Start", p.Current().Start, p.Segments[1].Start)
			fact.Equal(about, "notes", len(m.Notes), 1)

			// dr comes back in its turn, with a tail of its own, and is a copy again.
			w.Prod.Set(func() { add(w.Prod.Log("orders"), numbers(300, 400)...) })
			w.DR.Set(func() {
				w.DR.Down = false
				add(w.DR.Log("orders"), numbers(300, 400)...)
			})
			w.edit("dr", "orders")
			fakes.Pass(12 * time.Second)
			p = w.lives("orders", "dr", 3).Partition(0)
			about = fact.Of(t, "runs %v", w.where())
			fact.Equal(about, "p.ToPhysical(99)", p.ToPhysical(99), 124)
			fact.Equal(about, "p.ToPhysical of what came last", p.ToPhysical(p.Segments[2].Start), 225)
			fact.True(about, "the records that prod never got are hidden", p.Distance.Skips(125) && p.Distance.Skips(224))
		})
	}
}

// TestTheNewHomeDiesAfterTheOldOneWasCompared: what was compared is what an unplanned move goes by.
func TestTheNewHomeDiesAfterTheOldOneWasCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := survived(t, ten)
		w.Prod.Set(func() { add(w.Prod.Log("orders"), numbers(200, 295)...) })
		fakes.Pass(25 * time.Second)
		w.DR.Set(func() { w.DR.Down = true })
		w.edit("prod", "orders")
		fakes.Pass(12 * time.Second)
		m, p := w.last("orders"), w.lives("orders", "prod", 2).Partition(0)
		since := p.Segments[1].Start
		about := fact.Of(t, "%s: %q, runs %v, possible loss %v", m.Phase, m.Error, w.where(), m.PossibleLoss)
		fact.Equal(about, "m.Planned", m.Planned, false)
		fact.Equal(about, "p.ToPhysical of what came since", p.ToPhysical(since), 110)
		fact.Equal(about, "possible loss", len(m.PossibleLoss), 1)
		if len(m.PossibleLoss) == 1 {
			fact.Equal(about, "the first that is lost", m.PossibleLoss[0].From, since+95)
			fact.Equal(about, "the last that is lost", m.PossibleLoss[0].To, since+99)
		}
		for at := int64(100); at < 110; at++ {
			fact.True(about, "the tail is hidden", p.Distance.Skips(at))
		}
	})
}

// TestALostTailThatCompactionWouldUse: a record of it takes an older one of its key away, of which
// clients have no newer one.
func TestALostTailThatCompactionWouldUse(t *testing.T) {
	for name, c := range map[string]struct {
		since func(l *fakes.Log)
		want  string
	}{
		"behind the tail": {func(l *fakes.Log) { add(l, numbers(200, 300)...) }, "prod compacts, and has 10 records that were lost when it died"},
		"all of it again": {func(l *fakes.Log) { add(l, slices.Concat(numbers(1000, 1025), numbers(0, 100), numbers(200, 300))...) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := survived(t, ten)
				for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
					f.Set(func() { f.Topics["orders"].Configs["cleanup.policy"] = "compact" })
				}
				w.Prod.Set(func() { c.since(w.Prod.Log("orders")) })
				w.edit("prod", "orders")
				fakes.Pass(12 * time.Second)
				m := w.last("orders")
				if (m.Phase == Done) != (c.want == "") || !strings.Contains(m.Error, c.want) {
					t.Errorf("%s: %q, want %q", m.Phase, m.Error, c.want)
				}
			})
		})
	}
}

// TestWhatIsKnownOfAHomeThatDiedOutlastsMoves of others, until it is back.
func TestWhatIsKnownOfAHomeThatDiedOutlastsMoves(t *testing.T) {
	p := catalog.Partition{Segments: []catalog.Segment{{Cluster: "a"}}, LogStart: 10}
	p = p.Succeed(catalog.Segment{Generation: 1, Cluster: "b", Start: 1000, PhysicalStart: 50}, catalog.At(0, 0), 50, 0)
	planned := p.Advance(catalog.Segment{Generation: 2, Cluster: "c", Start: 1100, PhysicalStart: 150}, p.Distance, 1100, 0)
	died := p.Succeed(catalog.Segment{Generation: 2, Cluster: "c", Start: 3000, PhysicalStart: 150}, p.Distance, 1100, 0)
	for name, p := range map[string]catalog.Partition{"b": p, "c, planned": planned, "c, since b has died": died} {
		a := p.Copies["a"]
		about := fact.Of(t, "%s: of a is known %+v", name, a)
		fact.True(about, "a.Died", a.Died)
		fact.Equal(about, "a.From", a.From, 10)
		fact.Equal(about, "a.To", a.To, 50)
		fact.Equal(about, "a.Distance.ToPhysical(a.To)", a.Distance.ToPhysical(a.To), 50)
		fact.Equal(about, "where the next begins", p.ToVirtual(p.ToPhysical(a.To)), 1000)
	}
	if a := died.Copies["b"]; !a.Died || a.To != 1100 || a.Distance.ToPhysical(1100) != 150 {
		t.Errorf("of b is known %+v", a)
	}
}

// TestRetentionThatTookWhatSomebodyReads, on the old home alone: it is no exact copy.
func TestRetentionThatTookWhatSomebodyReads(t *testing.T) {
	for at, want := range map[int64]Phase{10: Pending, 30: Done} {
		synctest.Test(t, func(t *testing.T) {
			w := survived(t, ten)
			w.Prod.Set(func() {
				add(w.Prod.Log("orders"), numbers(200, 300)...)
				w.Prod.Log("orders").Start = 130
			})
			w.Prod.Groups["slow"] = map[int32]int64{0: w.Virtual.Topic("orders").Partition(0).Current().Start + at}
			w.edit("prod", "orders")
			fakes.Pass(12 * time.Second)
			if m := w.last("orders"); m.Phase != want {
				t.Errorf("somebody reads from the record %d on: %s: %q", at, m.Phase, m.Error)
			}
		})
	}
}
