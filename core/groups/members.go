package groups

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/gate"
)

const (
	// memberLives is for how long after its last sign a member is taken for one: the default
	// session.timeout.ms of Java.
	memberLives = 45 * time.Second
	// gatherFor is for how long the members that are first to join at a new home wait for the
	// others: each commits what it has processed before it joins. The next heartbeat tells it
	// (heartbeat.interval.ms is 3 s by default, of KIP-848 5 s), and it may have to process what it
	// has polled. A coordinator waits for longer: max.poll.interval.ms.
	gatherFor = 12 * time.Second
	// shows is how long a gateway that starts waits for members to show themselves: it has not seen
	// who is one. Their next heartbeat comes within it.
	shows = 6 * time.Second
	// joinFor is for how long after a move members may be on their way: who is none waits for them.
	joinFor = 15 * time.Second
	// gathers is for how long after its last sign a member is waited for.
	gathers = 10 * time.Second
)

// Member is a member of a group as its requests tell.
type Member struct {
	ID string
	// Client and Host are the client's id, and where it connects from: its fetches, which do not
	// name a group, are known by them.
	Client, Host string
	// Instance is the group.instance.id of a static member, "" of others.
	Instance string
	// Consumer says that it is one of KIP-848.
	Consumer bool
}

type client struct{ id, host string }

// member is a member that has been seen.
type member struct {
	Member
	seen  time.Time
	stale bool   // of a generation before the last move
	came  bool   // is about to join at the new home
	next  string // its id there, once it has one
	quiet bool   // its fetches are answered without records
	bare  bool   // has no partitions
	// claims says that it is one by its own word: no coordinator has said so in this run.
	claims bool
}

// heard reports a member that has given a sign of life in the time within, or that waits for an
// answer: it sends nothing else meanwhile. g.mu is held.
func (g *Group) heard(m *member, within time.Duration, now time.Time) bool {
	return g.asks[m.ID] > 0 || g.seeks[client{m.Client, m.Host}] > 0 || now.Sub(m.seen) < within
}

// Seeks notes that a client looks for the coordinator, until answered is called: its members say
// nothing before it has found one.
func (g *Group) Seeks(id, host string) (answered func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		if m.Client == id && m.Host == host {
			m.seen = time.Now()
		}
	}
	return waits(g, g.seeks, client{id, host})
}

// Asks notes that a request of a member waits for its answer, until answered is called.
func (g *Group) Asks(id string) (answered func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return waits(g, g.asks, id)
}

// waits counts a request of somebody until answered is called. g.mu is held.
func waits[K comparable](g *Group, all map[K]int, who K) (answered func()) {
	all[who]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if all[who]--; all[who] == 0 {
			delete(all, who)
		}
	}
}

// turnover is the way of members to a new home.
type turnover struct {
	began time.Time
	all   chan struct{} // closed when all have come, or when some have joined
	open  bool
	here  chan struct{} // closed when all have joined
	done  bool
}

func newTurnover(began time.Time) *turnover {
	return &turnover{began: began, all: make(chan struct{}), here: make(chan struct{})}
}

// Alive notes a sign of life of a member, that its coordinator has answered.
func (g *Group) Alive(m Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alive(m)
}

// Claims notes a request of a member that its coordinator does not answer, or not yet. It reports
// whether it may be one: it has been seen, or an earlier run of the gateway may have seen it.
func (g *Group) Claims(m Member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.members[m.ID]
	switch {
	case own != nil:
		own.seen = time.Now()
	case g.all.before[g.name]:
		g.alive(m).claims = true
	default:
		return false
	}
	return true
}

func (g *Group) alive(m Member) *member {
	own := g.members[m.ID]
	if own == nil {
		own = &member{}
		g.members[m.ID] = own
	}
	own.Member, own.seen, own.claims = m, time.Now(), false
	return own
}

// Left forgets a member.
func (g *Group) Left(id string) {
	g.mu.Lock()
	delete(g.members, id)
	g.gathered()
	g.mu.Unlock()
	g.all.quiet.note(g)
}

// Owns notes whether a KIP-848 member has partitions, or is about to have some.
func (g *Group) Owns(id string, some bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := g.members[id]; own != nil {
		own.bare = !some
	}
}

