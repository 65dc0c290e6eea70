package wasm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// perHeader is what a header counts that an edit looks at.
const perHeader = 64

// change checks all edits of a call, and then applies them, in its time. The records alias edits and input then.
func change(spend spender, call []shown, records int, edits, input []byte, kind uint16) error {
	last := 0
	for b := edits; len(b) > 0; {
		e, rest, err := nextEdit(b, records, last)
		if err != nil {
			return err
		}
		b, last = rest, e.record
	}
	var notes notes
	group, first := 0, 0 // the group that the record is in, and its first record
	for b := edits; len(b) > 0; {
		var e edit
		e, b, _ = nextEdit(b, records, 0)
		for n := call[group].last - call[group].first; e.record >= first+n; n = call[group].last - call[group].first {
			first += n
			group++
		}
		s := call[group]
		if err := spend.spend(abi.EditHead + perHeader*s.batch.headers(s.first+e.record-first, e.op)); err != nil {
			return err
		}
		if err := s.batch.change(s.first+e.record-first, e, descriptor(len(call), e.record), input, kind, &notes); err != nil {
			return err
		}
	}
	return nil
}

// notes make many edits of one kind cheap: one header added to each of 500 records.
type notes struct {
	last    string
	headers []kmsg.Header
}

// text is b as a string, the last one if it is the same.
func (n *notes) text(b []byte) string {
	if n.last != string(b) {
		n.last = string(b)
	}
	return n.last
}

// with is list with one more, in memory that many records share.
func (n *notes) with(list []kmsg.Header, h kmsg.Header) []kmsg.Header {
	need, at := len(list)+1, len(n.headers)
	if last := at - len(list); len(list) > 0 && last >= 0 && at < cap(n.headers) && &n.headers[last : last+1][0] == &list[0] {
		n.headers = append(n.headers, h) // list is what was added last
		return n.headers[last : last+need : last+need]
	}
	if cap(n.headers)-at < need {
		n.headers, at = make([]kmsg.Header, 0, max(256, 2*need)), 0
	}
	n.headers = append(append(n.headers, list...), h)
	return n.headers[at : at+need : at+need]
}

// headers is how many headers of record i an edit goes through.
func (b *batch) headers(i int, op byte) int {
	if op == abi.OpRemoveHeaders {
		return len(b.records[i].Headers)
	}
	return 0
}

// descriptor is where record i is described in a block of so many groups: the guest may have changed what its copy of
// the head says.
func descriptor(groups, i int) int { return abi.HeadSize + groups*abi.GroupSize + i*abi.RecordSize }

// change applies one edit to a record.
func (b *batch) change(i int, e edit, desc int, input []byte, kind uint16, n *notes) error {
	r := &b.records[i]
	b.touched = true
	switch e.op {
	case abi.OpAddHeader:
		r.Headers = n.with(r.Headers, kmsg.Header{Key: n.text(e.name), Value: e.value})
	case abi.OpRemoveHeaders:
		r.Headers = slices.DeleteFunc(r.Headers, func(h kmsg.Header) bool { return h.Key == string(e.name) })
	case abi.OpSetValue:
		r.Value = e.value
	case abi.OpSetKey:
		r.Key = e.value
	case abi.OpSetTimestamp:
		r.Timestamp = int64(le.Uint64(e.value))
	case abi.OpValueInPlace:
		return inPlace(&r.Value, desc+abi.RecordValue, input)
	case abi.OpKeyInPlace:
		return inPlace(&r.Key, desc+abi.RecordKey, input)
	case abi.OpDrop:
		if b.gone == nil {
			b.gone = make([]bool, len(b.records))
		}
		b.gone[i] = true
	case abi.OpReject:
		code := e.arg
		if kind == abi.KindFetch {
			code = authorizationFailed
		}
		b.part.reject(RefusalError{Code: code, Message: string(e.name), Index: i})
	}
	return nil
}

// inPlace takes a field from where the guest has changed it. Its length is the host's, and its place is in the input: a
// guest that says otherwise is refused.
func inPlace(field *[]byte, at int, input []byte) error {
	off, n := uint64(le.Uint32(input[at:])), uint64(le.Uint32(input[at+4:]))
	if *field == nil || n != uint64(len(*field)) || off+n > uint64(len(input)) {
		return errBadResult
	}
	*field = input[off : off+n : off+n]
	return nil
}

// inputOf is a copy of the input if an edit says that something in it was changed where it stands: one for all of them.
func inputOf(edits, input []byte, slab func(int) []byte) []byte {
	for b := edits; len(b) > 0; {
		e, rest, err := nextEdit(b, 1<<31-1, 0)
		if err != nil {
			return nil // change says so
		}
		if b = rest; e.op == abi.OpValueInPlace || e.op == abi.OpKeyInPlace {
			return append(slab(len(input)), input...)
		}
	}
	return nil
}

// settle decides what becomes of records that were dropped on produce; see Kafka's rules in sdk/ABI.md.
func (g *Guest) settle(ctx context.Context, h *Head, b *batch) {
	if b.gone == nil || h.Kind != abi.KindProduce {
		return
	}
	all := !slices.Contains(b.gone, false)
	if b.raw.ProducerID() < 0 && !all {
		return
	}
	var why error // is not nil if they can't be tombstones
	code := int16(invalidRecord)
	switch {
	case !g.Tombstones:
		why = errDropped
	case h.Compacted == nil:
	default:
		switch yes, err := h.Compacted(ctx, h.Cluster, b.part.Topic); {
		case err != nil:
			why, code = fmt.Errorf("dropped by a guest, and whether the topic is compacted is not known: %w", err), requestTimedOut
		case yes:
			why = errCompacted
		}
	}
	for i, gone := range b.gone {
		switch {
		case !gone:
		case why == nil:
			b.records[i].Value = nil
		default:
			b.part.reject(RefusalError{Code: code, Message: why.Error(), Index: i})
		}
	}
	b.gone = nil // all of them stay, in one way or another
}

var (
	errDropped   = errors.New("dropped by a guest, which a broker would not take: see produce_drop")
	errCompacted = errors.New("dropped by a guest, and in its place a tombstone would delete what the compacted topic has under its key")
)
