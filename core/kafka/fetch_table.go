package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FetchTable is what a fetch session keeps (KIP-227): the partitions that its client has named, as
// the bytes in which they were named, and what it was told of each last. It is not safe for
// concurrent use.
type FetchTable struct {
	version int16
	topics  map[string]*fetchTopic
	parts   map[fetchKey]*fetchPart
	// order is that of the next request. Partitions that returned records go to the end, as brokers
	// do it, so that one with much data does not starve the others. It has holes.
	order []*fetchPart
	names int // bytes of the topics' names
}

type fetchTopic struct {
	key   string // its name or id
	parts int
}

type fetchKey struct {
	topic     *fetchTopic
	partition int32
}

type fetchPart struct {
	fetchKey
	at    int32 // in order
	tags  string
	fixed [32]byte
	told  marks
}

// marks are what a client was told of a partition; high is -1 for one that it must be told of
// again.
type marks struct{ high, stable, start int64 }

// What an entry takes in memory, about: a partition with its places in order and map, a topic.
const (
	fetchPartBytes  = 160
	fetchTopicBytes = 96
)

// NewFetchTable returns the table of a session that begins with a full request, which body is. n is
// the number of partitions that it names.
func NewFetchTable(version int16, body []byte, n int) (*FetchTable, error) {
	t := &FetchTable{version: version, topics: map[string]*fetchTopic{}, parts: make(map[fetchKey]*fetchPart, n), order: make([]*fetchPart, 0, n)}
	all := make([]fetchPart, n)
	_, err := walkFetch(version, body, func(i fetchItem) {
		if !i.forgotten {
			all = t.name(i, all)
		}
	})
	return t, err
}

// Version is the version of Fetch that the session speaks.
func (t *FetchTable) Version() int16 { return t.version }

// Len is the number of partitions.
func (t *FetchTable) Len() int { return len(t.parts) }

// Bytes is about how much memory the table takes.
func (t *FetchTable) Bytes() int64 {
	return int64(len(t.parts)*fetchPartBytes + len(t.topics)*fetchTopicBytes + t.names)
}

// Update takes over what an incremental request names, and then forgets what it forgets. It returns
// what stands behind that.
func (t *FetchTable) Update(body []byte) (rest []byte, err error) {
	return walkFetch(t.version, body, func(i fetchItem) {
		if i.forgotten {
			t.forget(i)
		} else {
			t.name(i, nil)
		}
	})
}

// name adds or changes a partition; a new one is taken from free, if there is one.
func (t *FetchTable) name(i fetchItem, free []fetchPart) []fetchPart {
	topic := t.topics[string(i.topic)]
	if topic == nil {
		topic = &fetchTopic{key: string(i.topic)}
		t.topics[topic.key] = topic
		t.names += len(topic.key)
	}
	key := fetchKey{topic, i.partition}
	p := t.parts[key]
	if p == nil {
		if len(free) == 0 {
			free = make([]fetchPart, 1)
		}
		p, free = &free[0], free[1:]
		p.fetchKey, p.told = key, marks{-1, -1, -1}
		t.parts[key] = p
		topic.parts++
		t.append(p)
	}
	copy(p.fixed[:], i.fixed)
	if string(i.tags) != p.tags {
		p.tags = string(i.tags)
	}
	return free
}

func (t *FetchTable) forget(i fetchItem) {
	topic := t.topics[string(i.topic)]
	if topic == nil {
		return
	}
	key := fetchKey{topic, i.partition}
	p := t.parts[key]
	if p == nil {
		return
	}
	delete(t.parts, key)
	t.order[p.at] = nil
	if topic.parts--; topic.parts == 0 {
		delete(t.topics, topic.key)
		t.names -= len(topic.key)
	}
}

func (t *FetchTable) append(p *fetchPart) {
	p.at = int32(len(t.order))
	t.order = append(t.order, p)
}

func (t *FetchTable) toEnd(p *fetchPart) {
	if int(p.at) == len(t.order)-1 {
		return
	}
	t.order[p.at] = nil
	t.append(p)
	if len(t.order) > 2*len(t.parts) {
		t.compact()
	}
}

// compact closes the holes of order.
func (t *FetchTable) compact() {
	if len(t.order) == len(t.parts) {
		return
	}
	t.order = slices.DeleteFunc(t.order, func(p *fetchPart) bool { return p == nil })
	for i, p := range t.order {
		p.at = int32(i)
	}
}

// Answer gives the response of a request of the session its id and notes what the client is told.
// From an incremental one it leaves out what the client knows already.
func (t *FetchTable) Answer(resp *ResponseBody, id int32, incremental bool) {
	resp.retain(id, func(a *ResponsePartition) bool { return t.tell(a) || !incremental })
}

// tell reports whether an answer says something new about its partition.
func (t *FetchTable) tell(a *ResponsePartition) bool {
	topic := t.topics[string(a.Topic)]
	if Has(kmsg.Fetch, t.version, TopicIDs) {
		topic = t.topics[string(a.ID[:])]
	}
	p := t.parts[fetchKey{topic, a.Partition}]
	switch {
	case p == nil: // forgotten by a later request
		return true
	case a.ErrorCode != 0:
		p.told.high = -1 // the client is told when it is over
		return true
	case len(a.Records) > 0:
		t.toEnd(p)
	case a.Hints:
	case a.HighWatermark < 0: // nobody knows: in place of an answer that could not be given
		return false
	}
	before := p.told
	p.told = marks{a.HighWatermark, a.LastStableOffset, a.LogStartOffset}
	return len(a.Records) > 0 || a.Hints || p.told != before
}