// Bare reports a member that has said that it has no partitions: it has nothing to commit.
func (g *Group) Bare(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.members[id]
	return own != nil && own.bare
}

// Replaces forgets other members with the group.instance.id of one that joins, which takes their
// place.
func (g *Group) Replaces(instance, id string) {
	g.mu.Lock()
	gone := false
	for other, m := range g.members {
		if m.Instance == instance && other != id {
			delete(g.members, other)
			gone = true
		}
	}
	if gone {
		g.gathered()
	}
	g.mu.Unlock()
	if gone {
		g.all.quiet.note(g)
	}
}

// unsure reports that members of before the last move may be unknown: the gateway was started
// behind it, or a session before it: members may have waited for a home all the time. g.mu is held.
func (g *Group) unsure(now time.Time) bool {
	a := g.all
	if !a.before[g.name] {
		return false
	}
	known := a.catalog.Group(g.name)
	if known == nil || known.Generation == 0 {
		return false
	}
	late := a.began
	if known.Since.After(late) {
		late = known.Since
	}
	return known.Since.Sub(a.began).Abs() < memberLives && now.Before(late.Add(memberLives))
}

// Returns reports whether a member that the new home does not know may be one of before the last
// move, which an earlier run of the gateway knew; then it is one from now on.
func (g *Group) Returns(m Member) bool {
	g.mu.Lock()
	now := time.Now()
	if own := g.members[m.ID]; own != nil && !own.claims || !g.unsure(now) {
		g.mu.Unlock()
		return false
	}
	g.turn(now)
	own := g.alive(m)
	own.stale, own.quiet = true, true
	g.mu.Unlock()
	g.all.quiet.note(g)
	return true
}

// turn makes members wait for each other who come behind a start of the gateway. g.mu is held.
func (g *Group) turn(now time.Time) {
	if g.over == nil && g.unsure(now) {
		g.over = newTurnover(now)
	}
}

// Stale returns a member of before the last move, which has not joined since; it notes that it
// lives.
func (g *Group) Stale(id string) (m Member, stale bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.members[id]
	if own == nil || !own.stale {
		return Member{}, false
	}
	own.seen = time.Now()
	return own.Member, true
}

// Gathers reports that members still have the time to commit what they have processed, before
// somebody else reads from there.
func (g *Group) Gathers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over != nil && !g.over.open && time.Since(g.over.began) < gatherFor
}

// Settles reports a group that has moved a moment ago: its members may still have to be told which
// partitions they have.
func (g *Group) Settles() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over != nil && time.Since(g.over.began) < joinFor
}

// Next is the id that the new home has given a member of before, "" as long as it has none. Once it
// has joined there, it is its own.
func (g *Group) Next(id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := g.members[id]; own != nil {
		return own.next
	}
	return ""
}

// Came notes that a member of before is about to join at the new home, by the id next if that has
// given it one already. What it had to commit before that it has committed. It is false for who is
// no such member, or is one no more.
func (g *Group) Came(id, next string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.members[id]
	if own == nil || !own.stale {
		return false
	}
	own.came, own.next = true, next
	g.gathered()
	return true
}

// gathered lets members join if all have come, and others go on if all have joined. g.mu is held.
func (g *Group) gathered() {
	if g.over == nil || g.over.done {
		return
	}
	now := time.Now()
	if g.all.before[g.name] && now.Sub(g.all.began) < shows {
		return
	}
	come, joined := true, true
	for _, m := range g.members {
		if m.stale && g.heard(m, gathers, now) {
			joined = false
			come = come && m.came
		}
	}
	if come {
		g.over.end()
	}
	if joined {
		g.over.done = true
		close(g.over.here)
	}
}

// end lets members join. The lock of the group is held.
func (o *turnover) end() {
	if !o.open {
		o.open = true
		close(o.all)
	}
}

// AwaitMembers lets a request to join wait for the other members, which have to commit first.
func (g *Group) AwaitMembers(ctx context.Context, req gate.Request) error {
	over, err := g.await(ctx, req, gatherFor, "the other members of the group commit before they join at its new home", func(o *turnover) chan struct{} { return o.all })
	if over == nil || err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	over.end()
	return nil
}

