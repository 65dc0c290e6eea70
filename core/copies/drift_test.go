package copies

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// inTurns goes on with a front until it has come to the last records, in turns that end as soon as
// they may, each from what the one before has stored. It returns how many there were.
func inTurns(t testing.TB, p Pair, known catalog.Alignment, begin, start int64) (Ahead, int) {
	t.Helper()
	part := (&catalog.Topic{}).Partition(0)
	at, turns := Ahead{Alignment: known}, 0
	for at.Front != nil {
		if turns++; turns > 10_000 {
			t.Fatalf("no end: %+v", at)
		}
		next, err := p.Front(t.Context(), 0, part, at, begin, start, Aligning{Over: true, Turn: Turn{Pace: &Pace{}, Until: forever(), Bytes: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if next.Front != nil && next.Front.To <= at.Front.To && next.Front.Copy <= at.Front.Copy {
			t.Fatalf("turn %d got nowhere: %+v", turns, next.Front)
		}
		next.Wrong += at.Wrong
		if at.First != nil {
			next.First = at.First
		}
		at = next
	}
	return at, turns
}

func forever() time.Time { return time.Now().Add(24 * time.Hour) }

// last is what is known of a copy of which n offsets at the end were looked at.
func last(t testing.TB, p Pair, n, end, copied int64) catalog.Alignment {
	t.Helper()
	a, err := p.Align(t.Context(), 0, Stretch{max(0, end-n), end}, Stretch{0, copied}, Aligning{Hidden: none, Behind: true})
	if err != nil {
		t.Fatal(err)
	}
	return catalog.Alignment{Distance: a.Distance.Back(), From: a.From, To: a.To}.Alone(0)
}

// TestAFrontFindsWhatOneLookFinds, in turns, whatever stands between the records.
func TestAFrontFindsWhatOneLookFinds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		prod, dr, ours, theirs := fakes.Pair()
		n := rapid.IntRange(200, 400).Draw(r, "records")
		all := fakes.Records(0, n)
		ours.Add(all[:n/2]...)
		fakes.Marker(ours)
		ours.Add(all[n/2:]...)
		for at := 0; at < n; {
			size := min(rapid.IntRange(1, 60).Draw(r, "batch"), n-at)
			theirs.Batch(fakes.Shape{Producer: 9, InOne: true}, all[at:at+size]...)
			at += size
			switch rapid.IntRange(0, 4).Draw(r, "then") {
			case 0:
				fakes.Marker(theirs)
			case 1:
				if at < n {
					at = max(0, at-rapid.IntRange(1, 40).Draw(r, "back"))
				}
			}
		}
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}
		p.ahead = 40
		whole, err := p.Align(t.Context(), 0, Stretch{0, ours.End}, Stretch{0, theirs.End}, Aligning{Hidden: none, Behind: true})
		if err != nil {
			r.Fatal(err)
		}
		got, turns := inTurns(t, p, last(t, p, 30, ours.End, theirs.End), 0, 0)
		if turns < 3 {
			r.Fatalf("%d turns", turns)
		}
		if got.From != 0 || got.To != ours.End || got.Wrong > 0 {
			r.Fatalf("aligned from %d to %d of %d, %d wrong: %v", got.From, got.To, ours.End, got.Wrong, got.First)
		}
		here := read(t, old, ours)
		there := read(t, copied, theirs)
		for at, x := range here {
			if !strings.HasPrefix(string(x.Key), "key") { // a marker
				continue
			}
			if a, b := got.Distance.ToPhysical(at), whole.Distance.ToPhysical(at); string(there[a].Key) != string(there[b].Key) {
				r.Fatalf("the record at %d is at %d, want %d", at, a, b)
			}
		}
		shown := 0
		for at, x := range there {
			if strings.HasPrefix(string(x.Key), "key") && !got.Distance.Skips(at) {
				shown++
			}
		}
		if shown != n {
			r.Fatalf("%d records are shown, want %d", shown, n)
		}
	})
}

