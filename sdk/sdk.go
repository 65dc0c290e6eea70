// Package sdk is what authors of plugins write against. The same code runs as a guest in the gateway
// (GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared) and natively in tests.
package sdk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Plugin sees the records that producers send, before they are forwarded.
type Plugin interface {
	// OnProduce looks at the records of one request and edits them. An error refuses the request: a
	// *RejectionError with its code, any other with POLICY_VIOLATION (44).
	OnProduce(*Records) error
}

// Configurer is implemented by plugins that have a `config:` in the YAML, which comes as JSON.
type Configurer interface {
	Configure(json []byte) error
}

// RejectionError refuses a request with a Kafka error code.
type RejectionError struct {
	Code    int16
	Message string
}

func (r *RejectionError) Error() string { return fmt.Sprintf("%s (%d)", r.Message, r.Code) }

const policyViolation = 44

// Records are the records of one request, over all its partitions. They are valid during the call.
type Records struct {
	block []byte
	edits []byte
}

// Len is the number of records.
func (r *Records) Len() int { return int(u32(r.block, abi.HeadRecords+4)) }

// At returns record i.
func (r *Records) At(i int) Record {
	at := int(u32(r.block, abi.HeadRecords+8)) + i*int(u32(r.block, abi.HeadRecords))
	return Record{r, uint32(i), r.block[at:]}
}

// ClientID is the producer's client id.
func (r *Records) ClientID() string { return string(r.bytes(abi.HeadClient)) }

// Topic returns the topic and partition of record i.
func (r *Records) Topic(i int) (topic string, partition int32) {
	size, n, at := int(u32(r.block, abi.HeadGroups)), int(u32(r.block, abi.HeadGroups+4)), int(u32(r.block, abi.HeadGroups+8))
	for ; n > 0; n, at = n-1, at+size {
		g := r.block[at:]
		if first := int(u32(g, abi.GroupFirst)); i >= first && i < first+int(u32(g, abi.GroupCount)) {
			off := u32(g, abi.GroupTopic)
			return string(r.block[off : off+u32(g, abi.GroupTopic+4)]), int32(u32(g, abi.GroupPartition))
		}
	}
	return "", -1
}

func (r *Records) bytes(at int) []byte {
	off := u32(r.block, at)
	return r.block[off : off+u32(r.block, at+4)]
}

// Record is a view of one record.
type Record struct {
	all   *Records
	index uint32
	desc  []byte
}

// Key is the record's key, nil for null. It must not be changed or kept.
func (r Record) Key() []byte { return r.field(abi.RecordKey) }

// Value is the record's value, nil for null. It must not be changed or kept.
func (r Record) Value() []byte { return r.field(abi.RecordValue) }

// Timestamp is in milliseconds since 1970.
func (r Record) Timestamp() int64 { return int64(binary.LittleEndian.Uint64(r.desc)) }

func (r Record) field(at int) []byte {
	n := int32(u32(r.desc, at+4))
	if n < 0 {
		return nil
	}
	off := u32(r.desc, at)
	return r.all.block[off : off+uint32(n)]
}

// Header returns the first header with a key.
func (r Record) Header(key string) (value []byte, ok bool) {
	at, n := int(u32(r.desc, abi.RecordHeaders)), u32(r.desc, abi.RecordHeaders+4)
	for ; n > 0; n-- {
		kn, vn := int(u32(r.all.block, at)), int32(u32(r.all.block, at+4))
		k := r.all.block[at+8 : at+8+kn]
		at += 8 + kn
		var v []byte
		if vn >= 0 {
			v = r.all.block[at : at+int(vn)]
			at += int(vn)
		}
		if string(k) == key {
			return v, true
		}
	}
	return nil, false
}

// AddHeader adds a header; a nil value is null.
func (r Record) AddHeader(key string, value []byte) { r.edit(abi.OpAddHeader, key, value) }

// SetValue replaces the value; nil is null.
func (r Record) SetValue(value []byte) { r.edit(abi.OpSetValue, "", value) }

// SetKey replaces the key; nil is null.
func (r Record) SetKey(key []byte) { r.edit(abi.OpSetKey, "", key) }

func (r Record) edit(op byte, name string, value []byte) {
	n := uint32(len(value))
	if value == nil {
		n = abi.Null
	}
	e := binary.LittleEndian.AppendUint32(r.all.edits, r.index)
	e = append(e, op, 0, 0, 0)
	e = binary.LittleEndian.AppendUint32(e, uint32(len(name)))
	e = binary.LittleEndian.AppendUint32(e, n)
	e = append(e, name...)
	r.all.edits = append(e, value...)
}

func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// Run calls a plugin with a record block and returns the result block, nil for "unchanged". Guests
// and native hosts use it; out is reused.
func Run(p Plugin, block, out []byte) []byte {
	r := Records{block: block, edits: out[:0]}
	for range abi.ResultSize {
		r.edits = append(r.edits, 0)
	}
	err := p.OnProduce(&r)
	res := r.edits
	if err == nil && len(res) == abi.ResultSize {
		return nil
	}
	le := binary.LittleEndian
	le.PutUint32(res, abi.ResultSize)
	if err == nil {
		le.PutUint32(res[abi.ResultEdits:], abi.ResultSize)
		le.PutUint32(res[abi.ResultEdits+4:], uint32(len(res)-abi.ResultSize))
		return res
	}
	code, message := int16(policyViolation), err.Error()
	if rej := (*RejectionError)(nil); errors.As(err, &rej) {
		code, message = rej.Code, rej.Message
	}
	res = append(res[:abi.ResultSize], message...)
	le.PutUint16(res[abi.ResultAction:], abi.ActionError)
	le.PutUint16(res[abi.ResultCode:], uint16(code))
	le.PutUint32(res[abi.ResultMessage:], abi.ResultSize)
	le.PutUint32(res[abi.ResultMessage+4:], uint32(len(message)))
	return res
}
