package copies

import (
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestARepeatBehindAllThatTheHomeHas stays in front of what comes next, though nothing has come
// since at home: a move goes by it.
func TestARepeatBehindAllThatTheHomeHas(t *testing.T) {
	all := fakes.Records(0, 100)
	prod, dr, ours, theirs := fakes.Pair()
	ours.Add(all...)
	theirs.Add(all...)
	theirs.Add(all[50:]...)
	old, copied := sides(t, prod, dr)
	p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}
	topic := &catalog.Topic{Copies: map[string][16]byte{"dr": copied.Topic.ID}}
	topic.Grow(1)
	topic.Partitions[0].SetCopy("dr", catalog.Alignment{To: 100})
	at, err := p.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.Tails(t.Context(), topic, at, Turn{})
	if err != nil {
		t.Fatal(err)
	}
	if got := found[0].Distance.ToPhysical(100); got != 150 {
		t.Errorf("what comes next is at %d, want 150", got)
	}
}

// TestAHomeThatComesBackIsKnownFromTheFirstTurnOn, although the turn has ended with records of it
// left for which the home has to be read on.
func TestAHomeThatComesBackIsKnownFromTheFirstTurnOn(t *testing.T) {
	all := fakes.Records(0, 1000)
	prod, dr, ours, theirs := fakes.Pair()
	for _, r := range all { // prod has half of the records that dr has at as many offsets
		ours.Add(r)
		fakes.Marker(ours)
	}
	theirs.Add(fakes.Records(5000, 5007)...)
	theirs.Add(all...)
	old, copied := sides(t, prod, dr)
	p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), ahead: 40}
	how := Aligning{Hidden: none, Behind: true, Turn: Turn{Pace: &Pace{}, Until: forever(), Bytes: 1}}
	got, err := p.Return(t.Context(), 0, catalog.Alignment{Died: true}, Stretch{0, ours.End}, Stretch{0, theirs.End}, how)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Cut || !got.Begun || got.Lost != 7 {
		t.Errorf("begun %t, cut %t, %d lost", got.Begun, got.Cut, got.Lost)
	}
	if got.To <= 0 || got.To >= ours.End || got.Distance.ToPhysical(got.To) != 7+(got.To+1)/2 {
		t.Errorf("aligned up to %d, which is at %d", got.To, got.Distance.ToPhysical(got.To))
	}
}
