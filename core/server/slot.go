package server

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// slot is the place of one request in the order of answers. Slots are used again: a request that
// passes through in steady state allocates nothing.
type slot struct {
	session *session
	rt      *Runtime
	key     kmsg.Key
	version int16
	corr    int32
	frame   []byte // of a Fetch in a session, what it was turned into
	size    int    // of what was received
	out     int    // of what was written
	arrived time.Time
	clock   *plugin.Clock
	// From the arrival to the answer, which may wait for those before it, and the parts of it that
	// are not the gateway's.
	ready, held, upstream time.Duration

	code   kafka.Code   // the first error code of the answer, if it is known
	logged bool         // the access log shows it, whatever comes of it
	line   *slog.Record // of the access log; nil: none
	facts  *facts       // of the trace; nil: none
	done   bool
	ends   bool             // the session, in the place of an answer
	resp   *plugin.Response // nil: nothing is written
	fetch  fetchAnswer

	// walk is the request's way through the chain; nil for one that does not go there.
	walk   *chain.Walk
	finish func(*plugin.Response, error)

	// claimed says that somebody answers: the chain, or early who drains. What the chain of an
	// early one has is not used again.
	claimed atomic.Bool
	early   bool
	started atomic.Bool
	asked   []byte // the body that goes down the chain, once it is started

	seq     uint64
	request int64 // bytes counted of the request, and of its answer
	answer  int64
	wrote   func()
}

// Admit is for wire.Item.
func (sl *slot) Admit() error { return nil }

// Encode writes the answer's frame.
func (sl *slot) Encode(o *kafka.Out) {
	before := o.Len()
	o.BeginFrame()
	o.AppendResponseHeader(sl.key, sl.version, sl.corr)
	sl.resp.Body.AppendTo(o)
	o.EndFrame()
	sl.out = o.Len() - before
	if sl.facts != nil {
		sl.facts.out.Store(int64(sl.out))
	}
	if sl.resp.Release != nil {
		o.After(sl.resp.Release)
	}
	o.After(sl.wrote)
}

func (s *Server) slot(ss *session, rt *Runtime, h kafka.Header, frame []byte) *slot {
	sl, ok := s.slots.Get().(*slot)
	if !ok {
		sl = &slot{}
		sl.finish = func(resp *plugin.Response, err error) { // bound once
			sl.session.finish(&sl.walk.Req, sl, resp, err)
		}
		sl.wrote = func() { sl.session.written(sl) }
	}
	sl.session, sl.rt, sl.key, sl.version, sl.corr, sl.frame, sl.arrived = ss, rt, h.Key, h.Version, h.CorrelationID, frame, time.Now()
	sl.size, sl.out, sl.code, sl.logged, sl.clock = len(frame), 0, 0, rt.Access.samples(), nil
	sl.request, sl.answer = int64(len(frame)), 0
	sl.claimed.Store(false)
	sl.started.Store(false)
	return sl
}

// recycle gives a slot back whose answer is written, or never will be.
func (s *Server) recycle(sl *slot) {
	if sl.early {
		return
	}
	sl.session, sl.rt, sl.frame, sl.resp, sl.line, sl.facts, sl.asked, sl.done, sl.ends = nil, nil, nil, nil, nil, nil, nil, false, false
	sl.fetch = fetchAnswer{}
	if sl.walk != nil {
		sl.walk.Free()
		sl.walk = nil
	}
	s.slots.Put(sl)
}
