// Package soak runs random schedules of moves: several topics of several partitions, producers that
// fill many of them in one request, over several connections, consumers of all of them, and edits
// of every form, one after the other, while clusters die and the gateway is killed. Nothing may be
// lost, delivered twice or in another order, shown to a client as an error, or hang. A seed makes
// the same schedule again.
package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

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

// Unfaithful are what replicators do to a copy that must not become a home.
var Unfaithful = map[string]kafkatest.Faults{"drops": {Drop: 7}, "swaps": {Swap: true}}

// Producer is a producer of a schedule, which fills the partitions of its topics.
type Producer struct {
	Name   string
	Kind   string // one of clients.SpreadKinds
	Topics []int
	Slow   bool // few records, so that partitions have fewer of them between two moves than a comparison looks at
}

// Group is a group of consumers that read everything.
type Group struct {
	Kind    string // one of clients.GroupKinds
	Members int
}

// Step is what is done at a point of a schedule.
type Step struct {
	Kind   string // one of Steps
	Topics []int
	Wait   int           // records that are acknowledged before the step
	Kill   time.Duration // not 0: the gateway is killed so long after it was asked for the step, and starts again
}

// Steps are the kinds of steps.
var Steps = []string{
	"edit",    // the file is edited, one topic after the other
	"at once", // the file is edited, all of them in one write
	"atomic",  // POST /failover/run, all or none
	"call",    // PUT of each mapping
	"regret",  // an edit that is taken back at once, and made again
	Groups,
	Members,
}

// Steps that are not moves of topics that are named.
const (
	// Groups moves the groups of consumers, and not their topics.
	Groups = "groups"
	// Members lets a member of each group leave, and another one come.
	Members = "members"
	// Dies is a step in which the home of its first topic dies, with all topics that live there,
	// and with records of them that were not copied; it comes back when they have moved.
	Dies = "dies"
	// Takeover is a step in which the home of all groups dies, and nobody edits anything: they get
	// another home by themselves. No topic lives on it then.
	Takeover = "takeover"
	// Refused asks for the move of the last topic, whose replicator is unfaithful.
	Refused = "refused"
)

// Plan is a schedule.
type Plan struct {
	Seed      uint64
	Topics    []Topic
	Producers []Producer
	Readers   int // consumers of everything without a group
	Groups    []Group
	Steps     []Step
}

// NewPlan makes the schedule of a seed.
func NewPlan(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 0x51))
	p := Plan{Seed: seed, Readers: 1}
	for range 1 + r.IntN(2) {
		p.Groups = append(p.Groups, Group{clients.GroupKinds[r.IntN(len(clients.GroupKinds))], 1 + r.IntN(5)})
	}
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
	switch r.IntN(8) {
	case 0, 1:
		p.fail(r, Dies)
	case 2:
		p.fail(r, Takeover)
	case 3:
		p.refuse(r)
	}
	if r.IntN(3) == 0 {
		p.kill(r)
	}
	return p
}

// fail makes one of the steps one in which a cluster dies.
func (p *Plan) fail(r *rand.Rand, kind string) {
	p.Steps[r.IntN(len(p.Steps)-1)].Kind = kind
	p.patient()
}

// refuse adds a topic that must not move, and steps that ask for it.
func (p *Plan) refuse(r *rand.Rand) {
	names := slices.Sorted(maps.Keys(Unfaithful))
	bad := Topic{Name: fmt.Sprintf("soak-%d-%d", p.Seed, len(p.Topics)), Ahead: make([]int64, 1+r.IntN(3)), Replicator: names[r.IntN(len(names))]}
	p.Topics = append(p.Topics, bad)
	p.Producers = append(p.Producers, Producer{Name: "unfaithful", Kind: "idempotent", Topics: []int{len(p.Topics) - 1}})
	for range 1 + r.IntN(2) {
		at := r.IntN(len(p.Steps) + 1)
		p.Steps = slices.Insert(p.Steps, at, Step{Kind: Refused, Topics: []int{len(p.Topics) - 1}, Wait: 300})
	}
}

// kill lets the gateway be killed in some of the steps.
func (p *Plan) kill(r *rand.Rand) {
	for i := range p.Steps {
		if r.IntN(2) == 0 {
			p.Steps[i].Kill = time.Duration(1+r.IntN(400)) * time.Millisecond
		}
	}
	p.patient()
}

// patient leaves the producers alone that have sequence numbers, and send again what was refused or
// not answered.
func (p *Plan) patient() {
	for i := range p.Producers {
		if x := &p.Producers[i]; x.Kind != "idempotent" {
			x.Name, x.Kind = strings.Replace(x.Name, x.Kind, "batching", 1), "batching"
		}
	}
}

// Has reports a schedule with a step of a kind.
func (p Plan) Has(kind string) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == kind })
}

// Kills reports a schedule in which the gateway is killed.
func (p Plan) Kills() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kill > 0 })
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
	for _, g := range p.Groups {
		s += fmt.Sprintf("; %d %s", g.Members, g.Kind)
	}
	s += ";"
	for _, x := range p.Steps {
		s += fmt.Sprintf(" %s%v", x.Kind, x.Topics)
		if x.Kill > 0 {
			s += fmt.Sprintf(" killed after %s", x.Kill)
		}
	}
	return s
}
