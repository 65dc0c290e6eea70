// Package joint makes few requests, and few writes, of what many ask for at the same time.
package joint

import (
	"context"
	"sync"

	"github.com/sluice-gateway/sluice/core/guard"
)

// Rounds does things of one kind together: what is asked for while one round is on its way makes up
// the next one. So many moves at once cost few requests and few writes, and one alone does not
// wait.
type Rounds[K comparable, Q, A any] struct {
	mu     sync.Mutex
	queues map[K][]*Ask[Q, A] // an entry, maybe empty, while rounds are made for the key
}

// Ask is a question in a round. Whoever makes the round sets the answer, or the error.
type Ask[Q, A any] struct {
	Question Q
	Answer   A
	Err      error
	done     chan struct{}
}

// Do answers a question in a round, which all makes for everybody who asks with the same key: it
// sets the answer or the error of each. A ctx that ends gives up the wait, not the round.
func (j *Rounds[K, Q, A]) Do(ctx context.Context, key K, question Q, all func([]*Ask[Q, A])) (A, error) {
	a := &Ask[Q, A]{Question: question, done: make(chan struct{})}
	j.mu.Lock()
	if j.queues == nil {
		j.queues = map[K][]*Ask[Q, A]{}
	}
	queue, busy := j.queues[key]
	j.queues[key] = append(queue, a)
	j.mu.Unlock()
	if !busy {
		guard.Go(func() { j.serve(key, all) })
	}
	select {
	case <-a.done:
		return a.Answer, a.Err
	case <-ctx.Done():
		var none A
		return none, ctx.Err()
	}
}

// serve makes rounds until nobody asks.
func (j *Rounds[K, Q, A]) serve(key K, all func([]*Ask[Q, A])) {
	for {
		j.mu.Lock()
		round := j.queues[key]
		if len(round) == 0 {
			delete(j.queues, key)
			j.mu.Unlock()
			return
		}
		j.queues[key] = nil
		j.mu.Unlock()
		err := guard.Catch(func() { all(round) })
		for _, a := range round {
			if err != nil {
				a.Err = err
			}
			close(a.done)
		}
	}
}
