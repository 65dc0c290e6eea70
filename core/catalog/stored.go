package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// A topic is stored as a header, which says how many partitions it has, and an entry for each of
// them (and of each distance with many runs some more), so that only what changes is written. The
// key of a partition names the generation that it is of: while a move is published, those of both
// generations are there, and those of a move that was not committed count for nothing, because no
// header names them.

// header is a topic as it is stored, without its partitions.
type header struct {
	*Topic
	Partitions int     `json:"partitions"`
	Before     *header `json:"before,omitempty"`
}

func headerOf(t *Topic) *header {
	h := &header{Topic: t, Partitions: len(t.Partitions)}
	if t.Before != nil {
		h.Before = headerOf(t.Before)
	}
	return h
}

func topicKey(vc, topic string) string { return vc + "\x00" + topic }

// partitionKey is the key of the entry of a partition.
func partitionKey(vc, topic string, generation int32, p int) string {
	return fmt.Sprintf("%s\x00%s\x00%d\x00%d", vc, topic, generation, p)
}

// equal reports that two partitions are stored the same.
func (p *Partition) equal(o *Partition) bool {
	return slices.Equal(p.Segments, o.Segments) && p.Distance.Equal(o.Distance) && maps.EqualFunc(p.Copies, o.Copies, Alignment.Equal) &&
		p.Ceiling == o.Ceiling && p.LogStart == o.LogStart && p.Erased == o.Erased && p.Shown == o.Shown
}

// views are the generations of a topic that have partitions in the store: of nil, which is no
// topic, none.
func (t *Topic) views() (out []*Topic) {
	for ; t != nil; t = t.Before {
		out = append(out, t)
	}
	return out
}

// in are the partitions of a generation, if the topic has them.
func (t *Topic) in(generation int32) []Partition {
	for _, g := range t.views() {
		if g.Generation == generation {
			return g.Partitions
		}
	}
	return nil
}

// changes are the entries that make what is stored as old into what now is; each of them may be
// nil, which is no topic.
func changes(vc string, old, now *Topic) (out []Entry, err error) {
	for _, t := range now.views() {
		was := old.in(t.Generation)
		for p := range t.Partitions {
			if p < len(was) && was[p].equal(&t.Partitions[p]) {
				continue
			}
			var before *Partition
			if p < len(was) {
				before = &was[p]
			}
			more, err := partitionEntries(partitionKey(vc, t.Name, t.Generation, p), before, &t.Partitions[p])
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	if out, err = headerChange(out, vc, old, now); err != nil {
		return nil, err
	}
	for _, t := range old.views() {
		for p := len(now.in(t.Generation)); p < len(t.Partitions); p++ {
			gone, err := partitionEntries(partitionKey(vc, t.Name, t.Generation, p), &t.Partitions[p], nil)
			if err != nil {
				return nil, err
			}
			out = append(out, gone...)
		}
	}
	return out, nil
}

// headerChange adds the entry of the header, if it is another one.
func headerChange(out []Entry, vc string, old, now *Topic) ([]Entry, error) {
	if now == nil {
		return append(out, Entry{Kind: KindTopic, Key: topicKey(vc, old.Name)}), nil
	}
	b, err := json.Marshal(headerOf(now))
	if err != nil {
		return nil, err
	}
	if old != nil {
		if was, err := json.Marshal(headerOf(old)); err != nil || string(was) == string(b) {
			return out, err
		}
	}
	return append(out, Entry{Kind: KindTopic, Key: topicKey(vc, now.Name), Value: b}), nil
}

// assemble makes a topic of its header and the entries of partitions.
func assemble(vc string, stored []byte, partitions *storedEntries) (*Topic, error) {
	var h header
	if err := json.Unmarshal(stored, &h); err != nil {
		return nil, err
	}
	return h.topic(vc, partitions)
}

func (h *header) topic(vc string, partitions *storedEntries) (t *Topic, err error) {
	t = h.Topic
	if t == nil || h.Partitions < 0 || h.Partitions > MostPartitions {
		return nil, fmt.Errorf("it has %d partitions", h.Partitions)
	}
	t.Partitions = make([]Partition, h.Partitions)
	for p := range t.Partitions {
		read, err := partitions.partition(partitionKey(vc, t.Name, t.Generation, p))
		if err != nil {
			return nil, fmt.Errorf("partition %d of its generation %d: %w", p, t.Generation, err)
		}
		t.Partitions[p] = *read
	}
	if h.Before != nil {
		t.Before, err = h.Before.topic(vc, partitions)
	}
	return t, err
}
