package wasm

import (
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// portions divides batches into calls within the limits; a record too large for one has a call of its own.
func (g *Guest) portions(batches []*batch) (out [][]shown) {
	var call []shown
	size, count := 0, 0
	for _, b := range batches {
		first := 0
		for i := range b.records {
			n := recordSize(&b.records[i])
			if count > 0 && (size+n > g.limits.CallBytes || count >= g.limits.CallRecords) {
				if i > first {
					call = append(call, shown{b, first, i})
				}
				out, call = append(out, call), nil
				first, size, count = i, 0, 0
			}
			size += n
			count++
		}
		call = append(call, shown{b, first, len(b.records)})
	}
	if len(call) > 0 {
		out = append(out, call)
	}
	return out
}

func recordSize(r *kafka.Record) int {
	n := abi.RecordSize + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 8 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}
