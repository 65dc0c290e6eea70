package plugin

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// AnyNode is the node of a Target that any broker of the cluster, or the leader, coordinator or
// controller that the api table asks for, may answer.
const AnyNode int32 = -1

// Target is where a request goes: a cluster and a physical node of it, or AnyNode.
type Target struct {
	Cluster string
	Node    int32
}

// Request is one client request on its way down the chain. Its body is immutable as received; who
// changes it for a target gives the fork of that target a body of its own.
type Request struct {
	kafka.Header
	Body    *kafka.RequestBody
	Session *Session
	Target  Target
	// Seq numbers the requests of a session in the order in which they were read.
	Seq uint64
	// Arrived is when the request was read from the client; holds are limited from it.
	Arrived time.Time
	// Clock divides the request's time.
	Clock *Clock
	// Trace notes what happens to the request; nil notes nothing.
	Trace *telemetry.Trace
	// Waker, if not nil, may end the wait for an answer with ErrMoved.
	Waker Waker
	// More says that the session has read more requests, after which it flushes its links: this one
	// need not be flushed if it is queued at its turn.
	More bool
	// Led says that the request goes to who leads, also if the client has dialled another node:
	// that one has had it.
	Led bool
	// Sampled says that the own times of interceptors are measured; see Cost.
	Sampled bool

	// Stopwatch measures the interceptor that has the request; nil measures nothing.
	Stopwatch Stopwatch

	turn *turn.Turn // shared with its copies; nil: none
	own  turn.Turn
}

// Unanswered reports a Produce with acks=0. What comes of it goes up the chain as for any other;
// its client is told of an error by the end of its connection, and of nothing else.
func (r *Request) Unanswered() bool {
	return r.Key == kmsg.Produce && r.Body.View().Acks == 0
}

// Stopwatch is stopped while a request waits. Times are from the arrival of the request.
type Stopwatch interface {
	Stop(at time.Duration)
	Start(at time.Duration)
}

// Waker ends waits for answers that have become pointless. Its methods may be called at once.
type Waker interface {
	// Outdated reports that something has changed since the request was judged worth waiting for.
	Outdated() bool
	// Changed returns a channel that is closed when something changes from now on.
	Changed() <-chan struct{}
	// GiveUp judges anew.
	GiveUp() bool
}

// ErrMoved is the end of a wait by a Waker.
var ErrMoved = telemetry.NewError("moved", "what was asked for has moved")

// SetTurn gives the request a turn; pass is called once, when the request with all its forks is
// queued, waits or is answered. Only sessions and tests call it.
func (r *Request) SetTurn(pass func()) {
	if turn.Held(r.turn) {
		panic("the request has a turn")
	}
	r.turn = &r.own
	turn.Begin(r.turn, pass)
}

// Turn is the request's turn, for code of core alone, which can use it.
func (r *Request) Turn() *turn.Turn { return r.turn }

// Fork returns n sub-requests with the same session and the same place in the send order; by says
// what divides them. The caller gives each a Body and Target and runs them with Parallel.
func (r *Request) Fork(n int, by string) []*Request {
	if n > 1 {
		r.Trace.Forked(n, by)
	}
	forks := make([]Request, n)
	out := make([]*Request, n)
	pass := turn.Share(r.turn, n)
	for i := range forks {
		f := &forks[i]
		r.copyTo(f)
		if f.turn = nil; pass != nil {
			f.SetTurn(pass)
		}
		out[i] = f
	}
	return out
}

// With returns a copy of the request with another body. It has the same place in the send order:
// one of the two is sent.
func (r *Request) With(body *kafka.RequestBody) *Request {
	f := &Request{}
	r.copyTo(f)
	f.Body = body
	return f
}

// changed is a request and its body in one piece of memory.
type changed struct {
	Request
	body kafka.ChangedBody
}

// Change is With for a body whose fixed-width fields can be changed; see kafka.RequestBody.Change.
func (r *Request) Change() *Request {
	c := &changed{}
	r.copyTo(&c.Request)
	r.Body.ChangeInto(&c.body)
	c.Body = &c.body.RequestBody
	return &c.Request
}

// copyTo makes f a copy of r, with the same turn.
func (r *Request) copyTo(f *Request) {
	f.Header, f.Body, f.Session, f.Target, f.Seq, f.Arrived, f.Waker, f.Trace, f.Clock = r.Header, r.Body, r.Session, r.Target, r.Seq, r.Arrived, r.Waker, r.Trace, r.Clock
	f.More, f.Led, f.Sampled, f.Stopwatch, f.turn = r.More, r.Led, r.Sampled, r.Stopwatch, r.turn
}

// Response is the answer to a request on its way up the chain.
type Response struct {
	Body *kafka.ResponseBody
	// Close ends the session after the response is written.
	Close bool
	// Early says that a Produce was not sent because what its producer sent before is still on its
	// way, or seems to be: it goes back into its place before its client gets this answer.
	Early bool
	// Release, if not nil, is called when the response is written: its memory is used again, the
	// response's own included, and so is that of the request. Who takes parts of a response into
	// another one leaves it alone; who adds to it does so in another Response.
	Release func()
}

// Respond wraps a message as a response.
func Respond(msg kmsg.Response) *Response { return &Response{Body: kafka.ResponseBodyOf(msg)} }

// Fail answers req with code in every place where its response has one.
func Fail(req *Request, code kafka.Code, message string) (*Response, error) {
	body, err := kafka.ErrorResponse(req.Body, code, message)
	if err != nil {
		return nil, err
	}
	return &Response{Body: body}, nil
}

// Edit returns the request with a decoded body of its own, to be changed for its target; the
// original stays as received, so that it can be sent again or elsewhere.
func Edit[T kmsg.Request](req *Request) (*Request, T, error) {
	f := req.With(req.Body.Clone())
	var none T
	msg, err := f.Body.Edit()
	if err != nil {
		return nil, none, err
	}
	return f, msg.(T), nil
}
