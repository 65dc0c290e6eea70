package copies

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// marked adds records in batches of five, with a marker behind each.
func marked(l *fakes.Log, records []kafka.Record) {
	for b := range slices.Chunk(records, 5) {
		l.Batch(fakes.Shape{Producer: 9, InOne: true}, b...)
		fakes.Marker(l)
	}
}

// aborted adds a transaction that is aborted.
func aborted(l *fakes.Log, producer int64, records []kafka.Record) {
	l.Aborted = append(l.Aborted, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: producer, FirstOffset: l.End})
	l.Batch(fakes.Shape{Producer: producer, InOne: true}, records...)
	l.Batch(fakes.Shape{Producer: producer, Control: true}, kafka.Record{Key: []byte{0, 0, 0, 0}, Value: []byte{0}})
}

func none(int64) bool { return false }

// read are the data records of a side, by offset.
func read(t *testing.T, s *Side, l *fakes.Log) map[int64]kafka.Record {
	t.Helper()
	out := map[int64]kafka.Record{}
	_, err := s.Read(t.Context(), 0, l.Start, l.End, func(b kafka.Batch) error {
		records, err := kafka.Records(b)
		for _, r := range records {
			out[r.Offset] = r
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCopiesThatHaveDrifted: whatever a replicator and brokers have put between the records, each
// is found, and what is between them is not shown.
func TestCopiesThatHaveDrifted(t *testing.T) {
	all := fakes.Records(0, 300)
	for name, write := range map[string]func(ours, theirs *fakes.Log){
		"the same": func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Add(all...) },
		"repeated": func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Add(all[:200]...); theirs.Add(all[90:]...) },
		"again and again": func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(all[:50]...)
			theirs.Add(all[40:60]...)
			theirs.Add(all[30:]...)
		},
		"at the end":    func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Add(all...); theirs.Add(all[250:]...) },
		"markers there": func(ours, theirs *fakes.Log) { ours.Add(all...); marked(theirs, all) },
		"markers here":  func(ours, theirs *fakes.Log) { marked(ours, all); theirs.Add(all...) },
		"aborted here": func(ours, theirs *fakes.Log) {
			ours.Add(all[:100]...)
			aborted(ours, 7, fakes.Records(5000, 5003))
			ours.Add(all[100:]...)
			theirs.Add(all...)
		},
		"aborted there, and again": func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(all[:100]...)
			aborted(theirs, 7, all[100:104])
			marked(theirs, all[100:])
		},
		"before": func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(fakes.Records(900, 950)...)
			theirs.Add(all...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			prod, dr, ours, theirs := fakes.Pair()
			write(ours, theirs)
			old, copied := sides(t, prod, dr)
			p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}
			got, err := p.Align(t.Context(), 0, Stretch{0, ours.End}, Stretch{0, theirs.End}, Aligning{Hidden: none, Behind: true, Complete: true, Limit: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			if got.Left != 0 || got.To != ours.End {
				t.Errorf("%d left, up to %d of %d", got.Left, got.To, ours.End)
			}
			here, there := read(t, old, ours), read(t, copied, theirs)
			shown := 0
			for at := range theirs.End {
				if got.Distance.Skips(at) {
					continue
				}
				if _, ok := there[at]; ok {
					shown++
				}
			}
			for i := range all {
				at := int64(-1)
				for o, r := range here {
					if r.Timestamp == all[i].Timestamp && string(r.Key) == string(all[i].Key) {
						at = o
					}
				}
				if r := there[got.Distance.ToPhysical(at)]; string(r.Key) != string(all[i].Key) {
					t.Fatalf("the record at %d is %q on the copy, want %q", at, r.Key, all[i].Key)
				}
			}
			if shown != len(all) {
				t.Errorf("%d records are shown, want %d", shown, len(all))
			}
		})
	}
}

