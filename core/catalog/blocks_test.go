package catalog

import (
	"fmt"
	"testing"
)

// drifts lets a copy go on by so many records, with a marker behind every so many of them, as a
// replicator with transactions does.
func drifts(n *Topic, records, every int64) {
	p := &n.Partitions[0]
	known := p.Copies["third"]
	var runs []Run
	for i, from := int64(0), known.Distance.ToPhysical(known.To); i < records/every; i++ {
		runs = append(runs, Run{known.To + i*every, from + i*every + i + 1, every})
	}
	next, err := DistanceOf(runs...)
	if err != nil {
		panic(err)
	}
	if known.Distance, err = known.Distance.Until(known.To, next); err != nil {
		panic(err)
	}
	known.To += records
	p.SetCopy("third", known)
}

// stored is how many bytes the entries of a topic have at rest.
func (l *memoryLog) stored() (bytes int) {
	for _, e := range l.load() {
		bytes += len(e.Kind) + len(e.Key) + len(e.Value)
	}
	return bytes
}

// TestWhatIsWrittenOfACopyThatDrifts is what has come since, however long it has drifted: the runs
// that were there are not written anew.
func TestWhatIsWrittenOfACopyThatDrifts(t *testing.T) {
	log, v := topicOf(t, 1)
	round := func() int {
		return count(log.last(t, func() error {
			return v.Update(t.Context(), "orders", func(n *Topic) error { drifts(n, 100_000, 500); return nil })
		})).bytes
	}
	first, most := 0, 0
	for i := range 200 { // 20 million records
		n := round()
		if i < 10 {
			first = max(first, n)
		}
		most = max(most, n)
	}
	if most > 2*first {
		t.Errorf("a round writes %d bytes, of the first ones each wrote %d at most", most, first)
	}
	if at := v.Topic("orders").Partition(0).Copies["third"]; at.Distance.Len() < 40_000 {
		t.Fatalf("%d runs", at.Distance.Len())
	}
	if one := count(log.last(t, func() error {
		return v.Update(t.Context(), "orders", func(n *Topic) error { n.Partitions[0].Ceiling++; return nil })
	})).bytes; one > 600 {
		t.Errorf("a ceiling alone writes %d bytes", one)
	}
	// What both logs have deleted goes.
	before := len(log.load())
	err := v.Update(t.Context(), "orders", func(n *Topic) error {
		a := n.Partitions[0].Copies["third"]
		a.Distance = a.Distance.Above(19_000_000, 19_000_000)
		n.Partitions[0].SetCopy("third", a)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if now := len(log.load()); now > before/10 {
		t.Errorf("%d entries of %d are left of a twentieth of the records", now, before)
	}
}

// TestWhatIsKnownOfAHomeThatDiedIsStored, its runs in blocks or not, and in a change of that alone
// the runs are not written anew.
func TestWhatIsKnownOfAHomeThatDiedIsStored(t *testing.T) {
	for _, records := range []int64{0, 1_000_000} {
		log, v := topicOf(t, 1)
		set := func(change func(*Alignment)) []Entry {
			return log.last(t, func() error {
				return v.Update(t.Context(), "orders", func(n *Topic) error {
					a := n.Partitions[0].Copies["third"]
					change(&a)
					n.Partitions[0].SetCopy("third", a)
					return nil
				})
			})
		}
		if records > 0 {
			if err := v.Update(t.Context(), "orders", func(n *Topic) error { drifts(n, records, 500); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, change := range []func(*Alignment){
			func(a *Alignment) { a.Died = true },
			func(a *Alignment) { a.Lost = 7 },
			func(a *Alignment) { a.Died = false },
		} {
			if n := len(set(change)); n != 1 {
				t.Errorf("%d records: %d entries are written, want the partition's", records, n)
			}
			c, err := New(nil, log.load())
			if err != nil {
				t.Fatal(err)
			}
			want := v.Topic("orders").Partition(0).Copies["third"]
			if got := c.Virtual("vc").Topic("orders").Partition(0).Copies["third"]; !got.Equal(want) || got.Died != want.Died || got.Lost != want.Lost {
				t.Errorf("%d records: died %t, lost %d, want %t and %d", records, got.Died, got.Lost, want.Died, want.Lost)
			}
		}
	}
}

// TestRunsThatAreMissingAreRefused: records would be taken for others.
func TestRunsThatAreMissingAreRefused(t *testing.T) {
	log, v := topicOf(t, 1)
	if err := v.Update(t.Context(), "orders", func(n *Topic) error { drifts(n, 1_000_000, 500); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := New(nil, log.load()); err != nil {
		t.Fatal(err)
	}
	all := log.load()
	for i, e := range all {
		if e.Kind != KindRuns {
			continue
		}
		for name, list := range map[string][]Entry{
			"missing": append(append([]Entry(nil), all[:i]...), all[i+1:]...),
			"cut off": append(append([]Entry(nil), all...), Entry{KindRuns, e.Key, e.Value[:len(e.Value)-1]}),
		} {
			if _, err := New(nil, list); err == nil {
				t.Errorf("%q is %s: not noticed", e.Key, name)
			}
		}
	}
}

// BenchmarkStoreOfCopies says how many bytes the catalog has of a million records of a copy, and
// writes for them in rounds of 100,000, by how often a marker or a repeated record stands between
// them; 0 is never.
func BenchmarkStoreOfCopies(b *testing.B) {
	for _, every := range []int64{0, 10_000, 500, 10} {
		b.Run(fmt.Sprintf("every=%d", every), func(b *testing.B) {
			const million = 5
			var atRest, written int
			for b.Loop() {
				log := &memoryLog{}
				v, err := New(log, nil)
				if err != nil {
					b.Fatal(err)
				}
				vc := v.Virtual("vc")
				vc.SetPlace(func(string) (string, map[string]string, bool) { return "prod", nil, true })
				if err := vc.Ensure(b.Context(), Seen{Name: "orders", Cluster: "prod", ID: physicalID, Partitions: 1}); err != nil {
					b.Fatal(err)
				}
				empty := log.stored()
				log.appended = log.load()
				was := count(log.appended).bytes
				for range 10 * million {
					err := vc.Update(b.Context(), "orders", func(n *Topic) error {
						if every > 0 {
							drifts(n, 100_000, every)
						} else {
							n.Partitions[0].SetDelta("third", 7)
						}
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				atRest, written = log.stored()-empty, count(log.appended).bytes-was
			}
			b.ReportMetric(float64(atRest)/million, "B/million")
			b.ReportMetric(float64(written)/million, "B-written/million")
		})
	}
}
