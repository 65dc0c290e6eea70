package blocks

import (
	"errors"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Result is what a call was answered with: a result block, checked. Its fields alias the block.
type Result struct {
	Action             uint16
	Code               int16
	Message            []byte
	State, Body, Edits []byte // nil: absent
}

// Refusal is what the guest refuses all of it with; nil if it does not.
func (r *Result) Refusal() *RefusalError {
	if r.Action != abi.ActionError && r.Action != abi.ActionClose {
		return nil
	}
	return &RefusalError{Code: r.Code, Message: string(r.Message), Index: -1, Close: r.Action == abi.ActionClose}
}

// ErrResult is of a guest that answers with what is no result block.
var ErrResult = errors.New("the result is not a result block")

// ParseResult checks a result block; nil is "unchanged".
func ParseResult(b []byte) (r Result, err error) {
	if b == nil {
		return r, nil
	}
	if len(b) < abi.ResultSize || le.Uint32(b) < abi.ResultSize {
		return r, ErrResult
	}
	r.Action, r.Code = le.Uint16(b[abi.ResultAction:]), int16(le.Uint16(b[abi.ResultCode:]))
	if r.Action > abi.ActionRespondClose {
		return r, ErrResult
	}
	for _, p := range [...]struct {
		at int
		to *[]byte
	}{{abi.ResultMessage, &r.Message}, {abi.ResultState, &r.State}, {abi.ResultBody, &r.Body}, {abi.ResultEdits, &r.Edits}} {
		off, n := uint64(le.Uint32(b[p.at:])), uint64(le.Uint32(b[p.at+4:]))
		switch {
		case off == 0:
		case off+n > uint64(len(b)):
			return r, ErrResult
		default:
			*p.to = b[off : off+n : off+n]
		}
	}
	if len(r.State) > abi.StateMax {
		return r, ErrResult
	}
	return r, nil
}

// edit is one change of a record.
type edit struct {
	record int
	op     byte
	arg    int16
	name   []byte
	value  []byte // nil is null
}

// take reads an edit off the front; records is how many there are. It fills one in, since there are
// as many as records.
func (e *edit) take(b []byte, records, last int) (rest []byte, err error) {
	if len(b) < abi.EditHead {
		return nil, ErrResult
	}
	index, n1, n2 := le.Uint32(b), uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	e.record, e.op, e.arg = int(index), b[4], int16(le.Uint16(b[6:]))
	null := n2 == abi.Null
	if null {
		n2 = 0
	}
	if b = b[abi.EditHead:]; n1+n2 > uint64(len(b)) || uint64(index) >= uint64(records) || int(index) < last {
		return nil, ErrResult
	}
	e.name, e.value = b[:n1], nil
	if !null {
		e.value = b[n1 : n1+n2 : n1+n2]
	}
	switch e.op {
	case abi.OpAddHeader, abi.OpSetValue, abi.OpSetKey, abi.OpDrop, abi.OpRemoveHeaders, abi.OpReject, abi.OpValueInPlace, abi.OpKeyInPlace:
	case abi.OpSetTimestamp:
		if len(e.value) != 8 {
			return nil, ErrResult
		}
	default:
		return nil, ErrResult
	}
	return b[n1+n2:], nil
}
