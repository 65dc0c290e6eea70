package failover

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAMoveHasTheTailAlone: what was aligned in the background counts for nothing towards
// failover.compare_limit, although a group stands at the beginning. What was not is looked at
// before the move, if it is not too much.
func TestAMoveHasTheTailAlone(t *testing.T) {
	const records, limit = 20_000, 400_000 // of some 1,600,000 bytes on either side
	all := fakes.Records(0, records)
	for name, c := range map[string]struct {
		from    int64 // from which the last records are aligned
		front   *catalog.Front
		refused string
	}{
		"aligned":                {0, nil, ""},
		"but for a few records":  {18_000, &catalog.Front{To: 17_000, Copy: 17_085}, ""},
		"but for many":           {18_000, &catalog.Front{To: 3000, Copy: 3015}, `more than failover.compare_limit (400000 bytes) would have to be compared`},
		"where nobody reads any": {18_000, &catalog.Front{From: 2000, To: 17_000, Copy: 17_085}, `furthest behind is group "slow" at offset 10. It is aligned in the background: from offset 2000, up to 17000 of 18000 so far`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.Config.CompareLimit, w.runner.cfg.CompareLimit = limit, limit
				var runs []catalog.Run
				w.Prod.Set(func() {
					w.Prod.Topics["orders"].Logs[0] = &fakes.Log{}
					for b := range slices.Chunk(all, 200) {
						w.Prod.Log("orders").Batch(fakes.Shape{}, b...)
					}
				})
				w.DR.Set(func() {
					l := &fakes.Log{}
					w.DR.Topics["orders"].Logs[0] = l
					for b := range slices.Chunk(all, 200) {
						runs = append(runs, catalog.Run{Virtual: l.End - int64(len(runs)), Physical: l.End, Records: 200})
						l.Batch(fakes.Shape{Producer: 9, InOne: true}, b...)
						fakes.Marker(l)
					}
				})
				w.Prod.Groups["slow"] = map[int32]int64{0: 10}
				d, err := catalog.DistanceOf(runs...)
				if err != nil {
					t.Fatal(err)
				}
				d = d.Then(records, w.DR.Log("orders").End)
				err = w.Virtual.Update(t.Context(), "orders", func(n *catalog.Topic) error {
					n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["orders"].ID}
					n.Partitions[0].SetCopy("dr", catalog.Alignment{Distance: d, From: c.from, To: records, Front: c.front})
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				w.edit("dr", "orders")
				fakes.Pass(time.Second)
				if c.refused != "" {
					if m := w.last("orders"); !strings.Contains(m.Error, c.refused) {
						t.Errorf("%q, want %q", m.Error, c.refused)
					}
					return
				}
				w.lives("orders", "dr", 1)
				if got := w.where(); len(got) != records/200+1 || got[1] != (catalog.Run{Virtual: 200, Physical: 201, Records: 200}) {
					t.Errorf("%d runs, the second one %v", len(got), got[1])
				}
			})
		})
	}
}

// TestACopyThatKeepsOffsetsIsNotComparedAsAWhole: samples are, however much a group has still to
// read; what comes meanwhile is compared record by record.
func TestACopyThatKeepsOffsetsIsNotComparedAsAWhole(t *testing.T) {
	const records = 20_000
	all := fakes.Records(0, records+10)
	for name, c := range map[string]struct {
		later []int // of the records that come while clients are held, which are on dr
		want  string
	}{
		"the same":          {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, ""},
		"written by others": {[]int{0, 1, 2, 3, 4, 5, 6, 7, 9, 8}, "partition 0: the record at offset 20008 on prod is another one on dr"},
		"more than there":   {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9}, "partition 0 ends at offset 20010 on prod, but at 20011 on dr"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.Config.CompareLimit, w.runner.cfg.CompareLimit = 10_000, 10_000
				for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
					f.Set(func() {
						f.Topics["orders"].Logs[0] = &fakes.Log{}
						for b := range slices.Chunk(all[:records], 200) {
							f.Log("orders").Batch(fakes.Shape{}, b...)
						}
					})
				}
				w.Prod.Groups["slow"] = map[int32]int64{0: 10}
				home := w.Rules.Homes["orders"]
				home.Copy = "identity"
				w.Rules.Homes["orders"] = home
				last := w.produce("orders")
				w.edit("dr", "orders")
				held := w.produce("orders")
				w.Prod.Grow("orders", records, records+10)
				w.DR.Set(func() {
					for _, i := range c.later {
						w.DR.Log("orders").Batch(fakes.Shape{}, all[records+i])
					}
				})
				last.answer()
				fakes.Pass(time.Second)
				if c.want == "" {
					held.answer()
					if p := w.lives("orders", "dr", 1).Partition(0); !p.Identity() {
						t.Errorf("runs %v", w.where())
					}
					return
				}
				if m := w.last("orders"); !strings.Contains(m.Error, c.want) {
					t.Errorf("%q, want %q", m.Error, c.want)
				}
				held.answer()
			})
		})
	}
}

// TestNothingIsAssumedBetweenWhatWasAligned and the last records, while the front is on its way:
// where records are not found from there on, the move is refused although nobody has to read them.
func TestNothingIsAssumedBetweenWhatWasAligned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 2000
		all := fakes.Records(0, records)
		w := newWorld(t, "orders")
		var runs []catalog.Run
		w.Prod.Set(func() {
			w.Prod.Topics["orders"].Logs[0] = &fakes.Log{}
			w.Prod.Log("orders").Add(all...)
		})
		w.DR.Set(func() {
			l := &fakes.Log{}
			w.DR.Topics["orders"].Logs[0] = l
			for b := range slices.Chunk(all, 200) {
				if len(runs) == 7 { // somebody else's
					l.Add(fakes.Record(77_777))
				}
				runs = append(runs, catalog.Run{Virtual: int64(200 * len(runs)), Physical: l.End, Records: 200})
				l.Batch(fakes.Shape{Producer: 9, InOne: true}, b...)
				fakes.Marker(l)
			}
		})
		d, err := catalog.DistanceOf(runs[:5]...)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Virtual.Update(t.Context(), "orders", func(n *catalog.Topic) error {
			n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["orders"].ID}
			n.Partitions[0].SetCopy("dr", catalog.Alignment{Distance: d.Then(1000, 1005), From: 800, To: 1000, Front: &catalog.Front{To: 200, Copy: 201}})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		if m := w.last("orders"); !strings.Contains(m.Error, "the record at 1407 on dr is not on prod") {
			t.Errorf("%s, %q", m.Phase, m.Error)
		}
	})
}
