package copies

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestALostTailOfACopyThatKeepsOffsets is found where it may begin, between the samples, too.
func TestALostTailOfACopyThatKeepsOffsets(t *testing.T) {
	all := fakes.Records(0, 2000)
	const took = 300 // where the home took over
	for lost, theirs := range map[bool][]kafka.Record{false: all, true: fakes.Changed(all, took, func(r *kafka.Record) { r.Value = nil })} {
		prod, dr, here, there := fakes.Pair()
		here.Add(all...)
		there.Add(theirs...)
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), Source: Identity}
		for died, refused := range map[bool]bool{false: false, true: lost} {
			topic := &catalog.Topic{Copies: map[string][16]byte{"dr": copied.Topic.ID}}
			topic.Grow(1)
			topic.Partitions[0].SetCopy("dr", catalog.Alignment{To: took, Died: died})
			at, err := p.Bounds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found, err := p.Tails(t.Context(), topic, at, Turn{})
			if refused != (err != nil && strings.Contains(err.Error(), "the record at offset 300 on prod")) {
				t.Errorf("lost %t, died %t: %v", lost, died, err)
			}
			if found[0].Died {
				t.Errorf("lost %t, died %t: found %+v", lost, died, found[0])
			}
		}
	}
}

// TestCopiesThatKeepOffsets are exact if records say so at the ends and wherever they are looked
// at; an error names the partition, the offset and the rule.
func TestCopiesThatKeepOffsets(t *testing.T) {
	all := fakes.Records(0, 2000)
	for name, c := range map[string]struct {
		write func(ours, theirs *fakes.Log)
		here  bool // the home compacts
		want  string
	}{
		"the same":      {func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Add(all...) }, false, ""},
		"behind":        {func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Add(all[:1500]...) }, false, ""},
		"begins later":  {func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Skip(500); theirs.Add(all[500:]...) }, false, ""},
		"with markers":  {func(ours, theirs *fakes.Log) { marked(ours, all); marked(theirs, all) }, false, ""},
		"nothing in it": {func(ours, theirs *fakes.Log) {}, false, ""},
		"nothing there": {func(ours, theirs *fakes.Log) { ours.Add(all...) }, false, "none of them on dr"},
		"shifted": {func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(slices.Delete(slices.Clone(all), 700, 701)...)
		}, false, "partition 0: the record at offset 19"},
		"more there": {func(ours, theirs *fakes.Log) { ours.Add(all...); theirs.Add(all...); theirs.Add(all[:3]...) }, false, "partition 0 ends at offset 2000 on prod, but at 2003 on dr"},
		"another start": {func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(fakes.Changed(all, 3, func(r *kafka.Record) { r.Value = nil })...)
		}, false, "partition 0: the record at offset 3 on prod is another one on dr"},
		"another middle": {func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(fakes.Changed(all, 17*58, func(r *kafka.Record) { r.Key = nil })...)
		}, false, "is another one on dr"},
		"another end": {func(ours, theirs *fakes.Log) {
			ours.Add(all...)
			theirs.Add(fakes.Changed(all, 1999, func(r *kafka.Record) { r.Value = nil })...)
		}, false, "partition 0: the record at offset 1999 on prod"},
		"compacted here": {func(ours, theirs *fakes.Log) {
			for i, r := range all {
				if i%5 == 0 {
					ours.Skip(1)
				} else {
					ours.Batch(fakes.Shape{}, r)
				}
			}
			theirs.Add(all...)
		}, true, ""},
		"compacted here, against its settings": {func(ours, theirs *fakes.Log) {
			ours.Add(all[:4]...)
			ours.Skip(1)
			ours.Add(all[5:]...)
			theirs.Add(all...)
		}, false, "partition 0: the record at offset 4 on dr is not on prod"},
	} {
		prod, dr, ours, theirs := fakes.Pair()
		c.write(ours, theirs)
		old, copied := sides(t, prod, dr)
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil), HomeCompacts: c.here}
		_, err := p.Identical(t.Context(), 0, Stretch{ours.Start, ours.End}, Stretch{theirs.Start, theirs.End}, Samples)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case c.want != "" && !errors.Is(err, block.ErrLag) && !strings.Contains(err.Error(), "`copy: identity`"):
			t.Errorf("%s: %v does not name the rule", name, err)
		}
	}
}

// syncOf is a record as MirrorMaker 2 writes it.
func syncOf(topic string, partition int32, home, copied int64) kafka.Record {
	key := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	key = binary.BigEndian.AppendUint32(append(key, topic...), uint32(partition))
	return kafka.Record{Key: key, Value: binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(home)), uint64(copied))}
}

// TestOffsetSyncsSayWhereToLook, on either side: of a copy whose timestamps are the broker's, much
// less is read. What they say is not believed.
func TestOffsetSyncsSayWhereToLook(t *testing.T) {
	all := fakes.Records(0, 30_000)
	lowest := map[string]int64{}
	for name, c := range map[string]struct {
		on    int // 0: the home
		syncs []kafka.Record
	}{
		"none":      {1, nil},
		"there":     {1, []kafka.Record{syncOf("orders", 0, 100, 5100), syncOf("orders", 1, 20_000, 9), syncOf("other", 0, 20_000, 9), syncOf("orders", 0, 19_990, 25_089)}},
		"here":      {0, []kafka.Record{syncOf("orders", 0, 100, 5100), syncOf("orders", 0, 19_990, 25_089)}},
		"wrong":     {1, []kafka.Record{syncOf("orders", 0, 100, 5100), syncOf("orders", 0, 19_990, 30_000)}},
		"not syncs": {1, []kafka.Record{{Key: []byte{0, 200, 1}, Value: make([]byte, 16)}, {Key: []byte("k")}, {Value: []byte("v")}, syncOf("orders", 0, -1, -1)}},
	} {
		prod, dr, ours, theirs := fakes.Pair()
		for b := range slices.Chunk(all, 200) {
			ours.Batch(fakes.Shape{}, b...)
		}
		theirs.Add(fakes.Records(90_000, 95_000)...) // of others
		for b := range slices.Chunk(all, 200) {
			theirs.Batch(fakes.Shape{Producer: 9, InOne: true}, b...)
			fakes.Marker(theirs)
		}
		syncs := []*fakes.Cluster{prod, dr}[c.on].Topic("mm2-offset-syncs.x.internal", 1)[0]
		for _, r := range c.syncs {
			syncs.Batch(fakes.Shape{}, r)
		}
		old, copied := sides(t, prod, dr)
		at := int64(len(all)) * 2
		dr.Before = func(req kmsg.Request) {
			if f, ok := req.(*kmsg.FetchRequest); ok && f.Topics[0].Topic == "orders" {
				at = min(at, f.Topics[0].Partitions[0].FetchOffset)
			}
		}
		p := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(false, nil)}
		p.By("mm2")
		a, err := p.Align(t.Context(), 0, Stretch{20_000, 30_000}, Stretch{0, theirs.End}, Aligning{Hidden: none, Behind: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := a.Distance.ToPhysical(29_999); got != theirs.End-2 {
			t.Errorf("%s: the last record is at %d, want %d", name, got, theirs.End-2)
		}
		lowest[name] = at
	}
	for name, want := range map[string]int64{"none": 0, "there": 25_089, "here": 25_089, "wrong": 0, "not syncs": 0} {
		if got := lowest[name]; got != want {
			t.Errorf("%s: the copy was read from %d on, want %d", name, got, want)
		}
	}
}
