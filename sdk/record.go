package sdk

import (
	"encoding/binary"
	"iter"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Record is a view of one record. Edits may be made in any order of records. What it returns as
// bytes must not be changed, but for SetValueInPlace.
type Record struct {
	all   *Records
	index uint32
	desc  []byte
}

// Key is the record's key, nil for null.
func (r Record) Key() []byte { return r.field(abi.RecordKey) }

// Value is the record's value, nil for null.
func (r Record) Value() []byte { return r.field(abi.RecordValue) }

// Timestamp is the record's time.
func (r Record) Timestamp() time.Time { return time.UnixMilli(int64(u64(r.desc, abi.RecordTimestamp))) }

// Offset is the record's offset; on produce, its number in the batch.
func (r Record) Offset() int64 { return int64(u64(r.desc, abi.RecordOffset)) }

func (r Record) field(at int) []byte {
	n := int32(u32(r.desc, at+4))
	if n < 0 {
		return nil
	}
	off := u32(r.desc, at)
	return r.all.block[off : off+uint32(n) : off+uint32(n)]
}

// Headers walks the headers.
func (r Record) Headers() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		at, n := u32(r.desc, abi.RecordHeaders), u32(r.desc, abi.RecordHeaders+4)
		for ; n > 0; n-- {
			kn, vn := u32(r.all.block, int(at)), int32(u32(r.all.block, int(at)+4))
			key := r.all.block[at+8 : at+8+kn : at+8+kn]
			at += 8 + kn
			var value []byte
			if vn >= 0 {
				value = r.all.block[at : at+uint32(vn) : at+uint32(vn)]
				at += uint32(vn)
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// Header returns the first header with a key.
func (r Record) Header(key string) (value []byte, ok bool) {
	for k, v := range r.Headers() {
		if string(k) == key {
			return v, true
		}
	}
	return nil, false
}

// AddHeader adds a header; a nil value is null.
func (r Record) AddHeader(key string, value []byte) { r.edit(abi.OpAddHeader, 0, key, value) }

// RemoveHeaders removes the headers with a key.
func (r Record) RemoveHeaders(key string) { r.edit(abi.OpRemoveHeaders, 0, key, nil) }

// SetValue replaces the value; nil is null.
func (r Record) SetValue(value []byte) { r.edit(abi.OpSetValue, 0, "", value) }

// SetKey replaces the key; nil is null.
func (r Record) SetKey(key []byte) { r.edit(abi.OpSetKey, 0, "", key) }

// SetValueInPlace says that the bytes of Value were changed where they stand: the cheapest edit
// there is.
func (r Record) SetValueInPlace() { r.all.edit(r.index, abi.OpValueInPlace, 0, 0, 0, 0) }

// SetKeyInPlace says that the bytes of Key were changed where they stand.
func (r Record) SetKeyInPlace() { r.all.edit(r.index, abi.OpKeyInPlace, 0, 0, 0, 0) }

var none = []byte{}

// SetTimestamp replaces the timestamp.
func (r Record) SetTimestamp(t time.Time) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(t.UnixMilli()))
	r.edit(abi.OpSetTimestamp, 0, "", b[:])
}

// Drop leaves the record out. On produce, what becomes of a batch of an idempotent producer is the
// operator's to say: see `produce_drop`.
func (r Record) Drop() { r.edit(abi.OpDrop, 0, "", none) }

// Reject refuses the record, and with it its batch.
func (r Record) Reject(code int16, message string) { r.edit(abi.OpReject, code, message, none) }

func (r Record) edit(op byte, argument int16, name string, value []byte) {
	n := uint32(len(value))
	if value == nil {
		n = abi.Null
	}
	to := r.all.edit(r.index, op, argument, uint32(len(name)), n, len(name)+len(value))
	copy(to[copy(to, name):], value)
}

// edit adds the head of an edit, and returns the room behind it.
func (r *Records) edit(index uint32, op byte, argument int16, name, value uint32, size int) []byte {
	r.mixed = r.mixed || index < r.last
	r.last = index
	at := len(r.edits)
	if size += abi.EditHead; cap(r.edits)-at < size {
		r.edits = slices.Grow(r.edits, size)
	}
	r.edits = r.edits[:at+size]
	e := r.edits[at:]
	binary.LittleEndian.PutUint64(e, uint64(index)|uint64(op)<<32|uint64(uint16(argument))<<48)
	binary.LittleEndian.PutUint64(e[8:], uint64(name)|uint64(value)<<32)
	return e[abi.EditHead:]
}
