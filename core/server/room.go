package server

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// admitRequest waits until a request of n bytes fits into the limits of the session and the
// process.
func (s *session) admitRequest(n int64, pending *unflushed) error {
	if s.full(n) {
		pending.flush(s)
		look := time.NewTicker(lookAgain)
		defer look.Stop()
		for {
			changed := s.changes()
			if !s.full(n) {
				break
			}
			select {
			case <-changed:
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			case <-look.C: // a session that does not read sees no end of file
				if s.shared.Gone() {
					return io.EOF
				}
			}
		}
	}
	s.mu.Lock()
	busy := s.slots.Len() > 0 || s.unwritten > 0
	s.mu.Unlock()
	if busy {
		if err := s.server.memory.Wait(s.ctx, func() { pending.flush(s) }); err != nil {
			return err
		}
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	s.server.memory.Add(n)
	return nil
}

// full reports whether a request of n bytes has to wait for answers to leave. One alone never has.
func (s *session) full(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots.Len() == 0 && s.unwritten == 0 {
		return false
	}
	return s.slots.Len() >= s.limits.SessionInFlight || s.bytes+n > s.limits.SessionBytes || s.backlog()
}

// A session that has backlogOf requests on their way is not read while the first is a produce that
// was read backlogAfter ago.
const (
	backlogOf    = 5
	backlogAfter = time.Second
)

// backlog reports whether produces come in faster than they are answered. A broker takes the
// requests of a connection one after the other, and leaves the rest of them to the client; what has
// been taken from the client has to be answered before a move can begin. It is called with s.mu
// held.
func (s *session) backlog() bool {
	if s.slots.Len() < backlogOf {
		return false
	}
	first := s.slots.First()
	return first.key == kmsg.Produce && time.Since(first.arrived) > backlogAfter
}

// changes returns a channel that is closed when answers have left.
func (s *session) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// change is called with s.mu held when answers have left.
func (s *session) change() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// relook is how often an answer that waits looks whether it waits for a client that does not read.
const relook = 100 * time.Millisecond

// admitAnswer waits until an answer of n bytes that comes in on a link fits into the limits of the
// session and the process; see plugin.Session. A client that does not read is not served for long:
// its links stop reading. The answer that its client gets next always fits into the session, or
// nothing would ever leave; one that is in its way on the same link, because it was sent again,
// say, is thrown away and asked for when it is its turn.
func (s *session) admitAnswer(ctx context.Context, a plugin.Incoming, from plugin.AnswerSource) error {
	if admitted, _ := s.begin(a, a.Seq); admitted {
		return nil
	}
	from.Waits()
	if s.server.memory.short(int64(a.Size)) {
		defer s.server.memory.await()()
	}
	look := time.NewTicker(relook)
	defer look.Stop()
	for began := time.Now(); ; {
		changed, memory := s.changes(), s.server.memory.Changed()
		switch admitted, inTheWay := s.begin(a, from.Earliest()); {
		case admitted:
			return nil
		case inTheWay:
			return plugin.ErrNoRoom
		}
		select {
		case <-changed:
		case <-memory:
		case <-from.Queued():
		case now := <-look.C:
			if now.Sub(began) >= s.server.memory.patience {
				s.evict(now, int64(a.Size))
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

// errUnread closes a session for others.
var errUnread = errors.New("the client does not read its answers, for which others wait")

// evict closes the session that holds memory for a client that does not read, if it is others that
// an answer of this session waits for.
func (s *session) evict(now time.Time, n int64) {
	s.mu.Lock()
	own := s.unwritten > 0 || s.answers > 0 && s.bytes+n > s.limits.SessionBytes || s.backlog()
	s.mu.Unlock()
	if own || !s.server.memory.short(n) {
		return
	}
	if other := s.server.memory.stuck(now); other != nil {
		other.server.log.Warn("session closed", "client", other.shared.Remote.String(), "error", errUnread)
		other.close(errUnread)
	}
}

// begin counts an answer if there is room for it, and reports whether else it is in the way of the
// first one. earliest is the first request that waits for the same link.
func (s *session) begin(a plugin.Incoming, earliest uint64) (admitted, inTheWay bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped || s.slots.Len() == 0 {
		return true, false
	}
	head := s.slots.First().seq
	place := a.Seq - head
	if place >= uint64(s.slots.Len()) {
		return true, false // nobody waits for it any more
	}
	n := int64(a.Size)
	inTheWay = place > 0 && earliest <= head && s.unwritten == 0
	first := place == 0 && s.unwritten == 0 || inTheWay && !a.Repeatable
	if !first && n > tinyAnswer && s.bytes+n > s.limits.SessionBytes || !s.server.memory.Begin(s, n, first) {
		return false, inTheWay
	}
	s.slots.At(int(place)).answer += n
	s.answers += n
	s.bytes += n
	return true, false
}

// awaitFirst waits until the request seq is the first that is not answered.
func (s *session) awaitFirst(ctx context.Context, seq uint64) error {
	for {
		changed := s.changes()
		s.mu.Lock()
		first := s.slots.Len() == 0 || s.slots.First().seq >= seq
		s.mu.Unlock()
		if first {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// giveUp takes the fetches out of flight that wait at a cluster for a topic that has moved.
func (s *session) giveUp() (out []gate.GivenUp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots.Len() {
		if sl := s.slots.At(i); sl.key == kmsg.Fetch && sl.started.Load() && sl.walk.GivesUp() {
			out = append(out, sl.walk)
		}
	}
	return out
}

// grown counts an answer that has become larger than what came in for it, or was made here.
func (s *session) grown(sl *slot) {
	if more := int64(sl.out) - sl.answer; more > tinyAnswer {
		sl.answer += more
		s.answers += more
		s.bytes += more
		s.server.memory.Grow(more)
	}
}

// leaveMemory takes a slot's request and answer off. It is called with s.mu held.
func (s *session) leaveMemory(sl *slot) {
	if s.dropped {
		return
	}
	s.bytes -= sl.request + sl.answer
	s.answers -= sl.answer
	s.server.memory.End(s, sl.answer, sl.request)
}

// written is called when the answer of a slot has been handed to the kernel.
func (s *session) written(sl *slot) {
	s.mu.Lock()
	s.unwritten--
	s.leaveMemory(sl)
	s.change()
	s.mu.Unlock()
	s.server.recycle(sl)
}
