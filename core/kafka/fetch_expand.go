package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// RequestSize is the most that AppendRequest appends.
func (t *FetchTable) RequestSize(rest []byte) int {
	n := fetchSessionAt(t.version) + 8 + 2*mostLength + len(rest)
	for list := range t.byTopic {
		n += len(list[0].topic.key) + 2*mostLength + 1
		for _, p := range list {
			n += len(p.fixed) + len(p.tags)
		}
	}
	return n
}

// AppendRequest appends a request without a session that names every partition; everything else in
// it is body's. rest is what Update returned of body.
func (t *FetchTable) AppendRequest(dst, body, rest []byte) []byte {
	flexible, fixed := flexibleFetch(t.version), fixedFetchItem(t.version)
	at := fetchSessionAt(t.version)
	dst = append(dst, body[:at]...)
	dst = append(dst, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
	topics := 0
	for range t.byTopic {
		topics++
	}
	dst = appendLength(dst, topics, flexible)
	for list := range t.byTopic {
		switch key := list[0].topic.key; {
		case Has(kmsg.Fetch, t.version, TopicIDs):
			dst = append(dst, key...)
		case flexible:
			dst = append(appendLength(dst, len(key), true), key...)
		default:
			dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(key))), key...)
		}
		dst = appendLength(dst, len(list), flexible)
		for _, p := range list {
			dst = append(append(dst, p.fixed[:fixed]...), p.tags...)
		}
		if flexible {
			dst = append(dst, 0) // no tagged fields
		}
	}
	dst = appendLength(dst, 0, flexible) // nothing is forgotten
	return append(dst, rest...)
}

// byTopic shows the partitions in their order, those of one topic together where they follow each
// other.
func (t *FetchTable) byTopic(yield func([]*fetchPart) bool) {
	t.compact()
	for from := 0; from < len(t.order); {
		to := from + 1
		for to < len(t.order) && t.order[to].topic == t.order[from].topic {
			to++
		}
		if !yield(t.order[from:to]) {
			return
		}
		from = to
	}
}
