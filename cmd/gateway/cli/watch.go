package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

const (
	// refusals are how often a move is refused for the same reason before it counts as one that
	// only waits.
	refusals = 3
	// told is how many topics are told of one by one.
	told = 20
)

// watch is what is known of the moves that a run has started.
type watch struct {
	started admin.Started
	topics  map[string]bool            // and groups, by what lines call them
	groups  int                        // of those
	reports []failover.Report          // all, oldest first
	last    map[string]failover.Report // the newest, by topic
	stays   map[string]string          // why topics don't move that have no move
	open    []string                   // topics that have not moved, and may
	dropped []string                   // topics whose move was given up

	refused map[string]refusal // what each move waits for
	changed time.Time          // when something was last another thing than before
	shown   map[string]string  // what was printed last, by topic
	states  string
}

// refusal is what a move waits for, from which attempt on.
type refusal struct {
	phase   failover.Phase
	reason  string
	lag     int64
	attempt int
}

func newWatch(s admin.Started) *watch {
	w := &watch{started: s, topics: map[string]bool{}, stays: map[string]string{}, refused: map[string]refusal{}, shown: map[string]string{}, reports: []failover.Report{}}
	w.started.Topics = slices.Clone(s.Topics)
	for _, g := range s.Groups {
		w.started.Topics = append(w.started.Topics, groupName(g))
		w.groups++
	}
	for _, t := range w.started.Topics {
		w.topics[t] = true
	}
	return w
}

// groupName is what lines call a consumer group.
func groupName(group string) string {
	return failover.Movable{Kind: failover.Group, Name: group}.String()
}

// carry names groups in reports as lines do, and watches those that go with the topics, too.
func (w *watch) carry(moves []failover.Report) []failover.Report {
	for i := range moves {
		m := &moves[i]
		if m.Kind != failover.Group {
			continue
		}
		if m.Topic = groupName(m.Topic); !w.topics[m.Topic] {
			w.topics[m.Topic] = true
			w.started.Topics = append(w.started.Topics, m.Topic)
			w.groups++
		}
	}
	return moves
}

// followSoon is for how long groups are waited for whose topics have all moved.
const followSoon = 5 * time.Second

// awaited reports groups that are to follow soon, since all topics have moved.
func (w *watch) awaited() bool {
	for _, t := range w.started.Topics {
		if w.last[t].Phase != failover.Done {
			return false
		}
	}
	return time.Since(w.changed) < followSoon && slices.ContainsFunc(w.started.Following, func(g string) bool { return !w.topics[groupName(g)] })
}

// count is a number of what moves.
func (w *watch) count(n int) string {
	if w.groups > 0 {
		return count(n, "move")
	}
	return count(n, "topic")
}

// unexplained reports a topic of which it is not known yet why it has no move.
func (w *watch) unexplained(moves []failover.Report) bool {
	known := map[string]bool{}
	for _, m := range moves {
		known[m.Topic] = true
	}
	return slices.ContainsFunc(w.started.Topics, func(t string) bool { return !known[t] && w.stays[t] == "" })
}

// note takes in what the gateway says. homes are where topics live; nil if nobody needs to know.
func (w *watch) note(moves []failover.Report, homes map[string]string, now time.Time) {
	w.reports = append([]failover.Report{}, moves...)
	w.last, w.open, w.dropped = map[string]failover.Report{}, nil, nil
	for _, m := range moves {
		w.last[m.Topic] = m
	}
	for _, t := range w.started.Topics {
		m, moves := w.last[t]
		home, exists := homes[t]
		switch {
		case !moves && homes != nil && !exists:
			w.stays[t] = "no such topic is known: the file is edited, and nothing moves"
		case !moves && homes != nil && home == w.started.To:
			w.stays[t] = "it lives there already"
		}
		switch {
		case m.Phase == failover.Dropped:
			w.dropped = append(w.dropped, t)
		case m.Phase != failover.Done && (moves || w.stays[t] == ""):
			w.open = append(w.open, t)
		}
		if w.differs(t, m) {
			w.changed = now
		}
	}
}

// differs reports that a move is not where it was. One that is refused again for the same reason
// is, unless its copy has come nearer.
func (w *watch) differs(topic string, m failover.Report) bool {
	now := refusal{m.Phase, withoutNumbers(m.Error), m.Lag, m.Attempts}
	if waits(m) {
		now.phase = failover.Pending // while it is tried again, too
	}
	before, known := w.refused[topic]
	if known && before.phase == now.phase && before.reason == now.reason && now.lag >= before.lag {
		return false
	}
	w.refused[topic] = now
	return true
}

// waits reports a move that was refused, and has got no further since.
func waits(m failover.Report) bool {
	return m.Error != "" && (m.Phase == failover.Pending || m.Phase == failover.Check)
}

// settled reports that what is open only waits, and that nothing has changed for a while.
func (w *watch) settled(quiet time.Duration) bool {
	return time.Since(w.changed) >= quiet && !slices.ContainsFunc(w.open, func(t string) bool {
		m := w.last[t]
		return !waits(m) || m.Attempts < w.refused[t].attempt+refusals-1
	})
}

