// Package align finds which records of two logs are the same, by what they say: those of a topic's
// home, and those of a copy that a replicator has made of it, which may have repeated records,
// begin later, and have transaction markers, or gaps of compaction, that the home does not have.
package align

import (
	"iter"
	"slices"
)

// Record is a data record of a log: no marker, and not of a transaction that was aborted.
type Record struct {
	Offset int64
	// Print is a fingerprint of all that the record says, Key of its key, 0 if it has none.
	Print, Key uint64
	// Tombstone is a record whose value is null.
	Tombstone bool
}

// Run is a number of offsets at which both logs have the same records at a constant distance.
type Run struct{ Home, Copy, Offsets int64 }

// Kind is what is wrong with a record.
type Kind int

// What may be wrong with the records of a copy.
const (
	// Missing is a record of the home that the copy does not have, although it has a later one.
	Missing Kind = iota
	// Foreign is a record of the copy that the home has never had, as far as can be seen.
	Foreign
)

// Fault is a record that keeps a copy from being exact. Offset is of the log that has it, and
// Behind is behind what the home has of it, or has in front of it.
type Fault struct {
	Kind           Kind
	Offset, Behind int64
}

// Ahead is how many records of either log an aligner should have that wait for one of the other.
const Ahead = 4096

// remembered is how many records of the home an aligner knows a repeated one by.
const remembered = 1 << 16

// MostFaults is how many faults are told one by one, and MostOwed how many are kept that a later
// record may explain.
const (
	MostFaults = 100
	MostOwed   = 1 << 20
)

// Aligner goes through two logs in the same direction, from the first records that each of them is
// given, which should be the same. It is not safe for concurrent use.
type Aligner struct {
	// HomeCompacts and CopyCompacts say that a log may lack a record of which the key has a later
	// one, and tombstones.
	HomeCompacts, CopyCompacts bool
	// Lead says that the copy may have others in front of the first record that both have.
	Lead bool
	// Resumed says that the home has others in front of those that it is given, which the copy may
	// repeat: at the first record that is not next in both logs, it wants to be told of them.
	Resumed bool

	ours, theirs queue
	history      history

	straight int // records that were next in both logs, since others were

	runs    []Run
	skipped bool // a record of the copy, since the last run went on
	faults  []Fault
	more    int   // faults that are not told
	clean   int64 // behind what the home has of the last fault
	wants   bool

	// What compaction explains once a later record with the same key is seen, and how many.
	owed  map[uint64][]Fault
	debts int

	// Behind which offsets everything is decided; -1 at first.
	home, copied int64
}

// New returns an aligner.
func New() *Aligner {
	return &Aligner{home: -1, copied: -1, owed: map[uint64][]Fault{}}
}

// Home gives it further records of the home.
func (a *Aligner) Home(records ...Record) { a.ours.add(records) }

// Copy gives it further records of the copy.
func (a *Aligner) Copy(records ...Record) { a.theirs.add(records) }

// Wants reports that it can't go on before it is told, by Remember, what the home has in front of
// what it was given.
func (a *Aligner) Wants() bool { return a.wants }

// Remember tells it of all records of the home that the copy may repeat, in front of those that it
// was given.
func (a *Aligner) Remember(records ...Record) {
	a.Resumed, a.wants = false, false
	for _, r := range records {
		a.history.add(r.Print)
	}
}

// Aside tells it of records of the home that are none of those to be found. The copy may have them.
func (a *Aligner) Aside(records ...Record) {
	for _, r := range records {
		a.history.add(r.Print)
	}
}

// Runs are those found so far, in the order in which they were.
func (a *Aligner) Runs() []Run { return a.runs }

// Faults are what keeps the copy from being exact, so far, and how many more there are. Final says
// that no later record will explain one.
func (a *Aligner) Faults(final bool) (faults []Fault, more int) {
	faults = append([]Fault(nil), a.faults...)
	if final {
		for _, list := range a.owed {
			faults = append(faults, list...)
		}
	}
	return faults, a.more
}

