// Package sdktest runs plugins natively, so that an author's tests need neither WASM nor a gateway.
package sdktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Header is a header of a record; a nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Record is a record that a plugin is shown, and what becomes of it. Nil Key and Value are null.
type Record struct {
	Topic      string
	Partition  int32
	Timestamp  time.Time
	Offset     int64
	Key, Value []byte
	Headers    []Header
}

// Client is who sends a request; the zero value is nobody in particular.
type Client struct {
	ID, Principal, VirtualCluster, Address string
}

// Result is what a plugin made of records.
type Result struct {
	// Records are the records after all edits, without those dropped.
	Records []Record
	// Dropped and Rejected are indices of the records as they were shown.
	Dropped  []int
	Rejected map[int]*sdk.Error
	// Refused is not nil if the plugin refused the request.
	Refused *sdk.Error
}

// Produce shows records to a plugin as those of a Produce request.
func Produce(g *sdk.Guest, c Client, records ...Record) (Result, error) {
	return run(g, abi.KindProduce, 0, 9, c, records)
}

// Fetch shows records to a plugin as those of a Fetch response.
func Fetch(g *sdk.Guest, c Client, records ...Record) (Result, error) {
	return run(g, abi.KindFetch, 1, 12, c, records)
}

func run(g *sdk.Guest, kind, key, version uint16, c Client, records []Record) (Result, error) {
	block := Block(kind, key, version, c, records)
	return apply(block, g.Call(block), records)
}

var le = binary.LittleEndian

// Block writes a record block; records of one topic and partition that stand side by side are one
// batch.
func Block(kind, key, version uint16, c Client, records []Record) []byte {
	type span struct{ first, count int }
	var groups []span
	for i, r := range records {
		if n := len(groups); n > 0 && records[groups[n-1].first].Topic == r.Topic && records[groups[n-1].first].Partition == r.Partition {
			groups[n-1].count++
			continue
		}
		groups = append(groups, span{i, 1})
	}
	at := abi.HeadSize + len(groups)*abi.GroupSize
	b := make([]byte, at+len(records)*abi.RecordSize)
	piece := func(at int, p []byte, null bool) {
		le.PutUint32(b[at:], uint32(len(b)))
		le.PutUint32(b[at+4:], uint32(len(p)))
		if null {
			le.PutUint32(b[at+4:], abi.Null)
		}
		b = append(b, p...)
	}
	le.PutUint32(b[abi.HeadLen:], abi.HeadSize)
	le.PutUint16(b[abi.HeadKind:], kind)
	le.PutUint16(b[abi.HeadKey:], key)
	le.PutUint16(b[abi.HeadVersion:], version)
	le.PutUint64(b[abi.HeadDeadline:], uint64(time.Now().Add(time.Minute).UnixNano()))
	for i, n := range []int{abi.GroupSize, len(groups), abi.HeadSize, abi.RecordSize, len(records), at} {
		le.PutUint32(b[abi.HeadGroups+4*i:], uint32(n))
	}
	piece(abi.HeadClient, []byte(c.ID), false)
	piece(abi.HeadPrincipal, []byte(c.Principal), false)
	piece(abi.HeadVirtualCluster, []byte(c.VirtualCluster), false)
	piece(abi.HeadAddress, []byte(c.Address), false)
	for i, g := range groups {
		at := abi.HeadSize + i*abi.GroupSize
		piece(at+abi.GroupTopic, []byte(records[g.first].Topic), false)
		le.PutUint32(b[at+abi.GroupPartition:], uint32(records[g.first].Partition))
		le.PutUint32(b[at+abi.GroupFirst:], uint32(g.first))
		le.PutUint32(b[at+abi.GroupCount:], uint32(g.count))
		le.PutUint64(b[at+abi.GroupProducerID:], ^uint64(0))
	}
	for i, r := range records {
		at := at + i*abi.RecordSize
		le.PutUint64(b[at+abi.RecordTimestamp:], uint64(r.Timestamp.UnixMilli()))
		le.PutUint64(b[at+abi.RecordOffset:], uint64(r.Offset))
		piece(at+abi.RecordKey, r.Key, r.Key == nil)
		piece(at+abi.RecordValue, r.Value, r.Value == nil)
		le.PutUint32(b[at+abi.RecordHeaders:], uint32(len(b)))
		le.PutUint32(b[at+abi.RecordHeaders+4:], uint32(len(r.Headers)))
		for _, h := range r.Headers {
			n := uint32(len(h.Value))
			if h.Value == nil {
				n = abi.Null
			}
			b = le.AppendUint32(le.AppendUint32(b, uint32(len(h.Key))), n)
			b = append(append(b, h.Key...), h.Value...)
		}
	}
	return b
}

func pieceOf(b []byte, at int) []byte {
	off := le.Uint32(b[at:])
	return b[off : off+le.Uint32(b[at+4:])]
}

// apply does to records what the edits of a result say.
func apply(block, res []byte, records []Record) (Result, error) {
	out := Result{Rejected: map[int]*sdk.Error{}}
	all := slices.Clone(records)
	for i := range all {
		all[i].Headers = slices.Clone(all[i].Headers)
	}
	if res != nil {
		if code := int16(le.Uint16(res[abi.ResultCode:])); le.Uint16(res[abi.ResultAction:]) == abi.ActionError {
			out.Refused = &sdk.Error{Code: code, Message: string(pieceOf(res, abi.ResultMessage))}
			return out, nil
		}
		first := int(le.Uint32(block[abi.HeadRecords+8:]))
		for e := pieceOf(res, abi.ResultEdits); len(e) > 0; {
			i, op, arg, n1, n2 := int(le.Uint32(e)), e[4], int16(le.Uint16(e[6:])), le.Uint32(e[8:]), le.Uint32(e[12:])
			var value []byte
			e = e[abi.EditHead:]
			name := string(e[:n1])
			if e = e[n1:]; n2 != abi.Null {
				value = append([]byte{}, e[:n2]...)
				e = e[n2:]
			}
			r, desc := &all[i], block[first+i*abi.RecordSize:]
			switch op {
			case abi.OpAddHeader:
				r.Headers = append(r.Headers, Header{name, value})
			case abi.OpRemoveHeaders:
				r.Headers = slices.DeleteFunc(r.Headers, func(h Header) bool { return h.Key == name })
			case abi.OpSetValue:
				r.Value = value
			case abi.OpSetKey:
				r.Key = value
			case abi.OpSetTimestamp:
				r.Timestamp = time.UnixMilli(int64(le.Uint64(value)))
			case abi.OpDrop:
				out.Dropped = append(out.Dropped, i)
			case abi.OpReject:
				out.Rejected[i] = &sdk.Error{Code: arg, Message: name}
			case abi.OpValueInPlace:
				off := le.Uint32(desc[abi.RecordValue:])
				r.Value = bytes.Clone(block[off : off+uint32(len(r.Value))])
			case abi.OpKeyInPlace:
				off := le.Uint32(desc[abi.RecordKey:])
				r.Key = bytes.Clone(block[off : off+uint32(len(r.Key))])
			default:
				return out, fmt.Errorf("unknown edit %d", op)
			}
		}
	}
	for i, r := range all {
		if !slices.Contains(out.Dropped, i) {
			out.Records = append(out.Records, r)
		}
	}
	return out, nil
}
