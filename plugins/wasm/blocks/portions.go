package blocks

import (
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Portion is the records of one call.
type Portion struct {
	groups  []group
	records int
	size    int // as limits.call_bytes counts: about what keys, values, headers and descriptors take
	block   int // that the records take in the block
}

// group is a part of a batch in one call: its records, counted in the batch, and where their bytes
// begin and end.
type group struct {
	batch       *batch
	first, last int
	from, to    int
}

// Portions divides batches into calls of so many bytes and records at most; a record too large for
// one has a call of its own.
func (bs *Batches) Portions(bytes, records int) (out []Portion) {
	var call Portion
	next := func() {
		if len(call.groups) > 0 {
			out, call = append(out, call), Portion{}
		}
	}
	for _, b := range bs.list {
		p, n := &b.plain, int(b.plain.Count())
		most := (abi.RecordSize-kafka.SmallestRecord)*n + len(p.Bytes)
		if p.Headers == 0 && call.size+most <= bytes && call.records+n <= records {
			call.add(group{b, 0, n, 0, len(p.Bytes)}, most, 0)
			continue
		}
		step := p.Next
		if p.Headers == 0 {
			step = p.Skip
		}
		part, size, headers := group{batch: b}, 0, 0
		var r kafka.RawRecord // one for all: a loop's own would be allocated for each
		for i := 0; step(&r); i++ {
			from, to := r.Span()
			n := abi.RecordSize - kafka.SmallestRecord + to - from + 6*r.Headers.Count // whose lengths take 8 bytes in place of 2
			if all := call.records + part.last - part.first; all > 0 && (call.size+size+n > bytes || all >= records) {
				call.add(part, size, headers)
				next()
				part, size, headers = group{b, i, i, part.to, part.to}, 0, 0
			}
			part.last, part.to = i+1, to
			size, headers = size+n, headers+8*r.Headers.Count+len(r.Headers.Bytes)
		}
		call.add(part, size, headers)
	}
	next()
	return out
}

// add adds a group that has records, whose bytes stand in the block as they do in the batch, and
// then the headers once more.
func (p *Portion) add(g group, size, headers int) {
	if n := g.last - g.first; n > 0 {
		p.groups, p.records, p.size = append(p.groups, g), p.records+n, p.size+size
		p.block += n*abi.RecordSize + g.to - g.from + headers
	}
}
