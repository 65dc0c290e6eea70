package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// eachRecords shows the records of every partition of a Produce request, or of the answer to a
// Fetch, in their order; f may replace them. Other messages have none. It ends with the first
// error.
func eachRecords(msg any, f func(records *[]byte) error) error {
	switch m := msg.(type) {
	case *kmsg.ProduceRequest:
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				if err := f(&m.Topics[i].Partitions[j].Records); err != nil {
					return err
				}
			}
		}
	case *kmsg.FetchResponse:
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				if err := f(&m.Topics[i].Partitions[j].RecordBatches); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// message is a request or a response.
type message interface {
	AppendTo(dst []byte) []byte
	IsFlexible() bool
	GetVersion() int16
}

// message writes one that was edited. Records that are large are referenced, as Span does, not
// copied. received is how long the message was before it was edited.
func (o *Out) message(m message, received int) {
	var large [][]byte // by partition; nil for those that are not
	found, size := false, 0
	_ = eachRecords(m, func(records *[]byte) error {
		var one []byte
		if len(*records) >= SpanMin {
			one, found = *records, true
		}
		large = append(large, one)
		size += len(*records)
		return nil
	})
	if found && o.splice(m, large) {
		return
	}
	if size += 1024 + 128*len(large); large == nil { // a guess, and mostly not too low
		size = received + 1024
	}
	o.encode(size, m.AppendTo)
}

// splice encodes a message without the records of some partitions, and puts them where they belong.
func (o *Out) splice(m message, large [][]byte) bool {
	bare := withOwnPartitions(m)
	next := 0
	_ = eachRecords(bare, func(records *[]byte) error {
		if large[next] != nil {
			*records = []byte{}
		}
		next++
		return nil
	})
	rest, flexible := bare.AppendTo(nil), m.IsFlexible()
	at := recordsAt(bare, rest, flexible)
	if len(at) != len(large) {
		return false
	}
	prefix := 4 // bytes of the length of none
	if flexible {
		prefix = 1
	}
	from := 0
	for i, b := range large {
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

// withOwnPartitions is a copy whose partitions may be changed.
func withOwnPartitions(m message) message {
	switch m := m.(type) {
	case *kmsg.ProduceRequest:
		c := *m
		c.Topics = cloned(m.Topics, func(t *kmsg.ProduceRequestTopic) *[]kmsg.ProduceRequestTopicPartition { return &t.Partitions })
		return &c
	case *kmsg.FetchResponse:
		c := *m
		c.Topics = cloned(m.Topics, func(t *kmsg.FetchResponseTopic) *[]kmsg.FetchResponseTopicPartition { return &t.Partitions })
		return &c
	}
	return m
}

func cloned[T, P any](topics []T, partitions func(*T) *[]P) []T {
	topics = slices.Clone(topics)
	for i := range topics {
		p := partitions(&topics[i])
		*p = slices.Clone(*p)
	}
	return topics
}

// recordsAt is where the records of each partition stand in an encoded message; nil if it can't be
// read.
func recordsAt(m message, encoded []byte, flexible bool) (at []int) {
	c := cursor{b: encoded, flexible: flexible}
	switch m.(type) {
	case *kmsg.ProduceRequest:
		var view RequestView
		c.produceRequest(&view, m.GetVersion())
		for i := range view.Partitions {
			at = append(at, int(view.Partitions[i].records.from))
		}
	case *kmsg.FetchResponse:
		var view ResponseView
		c.fetchResponse(&view, m.GetVersion())
		for i := range view.Partitions {
			at = append(at, int(view.Partitions[i].records.from))
		}
	}
	if c.bad {
		return nil
	}
	return at
}
