package blocks

import (
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// perHeader is what a header counts that an edit looks at.
const perHeader = 64

// Spender counts bytes that the gateway handles for a call, and says when it is over.
type Spender interface{ Spend(bytes int) error }

// Change checks all edits of a call, and then writes the records up to the last one that they
// change, in its time. The input is the block, as the guest has left it.
func (bs *Batches) Change(spend Spender, call Portion, edits, input []byte) error {
	if err := check(spend, call, edits, bs.kind); err != nil {
		return err
	}
	w := writer{spend: spend, input: input, desc: descriptor(len(call.groups), 0), kind: bs.kind}
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
				b.begin(bs.buffers, bs.kind, len(edits))
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
func check(spend Spender, call Portion, edits []byte, kind uint16) error {
	last, rejected := 0, false
	var e edit
	for b := edits; len(b) > 0; {
		rest, err := e.take(b, call.records, last)
		if err == nil {
			err = spend.Spend(abi.EditHead)
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
		call.groups[at].batch.part.Reject(RefusalError{Code: code, Message: string(e.name), Index: call.groups[at].first + e.record - before})
	}
	return nil
}

// begin begins to write a batch anew.
func (b *batch) begin(buffers *Buffers, kind uint16, more int) {
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
	spend   Spender
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
		return nil, ErrResult
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
	if err := w.spend.Spend(perHeader * h.Count); err != nil {
		return err
	}
	h.Remove(e.name)
	return nil
}

// inPlace takes a field from where the guest has changed it. Its length is the host's, and its
// place is in the input: a guest that says otherwise is refused.
func inPlace(field *[]byte, at int, input []byte) error {
	off, n := uint64(le.Uint32(input[at:])), uint64(le.Uint32(input[at+4:]))
	if *field == nil || n != uint64(len(*field)) || off+n > uint64(len(input)) {
		return ErrResult
	}
	*field = input[off : off+n : off+n]
	return nil
}