// Clean is the offset of the home from which nothing is known to be wrong. Final says that no later
// record will explain anything.
func (a *Aligner) Clean(final bool) int64 {
	clean := a.clean
	if final {
		for _, list := range a.owed {
			clean = max(clean, list[len(list)-1].Behind)
		}
	}
	return clean
}

// Owed is what a later record may explain, by fingerprints of keys, for the Owe of an aligner that
// goes on with what follows.
func (a *Aligner) Owed() map[uint64][]Fault { return a.owed }

// Owe takes over what another aligner has left open. It is not used by that one any more.
func (a *Aligner) Owe(open map[uint64][]Fault) {
	for key, list := range open {
		a.owed[key] = list
		a.debts += len(list)
	}
}

// Done are the last offsets of both logs that are decided, -1 for none, and how many records of
// each wait for more of the other one.
func (a *Aligner) Done() (home, copied int64, ours, theirs int) {
	return a.home, a.copied, a.ours.len(), a.theirs.len()
}

// Stuck reports that the next record of the copy is not among those of the home so far: it is a
// foreign one, unless Remember is told of it, or it is among what is given next of the home.
func (a *Aligner) Stuck() bool {
	if a.theirs.len() == 0 {
		return false
	}
	print := a.theirs.first().Print
	if a.leads(a.ours.has(print)) {
		return false
	}
	return !a.history.has(print) && !a.ours.has(print)
}

// Repeats takes the next records of the copy for repeats, as far as the home is known to have such:
// it has no more that the copy could have. It reports whether there were any.
func (a *Aligner) Repeats() (some bool) {
	for a.ours.len() == 0 && a.theirs.len() > 0 && a.history.has(a.theirs.first().Print) {
		a.skip(true)
		some = true
	}
	return some
}

// Concede takes the next record of the copy for a foreign one, if it is stuck.
func (a *Aligner) Concede() {
	if a.Stuck() {
		a.skip(false)
	}
}

// Go goes on as far as it can with what it was given. Final says that nothing will follow: what is
// left of the copy is then decided, too. What is left of the home the copy does not have yet.
func (a *Aligner) Go(final bool) {
	for a.theirs.len() > 0 && a.step(final) {
	}
}

// step decides on the next record of the copy, or of the home; false if it needs more of them.
func (a *Aligner) step(final bool) bool {
	r := a.theirs.first()
	if a.ours.len() > 0 && a.ours.first().Print == r.Print {
		a.match()
		return true
	}
	known := a.ours.has(r.Print)
	// One that the home has further on may repeat an earlier one that says the same.
	if a.Resumed && !a.leads(known) && (a.ours.len() > 0 || final) {
		a.wants = true
		return false
	}
	a.straight = 0
	repeated := a.history.has(r.Print)
	// A log that has what comes next further on has something else in front of it.
	awaited := a.ours.len() > 0 && a.theirs.has(a.ours.first().Print)
	switch {
	case a.leads(known):
		a.skip(true)
	case a.ours.len() == 0 && !final: // the next record of the home may say the same
		return false
	case repeated && (awaited || !known):
		a.skip(true)
	case known && (!repeated || final || a.theirs.len() >= Ahead):
		a.lack()
	case final:
		a.skip(false)
	default:
		return false
	}
	return true
}

// leads reports a record of the copy, known among those of the home that wait or not, that is in
// front of all that both have.
func (a *Aligner) leads(known bool) bool {
	return a.Lead && len(a.runs) == 0 && a.ours.len() > 0 && !known
}