// withoutNumbers is a reason that stays the same while its numbers change.
func withoutNumbers(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

// news are the lines that were not printed yet: of many topics how many are where, and what was
// lost.
func (w *watch) news() (out []string) {
	for _, t := range w.started.Topics {
		m, line := w.last[t], w.stays[t]
		if m.Topic != "" {
			line = string(m.Phase)
			if waits(m) {
				line = string(failover.Pending) + " (" + m.Error + ")"
			}
		}
		key := withoutNumbers(line)
		if line == "" || w.shown[t] == key {
			continue
		}
		w.shown[t] = key
		if len(w.started.Topics) <= told {
			out = append(out, t+": "+line)
		}
		if m.Phase == failover.Done {
			for _, l := range m.PossibleLoss {
				out = append(out, fmt.Sprintf("  possible loss: %s partition %d offsets %d to %d", l.Topic, l.Partition, l.From, l.To))
			}
		}
	}
	if now := w.numbers(); len(w.started.Topics) > told && now != w.states {
		w.states = now
		out = append(out, now)
	}
	return out
}

// numbers says how many moves are in which phase.
func (w *watch) numbers() string {
	n := map[failover.Phase]int{}
	for _, m := range w.last {
		if waits(m) {
			m.Phase = failover.Pending
		}
		n[m.Phase]++
	}
	var out []string
	for _, p := range []failover.Phase{
		failover.Pending, failover.Check, failover.Hold, failover.Fence, failover.Prepare, failover.Commit, failover.Drain, failover.Publish, failover.Done, failover.Dropped,
	} {
		if n[p] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[p], p))
		}
	}
	return strings.Join(out, ", ")
}

// summary says what has become of the moves: by state, and of those that wait by what they wait
// for.
func (w *watch) summary(file string) (out []string) {
	staying := map[string]int{}
	for _, why := range w.stays {
		staying[why]++
	}
	for _, why := range slices.Sorted(maps.Keys(staying)) {
		out = append(out, fmt.Sprintf("not to move: %s: %s", w.count(staying[why]), why))
	}
	if len(w.dropped) > 0 {
		out = append(out, fmt.Sprintf("given up: %s, such as %s: %s", w.count(len(w.dropped)), w.dropped[0], w.last[w.dropped[0]].Error))
	}
	if len(w.open) > 0 {
		out = append(out, fmt.Sprintf("pending: %s", w.count(len(w.open))))
		out = append(out, w.blocked()...)
		what := "--all"
		if len(w.open) <= told {
			what = strings.Join(quoted(w.open), " ")
		}
		out = append(out,
			"What is pending holds nobody, and is tried again until failover.retry_for is over. To give it up, so that it stays where it is:",
			fmt.Sprintf("  gateway failover abort -c %s --virtual-cluster %s --to %s %s", file, w.started.VirtualCluster, w.started.To, what))
	}
	return append(out, w.cost())
}

// quoted are arguments of a shell.
func quoted(list []string) (out []string) {
	for _, s := range list {
		if strings.Contains(s, " ") {
			s = "'" + s + "'"
		}
		out = append(out, s)
	}
	return out
}

// blocked has a line for each kind of what moves wait for.
func (w *watch) blocked() (out []string) {
	by := map[string][]failover.Report{}
	for _, t := range w.open {
		m := w.last[t]
		kind := string(m.BlockedBy)
		if m.Error == "" {
			kind, m.Error = "running", cmp.Or(string(m.Phase), "it has not begun yet")
		}
		m.Topic = t
		by[kind] = append(by[kind], m)
	}
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		list := by[kind]
		line := fmt.Sprintf("  %s: %s", kind, w.count(len(list)))
		var lag int64
		for _, m := range list {
			lag += m.Lag
		}
		if lag > 0 {
			line += fmt.Sprintf(", %s behind", count(int(lag), "record"))
		}
		out = append(out, fmt.Sprintf("%s, such as %s: %s", line, list[0].Topic, list[0].Error))
	}
	return out
}

// cost says what the moves that are done have cost.
func (w *watch) cost() string {
	var moved, groups int
	var held, compared, lost int64
	for _, m := range w.last {
		if m.Phase != failover.Done {
			continue
		}
		if m.Kind == failover.Group {
			groups++
		} else {
			moved++
		}
		held, compared, lost = max(held, m.PauseMS), compared+m.Compared, lost+m.Lost()
	}
	loss := "nothing lost"
	if lost > 0 {
		loss = fmt.Sprintf("up to %s may be lost, see above", count(int(lost), "record"))
	}
	carried := ""
	if groups > 0 {
		carried = ", " + count(groups, "group") + " carried"
	}
	return fmt.Sprintf("done: %s moved%s, held for %d ms at most, %s compared, %s", count(moved, "topic"), carried, held, count(int(compared), "record"), loss)
}
