package routing

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// eachUntilAnswered ends a produce of several topics with what came of it: each part has its own
// answer, and is sent again by itself.
func (r *Routing) eachUntilAnswered(ctx context.Context, req *plugin.Request, next plugin.Handler, list []sending, resp *plugin.Response, sendErr error) (*plugin.Response, error) {
	if len(list) == 1 {
		return r.untilAnswered(ctx, req, next, list[0], resp, sendErr)
	}
	of := func(name string, id [16]byte) int {
		return slices.IndexFunc(list, func(s sending) bool { return s.id == id && (id != [16]byte{} || s.topic == name) })
	}
	parts, bodies, err := fork.Split(req.Body, func(p fork.Part) int { return of(p.Topic, p.ID) })
	if err != nil {
		leave(list)
		return nil, err
	}
	answers := make([]*plugin.Response, len(list))
	if sendErr == nil && resp != nil {
		answers = answersOf(resp, len(list), of)
	}
	settles := &sharedError{err: sendErr}
	settles.open.Store(int32(len(parts)))
	forks := req.Fork(len(parts), "topic")
	at := map[*plugin.Request]int{}
	for i := range forks {
		forks[i].Body = bodies[i]
		at[forks[i]] = parts[i]
	}
	return fork.Gather(forks, fork.Parallel(ctx, forks, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		s := list[at[f]]
		var err error
		if sendErr != nil {
			err = settles.part()
		}
		return r.untilAnswered(ctx, f, next, s, answers[at[f]], err)
	})))
}

// answersOf divides an answer by topic; of says which one a name or an id is.
func answersOf(resp *plugin.Response, topics int, of func(name string, id [16]byte) int) []*plugin.Response {
	parts := make([][]int, topics)
	for i, p := range resp.Body.View().Partitions {
		if at := of(string(p.Topic), p.ID); at >= 0 {
			parts[at] = append(parts[at], i)
		}
	}
	out := make([]*plugin.Response, topics)
	for i := range out {
		out[i] = &plugin.Response{Body: resp.Body.Only(parts[i]), Early: resp.Early}
	}
	return out
}

// sharedError is why a request was not sent of which each part goes back into its place by itself:
// it is settled when all are.
type sharedError struct {
	err  error
	open atomic.Int32
}

func (s *sharedError) part() error { return &partError{sharedError: s} }

// partError is a sharedError of one part.
type partError struct {
	*sharedError
	once sync.Once
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// Settle is for plugin.Settle.
func (e *partError) Settle() {
	e.once.Do(func() {
		if e.open.Add(-1) == 0 {
			plugin.Settle(e.err)
		}
	})
}