// TestAFrontGoesOverWhatIsWrong, says what it is, and what comes behind is aligned.
func TestAFrontGoesOverWhatIsWrong(t *testing.T) {
	all := fakes.Records(0, 1000)
	for name, c := range map[string]struct {
		copied []kafka.Record
		from   int64
		want   string
	}{
		"dropped": {slices.Delete(slices.Clone(all), 400, 402), 402, "the record at 400 on prod is not on dr, or not in its order, nor 1 others"},
		"foreign": {slices.Insert(slices.Clone(all), 400, fakes.Record(7777)), 400, "the record at 400 on dr is not on prod"},
		"changed": {fakes.Changed(all, 400, func(r *kafka.Record) { r.Value = nil }), 401, "the record at 400 on prod is not on dr"},
	} {
		prod, dr, ours, theirs := fakes.Pair()
		ours.Add(all...)
		theirs.Add(c.copied[:700]...)
		fakes.Marker(theirs)
		theirs.Add(c.copied[700:]...)
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), ahead: 50}
		got, _ := inTurns(t, p, last(t, p, 100, ours.End, theirs.End), 0, 0)
		if got.First == nil || !strings.Contains(got.First.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, got.First, c.want)
		}
		if got.From != c.from || got.To != 1000 {
			t.Errorf("%s: aligned from %d to %d, want %d to 1000", name, got.From, got.To, c.from)
		}
		if at := got.Distance.ToPhysical(999); at != theirs.End-1 {
			t.Errorf("%s: the last record is at %d, want %d", name, at, theirs.End-1)
		}
	}
}

// TestAFrontOfACopyThatWasCompacted remembers from turn to turn what a later record has to explain.
func TestAFrontOfACopyThatWasCompacted(t *testing.T) {
	var all []kafka.Record
	for i, r := range fakes.Records(0, 1000) {
		if r.Key = []byte{byte(i), byte(i >> 8)}; i%400 == 7 {
			r.Key = []byte("again")
		}
		all = append(all, r)
	}
	for explained, records := range map[bool][]kafka.Record{true: all, false: fakes.Changed(fakes.Changed(all, 407, func(r *kafka.Record) { r.Key = nil }), 807, func(r *kafka.Record) { r.Key = nil })} {
		prod, dr, ours, theirs := fakes.Pair()
		ours.Add(records...)
		theirs.Add(records[:7]...)
		theirs.Add(records[8:]...)
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), CopyCompacts: true, ahead: 50}
		got, turns := inTurns(t, p, last(t, p, 100, ours.End, theirs.End), 0, 0)
		if turns < 5 {
			t.Errorf("%d turns", turns)
		}
		if wrong := got.First != nil; wrong == explained {
			t.Errorf("explained %t: %v", explained, got.First)
		}
		if want := map[bool]int64{true: 0, false: 8}[explained]; got.From != want {
			t.Errorf("explained %t: aligned from %d, want %d", explained, got.From, want)
		}
	}
}

// TestAFrontBeginsWhereBothHaveRecords: retention has taken more from one side than from the other,
// which is nothing wrong.
func TestAFrontBeginsWhereBothHaveRecords(t *testing.T) {
	all := fakes.Records(0, 1000)
	for name, starts := range map[string][2]int{"more from the copy": {0, 300}, "more from the home": {300, 0}} {
		prod, dr, ours, theirs := fakes.Pair()
		ours.Skip(int64(starts[0]))
		theirs.Skip(int64(starts[1]))
		ours.Add(all[starts[0]:]...)
		theirs.Add(all[starts[1]:700]...)
		fakes.Marker(theirs)
		theirs.Add(all[700:]...)
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), ahead: 50}
		a, err := p.Align(t.Context(), 0, Stretch{900, 1000}, Stretch{theirs.Start, theirs.End}, Aligning{Hidden: none, Behind: true})
		if err != nil {
			t.Fatal(err)
		}
		known := catalog.Alignment{Distance: a.Distance.Back(), From: a.From, To: a.To}.Alone(ours.Start)
		got, _ := inTurns(t, p, known, ours.Start, theirs.Start)
		if got.First != nil || got.From != 300 || got.To != 1000 {
			t.Errorf("%s: aligned from %d to %d, want 300 to 1000; %v", name, got.From, got.To, got.First)
		}
	}
}
