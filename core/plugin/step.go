package plugin

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Stepper is an interceptor that handles a request in two halves, neither of which waits: Down,
// before the request is sent, and Up, when its answer is there. A request that nobody in its row
// has to wait for costs no goroutine: it goes down on the one that reads the session, and up on the
// one that reads the link.
//
// A half that finds that it has to wait (for a gate, another broker, the store) returns Wait with
// the rest of the work, which the chain runs on a goroutine. So what waits is an exception inside
// of a half, and no second way to do the same.
type Stepper interface {
	// Interceptor's Intercept is InSteps: the two halves around next, for a caller that waits.
	Interceptor
	// Down sees a request on its way to a cluster. It may set the request's Target and Waker, and
	// give it a body of its own (Step.Change). What it returns says how the request goes on.
	Down(ctx context.Context, req *Request, s *Step) Outcome
	// Up sees what came of a request that went on from Down: a response, which it may change in
	// place, or an error. The request is again as Down found it.
	Up(ctx context.Context, req *Request, s *Step, resp *Response, err error) Outcome
}

// Waiting is the rest of an interceptor's work with a request, where that may wait: until the
// request is answered. next is the rest of the row.
type Waiting func(ctx context.Context, next Handler) (*Response, error)

// Outcome is what a half of a Stepper comes to: one of GoOn, Answer and Wait.
type Outcome struct {
	kind outcome
	resp *Response
	err  error
	rest Waiting
}

type outcome uint8

const (
	goesOn outcome = iota
	answers
	waits
)

// GoOn sends a request on down the row. Only Down returns it.
func GoOn() Outcome { return Outcome{} }

// Answer ends what the interceptor has to do with a request: from Down without asking those below,
// from Up with what those above get.
func Answer(resp *Response, err error) Outcome { return Outcome{kind: answers, resp: resp, err: err} }

// Wait says that the rest may wait. It finds the request as Down found it; Up is not called any
// more.
func Wait(rest Waiting) Outcome { return Outcome{kind: waits, rest: rest} }

// Waits reports that there is more to do, which may wait.
func (o Outcome) Waits() bool { return o.kind == waits }

// Answers reports that the request is answered.
func (o Outcome) Answers() bool { return o.kind == answers }

// Response is what it is answered with.
func (o Outcome) Response() (*Response, error) { return o.resp, o.err }

// Rest is what is left of what Waits; nil: all.
func (o Outcome) Rest() Waiting { return o.rest }

// Step is what a Stepper has of one request, from Down to Up.
type Step struct {
	// The request as Down found it.
	body   *kafka.RequestBody
	target Target
	waker  Waker
	led    bool

	// Own is what the interceptor has taken itself, of a sampled request.
	Own time.Duration

	changed *kafka.ChangedBody
	kept    any
}

// Change gives the request a body with the same bytes, whose fixed-width fields can be changed; see
// kafka.RequestBody.Change.
func (s *Step) Change(req *Request) {
	if s.changed == nil {
		s.changed = &kafka.ChangedBody{}
	}
	req.Body.ChangeInto(s.changed)
	req.Body = &s.changed.RequestBody
}

// Keep returns memory for what Down keeps for Up, zeroed. The Steps of a row are used again, and
// their memory with them.
func Keep[T any](s *Step) *T {
	t, ok := s.kept.(*T)
	if !ok {
		t = new(T)
		s.kept = t
	}
	*t = *new(T)
	return t
}

// Kept is what Down keeps; Keep must have been called.
func Kept[T any](s *Step) *T { return s.kept.(*T) }

// Finds notes the request as Down finds it, for the chain.
func (s *Step) Finds(req *Request) {
	s.body, s.target, s.waker, s.led = req.Body, req.Target, req.Waker, req.Led
}

// Restores makes the request what Down found, if Finds was called.
func (s *Step) Restores(req *Request) {
	if s.body == nil {
		return
	}
	req.Body, req.Target, req.Waker, req.Led = s.body, s.target, s.waker, s.led
}

// InSteps is Intercept for a Stepper: it calls the halves around next, and waits where they say so.
func InSteps(ctx context.Context, i Stepper, req *Request, next Handler) (*Response, error) {
	own := &struct {
		Request
		Step
	}{}
	r, s := &own.Request, &own.Step
	req.copyTo(r)
	s.Finds(r)
	o := i.Down(ctx, r, s)
	if o.kind == goesOn {
		resp, err := next.Handle(ctx, r)
		s.Restores(r)
		o = i.Up(ctx, r, s, resp, err)
	}
	if o.kind == waits {
		s.Restores(r)
		return o.rest(ctx, next)
	}
	return o.resp, o.err
}

// Free forgets the request; the memory of the step is used again.
func (s *Step) Free() {
	if s.body, s.waker = nil, nil; s.changed != nil {
		s.changed.Reset(0, 0, nil)
	}
}
