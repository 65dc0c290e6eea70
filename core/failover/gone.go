package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// askLimit is how long the old home has to say that it lives.
const askLimit = 2 * time.Second

// gone decides whether the old home is gone, so that the move is an unplanned one: no broker of it
// has answered for a time that began with the edit. A home that has answered since is waited for.
func (t *task) gone(ctx context.Context, from plugin.Cluster) (bool, error) {
	if from.Reachable() {
		return false, t.ask(ctx, from)
	}
	if err := t.signs(from); err != nil {
		return false, err
	}
	switch t.policy() {
	case "never":
		return false, because(ByPolicy, fmt.Errorf("%s is unreachable and the topic says `unplanned: never`", from.Name()))
	case "always":
		return true, nil
	}
	began, limit := time.Now(), t.runner.timing().Unreachable
	for !t.answered {
		if time.Since(t.edited) >= limit && time.Since(t.alive) >= limit {
			return true, nil
		}
		if !guard.Sleep(ctx, 100*time.Millisecond) {
			return false, ctx.Err()
		}
		if from.Reachable() {
			return false, t.ask(ctx, from)
		}
		// Brokers that end may give one just before.
		if err := t.signs(from); err != nil && time.Since(began) >= limit {
			return false, err
		}
	}
	return false, because(ByCluster, fmt.Errorf("%s is unreachable, but has answered since the edit: to give it up, edit the topic's rule again, repeat the call, or use `failover run --unplanned`", from.Name()))
}

// signs is an error while the old home can't be asked and gives signs of life all the same, or may
// live for all that this machine can tell. Only who says so for this move gives up such a home.
func (t *task) signs(from plugin.Cluster) error {
	trouble := from.Trouble()
	if t.force || !errors.Is(trouble, plugin.ErrNotKafka) && !errors.Is(trouble, plugin.ErrUnable) {
		return nil
	}
	t.alive = time.Now()
	return fmt.Errorf("%s is not known to be gone (if it is, such as behind a load balancer, use `failover run --unplanned`): %w", from.Name(), trouble)
}

// policy is what to do when the old home is unreachable.
func (t *task) policy() string {
	if t.force {
		return "always"
	}
	return t.env.Placement.Home(t.report.Topic).Unplanned
}

// ask makes sure that the old home lives.
func (t *task) ask(ctx context.Context, from plugin.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	topic := t.env.Catalog.Topic(t.report.Topic)
	if topic == nil {
		return errGone(t.report.Topic)
	}
	if err := refresh(ctx, from, topic.Physical(from.Name())); err != nil {
		return fmt.Errorf("%s: %w", from.Name(), err)
	}
	t.answered = true
	return nil
}

// checkGone is the pre-check when the old home can't be asked: the stored distance of the copy is
// all there is.
func (t *task) checkGone(ctx context.Context) (*checked, error) {
	topic, _, to, err := t.parties()
	if err != nil {
		return nil, err
	}
	if err := refresh(ctx, to, topic.Physical(to.Name())); err != nil {
		return nil, err
	}
	c := &checked{topic: topic, unknown: make([]bool, len(topic.Partitions))}
	if c.copied, err = newSide(to, topic.Physical(to.Name())); err != nil {
		return nil, because(ByCopy, err)
	}
	if a, b := len(topic.Partitions), len(c.copied.topo.Partitions); a != b {
		return nil, because(ByCopy, fmt.Errorf("the topic has %d partitions, but %d on %s", a, b, to.Name()))
	}
	if err := c.copied.accepts(ctx, true); err != nil {
		return nil, because(ByRights, err)
	}
	ends, err := c.copied.offsets(ctx, -1)
	if err != nil {
		return nil, err
	}
	if t.policy() != "always" {
		if err := untrusted(topic, c.copied, ends); err != nil {
			return nil, because(ByCopy, err)
		}
	}
	id, compared := topic.Copies[to.Name()]
	again := compared && id != c.copied.topo.ID
	for p := range topic.Partitions {
		d, ok := topic.Partitions[p].Deltas[to.Name()]
		if !ok || again {
			d = 0
			c.unknown[p] = true
			t.change(func(r *Report) {
				r.Notes = append(r.Notes, fmt.Sprintf("partition %d: distance of the copy unknown, taken as 0", p))
			})
		}
		c.deltas = append(c.deltas, d)
	}
	return c, nil
}
