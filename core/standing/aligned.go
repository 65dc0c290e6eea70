package standing

import (
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// Aligned is what is known of how the records of a copy's partition stand to those of its home.
// Offsets are virtual, -1 where they are unknown.
type Aligned struct {
	// From and To are between which every record of the home was found on the copy; Front is, while
	// what is in front of them is looked at, up to where it was, and -1 once nothing is left.
	From  int64 `json:"aligned_from"`
	To    int64 `json:"aligned_to"`
	Front int64 `json:"aligned_front"`
	// Runs is how many runs of records stand at one distance each, Holes how many offsets between
	// them the copy has no record of, and Skips how many of its own clients would not be shown.
	Runs  int   `json:"runs"`
	Holes int64 `json:"holes"`
	Skips int64 `json:"skips"`
	// Wrong is how many records were found that keep it from being exact, and Mismatch says which
	// the first one is.
	Wrong    int    `json:"wrong"`
	Mismatch string `json:"mismatch,omitempty"`
	// LagSeconds is for how long the copy has not had all that the home has, or had then; rounds of
	// 10 s tell.
	LagSeconds float64 `json:"lag_seconds"`
}

// Unaligned is how many offsets of the home are in front of what was aligned and were not looked
// at.
func (a Aligned) Unaligned() int64 {
	if a.Front < 0 {
		return 0
	}
	return max(a.From-a.Front, 0)
}

// Differs reports a copy that does not stand at one distance, or of which something is wrong.
func (a Aligned) Differs() bool { return a.Runs > 1 || a.Wrong > 0 || a.Front >= 0 }

// Aligned tells how a partition of a copy stands, as of the last round.
func (w *Watch) Aligned(virtualCluster string, t *catalog.Topic, cluster string, partition int) Aligned {
	out := Aligned{From: -1, To: -1, Front: -1, LagSeconds: -1}
	k := front{virtualCluster, t.Name, cluster, int32(partition)}
	out.Wrong, out.Mismatch = w.fronts.whatIsWrong(k, t)
	last := w.compared.of(virtualCluster, t, cluster)
	if out.Mismatch == "" && partition < len(last.wrong) {
		out.Mismatch = last.wrong[partition]
	}
	known, ok := t.Partition(int32(partition)).Copies[cluster]
	if !ok {
		return out
	}
	switch {
	case known.Drifted():
		out.From, out.To = known.From, known.To
	case partition < len(last.partitions):
		out.From, out.To = last.partitions[partition].From, last.partitions[partition].To
	}
	if known.Front != nil {
		out.Front = known.Front.To
	}
	out.Runs = known.Distance.Len()
	out.Holes, out.Skips = known.Distance.Gaps()
	out.LagSeconds = w.lagging.seconds(k)
	return out
}

// lagging says for how long copies have lacked something. Of each that does, it waits for the copy
// to get to where the home was, which is how old it is then.
type lagging struct {
	mu sync.Mutex
	of map[front]lags
}

type lags struct {
	mark        int64     // where the home ended
	at, reached time.Time // when it did, and for which time the copy has had all
}

// note notes where a home and a copy end, in virtual offsets.
func (l *lagging) note(k front, home, copied int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if copied >= home {
		delete(l.of, k)
		return
	}
	if l.of == nil {
		l.of = map[front]lags{}
	}
	now := time.Now()
	x, ok := l.of[k]
	switch {
	case !ok:
		x = lags{home, now, now}
	case copied >= x.mark:
		x = lags{home, now, x.at}
	}
	l.of[k] = x
}

func (l *lagging) seconds(k front) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, ok := l.of[k]
	if !ok {
		return 0
	}
	return time.Since(x.reached).Seconds()
}

// forget leaves out the topics that are gone.
func (l *lagging) forget(gone func(vc, topic string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.of {
		if gone(k.vc, k.topic) {
			delete(l.of, k)
		}
	}
}

// noteLags notes which copies of topics lack something, as clusters say.
func (w *Watch) noteLags(e Env, topics []*catalog.Topic, all copies.Extents) {
	for _, t := range topics {
		home := all[t.Home].Ends[t.Physical(t.Home)]
		for _, c := range e.Clusters {
			if c.Name() == t.Home {
				continue
			}
			ends := all[c.Name()].Ends[t.Physical(c.Name())]
			for p := range t.Partitions {
				known, ok := t.Partitions[p].Copies[c.Name()]
				a, b := copies.At(home, p), copies.At(ends, p)
				if ok && a >= 0 && b >= 0 {
					w.lagging.note(front{e.VirtualCluster, t.Name, c.Name(), int32(p)}, t.Partitions[p].ToVirtual(a), known.Reached(b))
				}
			}
		}
	}
}
