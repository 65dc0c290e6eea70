package blocks

import (
	"errors"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// batch is a batch that the guest is shown, and what it makes of it: one that it changes is written
// record by record.
type batch struct {
	part   *Partition
	at     int // its position in the partition's records
	first  int // how many records of the partition stand before it
	plain  kafka.Plain
	memory *[]byte // that plain is in, nil if it is the request's

	touched bool
	out     kafka.Rewrite
	buffer  *[]byte         // that out is in
	last    kafka.RawRecord // that was written, or left out
	written int             // how many were
	gone    []int           // records that the guest has dropped
	allGone *kafka.Rewrite  // them as tombstones, as long as no other is left
}

// ErrOldFormat is of records that can't be shown to a guest that must not be passed by.
var ErrOldFormat = errors.New("record formats before 2 can't be shown to a guest, and this one must not be passed by")

// Batches are the batches of a request or an answer that a guest is shown.
type Batches struct {
	kind    uint16
	list    []*batch
	buffers *Buffers
}

// Open opens what guests are shown: no control batches, no broken ones, and no formats before 2. A
// partition with a batch that can't be decoded, or is too large then, is refused where it is
// produced; one that a broker has is a failure, of which on_error decides what becomes. So is one
// in a format before 2, of a guest that must not be passed by.
func Open(buffers *Buffers, within kafka.Bounds, kind uint16, parts []*Partition, protects bool) Batches {
	bs := Batches{kind: kind, buffers: buffers}
	for _, p := range parts {
		first := len(bs.list)
		err := bs.open(within, p, protects)
		if err == nil {
			continue
		}
		buffers.release(bs.list[first:])
		if bs.list = bs.list[:first]; kind == abi.KindProduce {
			p.Reject(RefusalError{Code: int16(kafka.InvalidRecord), Message: err.Error(), Index: -1})
		} else {
			p.Failed = err
		}
	}
	return bs
}

// open adds the batches of a partition.
func (bs *Batches) open(within kafka.Bounds, p *Partition, protects bool) error {
	end := 0 // of the batches that were seen
	for at, raw := range kafka.Batches(p.Records) {
		end = at + len(raw)
		if raw.IsControl() || raw.Count() == 0 || !raw.ValidCRC() { // who checks a broken one next must find it so
			continue
		}
		b := &batch{part: p, at: at, first: p.shown}
		var buf []byte
		if raw.Compression() != 0 {
			b.memory = bs.buffers.get()
			buf = *b.memory
		}
		var err error
		if b.plain, err = within.Open(buf, raw); err != nil {
			bs.list = append(bs.list, b)
			return err
		}
		if cap(b.plain.Bytes) > cap(buf) && b.memory != nil { // it was too small
			*b.memory = b.plain.Bytes
		}
		bs.list = append(bs.list, b)
		p.shown += int(raw.Count())
	}
	if protects && kafka.HasOldMagic(p.Records[end:]) {
		return ErrOldFormat
	}
	return nil
}

// Release takes the memory of the batches back.
func (bs *Batches) Release() { bs.buffers.release(bs.list) }

// Assemble puts the batches that were changed into the partitions that they were opened of; the
// others stay the bytes that they were.
func (bs *Batches) Assemble(parts []*Partition) error {
	next := 0
	for _, p := range parts {
		var out []byte
		from, last := 0, 0
		for ; next < len(bs.list) && bs.list[next].part == p; next++ {
			b := bs.list[next]
			if !b.touched || p.Refused != nil {
				continue
			}
			raw, err := b.finish()
			if err != nil {
				return err
			}
			if last = b.at + len(b.plain.Batch); b.at == 0 && last == len(p.Records) {
				out, p.buffer, b.buffer = raw, b.buffer, nil // there is nothing else
				continue
			}
			if out == nil {
				out = make([]byte, 0, len(p.Records)+len(raw))
			}
			out = append(append(out, p.Records[from:b.at]...), raw...)
			from = last
		}
		if out != nil {
			p.Out = append(out, p.Records[last:]...)
		}
	}
	return nil
}

// finish writes the records behind the last one that was changed.
func (b *batch) finish() (kafka.Batch, error) {
	b.keep(int(b.plain.Count()))
	raw, err := b.out.Batch()
	if err == nil {
		*b.buffer = raw
	}
	for _, i := range b.gone {
		b.part.Dropped = append(b.part.Dropped, b.first+i)
	}
	return raw, err
}