// TestCopiesThatAreNotExact are refused, with the offset of the first record that is wrong.
func TestCopiesThatAreNotExact(t *testing.T) {
	all := fakes.Records(0, 300)
	for name, c := range map[string]struct {
		copied []kafka.Record
		want   string
	}{
		"dropped":      {slices.Delete(slices.Clone(all), 150, 152), "the record at 150 on prod is not on dr, or not in its order, nor 1 others"},
		"swapped":      {append(append(slices.Clone(all[:150]), all[151], all[150]), all[152:]...), "the record at 150 on prod is not on dr"},
		"foreign":      {slices.Insert(slices.Clone(all), 150, fakes.Record(777)), "the record at 150 on dr is not on prod: this is no exact copy (somebody else"},
		"changed":      {fakes.Changed(all, 150, func(r *kafka.Record) { r.Value = nil }), "150"},
		"begins later": {all[10:], "the record at 0 on prod is not on dr"},
	} {
		prod, dr, ours, theirs := fakes.Pair()
		ours.Add(all...)
		theirs.Add(c.copied...)
		old, copied := sides(t, prod, dr)
		_, err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Align(t.Context(), 0, Stretch{0, 300}, Stretch{0, theirs.End}, Aligning{Hidden: none, Behind: true, Complete: true, Limit: 1 << 30})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestCopiesThatWereCompacted: what compaction has taken from either side, because its key has a
// later record, is no reason to refuse a copy. Where a side is not compacted, it is.
func TestCopiesThatWereCompacted(t *testing.T) {
	var all []kafka.Record
	for i, r := range fakes.Records(0, 200) {
		r.Key = []byte{byte(i % 50)}
		all = append(all, r)
	}
	thinned := func(list []kafka.Record, every int) (out []kafka.Record) {
		for i, r := range list {
			if i >= 100 || i%every != 0 {
				out = append(out, r)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		home, copied []kafka.Record
		here, there  bool // compacts
		refused      bool
	}{
		"there":               {all, thinned(all, 3), false, true, false},
		"here":                {thinned(all, 3), all, true, false, false},
		"both":                {thinned(all, 3), thinned(all, 5), true, true, false},
		"there, against rule": {all, thinned(all, 3), true, false, true},
		"here, against rule":  {thinned(all, 3), all, false, true, true},
		"the last of a key":   {all, slices.Delete(slices.Clone(all), 170, 171), false, true, true},
	} {
		prod, dr, ours, theirs := fakes.Pair()
		ours.Add(c.home...)
		theirs.Add(c.copied...)
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), HomeCompacts: c.here, CopyCompacts: c.there}
		got, err := p.Align(t.Context(), 0, Stretch{0, ours.End}, Stretch{0, theirs.End}, Aligning{Hidden: none, Behind: true, Complete: true, Limit: 1 << 30})
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		here, there := read(t, old, ours), read(t, copied, theirs)
		for at, r := range here {
			if x, ok := there[got.Distance.ToPhysical(at)]; err == nil && got.Distance.Has(at) && (!ok || x.Timestamp != r.Timestamp) {
				t.Fatalf("%s: the record at %d is %v, want %v", name, at, x, r)
			}
		}
	}
}

// TestACopyThatLags has the rest of the home left.
func TestACopyThatLags(t *testing.T) {
	prod, dr, ours, theirs := fakes.Pair()
	ours.Add(fakes.Records(0, 300)...)
	marked(theirs, fakes.Records(0, 280))
	old, copied := sides(t, prod, dr)
	got, err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Align(t.Context(), 0, Stretch{0, 300}, Stretch{0, theirs.End}, Aligning{Hidden: none, Limit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if got.Left != 20 || got.To != 280 {
		t.Errorf("%d left, up to %d: want 20, up to 280", got.Left, got.To)
	}
}

func TestAligningReadsNoMoreThanItMay(t *testing.T) {
	prod, dr, ours, theirs := fakes.Pair()
	ours.Add(fakes.Records(0, 300)...)
	marked(theirs, fakes.Records(0, 300))
	old, copied := sides(t, prod, dr)
	_, err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Align(t.Context(), 0, Stretch{0, 300}, Stretch{0, theirs.End}, Aligning{Hidden: none, Limit: 1000})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
}

// TestRecordsThatTheVirtualLogDoesNotHave are not looked for.
func TestRecordsThatTheVirtualLogDoesNotHave(t *testing.T) {
	prod, dr, ours, theirs := fakes.Pair()
	all := fakes.Records(0, 100)
	ours.Add(all...)
	theirs.Add(slices.Delete(slices.Clone(all), 40, 50)...)
	old, copied := sides(t, prod, dr)
	hidden := func(at int64) bool { return at >= 40 && at < 50 }
	got, err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Align(t.Context(), 0, Stretch{0, 100}, Stretch{0, theirs.End}, Aligning{Hidden: hidden, Behind: true, Complete: true, Limit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if at := got.Distance.ToPhysical(50); at != 40 {
		t.Errorf("the record at 50 is at %d, want 40", at)
	}
}
