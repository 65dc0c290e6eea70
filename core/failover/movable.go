package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Kind is a kind of what moves.
type Kind string

// The kinds of what moves.
const (
	Topic Kind = "topic"
	Group Kind = "group" // a consumer group
)

// Movable is something that has a home and may get another one.
type Movable struct {
	Kind Kind
	Name string
}

// String is what messages call it: a topic by its name alone.
func (m Movable) String() string {
	if m.Kind == Topic {
		return m.Name
	}
	return fmt.Sprint(m.Kind, " ", m.Name)
}

// Topics are those Movables that are topics of which f says yes.
func Topics(f func(topic string) bool) func(Movable) bool {
	return func(m Movable) bool { return m.Kind == Topic && f(m.Name) }
}

// movable is a Movable as its virtual cluster has it now.
type movable interface {
	what() Movable
	// home is the cluster where it lives; ok is false once it is gone.
	home() (cluster string, ok bool)
	// wanted is the cluster where the rules let it live; "" is none in particular.
	wanted() string
	// tell lets clients know of its home, if an earlier move was committed and not published.
	tell(ctx context.Context) error
	// attempt is what takes part in an attempt of its move.
	attempt(t *task) participant
}

// participant takes part in one attempt of a move, for what moves, phase by phase. As long as
// nothing is committed, an error of any phase ends the attempt, and nothing has changed.
type participant interface {
	// unplanned is what its rule says to do when the old home can't be reached.
	unplanned() string
	// lives asks the old home something, and is an error if that does not answer.
	lives(ctx context.Context, from plugin.Cluster) error
	// check is the pre-check: nobody is held. gone says that the old home can't be asked.
	check(ctx context.Context, gone bool) error
	// calm waits for a moment at which clients would not be held for long.
	calm(ctx context.Context) error
	// hold holds clients, and returns when the old home has answered what was on its way, and is
	// fenced.
	hold(ctx context.Context) error
	// prepare makes sure that the new home has everything, and finds out what to commit.
	prepare(ctx context.Context) error
	// topics names the topics that the commit changes.
	topics() []string
	// commit changes them, in the order of topics, and returns what else is to be written with
	// them. It may be asked again if that fails.
	commit(topics []*catalog.Topic) ([]catalog.Entry, error)
	// committed says that all is written.
	committed()
	// release lets held requests go on, at the home that the catalog has now.
	release()
	// drain waits until those are answered, and refuses at a time what is not.
	drain(ctx context.Context, until time.Time)
	// publish lets clients know of the new home.
	publish(ctx context.Context) error
	// open lets what was held for the sake of reads go on.
	open()
}

// movable is what a virtual cluster has of a Movable.
func (r *Runner) movable(env Env, what Movable) movable {
	if what.Kind == Group {
		return groupOf{env: env, name: what.Name}
	}
	return topicOf{r, env, what.Name}
}

// movables are all that a virtual cluster has.
func (r *Runner) movables(env Env) (out []movable) {
	for _, t := range env.Catalog.Topics() {
		out = append(out, topicOf{r, env, t.Name})
	}
	if env.Groups != nil && env.Groups.Several() {
		for _, g := range env.Catalog.Groups() {
			out = append(out, groupOf{env: env, name: g.Name})
		}
	}
	return out
}

func errGone(what Movable) error { return fmt.Errorf("%s %q is gone", what.Kind, what.Name) }
