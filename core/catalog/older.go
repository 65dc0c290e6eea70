package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
)

// older is a partition as it was stored before distances had runs with an end.
type older struct {
	Partition
	// Runs lasted until the next one began, Deltas are offsets of a copy minus those at home.
	Runs []struct {
		Virtual  int64 `json:"v"`
		Physical int64 `json:"p"`
	} `json:"runs"`
	Deltas map[string]int64 `json:"deltas"`
}

// now is the partition as it is stored now.
func (o *older) now() (Partition, error) {
	p := o.Partition
	for i, r := range o.Runs {
		if r.Virtual < 0 || i > 0 && (r.Virtual < o.Runs[i-1].Virtual || r.Physical < o.Runs[i-1].Physical) {
			return p, fmt.Errorf("its run %d begins at %d and %d", i, r.Virtual, r.Physical)
		}
		if i == 0 {
			p.Distance = At(r.Virtual, r.Physical)
		} else {
			p.Distance = p.Distance.Then(r.Virtual, max(r.Physical, 0))
		}
	}
	for c, delta := range o.Deltas {
		p.SetDelta(c, delta)
	}
	for c, a := range p.Copies { // nobody has looked at what is in front
		if a.Drifted() && a.From > p.LogStart && a.Front == nil {
			a.Front = &Front{From: p.LogStart, To: p.LogStart}
			p.SetCopy(c, a)
		}
	}
	return p, nil
}

// olderTopic is a topic as it was stored while it was one entry with all its partitions.
type olderTopic struct {
	Topic
	Before     *olderTopic `json:"before"`
	Partitions []older     `json:"partitions"`
}

func (o *olderTopic) now() (t *Topic, err error) {
	t = &o.Topic
	for p := range o.Partitions {
		now, err := o.Partitions[p].now()
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		t.Partitions = append(t.Partitions, now)
	}
	if o.Before != nil {
		t.Before, err = o.Before.now()
	}
	return t, err
}

// Upgrade makes of entries as older versions stored them what this one stores. whole says that they
// have each topic with its partitions as one entry.
func Upgrade(entries []Entry, whole bool) (out []Entry, err error) {
	for _, e := range entries {
		var now []Entry
		switch {
		case whole && e.Kind == KindTopic:
			now, err = upgradeTopic(e)
		case !whole && e.Kind == KindPartition:
			now, err = upgradePartition(e)
		default:
			now = []Entry{e}
		}
		if err != nil {
			return nil, fmt.Errorf("the %s %q: %w", e.Kind, e.Key, err)
		}
		out = append(out, now...)
	}
	return out, nil
}

func upgradeTopic(e Entry) ([]Entry, error) {
	var was olderTopic
	if err := json.Unmarshal(e.Value, &was); err != nil {
		return nil, err
	}
	t, err := was.now()
	if err != nil {
		return nil, err
	}
	vc, _, _ := strings.Cut(e.Key, "\x00")
	return changes(vc, nil, t)
}

func upgradePartition(e Entry) ([]Entry, error) {
	var was older
	if err := json.Unmarshal(e.Value, &was); err != nil {
		return nil, err
	}
	p, err := was.now()
	if err != nil {
		return nil, err
	}
	return partitionEntries(e.Key, nil, &p)
}
