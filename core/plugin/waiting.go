package plugin

import (
	"net"
	"time"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/internal/turn"
)

// AtGate is the request as gates see it.
func (r *Request) AtGate() gate.Request { return atGate{r} }

type atGate struct{ *Request }

func (r atGate) Client() string         { return r.ClientID }
func (r atGate) Arrival() time.Time     { return r.Arrived }
func (r atGate) Gone() bool             { return r.Session.Gone() }
func (r atGate) Ended() <-chan struct{} { return r.Session.Context().Done() }

func (r atGate) Queued() {
	if r.Session.Held != nil {
		r.Session.Held()
	}
}

func (r atGate) Passes(onward func()) {
	if r.turn == nil {
		r.turn = &r.own
	}
	turn.Begin(r.turn, onward)
	r.More = false
}

// GivenUp takes the requests that their Wakers give up out of flight.
func (s *Session) GivenUp() (out []gate.GivenUp) {
	if s.GiveUp == nil {
		return nil
	}
	for _, w := range s.GiveUp() {
		out = append(out, w)
	}
	return out
}

// Client is the id and the host of the request's client.
func (w *Walk) Client() (id, host string) {
	if a := w.Req.Session.Remote; a != nil {
		host, _, _ = net.SplitHostPort(a.String())
	}
	return w.Req.ClientID, host
}

// Arrival is when the request was read.
func (w *Walk) Arrival() time.Time { return w.Req.Arrived }
