package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Error codes of Kafka that the host gives.
const ()

// Partition is the records of one partition, before and after a guest.
type Partition struct {
	Topic   string
	ID      [16]byte
	Number  int32
	Records []byte
	// Out has the records after the guest, nil if it changed none.
	Out []byte
	// Refused is not nil if the guest refused a record: the partition is answered with it. Rejected
	// are all of them.
	Refused  *RefusalError
	Rejected []RefusalError
	// Dropped are the records left out, counted from the first of the partition that was shown.
	Dropped []int
	// Failed is why the guest was not shown them, or could not be: see Serve.
	Failed error

	index     int // in the view of its request or response
	shown     int
	admission admission
	buffer    *[]byte // what Out is in, nil for memory of its own
}

func (p *Partition) reject(r RefusalError) {
	if p.Rejected = append(p.Rejected, r); p.Refused == nil {
		p.Refused = &p.Rejected[0]
	}
}

// RefusalError is an answer with a Kafka error code.
type RefusalError struct {
	Code    int16
	Message string
	Index   int // of the record in its batch, -1: all of it
	Close   bool
}

func (r *RefusalError) Error() string {
	return fmt.Sprintf("refused by a guest: %s (%d)", r.Message, r.Code)
}

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

// Records shows records to the guest and fills in what it makes of them. The error is a
// *RefusalError if the guest refused all of it; any other means that the call did not work.
func (g *Guest) Records(ctx context.Context, h *Head, parts []*Partition) error {
	within, done := h.Client.Decode()
	defer done()
	batches := g.collect(within, h.Kind, parts)
	defer g.release(batches)
	for _, call := range g.portions(batches) {
		if err := g.show(ctx, h, call); err != nil {
			return err
		}
	}
	for _, b := range batches {
		if b.touched && b.part.Refused == nil {
			g.settle(ctx, h, b)
		}
	}
	if err := g.assemble(parts, batches); err != nil {
		return err
	}
	if g.Trace != nil {
		for _, p := range parts {
			g.Trace(g.Name, h, p)
		}
	}
	return nil
}

// release takes the memory of batches back.
func (g *Guest) release(batches []*batch) {
	for _, b := range batches {
		for _, p := range [...]*[]byte{b.memory, b.buffer} {
			if p != nil {
				g.buffers.put(p)
			}
		}
		b.memory, b.buffer = nil, nil
	}
}

var errOldFormat = errors.New("record formats before 2 can't be shown to a guest, and this one must not be passed by")

// collect opens what guests are shown: no control batches, no broken ones, and no formats before 2.
// A partition with a batch that can't be decoded, or is too large then, is refused where it is
// produced; one that a broker has is a failure, of which on_error decides what becomes.
func (g *Guest) collect(within kafka.Bounds, kind uint16, parts []*Partition) (out []*batch) {
	for _, p := range parts {
		first := len(out)
		var err error
		if out, err = g.openAll(within, p, out); err == nil {
			continue
		}
		g.release(out[first:])
		if out = out[:first]; kind == abi.KindProduce {
			p.reject(RefusalError{Code: int16(kafka.InvalidRecord), Message: err.Error(), Index: -1})
		} else {
			p.Failed = err
		}
	}
	return out
}

// openAll adds the batches of a partition.
func (g *Guest) openAll(within kafka.Bounds, p *Partition, out []*batch) ([]*batch, error) {
	end := 0 // of the batches that were seen
	for at, raw := range kafka.Batches(p.Records) {
		end = at + len(raw)
		if raw.IsControl() || raw.Count() == 0 || !raw.ValidCRC() { // who checks a broken one next must find it so
			continue
		}
		b := &batch{part: p, at: at, first: p.shown}
		var buf []byte
		if raw.Compression() != 0 {
			b.memory = g.buffers.get()
			buf = *b.memory
		}
		var err error
		if b.plain, err = within.Open(buf, raw); err != nil {
			return append(out, b), err
		}
		if cap(b.plain.Bytes) > cap(buf) && b.memory != nil { // it was too small
			*b.memory = b.plain.Bytes
		}
		out = append(out, b)
		p.shown += int(raw.Count())
	}
	if g.Manifest.FailClosedOnly && kafka.HasOldMagic(p.Records[end:]) {
		return out, errOldFormat
	}
	return out, nil
}

// show makes one call, and writes what it changes while the plugin's copy is still the call's: it
// is read where it stands.
func (g *Guest) show(ctx context.Context, h *Head, call portion) error {
	var refusal error // is no failure of the guest
	b := block{size: headRoom + len(call.groups)*(abi.GroupSize+256) + call.block, head: h, call: call}
	err := g.invoke(ctx, abi.ExportOnRecords, h, b, func(s spender, out, input []byte) error {
		r, err := parseResult(out)
		switch {
		case err != nil:
			return err
		case r.action == abi.ActionError:
			refusal = &RefusalError{Code: r.code, Message: string(r.message), Index: -1}
			return nil
		case r.action == abi.ActionClose:
			refusal = &RefusalError{Message: string(r.message), Index: -1, Close: true}
			return nil
		case r.action != abi.ActionForward || r.body != nil:
			return errBadResult
		}
		return g.change(s, call, r.changes, input, h.Kind)
	})
	if err != nil {
		return err
	}
	return refusal
}

// assemble puts the batches that were changed into their partitions; the others stay the bytes that
// they were.
func (g *Guest) assemble(parts []*Partition, batches []*batch) error {
	next := 0
	for _, p := range parts {
		var out []byte
		from, last := 0, 0
		for ; next < len(batches) && batches[next].part == p; next++ {
			b := batches[next]
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

// reclaim takes the memory of what was made of partitions back: nobody reads it any more.
func (g *Guest) reclaim(parts []*Partition) {
	for _, p := range parts {
		if p.buffer != nil {
			g.buffers.put(p.buffer)
			p.buffer, p.Out = nil, nil
		}
	}
}
