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

// Fault is a record that keeps a copy from being exact. Offset is of the log that has it.
type Fault struct {
	Kind   Kind
	Offset int64
}

// Ahead is how many records of either log an aligner should have that wait for one of the other.
const Ahead = 4096

// remembered is how many records of the home an aligner knows a repeated one by.
const remembered = 1 << 16

// MostFaults is how many faults are told one by one.
const MostFaults = 100

// Aligner goes through two logs in the same direction, from the first records that each of them is
// given, which should be the same. It is not safe for concurrent use.
type Aligner struct {
	// HomeCompacts and CopyCompacts say that a log may lack a record of which the key has a later
	// one, and tombstones.
	HomeCompacts, CopyCompacts bool
	// Lead says that the copy may have others in front of the first record that both have.
	Lead bool

	ours, theirs queue
	history      history

	told bool // of what is in front of what it was given of the home

	straight int // records that were next in both logs, since others were

	runs    []Run
	skipped bool // a record of the copy, since the last run went on
	faults  []Fault
	more    int // faults that are not told

	// What compaction explains once a later record with the same key is seen.
	owed map[uint64][]Fault

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

// Remember tells it of all records of the home that the copy may repeat, in front of those that it
// was given. Before, none that the copy does not have next counts as missing: it may repeat one
// that says the same.
func (a *Aligner) Remember(records ...Record) {
	a.told = true
	for _, r := range records {
		a.history.add(r.Print)
	}
}

// Aside tells it of a record of the home that is none of those to be found. The copy may have it.
func (a *Aligner) Aside(r Record) { a.history.add(r.Print) }

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

// Done are the last offsets of both logs that are decided, -1 for none, and how many records of
// each wait for more of the other one.
func (a *Aligner) Done() (home, copied int64, ours, theirs int) {
	return a.home, a.copied, a.ours.len(), a.theirs.len()
}

// Stuck reports that the next record of the copy is not among those of the home so far: it is a
// foreign one, unless Remember is told of it, or it is among what is given next of the home. Before
// Remember is told of any, it also reports one that the home has further on.
func (a *Aligner) Stuck() bool {
	if a.theirs.len() == 0 {
		return false
	}
	print := a.theirs.first().Print
	known := a.ours.has(print)
	if a.leads(known) || a.ours.len() > 0 && a.ours.first().Print == print {
		return false
	}
	return !a.history.has(print) && (!known || !a.told)
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
	a.straight = 0
	repeated, known := a.history.has(r.Print), a.ours.has(r.Print)
	// A log that has what comes next further on has something else in front of it.
	awaited := a.ours.len() > 0 && a.theirs.has(a.ours.first().Print)
	switch {
	case a.leads(known):
		a.skip(true)
	case a.ours.len() == 0 && !final: // the next record of the home may say the same
		return false
	case repeated && (awaited || !known):
		a.skip(true)
	case known && !repeated && !a.told && !final:
		return false
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
		a.fault(a.HomeCompacts, r, Fault{Foreign, r.Offset})
	}
}

// lack takes a record of the home that the copy does not have next.
func (a *Aligner) lack() {
	r := a.ours.take()
	a.passed(r)
	a.home = r.Offset
	a.fault(a.CopyCompacts, r, Fault{Missing, r.Offset})
}

// fault notes what is wrong with a record, unless compaction explains it.
func (a *Aligner) fault(compacts bool, r Record, f Fault) {
	switch {
	case compacts && r.Key != 0 && r.Tombstone:
	case compacts && r.Key != 0:
		a.owed[r.Key] = append(a.owed[r.Key], f)
	case len(a.faults) < MostFaults:
		a.faults = append(a.faults, f)
	default:
		a.more++
	}
}

// passed notes a record of the home that is behind the aligner.
func (a *Aligner) passed(r Record) {
	if a.history.add(r.Print); r.Key == 0 {
		return
	}
	if len(a.owed) > 0 {
		delete(a.owed, r.Key) // it explains what is missing in front of it
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