// AwaitJoined lets a request of somebody who is no member wait for the members: until they have
// joined at a new home, that takes the group for one without any, which may be changed and deleted.
func (g *Group) AwaitJoined(ctx context.Context, req gate.Request) error {
	_, err := g.await(ctx, req, joinFor, "the members of the group join at its new home", func(o *turnover) chan struct{} { return o.here })
	return err
}

// await waits for a channel of the last turnover for so long after that began, and returns it; nil
// without one.
func (g *Group) await(ctx context.Context, req gate.Request, limit time.Duration, why string, until func(*turnover) chan struct{}) (*turnover, error) {
	g.mu.Lock()
	g.turn(time.Now())
	over := g.over
	g.mu.Unlock()
	if over == nil {
		return nil, nil
	}
	for last := over.began.Add(limit); time.Now().Before(last); {
		next := time.Now().Add(time.Second) // some may have gone without a word
		if next.After(last) {
			next = last
		}
		err := wait(ctx, req, until(over), next, why)
		if err == nil {
			return over, nil
		}
		if !errors.Is(err, gate.ErrHeldTooLong) {
			return over, err
		}
		g.mu.Lock()
		g.gathered()
		g.mu.Unlock()
	}
	return over, nil
}

// Joins notes that the home has let a member join, which had another id before, or none.
func (g *Group) Joins(before string, m Member) {
	g.mu.Lock()
	if own := g.members[before]; own != nil && before != m.ID {
		g.members[m.ID] = own
		delete(g.members, before)
	}
	g.alive(m).next = m.ID
	g.mu.Unlock()
	g.all.quiet.note(g)
}

// Joined notes that a member is one of the home's own, with partitions.
func (g *Group) Joined(m Member) {
	g.mu.Lock()
	own := g.alive(m)
	own.stale, own.quiet = false, false
	g.gathered()
	g.mu.Unlock()
	g.all.quiet.note(g)
}

// Sweep forgets members that have not been heard of for long, and groups that are none.
func (g *Groups) Sweep() {
	now := time.Now()
	g.published.sweep(now)
	for _, x := range g.known() {
		if g.catalog.Group(x.name) == nil && x.idles(now) {
			g.mu.Lock()
			delete(g.of, x.name)
			g.mu.Unlock()
			continue
		}
		x.mu.Lock()
		changed := false
		for id, m := range x.members {
			switch {
			case !x.heard(m, memberLives, now):
				delete(x.members, id)
				changed = true
			case m.stale && m.quiet && x.held == nil && !x.heard(m, gatherFor, now) && x.over != nil && now.Sub(x.over.began) > gatherFor:
				m.quiet, changed = false, true // the same client may be here by another id
			}
		}
		if changed {
			x.gathered()
		}
		x.mu.Unlock()
		if changed {
			g.quiet.note(x)
		}
	}
}

// idles reports a group that nobody uses.
func (g *Group) idles(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.flying) == 0 && g.held == nil && now.Sub(g.seen) > memberLives
}

// quiet finds the members whose fetches are answered without records.
type quiet struct {
	n  atomic.Int32 // clients in of
	mu sync.RWMutex
	of map[client]map[*Group]struct{}
}

// note makes the members of a group known as they are now.
func (q *quiet) note(g *Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	for c, all := range q.of {
		if delete(all, g); len(all) == 0 {
			delete(q.of, c)
		}
	}
	for _, m := range g.members {
		if !m.quiet {
			continue
		}
		if q.of == nil {
			q.of = map[client]map[*Group]struct{}{}
		}
		c := client{m.Client, m.Host}
		if q.of[c] == nil {
			q.of[c] = map[*Group]struct{}{}
		}
		q.of[c][g] = struct{}{}
	}
	q.n.Store(int32(len(q.of)))
}

// Quiet reports that some fetch may have to be answered without records.
func (g *Groups) Quiet() bool { return g.quiet.n.Load() > 0 }

// Mutes reports that a client's fetches of a topic are answered without records: it is a member of
// a group that moves, or that has moved, and has not joined again.
func (g *Groups) Mutes(id, host, topic string) bool {
	if !g.Quiet() {
		return false
	}
	g.quiet.mu.RLock()
	all := make([]*Group, 0, 1)
	for x := range g.quiet.of[client{id, host}] {
		all = append(all, x)
	}
	g.quiet.mu.RUnlock()
	for _, x := range all {
		if x.reads(topic) {
			return true
		}
	}
	return false
}
