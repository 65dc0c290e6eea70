package copies

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// Data shows the data records of [from, to) in their order: no markers, and nothing of transactions
// that were aborted. It returns the offset up to which it has looked, which is below to where the
// log ends earlier or a transaction is open, and how many bytes were read.
func (s *Side) Data(ctx context.Context, f *kafka.Fingerprints, partition int32, from, to int64, visit func(align.Record)) (next, bytes int64, err error) {
	return s.dataUpTo(ctx, f, partition, from, to, math.MaxInt64, visit)
}

// dataUpTo is Data that ends when it has read so many bytes.
func (s *Side) dataUpTo(ctx context.Context, f *kafka.Fingerprints, partition int32, from, to, most int64, visit func(align.Record)) (next, bytes int64, err error) {
	var buf []byte
	for from < to && bytes < most {
		next := from
		w := joint.Wanted{Partition: partition, From: from, Most: joint.ReadBytes, Committed: true}
		err := s.fetch(ctx, w, func(b joint.Batches) (err error) {
			bytes += int64(len(b.Records))
			t := transactions{left: b.Aborted, aborted: map[int64]bool{}, buf: buf}
			next, err = walk(b.Records, from, to, func(b kafka.Batch) error { return t.data(f, b, from, to, visit) })
			buf = t.buf
			return err
		})
		if err != nil || next == from {
			return from, bytes, err
		}
		from = next
	}
	return from, bytes, nil
}

// Assume is the distance of a log of which data is all that it has in a stretch, and nothing but
// data has offsets in the virtual log, from one on.
func (s *Side) Assume(ctx context.Context, partition int32, all Stretch, virtual int64) (catalog.Distance, error) {
	runs := []catalog.Run{{Virtual: virtual, Physical: all.From, Records: catalog.Open}}
	_, _, err := s.Data(ctx, kafka.NewFingerprints(true, nil), partition, all.From, all.To, func(r align.Record) {
		last := &runs[len(runs)-1]
		if n := r.Offset - last.Physical; virtual != last.Virtual+n {
			if last.Records = virtual - last.Virtual; last.Records == 0 {
				runs = runs[:len(runs)-1]
			}
			runs = append(runs, catalog.Run{Virtual: virtual, Physical: r.Offset, Records: catalog.Open})
		}
		virtual++
	})
	if err != nil {
		return catalog.Distance{}, err
	}
	d, err := catalog.DistanceOf(runs...)
	return d.Then(virtual, all.To), err
}

// DataEnd is the offset behind the last data record of a log, as far as its last offsets tell:
// markers of transactions, and what they have aborted, may follow it. all is where the log begins
// and ends.
func (s *Side) DataEnd(ctx context.Context, partition int32, all Stretch) (int64, error) {
	from := max(all.From, all.To-Tail)
	last := min(from, all.To)
	_, _, err := s.Data(ctx, kafka.NewFingerprints(true, nil), partition, from, all.To, func(r align.Record) { last = r.Offset + 1 })
	return last, err
}

// transactions are those that were aborted, as consumers that read what is committed keep them.
type transactions struct {
	left    []kmsg.FetchResponseTopicPartitionAbortedTransaction
	aborted map[int64]bool // producers of those that have begun, and not ended yet
	buf     []byte         // of what was decompressed
}

// data shows the data records of a batch.
func (t *transactions) data(f *kafka.Fingerprints, b kafka.Batch, from, to int64, visit func(align.Record)) error {
	for len(t.left) > 0 && t.left[0].FirstOffset <= b.LastOffset() {
		t.aborted[t.left[0].ProducerID] = true
		t.left = t.left[1:]
	}
	p, err := f.Within.Open(t.buf, b)
	if err != nil {
		return err
	}
	if b.Compression() != 0 {
		t.buf = p.Bytes[:0]
	}
	var r kafka.RawRecord
	switch {
	case b.IsControl():
		if p.Next(&r) && aborts(r.Key) {
			delete(t.aborted, b.ProducerID())
		}
		return nil
	case b.IsTransactional() && t.aborted[b.ProducerID()]:
		return nil
	}
	for p.Next(&r) {
		if r.Offset >= from && r.Offset < to {
			visit(align.Record{Offset: r.Offset, Print: f.OfRaw(&r), Key: f.OfKey(r.Key), Tombstone: r.Value == nil})
		}
	}
	return nil
}

// aborts reports the key of a marker that ends a transaction without its records: a version and a
// type, of two bytes each.
func aborts(key []byte) bool { return len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == 0 }
