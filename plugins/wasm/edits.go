package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// perHeader is what a header counts that an edit looks at.
const perHeader = 64

// change checks all edits of a call, and then writes the records up to the last one that they
// change, in its time.
func (g *Guest) change(spend spender, call portion, edits, input []byte, kind uint16) error {
	if err := check(spend, call, edits, kind); err != nil {
		return err
	}
	w := writer{spend: spend, input: input, desc: descriptor(len(call.groups), 0), kind: kind}
	before := 0 // records of the groups so far
	for i := range call.groups {
		s := &call.groups[i]
		n := s.last - s.first
		for len(edits) > 0 {
			record := int(le.Uint32(edits))
			if record >= before+n {
				break
			}
			if b := s.batch; b.part.Refused != nil {
				edits, _ = new(edit).take(edits, call.records, 0)
				continue
			} else if !b.touched {
				b.begin(&g.buffers, kind, len(edits))
			}
			var err error
			if edits, err = w.record(s.batch, s.first+record-before, record, edits); err != nil {
				return err
			}
		}
		before += n
	}
	return nil
}

// check goes through all edits of a call, and refuses the partitions of records that they reject.
func check(spend spender, call portion, edits []byte, kind uint16) error {
	last, rejected := 0, false
	var e edit
	for b := edits; len(b) > 0; {
		rest, err := e.take(b, call.records, last)
		if err == nil {
			err = spend.spend(abi.EditHead)
		}
		if err != nil {
			return err
		}
		b, last, rejected = rest, e.record, rejected || e.op == abi.OpReject
	}
	if !rejected {
		return nil
	}
	at, before := 0, 0 // the group that the record is in, and the records before it
	for b := edits; len(b) > 0; {
		b, _ = e.take(b, call.records, 0)
		if e.op != abi.OpReject {
			continue
		}
		for n := call.groups[at].last - call.groups[at].first; e.record >= before+n; n = call.groups[at].last - call.groups[at].first {
			before += n
			at++
		}
		code := e.arg
		if kind == abi.KindFetch {
			code = int16(kafka.TopicAuthorizationFailed)
		}
		call.groups[at].batch.part.reject(RefusalError{Code: code, Message: string(e.name), Index: call.groups[at].first + e.record - before})
	}
	return nil
}

// begin begins to write a batch anew.
func (b *batch) begin(buffers *buffers, kind uint16, more int) {
	gaps := kafka.CloseGaps
	if kind == abi.KindFetch {
		gaps = kafka.KeepGaps
	}
	b.touched, b.buffer = true, buffers.get()
	b.out = b.plain.Rewrite(*b.buffer, gaps, more)
}

// keep takes the records before record i as they are.
func (b *batch) keep(i int) {
	for ; b.written < i && b.plain.Next(&b.last); b.written++ {
		b.out.Keep(&b.last)
	}
}

// writer writes records that the guest has changed.
type writer struct {
	spend   spender
	input   []byte // the block, as the guest has left it
	desc    int    // where the first record is described in it
	kind    uint16
	headers []byte // that are put together
	edit    edit   // that is at hand
}

// record writes record i of a batch as the first of the edits make it, which are of the record with
// that number in the call. It returns the other edits.
func (w *writer) record(b *batch, i, number int, edits []byte) (rest []byte, err error) {
	b.keep(i)
	r := &b.last
	if !b.plain.Next(r) {
		return nil, errBadResult
	}
	b.written++
	drop, own, framed := false, false, true
	for len(edits) > 0 && int(le.Uint32(edits)) == number {
		e := &w.edit
		edits, _ = e.take(edits, number+1, 0)
		framed = framed && (e.op == abi.OpValueInPlace || e.op == abi.OpKeyInPlace)
		switch desc := w.desc + number*abi.RecordSize; e.op {
		case abi.OpValueInPlace:
			err = inPlace(&r.Value, desc+abi.RecordValue, w.input)
		case abi.OpKeyInPlace:
			err = inPlace(&r.Key, desc+abi.RecordKey, w.input)
		case abi.OpSetValue:
			r.Value = e.value
		case abi.OpSetKey:
			r.Key = e.value
		case abi.OpSetTimestamp:
			r.Timestamp = int64(le.Uint64(e.value))
		case abi.OpAddHeader, abi.OpRemoveHeaders:
			if !own {
				r.Headers.Bytes, own = append(w.headers[:0], r.Headers.Bytes...), true
			}
			err = w.header(&r.Headers, e)
		case abi.OpDrop:
			drop = true
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case drop:
		b.drop(r, w.kind)
	case framed:
		b.out.KeepWith(r)
	default:
		b.out.Put(r)
	}
	return edits, nil
}

// header adds a header or removes some, in memory for the headers of one record.
func (w *writer) header(h *kafka.Headers, e *edit) error {
	if e.op == abi.OpAddHeader {
		h.Add(e.name, e.value)
		w.headers = h.Bytes
		return nil
	}
	if err := w.spend.spend(perHeader * h.Count); err != nil {
		return err
	}
	h.Remove(e.name)
	return nil
}

// drop leaves a record out. Of an idempotent producer it becomes a tombstone. Of any other producer
// it does too as long as no record before it is kept: whether the batch may go without it is known
// when all of it is.
func (b *batch) drop(r *kafka.RawRecord, kind uint16) {
	b.gone = append(b.gone, b.written-1)
	if kind != abi.KindProduce {
		return
	}
	r.Value = nil
	switch {
	case b.plain.ProducerID() >= 0:
		b.out.Put(r)
	case b.out.Count() == 0:
		if b.allGone == nil {
			w := b.plain.Rewrite(nil, kafka.CloseGaps, 0)
			b.allGone = &w
		}
		b.allGone.Put(r)
	}
}

// inPlace takes a field from where the guest has changed it. Its length is the host's, and its
// place is in the input: a guest that says otherwise is refused.
func inPlace(field *[]byte, at int, input []byte) error {
	off, n := uint64(le.Uint32(input[at:])), uint64(le.Uint32(input[at+4:]))
	if *field == nil || n != uint64(len(*field)) || off+n > uint64(len(input)) {
		return errBadResult
	}
	*field = input[off : off+n : off+n]
	return nil
}

// settle decides what becomes of records that were dropped on produce; see Kafka's rules in
// sdk/ABI.md.
func (g *Guest) settle(ctx context.Context, h *Head, b *batch) {
	if len(b.gone) == 0 || h.Kind != abi.KindProduce {
		return
	}
	all := len(b.gone) == int(b.plain.Count())
	if b.plain.ProducerID() < 0 && !all {
		return
	}
	var why error // is not nil if they can't be tombstones
	code := int16(kafka.InvalidRecord)
	switch {
	case !g.Tombstones:
		why = errDropped
	case h.Topics == nil:
	default:
		switch yes, err := h.Topics.Compacted(ctx, h.Cluster, b.part.Topic); {
		case err != nil:
			why, code = fmt.Errorf("dropped by a guest, and whether the topic is compacted is not known: %w", err), int16(kafka.RequestTimedOut)
		case yes:
			why = errCompacted
		}
	}
	if why != nil {
		for _, i := range b.gone {
			b.part.reject(RefusalError{Code: code, Message: why.Error(), Index: i})
		}
	} else if b.plain.ProducerID() < 0 {
		b.out = *b.allGone
	}
	b.gone = nil // all of them stay, in one way or another
}

var (
	errDropped   = errors.New("dropped by a guest, which a broker would not take: see produce_drop")
	errCompacted = errors.New("dropped by a guest, and in its place a tombstone would delete what the compacted topic has under its key")
)
