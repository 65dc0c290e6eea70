package kafka

import "slices"

// patch replaces bytes of a body by others while it is written; the bytes as received stay, so that
// a request can be sent again or elsewhere.
type patch struct {
	at, n   int32
	with    [16]byte // as many bytes, if there is no text
	text    []byte   // in place of a name or records, with its length
	records []byte   // behind text
}

func (p *patch) bytes() []byte {
	if p.text != nil {
		return p.text
	}
	return p.with[:p.n]
}

// patches are those of a body, in the order of their places, with the memory of their texts.
type patches struct {
	list  []patch
	texts []byte
}

// mostTexts bounds the memory of texts that is used again.
const mostTexts = 16 << 10

// reset forgets all; the memory is used again.
func (p *patches) reset() {
	p.list = usedAgain(p.list)
	if p.texts = p.texts[:0]; cap(p.texts) > mostTexts {
		p.texts = nil
	}
}

// put adds a patch in its place.
func (p *patches) put(x patch) {
	i := len(p.list)
	for i > 0 && p.list[i-1].at >= x.at {
		i--
	}
	if i < len(p.list) && p.list[i].at == x.at {
		p.list[i] = x
		return
	}
	p.list = slices.Insert(p.list, i, x)
}

// drop removes the patches between two places.
func (p *patches) drop(from, to int32) {
	p.list = slices.DeleteFunc(p.list, func(x patch) bool { return x.at >= from && x.at < to })
}

// putText puts a string in the place of one that stands between from and to, and returns it in
// memory that stays.
func putText[N string | []byte](p *patches, from, to int32, text N, flexible bool) []byte {
	at := len(p.texts)
	p.texts = appendString(p.texts, text, flexible)
	p.put(patch{at: from, n: to - from, text: p.texts[at:len(p.texts):len(p.texts)]})
	return p.texts[len(p.texts)-len(text) : len(p.texts) : len(p.texts)]
}

// putRecords puts records in the place of those that stand, with their length, between from and to.
// They are referenced, and never null: librdkafka drops an answer that has null ones.
func (p *patches) putRecords(from, to int32, records []byte, flexible bool) {
	p.drop(from, to)
	p.put(patch{at: from, n: to - from, text: appendLength(nil, len(records), flexible), records: records})
}

// appendRange writes out what stands between two places, as it is changed.
func (s *source) appendRange(o *Out, from, to int32) {
	list := s.patches.list
	first, _ := slices.BinarySearchFunc(list, from, func(x patch, at int32) int { return int(x.at) - int(at) })
	for i := first; i < len(list) && list[i].at < to; i++ {
		x := &list[i]
		o.Span(s.raw[from:x.at])
		o.Append(x.bytes())
		o.Span(x.records)
		from = x.at + x.n
	}
	o.Span(s.raw[from:to])
}

// flat is everything in one piece.
func (s *source) flat() []byte {
	if len(s.patches.list) == 0 {
		return s.raw
	}
	var o Out
	s.appendRange(&o, 0, int32(len(s.raw)))
	return o.Bytes()
}

// located is a partition of a view.
type located[P any] interface {
	*P
	where() *place
	named() (topic []byte, id [16]byte)
}

// appendOnly writes out a body of which only the partitions of a list are left. Records are not
// copied. The topics begin at a place of the body's own bytes, and rest stands behind them; what
// stands before from is left out.
func appendOnly[P any, L located[P]](o *Out, own *source, flexible bool, from, topics, rest int32, list []P) {
	n := 0
	for at := 0; at < len(list); at = topicEnd[P, L](list, at) {
		n++
	}
	own.appendRange(o, from, topics)
	o.length(n, flexible)
	for at := 0; at < len(list); {
		end := topicEnd[P, L](list, at)
		first := L(&list[at]).where()
		first.in(own).appendRange(o, first.topic, first.list)
		o.length(end-at, flexible)
		for ; at < end; at++ {
			one := L(&list[at]).where()
			one.in(own).appendRange(o, one.at, one.end)
		}
		if flexible {
			o.Append([]byte{0}) // no tagged fields
		}
	}
	own.appendRange(o, rest, int32(len(own.raw)))
}

// topicEnd is where the partitions end that are of the same topic as the one at a place of a list.
func topicEnd[P any, L located[P]](list []P, from int) int {
	first := L(&list[from])
	name, id := first.named()
	to := from + 1
	for ; to < len(list); to++ {
		next := L(&list[to])
		if a, b := first.where(), next.where(); a.src == b.src {
			if a.topic != b.topic {
				break
			}
		} else if other, otherID := next.named(); id != otherID || string(name) != string(other) {
			break
		}
	}
	return to
}

// in is what a partition stands in.
func (p *place) in(own *source) *source {
	if p.src != nil {
		return p.src
	}
	return own
}
