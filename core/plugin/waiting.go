package plugin

import (
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
func (s *Session) GivenUp() []gate.GivenUp {
	if s.GiveUp == nil {
		return nil
	}
	return s.GiveUp()
}
