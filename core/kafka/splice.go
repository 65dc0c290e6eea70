package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// splice writes a message that was edited. Records that are large are referenced, as Span does, not copied: the message is encoded
// without them, and they are put where they belong.
func (o *Out) splice(msg any) bool {
	var records [][]byte // by partition; nil: encoded with the rest
	var rest []byte
	var at []int // where the records of each partition belong
	var flexible bool
	switch m := msg.(type) {
	case *kmsg.ProduceRequest:
		c := *m
		c.Topics = slices.Clone(m.Topics)
		for i := range c.Topics {
			t := &c.Topics[i]
			t.Partitions = slices.Clone(t.Partitions)
			for j := range t.Partitions {
				records = takeLarge(records, &t.Partitions[j].Records)
			}
		}
		if !anyLarge(records) {
			return false
		}
		rest, flexible = c.AppendTo(nil), m.IsFlexible()
		var view HotRequest
		r := cursor{b: rest, flexible: flexible}
		if r.produceRequest(&view, m.Version); r.bad {
			return false
		}
		for i := range view.Partitions {
			at = append(at, view.Partitions[i].records)
		}
	case *kmsg.FetchResponse:
		c := *m
		c.Topics = slices.Clone(m.Topics)
		for i := range c.Topics {
			t := &c.Topics[i]
			t.Partitions = slices.Clone(t.Partitions)
			for j := range t.Partitions {
				records = takeLarge(records, &t.Partitions[j].RecordBatches)
			}
		}
		if !anyLarge(records) {
			return false
		}
		rest, flexible = c.AppendTo(nil), m.IsFlexible()
		var view HotResponse
		r := cursor{b: rest, flexible: flexible}
		if r.fetchResponse(&view, m.Version); r.bad {
			return false
		}
		for i := range view.Partitions {
			at = append(at, view.Partitions[i].records)
		}
	}
	if len(at) != len(records) || len(at) == 0 {
		return false
	}
	prefix := 4 // bytes of the length of none
	if flexible {
		prefix = 1
	}
	from := 0
	for i, b := range records {
		if b != nil {
			o.Append(rest[from : at[i]-prefix])
			o.length(len(b), flexible)
			o.Span(b)
			from = at[i]
		}
	}
	o.Append(rest[from:])
	return true
}

// takeLarge notes records that are large, and leaves none in their place.
func takeLarge(list [][]byte, records *[]byte) [][]byte {
	if len(*records) < SpanMin {
		return append(list, nil)
	}
	list = append(list, *records)
	*records = []byte{}
	return list
}

func anyLarge(list [][]byte) bool {
	return slices.ContainsFunc(list, func(b []byte) bool { return b != nil })
}