// match takes a record that is next in both logs.
func (a *Aligner) match() {
	our, their := a.ours.take(), a.theirs.take()
	a.passed(our)
	if a.straight++; a.straight == remembered {
		a.ours.of, a.theirs.of, a.history.of = nil, nil, nil
	}
	a.home, a.copied = our.Offset, their.Offset
	n := len(a.runs) - 1
	if n >= 0 && !a.skipped && a.runs[n].Copy-a.runs[n].Home == their.Offset-our.Offset {
		r := &a.runs[n]
		r.Offsets = our.Offset - r.Home + 1
		return
	}
	a.runs, a.skipped = append(a.runs, Run{our.Offset, their.Offset, 1}), false
}

// skip takes a record of the copy that the home does not have next.
func (a *Aligner) skip(repeated bool) {
	r := a.theirs.take()
	a.copied, a.skipped = r.Offset, true
	if !repeated {
		a.fault(a.HomeCompacts, r, Fault{Foreign, r.Offset, a.home + 1})
	}
}

// lack takes a record of the home that the copy does not have next.
func (a *Aligner) lack() {
	r := a.ours.take()
	a.passed(r)
	a.home = r.Offset
	a.fault(a.CopyCompacts, r, Fault{Missing, r.Offset, r.Offset + 1})
}

// fault notes what is wrong with a record, unless compaction explains it.
func (a *Aligner) fault(compacts bool, r Record, f Fault) {
	switch {
	case compacts && r.Key != 0 && r.Tombstone:
	case compacts && r.Key != 0 && a.debts < MostOwed:
		a.owed[r.Key] = append(a.owed[r.Key], f)
		a.debts++
	default:
		if a.clean = max(a.clean, f.Behind); len(a.faults) < MostFaults {
			a.faults = append(a.faults, f)
		} else {
			a.more++
		}
	}
}

// passed notes a record of the home that is behind the aligner.
func (a *Aligner) passed(r Record) {
	if a.history.add(r.Print); r.Key == 0 {
		return
	}
	if a.debts > 0 { // it explains what is missing in front of it
		a.debts -= len(a.owed[r.Key])
		delete(a.owed, r.Key)
	}
}

// counts says how often fingerprints are among records. It is made when somebody asks, and
// forgotten after a while without a question: most copies have the same records in the same order.
type counts struct{ of map[uint64]int32 }

func (c *counts) ask(records iter.Seq[uint64], print uint64) bool {
	if c.of == nil {
		c.of = map[uint64]int32{}
		for p := range records {
			c.of[p]++
		}
	}
	return c.of[print] > 0
}

func (c *counts) add(print uint64) {
	if c.of != nil {
		c.of[print]++
	}
}

func (c *counts) take(print uint64) {
	if c.of == nil {
		return
	}
	if c.of[print]--; c.of[print] == 0 {
		delete(c.of, print)
	}
}

// queue are records that wait.
type queue struct {
	records []Record
	at      int
	counts
}

func (q *queue) len() int       { return len(q.records) - q.at }
func (q *queue) first() *Record { return &q.records[q.at] }

func (q *queue) add(records []Record) {
	if q.at > len(q.records)/2 {
		q.records = append(q.records[:0], q.records[q.at:]...)
		q.at = 0
	}
	q.records = append(q.records, records...)
	for i := range records {
		q.counts.add(records[i].Print)
	}
}

func (q *queue) take() Record {
	r := q.records[q.at]
	q.at++
	q.counts.take(r.Print)
	return r
}

// has reports a fingerprint among those that wait.
func (q *queue) has(print uint64) bool {
	return q.ask(func(yield func(uint64) bool) {
		for i := q.at; i < len(q.records) && yield(q.records[i].Print); i++ {
		}
	}, print)
}

// history are the last records of the home.
type history struct {
	ring []uint64
	next int
	counts
}

func (h *history) has(print uint64) bool { return h.ask(slices.Values(h.ring), print) }

func (h *history) add(print uint64) {
	if h.counts.add(print); len(h.ring) < remembered {
		h.ring = append(h.ring, print)
		return
	}
	h.take(h.ring[h.next])
	h.ring[h.next] = print
	h.next = (h.next + 1) % remembered
}
