package server

import (
	"runtime"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// answer fills a slot and writes every answer that is due. A nil response writes nothing.
func (s *session) answer(sl *slot, resp *plugin.Response) {
	s.inFlight.Add(-1)
	sl.ready = time.Since(sl.arrived)
	sl.held, sl.upstream = sl.clock.Split(sl.ready)
	now := sl.arrived.Add(sl.ready)
	if resp != nil {
		sl.code = resp.Body.KnownErrorCode()
	}
	s.mu.Lock()
	sl.done, sl.resp = true, resp
	if s.dropped {
		s.server.virtual.Release(sl.rt)
	}
	due := s.queue(now)
	waits := s.slots.Len() > 0
	s.mu.Unlock()
	if !due || s.shared.Corked() {
		return
	}
	if waits {
		runtime.Gosched() // others that are ready leave in the same write
	}
	s.flush()
}

// queue gives the writer the answers that are due, as long as it takes them, and reports whether
// there is something to flush. It is called with s.mu held, and does not wait.
func (s *session) queue(now time.Time) (due bool) {
	alive := s.ctx.Err() == nil && !s.ends
	s.crowded = false
	for s.slots.Len() > 0 && s.slots.First().done {
		head := s.slots.First()
		resp, answered, ends := head.resp, false, head.ends
		if resp != nil && alive {
			due = true
			// Once it is queued, another goroutine may write it and release it.
			ends = resp.Close
			answered = resp.Release != nil
			head.fetch.settle(resp)
			head.fetch = fetchAnswer{} // once
			taken, err := s.writer.Offer(head)
			switch {
			case err != nil:
				s.ends, alive = true, false // what comes behind it can't leave either
			case !taken:
				s.crowded = true
				return due
			default:
				s.unwritten++
				s.grown(head)
			}
		}
		s.slots.Pop()
		s.left(head, resp != nil && alive, answered, alive, now)
		if ends { // what comes behind it is answered by nobody
			s.ends, alive, due = true, false, true
		}
	}
	s.change()
	return due
}

// left ends a slot that has left the queue; one whose answer is queued is used again when it is
// written.
func (s *session) left(sl *slot, queued, answered, alive bool, now time.Time) {
	sl.log()
	if alive {
		s.leaves(sl, now)
		// A large request is written without a copy: only a broker's answer says that it is out.
		if !sl.early && (len(sl.frame) < kafka.SpanMin || answered) {
			s.server.pool.Recycle(sl.frame)
		}
	}
	s.server.virtual.Release(sl.rt)
	if queued {
		return
	}
	s.leaveMemory(sl)
	if alive {
		s.server.recycle(sl)
	}
}

// flush writes what is queued, and what is due and waits for that. Nothing is locked while it
// writes. Who finds another one writing leaves it to that one, who looks again.
func (s *session) flush() {
	for {
		wrote, err := s.writer.TryFlush()
		if err != nil {
			s.close(err)
			return
		}
		if !wrote {
			return
		}
		s.mu.Lock()
		again := s.crowded && s.queue(time.Now())
		ends := s.ends && !again && s.unwritten == 0 // what was queued since is another one's to write
		s.mu.Unlock()
		if ends {
			s.part()
		}
		if !again {
			return
		}
	}
}
