// Package soak runs random schedules of moves: several topics of several partitions, producers that
// fill many of them in one request, over several connections, consumers of all of them, and edits
// of every form, one after the other. Nothing may be lost, delivered twice or in another order,
// shown to a client as an error, or hang. A seed makes the same schedule again.
package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Topic is a topic of a schedule. The copy of its partition p stands Ahead[p] offsets higher on dr
// than on prod.
type Topic struct {
	Name  string
	Ahead []int64
	// Replicator is what its replicator does besides, one of Replicators.
	Replicator string
}

// Replicators are what replicators do to a copy that is exact all the same: nothing, write records
// twice, start anew from some records back, write in transactions, abort some of them first.
var Replicators = map[string]kafkatest.Faults{
	"":             {},
	"repeats":      {Duplicate: 11},
	"crashes":      {Crash: 37},
	"transactions": {Transactions: true},
	"aborts":       {Transactions: true, Abort: 3},
}

// Producer is a producer of a schedule, which fills the partitions of its topics.
type Producer struct {
	Name   string
	Kind   string // one of clients.SpreadKinds
	Topics []int
	Slow   bool // few records, so that partitions have fewer of them between two moves than a comparison looks at
}

// Step is what is done at a point of a schedule.
type Step struct {
	Kind   string // one of Steps
	Topics []int
	Wait   int // records that are acknowledged before the step
}

// Steps are the kinds of steps.
var Steps = []string{
	"edit",    // the file is edited, one topic after the other
	"at once", // the file is edited, all of them in one write
	"atomic",  // POST /failover/run, all or none
	"call",    // PUT of each mapping
	"regret",  // an edit that is taken back at once, and made again
	"groups",  // the groups of consumers move, and their topics do not
}

// Dies is a step in which the home of its first topic dies, with all topics that live there, and
// with records of them that were not copied; it comes back when they have moved. At most one step
// of a schedule is such a one.
const Dies = "dies"

// Plan is a schedule.
type Plan struct {
	Seed      uint64
	Topics    []Topic
	Producers []Producer
	Readers   int // consumers of everything without a group
	Groups    int // groups that consume everything
	Members   int // of each
	Steps     []Step
}

// NewPlan makes the schedule of a seed.
func NewPlan(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 0x51))
	p := Plan{Seed: seed, Readers: 1, Groups: 1 + r.IntN(2), Members: 1 + r.IntN(3)}
	for i := range 2 + r.IntN(3) {
		t := Topic{Name: fmt.Sprintf("soak-%d-%d", seed, i)}
		for range 1 + r.IntN(4) {
			t.Ahead = append(t.Ahead, []int64{0, 0, int64(r.IntN(100))}[r.IntN(3)])
		}
		if r.IntN(2) == 0 {
			names := slices.Sorted(maps.Keys(Replicators))
			t.Replicator = names[r.IntN(len(names))]
		}
		p.Topics = append(p.Topics, t)
	}
	all := make([]int, len(p.Topics))
	for i := range all {
		all[i] = i
	}
	every := all
	if r.IntN(2) == 0 { // a topic of which there is little
		quiet := all[len(all)-1]
		all = all[:len(all)-1]
		p.Producers = append(p.Producers, Producer{Name: "slow", Kind: "idempotent", Topics: []int{quiet}, Slow: true})
	}
	some := func() []int {
		if r.IntN(2) == 0 {
			return all
		}
		list := append([]int{}, all...)
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:1+r.IntN(len(list))]
	}
	kind := func() string { return clients.SpreadKinds[r.IntN(len(clients.SpreadKinds))] }
	for i, kind := range append([]string{"idempotent", "raw"}, kind(), kind()) {
		topics := all
		if i > 1 {
			topics = some()
		}
		p.Producers = append(p.Producers, Producer{Name: fmt.Sprintf("%s%d", kind, i), Kind: kind, Topics: topics})
	}
	for range 3 + r.IntN(4) {
		topics := some()
		if r.IntN(2) == 0 {
			topics = every
		}
		p.Steps = append(p.Steps, Step{Kind: Steps[r.IntN(len(Steps))], Topics: topics, Wait: 50 + r.IntN(300)})
	}
	if r.IntN(4) == 0 {
		p.die(r)
	}
	return p
}

// die lets a home die in one of the steps. All producers have sequence numbers, and send again what
// a broker that is about to die has refused.
func (p *Plan) die(r *rand.Rand) {
	p.Steps[r.IntN(len(p.Steps)-1)].Kind = Dies
	for i := range p.Producers {
		if x := &p.Producers[i]; x.Kind != "idempotent" {
			x.Name, x.Kind = strings.Replace(x.Name, x.Kind, "batching", 1), "batching"
		}
	}
}

// Dies reports a schedule in which a home dies.
func (p Plan) Dies() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == Dies })
}

// String shows the schedule on one line.
func (p Plan) String() string {
	parts := 0
	for _, t := range p.Topics {
		parts += len(t.Ahead)
	}
	s := fmt.Sprintf("seed %d: %d topics, %d partitions;", p.Seed, len(p.Topics), parts)
	for i, t := range p.Topics {
		if t.Replicator != "" {
			s += fmt.Sprintf(" that of %d %s;", i, t.Replicator)
		}
	}
	for _, x := range p.Producers {
		s += fmt.Sprintf(" %s%v", x.Name, x.Topics)
	}
	s += ";"
	for _, x := range p.Steps {
		s += fmt.Sprintf(" %s%v", x.Kind, x.Topics)
	}
	return s
}
